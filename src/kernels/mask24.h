// SPDX-License-Identifier: MIT
/* mask24, flips24, decay24: choosing and comparing 2:4 masks.
 *
 * ROW: in each group of 4 along c keep the two largest |w|; order: |w| descending compared exactly,
 * then index ascending; -0 equals +0. c need not be a multiple of 4: missing columns are never kept
 * while a real one is free, and never appear in the mask. TILE: for each 4x4 tile the mask of the
 * 90 with two ones in every row and column (Hubara et al. 2021, Hu et al. 2024) that has the
 *   largest sum of |w| in fp32, each row's two kept magnitudes added first, then (r0+r1)+(r2+r3);
 * ties go to the lowest index in the nested enumeration of the rows, each through 1100 1010 1001
 * 0110 0101 0011 (columns 0..3 left to right). r and c must be multiples of 4: INVALID names both
 * and the nearest legal sizes. F64 weights are rounded to fp32 first. GREEDY: visit the 16 entries
 * in the total order above (index = 4 row + column) and keep one while its row and its column have
 * fewer than two. May leave short rows. Same shape rule as TILE. NaN anywhere is INVALID and named
 * by row and column (the first in row-major order). Infinity is larger than every finite value; in
 * TILE sums it propagates (ties by index). Bit-exact on every variant: no FMA contraction. mask bit
 * j of group g: column 4g+j is kept. */
#ifndef WN_KERNELS_MASK24_H
#define WN_KERNELS_MASK24_H

#include "tensor/tensor.h"

typedef enum wn__mask24_method {
    WN_MASK24_ROW,
    WN_MASK24_TILE,
    WN_MASK24_GREEDY
} wn__mask24_method;

typedef struct wn__mask24 {
    wn_tensor w;    /* [r, c] float, unit stride along c */
    wn_tensor mask; /* U8 [r, ceil(c/4)] packed */
    wn__mask24_method method;
} wn__mask24;

/* count[0] = number of (row, column) positions kept in exactly one of a and b. */
typedef struct wn__flips24 {
    wn_tensor a, b;  /* U8 masks of one shape, packed */
    wn_tensor count; /* I64 [1] */
} wn__flips24;

/* g += lambda w at positions the mask does not keep (SR-STE, Zhou et al. 2021; on the gradient as
 * in Hu et al. 2024). */
typedef struct wn__decay24 {
    wn_tensor w;    /* [r, c] packed */
    wn_tensor mask; /* U8 [r, ceil(c/4)] packed */
    wn_tensor g;    /* [r, c] packed, in and out */
    double lambda;
} wn__decay24;

/* The 90 transposable masks in the order above: bit 4 row + column. */
extern const uint16_t wn__tile_masks24[90];
/* INVALID unless w is made of whole 4x4 tiles. */
WN_NODISCARD wn_status wn__check_tiles24(const char *op, const wn_tensor *w);
/* INVALID "NaN at row i, column j" for the first NaN in row-major order. A variant that meets one
 * names it through this. */
WN_NODISCARD wn_status wn__mask24_refuse_nan(const wn__mask24 *p);

#endif
