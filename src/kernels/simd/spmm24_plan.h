// SPDX-License-Identifier: MIT
/* How a product of a packed weight is cut: the lanes of simd/lanes24.inc.h into tiles, outputs into
 * blocks. The cut changes no bit: each element is a sum of its own, in ascending order of the
 * depth. */
#ifndef WN_KERNELS_SIMD_SPMM24_PLAN_H
#define WN_KERNELS_SIMD_SPMM24_PLAN_H

#include "kernels/spmm24.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most lanes of a tile: eight vectors. */
#define WN_AVX512_LANES 128
#define WN_AVX2_LANES   64
/* Of pairs: a slice has six rows for every four columns, 24 KiB. */
#define WN_PAIRS_LANES 64
/* At most this many tokens of floats are multiplied where they stand, output by output. */
#define WN_SPMM24_FEW 8

/* What a variant makes of a tile: its lanes, and how many numbers of the depth a float holds. */
typedef struct wn__spmm24_cut {
    int64_t lanes, steps;
} wn__spmm24_cut;

typedef struct wn__spmm24_plan {
    bool shared;   /* a tile is brought in once and worked on by several; else one worker does all
                      of it */
    int64_t lanes; /* of a whole tile */
    int64_t chunk; /* lanes that are brought in at once, a multiple of that; shared only */
    int64_t rows;  /* of a panel: the depth, rounded up to a whole group, in floats */
    int64_t block; /* outputs of a block */
    size_t panel_bytes;  /* of one tile, or of the chunk that all share */
    size_t worker_bytes; /* of one worker, its own tile included */
} wn__spmm24_plan;

bool wn__spmm24_is_few(const wn__spmm24 *p);
wn__spmm24_plan wn__spmm24_plan_for(int64_t lanes, int64_t outputs, int64_t depth,
                                    wn__spmm24_cut cut, int threads);
size_t wn__spmm24_plan_bytes(int64_t lanes, int64_t outputs, int64_t depth, wn__spmm24_cut cut,
                             int threads);

#endif
