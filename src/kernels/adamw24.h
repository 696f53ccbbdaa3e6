// SPDX-License-Identifier: MIT
/* adamw24: adamw of a matrix w[r,c], and then pack24 of the new w under a mask, in one pass: what a
 * 2:4 weight does at an update at which its mask rests.
 *
 * The same bits as the two one after the other on the same variant. A mask that pack24 refuses is
 * refused with pack24's message, and nothing has changed then. w, m, v and g are packed matrices;
 * the packs overlap nothing. values_t and index_t may be absent together. F32, F64 (ref also F16,
 * BF16). */
#ifndef WN_KERNELS_ADAMW24_H
#define WN_KERNELS_ADAMW24_H

#include "kernels/adamw.h"
#include "kernels/pack24.h"

typedef struct wn__adamw24 {
    wn__adamw update; /* all [r, c] */
    wn_tensor mask;   /* U8 [r, ceil(c/4)] packed; this and the others as in pack24.h */
    wn_tensor values, index;
    wn_tensor values_t, index_t;
} wn__adamw24;

/* The second half of it. */
static inline wn__pack24 wn__adamw24_pack(const wn__adamw24 *p) {
    return (wn__pack24){.w = p->update.w,
                        .mask = p->mask,
                        .values = p->values,
                        .index = p->index,
                        .values_t = p->values_t,
                        .index_t = p->index_t};
}

#endif
