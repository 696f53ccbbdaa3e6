// SPDX-License-Identifier: MIT
/* What ks_apply.c, which chooses and fits, and ks_out.c, which writes and trains, share. */
#ifndef WN_PRUNE_KS_APPLY_H
#define WN_PRUNE_KS_APPLY_H

#include "nn/structure.h"
#include "prune/ks_text.h"
#include "prune/place.h"
#include "sparse/kron_head.h"
#include "winnow/ks.h"

/* A layer that becomes a chain. */
typedef struct wn__ks_target {
    wn__linear *l;
    int64_t block;
    int group;       /* of the layers of a block that read the same: 0 to 3, in their order */
    int64_t b, c, r; /* blocks and their rank; b 0: a butterfly */
    int64_t k;       /* rank of the head beside the chain; 0: none */
    wn__kron_chain chain;
    char text[WN_HF_CHAIN];      /* "monarch:32:4" */
    float *factor[WN__KRON_MAX]; /* [a d, c, b], as the parameters are */
    float *head[2];              /* V [k, in], U [out, k]; NULL without one */
} wn__ks_target;

typedef struct wn__ks_apply {
    const wn_ks_apply_options *o;
    wn_ks_apply_fn *fn;
    wn_stop_fn *stop;
    void *ctx;
    wn__ks_text text;
    wn__structure_rules rules;
    wn__ks_target *target; /* in the order of the model */
    size_t targets;
    wn__place place;
    wn_ks_applied *result;
} wn__ks_apply;

/* ks_out.c: everything that comes after the fit, up to the directory in its place. */
WN_NODISCARD wn_status wn__ks_apply_out(wn__ks_apply *a);
void wn__ks_apply_tell(const wn__ks_apply *a, const char *stage, double loss, int64_t tokens);

#endif
