// SPDX-License-Identifier: MIT
/* From logits to a token. Greedy at temperature 0 (ties: the lowest id); else top-k, softmax with
 * temperature, top-p, and one draw that depends on (seed, position) alone: stream WN_STREAM_SAMPLE,
 * index position. */
#ifndef WN_INFER_SAMPLER_H
#define WN_INFER_SAMPLER_H

#include "winnow/model.h"

typedef struct wn__candidate {
    double weight; /* logit, then exp((logit - largest)/temperature) */
    int32_t id;
} wn__candidate;

typedef struct wn__sampler {
    wn_sampling how;
    int64_t vocab;
    wn__candidate *candidate; /* [vocab] */
} wn__sampler;

/* INVALID names the field, the value and the legal range. */
WN_NODISCARD wn_status wn__sampler_create(const wn_sampling *how, int64_t vocab, wn__sampler *out);
void wn__sampler_free(wn__sampler *s); /* safe on a zeroed struct */
/* logits[vocab]. INVALID names the first NaN, or says that no logit is above -infinity. */
WN_NODISCARD wn_status wn__sampler_pick(wn__sampler *s, const float *logits, uint64_t position,
                                        int32_t *id);

#endif
