// SPDX-License-Identifier: MIT
/* A weight with a 2:4 mask: the mask, the packed forms of the two products, and how they follow a
 * dense master weight w[r,c].
 *
 * r: out_features, c: in_features, groups along c. Row masks take any c (padded as in
 * kernels/pack24.h); tile and greedy masks need multiples of 4. Only these can be packed for the
 * input gradient; that of row masks reads column lists. All work is done by ops on an executor; in
 * planning mode nothing is touched. */
#ifndef WN_SPARSE_WEIGHT24_H
#define WN_SPARSE_WEIGHT24_H

#include "base/arena.h"
#include "kernels/mask24.h"
#include "kernels/op.h"
#include "sparse/lists24.h"

typedef struct wn__weight24_spec {
    wn_dtype dtype; /* of w and of the packed values */
    int64_t r, c;
    wn__mask24_method method;
    bool renews;   /* the mask will be chosen more than once: room to compare old and new */
    bool backward; /* also what the input gradient reads */
} wn__weight24_spec;

typedef struct wn__weight24 {
    wn__weight24_spec spec;
    wn_tensor mask;              /* U8 [r, ceil(c/4)]; what a checkpoint keeps */
    wn_tensor next, flips;       /* a new mask and I64 [1]; absent unless `renews` */
    wn_tensor values, index;     /* pack of w */
    wn_tensor values_t, index_t; /* pack of the transpose; absent unless `backward`, and where masks
                                    are not transposable: then there are lists */
    wn__lists24 lists;
    bool chosen; /* the mask is valid: set by choose and adopt */
} wn__weight24;

/* Allocates from an arena (which may measure). INVALID names sizes the method cannot have and the
 * nearest it can. */
WN_NODISCARD wn_status wn__weight24_alloc(wn__arena *arena, const wn__weight24_spec *spec,
                                          wn__weight24 *out);
/* Chooses the mask of w. *flips: positions that differ from the mask before, -1 if there was none
 * (or when planning). INVALID for a second choice without `renews`. A renewal that fails (NaN in w)
 * leaves the mask as it was. */
WN_NODISCARD wn_status wn__weight24_choose(wn__weight24 *s, wn__exec *x, const wn_tensor *w,
                                           int64_t *flips);
/* The same, then packs: in one pass where exact tiles are packed for both products. */
WN_NODISCARD wn_status wn__weight24_make(wn__weight24 *s, wn__exec *x, const wn_tensor *w,
                                         int64_t *flips);
/* Declares that `mask` was filled from a checkpoint. INVALID names the group that does not fit the
 * method (ROW: at most two; else also transposable). */
WN_NODISCARD wn_status wn__weight24_adopt(wn__weight24 *s);
/* Packs the kept entries of w, for both products if `backward`. INVALID before a mask was chosen or
 * adopted. */
WN_NODISCARD wn_status wn__weight24_pack(const wn__weight24 *s, wn__exec *x, const wn_tensor *w);
/* The same where values and index are made already (kernels/adamw24.h): what is left, the lists. */
WN_NODISCARD wn_status wn__weight24_follow(const wn__weight24 *s, wn__exec *x, const wn_tensor *w);
/* out[r,c] = what the packed form multiplies by, zeros written out. */
WN_NODISCARD wn_status wn__weight24_unpack(const wn__weight24 *s, wn__exec *x,
                                           const wn_tensor *out);

#endif
