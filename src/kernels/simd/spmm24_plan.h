// SPDX-License-Identifier: MIT
/* How a product of a packed weight is cut: the lanes of simd/lanes24.inc.h into tiles, outputs into
 * blocks. The cut changes no bit: each element is a sum of its own, in ascending order of the
 * depth. */
#ifndef WN_KERNELS_SIMD_SPMM24_PLAN_H
#define WN_KERNELS_SIMD_SPMM24_PLAN_H

#include "kernels/columns24.h"
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

/* Pairs of a column of lists: at most two of four rows. */
#define WN_PAIRED24_MOST    (WN_COLUMNS24_SLICE / 2)
#define WN_PAIRED24_SINGLES (WN_COLUMNS24_SLICE / 4)
#define WN_PAIRED24_BATCH   64

/* The entries of some columns of a slice of lists as pairs of bfloat16 numbers, each with the row
 * of a slice that it meets (pair_slice.h); zeros, and rows that exist, beyond them. */
typedef struct wn__batch24 {
    /* what a column writes beyond its end is overwritten by the next one */
    _Alignas(64) uint32_t pair[WN_PAIRED24_BATCH * WN_PAIRED24_MOST + WN_PAIRED24_SINGLES];
    uint8_t row[WN_PAIRED24_BATCH * WN_PAIRED24_MOST + WN_PAIRED24_SINGLES];
    uint8_t pairs[WN_PAIRED24_BATCH]; /* of each column */
    uint8_t order[WN_PAIRED24_BATCH]; /* columns from few pairs to many */
} wn__batch24;

/* What a variant makes of a tile: its lanes, and how many numbers of the depth a float holds. */
typedef struct wn__spmm24_cut {
    int64_t lanes, steps;
} wn__spmm24_cut;

/* Of a worker's memory, before its sums [block][lanes] and its panels [rows][lanes]. */
#define WN_SPMM24_HEAD 64
/* Lanes, and outputs, of a line: tiles and blocks are cut between lines. */
#define WN_SPMM24_LINE 16

typedef struct wn__spmm24_plan {
    int64_t lanes;  /* of a whole tile */
    int64_t rows;   /* of a panel: the depth, rounded up to a whole group, in floats */
    int64_t block;  /* outputs of a block, at most */
    int64_t blocks; /* of a tile */
    int64_t tiles;  /* of the lanes */
    bool keeps;     /* a worker has panels of all tiles, and does all tiles of a block in turn */
    size_t worker_bytes;
} wn__spmm24_plan;

bool wn__spmm24_is_few(const wn__spmm24 *p);
wn__spmm24_plan wn__spmm24_plan_for(int64_t lanes, int64_t outputs, int64_t depth,
                                    wn__spmm24_cut cut, int threads);
/* The first output of a block; of the block after the last: all of them. */
int64_t wn__spmm24_output(const wn__spmm24_plan *plan, int64_t outputs, int64_t block);
/* The block that begins with an output. */
int64_t wn__spmm24_block_of(const wn__spmm24_plan *plan, int64_t outputs, int64_t output);
/* Whether lists are paired up right where they are multiplied, once for each tile: where there is
 * one tile of tokens, or few, whose workers would else read lists which another one wrote. */
bool wn__paired24_once(const wn__spmm24_columns *p, int threads);
/* Columns whose lists are pairs at a time: all, or even parts of them. */
int64_t wn__paired24_columns(int64_t slices, int64_t columns);
/* Of the batches of so many columns. */
size_t wn__paired24_bytes(const wn__spmm24_plan *plan, int64_t slices, int64_t columns);
size_t wn__spmm24_plan_bytes(int64_t lanes, int64_t outputs, int64_t depth, wn__spmm24_cut cut,
                             int threads);

#endif
