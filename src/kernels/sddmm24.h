// SPDX-License-Identifier: MIT
/* sddmm24: v[o,s] = (accumulate ? v : 0) + sum_t dy[t,o] x[t, column(o,s)], the weight gradient
 * dW = dy^T x of a layer at the places that a packed weight keeps (a sampled product of two dense
 * matrices).
 *
 * column(o,s) is the column that slot s of row o names in the index of pack24.h: W is [n,k], groups
 * along k. v is as the values of that pack, so that unpack24 makes the matrix of it. Slots that a
 * short group fills with zeros get the gradient of the column they name; those that name a padding
 * column get 0 (plus v), whatever dy holds.
 *
 * dy is [T,n] and x [T,k], both with unit stride along the second dimension. v overlaps no input.
 * T, n, k may be 0. Accuracy as matmul with T terms. Deterministic for any thread count. F32, F64,
 * BF16 (ref also F16); where dy and x are BF16, v may be F32. Index is trusted. */
#ifndef WN_KERNELS_SDDMM24_H
#define WN_KERNELS_SDDMM24_H

#include "tensor/tensor.h"

typedef struct wn__sddmm24 {
    wn_tensor dy;    /* [T, n] */
    wn_tensor x;     /* [T, k] */
    wn_tensor index; /* U8 [n, ceil(ceil(k/4)/2)] packed */
    wn_tensor v;     /* [n, 2 ceil(k/4)] packed */
    bool accumulate;
} wn__sddmm24;

#endif
