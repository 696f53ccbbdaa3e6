// SPDX-License-Identifier: MIT
/* spmm24: y[t,o] = (accumulate ? y : 0) + sum_i x[t,i] W[o,i] (+ bias[o]), W[n,k] in the packed
 * form of pack24.h.
 *
 * Every path multiplies by the same pruned weights. x is [T,k] with unit stride along k (k as in
 * the unpacked W; its padding columns do not exist in x), y [T,n] with unit stride along n; both
 * may have row strides. The input gradient dx = dy W is the same op on the transposed pack: x = dy,
 * values_t, index_t. y overlaps no input. T, n, k may be 0. Slots that a short group fills with
 * zeros still read x: an infinity there gives NaN only in the columns the nibble names; ref is the
 * definition. Accuracy as matmul with k/2 terms, subnormals of bfloat16 included, where sum|a| is
 * that of the whole row of x. Deterministic for any thread count. F32, F64, BF16 (ref also F16);
 * where x and values are BF16, y and bias may both be F32. Index is trusted: it came from pack24 or
 * was checked by unpack24. */
#ifndef WN_KERNELS_SPMM24_H
#define WN_KERNELS_SPMM24_H

#include "tensor/tensor.h"

typedef struct wn__spmm24 {
    wn_tensor x;             /* [T, k] */
    wn_tensor values, index; /* [n, 2 ceil(k/4)], U8 [n, ceil(ceil(k/4)/2)], packed */
    wn_tensor bias;          /* [n] or absent */
    wn_tensor y;             /* [T, n] */
    bool accumulate;
    bool rounded16; /* as in matmul.h, of x and values */
} wn__spmm24;

#endif
