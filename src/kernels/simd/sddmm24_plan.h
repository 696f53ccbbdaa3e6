// SPDX-License-Identifier: MIT
/* How sddmm24 is cut: parts of tokens, outputs and columns that are transposed at a time, and in
 * them blocks of outputs and slices of columns. Only the shapes decide. */
#ifndef WN_KERNELS_SIMD_SDDMM24_PLAN_H
#define WN_KERNELS_SIMD_SDDMM24_PLAN_H

#include "kernels/sddmm24.h"

#include <stddef.h>

/* Floats of a slice of columns in a chunk of tokens: 32 KiB of the first cache. */
#define WN_SDDMM24_SLICE 8192

typedef struct wn__sddmm24_plan {
    int64_t chunk;                    /* tokens that a slice is brought to the first cache for */
    int64_t tokens, outputs, columns; /* of a part, at most; tokens in whole vectors */
    int64_t block;                    /* outputs of a block */
    size_t x_floats, dy_floats;       /* of a part, transposed */
    size_t sums_floats;               /* of a worker: a vector for each output of a block */
    size_t bytes;                     /* of all */
} wn__sddmm24_plan;

/* vec: floats of a vector; twice as many columns make a slice, whose kept places fill one. steps:
 * tokens of a float. */
wn__sddmm24_plan wn__sddmm24_plan_for(const wn__sddmm24 *p, int64_t vec, int64_t steps,
                                      int threads);

#endif
