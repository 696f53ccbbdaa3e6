// SPDX-License-Identifier: MIT
/* The mathematics of 2:4 patterns: whether a matrix or a mask has one, what the packed form costs.
 *
 * Groups run along the last dimension, as in kernels/pack24.h; of a transposed view
 * (wn__tensor_transpose) they run along the rows of the original. A mask is U8 [r, ceil(c/4)]
 * packed, bit j of group g for column 4g+j. All tensors are in host memory. Matrices may have any
 * strides. */
#ifndef WN_SPARSE_PATTERN24_H
#define WN_SPARSE_PATTERN24_H

#include "tensor/tensor.h"

/* What is asked of the groups, besides that none has more than two entries. */
enum {
    WN_PATTERN24_EXACT = 1, /* every group has two, or all its columns when there are fewer */
    WN_PATTERN24_TRANSPOSABLE = 2, /* the same holds in each 4-row block of every column */
};

/* INVALID names the first group (then, for TRANSPOSABLE, the first column of a block of rows) that
 * breaks the rules. check_matrix takes an entry for kept when it is not zero (NaN is not zero).
 * F64, F32, BF16, F16. */
WN_NODISCARD wn_status wn__pattern24_check_mask(const wn_tensor *mask, int64_t c, unsigned rules);
WN_NODISCARD wn_status wn__pattern24_check_matrix(const wn_tensor *w, unsigned rules);

/* Bytes of a matrix [r, c] and of its packed form. A 16-bit one packs to 56.25 % of dense, F32
 * to 53.125 %. */
typedef struct wn__bytes24 {
    size_t dense, values, index, mask;
} wn__bytes24;
/* INVALID for negative or overflowing sizes. */
WN_NODISCARD wn_status wn__pattern24_bytes(wn_dtype dtype, int64_t r, int64_t c, wn__bytes24 *out);

/* Groups of four along n columns. */
static inline int64_t wn__groups24(int64_t n) {
    return n / 4 + (n % 4 != 0);
}

#endif
