// SPDX-License-Identifier: MIT
/* How sddmm24 is cut: parts of tokens, and in them blocks of outputs and slices of columns. Only
 * the shapes and the kind of processor decide. */
#ifndef WN_KERNELS_SIMD_SDDMM24_PLAN_H
#define WN_KERNELS_SIMD_SDDMM24_PLAN_H

#include "kernels/sddmm24.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a worker's memory, before its panels. */
#define WN_SDDMM24_HEAD 64
/* Vectors of tokens that are multiplied in one go: a chunk has a multiple of them, or fewer. */
#define WN_SDDMM24_TURN 4

/* What a variant makes of the tokens: floats of a vector (twice as many columns make a slice, whose
 * kept places fill one), tokens of a float, floats of a slice in a chunk of tokens, and tokens of a
 * part at most: the fewer, the more outputs make a block, and the fewer times is x brought in. */
typedef struct wn__sddmm24_cut {
    int64_t vec, steps, floats, tokens;
} wn__sddmm24_cut;

extern const wn__sddmm24_cut wn__sddmm24_vectors32, wn__sddmm24_pairs;
/* This processor's, or that of those whose vectors pass the other way (AVX512SPLIT). */
wn__sddmm24_cut wn__sddmm24_vectors64(bool other);

typedef struct wn__sddmm24_plan {
    int64_t chunk;                           /* tokens that a slice is in the first cache for */
    int64_t tokens;                          /* of a part, at most */
    int64_t blocks, slices;                  /* of outputs, of columns */
    size_t dy_floats, x_floats, sums_floats; /* of a worker: a block, a slice, a block's sums */
    size_t worker_bytes;
} wn__sddmm24_plan;

wn__sddmm24_plan wn__sddmm24_plan_for(const wn__sddmm24 *p, wn__sddmm24_cut cut);

/* Of few tokens (sddmm24_few.inc.h): outputs of a tile, what its numbers of dy take for each token,
 * and vectors of columns. */
#define WN_SDDMM24_FEW_OUTPUTS 6
#define WN_SDDMM24_FEW_ROW     8
#define WN_SDDMM24_FEW_VECS    4

typedef struct wn__sddmm24_few {
    int64_t vecs, slices; /* vectors of columns, and how many slices they make */
    int64_t tiles, blocks;
    size_t dy_floats; /* of a block */
    size_t worker_bytes;
} wn__sddmm24_few;

bool wn__sddmm24_is_few(const wn__sddmm24 *p);
wn__sddmm24_few wn__sddmm24_few_for(const wn__sddmm24 *p);

#endif
