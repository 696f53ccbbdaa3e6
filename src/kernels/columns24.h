// SPDX-License-Identifier: MIT
/* columns24, spmm24_columns: products by a 2:4 matrix W[r,c] along the dimension that is not 2:4,
 * where columns keep different numbers of entries.
 *
 * columns24 makes the column lists of the kept entries of w[r,c] (mask as in pack24.h, groups along
 * c). Rows are cut into slices of WN_COLUMNS24_SLICE; a slice lists its kept entries column after
 * column, rows ascending; of BF16 first those that are pairs, the first and second kept ones of
 * four rows (4 i .. 4 i + 3) and the third and fourth, then single ones:
 *
 *   start   I32 [s, c+1]   column j of slice i has the entries start[i][j] .. start[i][j+1] - 1 of
 *                          the slice; s = ceil(r / WN_COLUMNS24_SLICE)
 *   values  [s, L]         L = 2 ceil(c/4) min(r, WN_COLUMNS24_SLICE) + WN_COLUMNS24_SLACK: room
 *                          for the fullest slice, and for reading whole vectors
 *   row     U8 [s, L]      the row of each entry, counted from the slice's first
 *
 * What a slice does not fill is 0. Packing reads the mask, never "value != 0"; values are copied
 * bit for bit. A mask that pack24 refuses is refused with pack24's message. Bit-exact on every
 * variant.
 *
 * spmm24_columns: y[t,j] = (accumulate ? y : 0) + sum over the entries of column j of x[t,row]
 * value = (x W)[t,j], the input gradient dx = dy W. x is [T,r], y [T,c], both with unit stride
 * along the second dimension. Only kept entries read x. Accuracy as matmul with as many terms as
 * the longest column. The lists are trusted: they came from columns24. Deterministic for any thread
 * count.
 *
 * Outputs overlap no input. Sizes may be 0. F32, F64, BF16 (ref also F16); where x and values of a
 * product are BF16, y may be F32. */
#ifndef WN_KERNELS_COLUMNS24_H
#define WN_KERNELS_COLUMNS24_H

#include "tensor/tensor.h"

#define WN_COLUMNS24_SLICE 64
#define WN_COLUMNS24_SLACK 64

typedef struct wn__columns24 {
    wn_tensor w;                  /* [r, c], unit stride along c */
    wn_tensor mask;               /* U8 [r, ceil(c/4)] packed */
    wn_tensor start, values, row; /* I32 [s, c+1], [s, L], U8 [s, L], packed */
} wn__columns24;

typedef struct wn__spmm24_columns {
    wn_tensor x;                  /* [T, r] */
    wn_tensor start, values, row; /* as above */
    wn_tensor y;                  /* [T, c] */
    bool accumulate;
} wn__spmm24_columns;

/* s and L of a matrix of r rows and c columns. */
static inline int64_t wn__columns24_slices(int64_t r) {
    return (r + WN_COLUMNS24_SLICE - 1) / WN_COLUMNS24_SLICE;
}
static inline int64_t wn__columns24_room(int64_t r, int64_t c) {
    return (c + 3) / 4 * 2 * (r < WN_COLUMNS24_SLICE ? r : WN_COLUMNS24_SLICE) + WN_COLUMNS24_SLACK;
}

/* INVALID names the first group that the mask keeps too much of. What every variant asks first. */
WN_NODISCARD wn_status wn__columns24_refuse(const wn__columns24 *p);

#endif
