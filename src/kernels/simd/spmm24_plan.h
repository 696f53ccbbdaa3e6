// SPDX-License-Identifier: MIT
/* How a 2:4 product is cut: tokens into tiles that are lanes of a kernel, outputs into blocks. The
 * cut changes no bit: each element is a sum of its own, in ascending column order. */
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
    bool shared; /* a tile is transposed once and worked on by several; else one worker does all of
                    it */
    int64_t tokens;      /* of a whole tile */
    int64_t chunk;       /* tokens that are transposed at once, a multiple of that; shared only */
    int64_t depth;       /* k rounded up to a whole group */
    int64_t block;       /* outputs of a block */
    size_t panel_bytes;  /* of one tile, or of the chunk that all share */
    size_t worker_bytes; /* of one worker, its own tile included */
} wn__spmm24_plan;

wn__spmm24_plan wn__spmm24_plan_for(const wn__spmm24 *p, int64_t tokens, int threads);

#endif
