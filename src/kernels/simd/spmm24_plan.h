// SPDX-License-Identifier: MIT
/* How a 2:4 product is cut: tokens into tiles that are lanes of a kernel, outputs into blocks.
 * Shapes alone decide. */
#ifndef WN_KERNELS_SIMD_SPMM24_PLAN_H
#define WN_KERNELS_SIMD_SPMM24_PLAN_H

#include "kernels/spmm24.h"

#include <stddef.h>

/* The most tokens of a tile: 16 of 32 registers hold them, and 12 of 16. */
#define WN_AVX512_TOKENS 128
#define WN_AVX2_TOKENS   96
/* At most this many tokens are multiplied where they stand, output by output. */
#define WN_SPMM24_FEW 8

typedef struct wn__spmm24_plan {
    int64_t tokens; /* of a whole tile */
    int64_t chunk;  /* tokens that are transposed at once, a multiple of that */
    int64_t depth;  /* k rounded up to a whole group */
    int64_t block;  /* outputs of a block */
    size_t panel_bytes, worker_bytes;
} wn__spmm24_plan;

wn__spmm24_plan wn__spmm24_plan_for(const wn__spmm24 *p, int64_t tokens);

#endif
