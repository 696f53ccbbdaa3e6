// SPDX-License-Identifier: MIT
/* matmul: c[m,n] = (accumulate ? c : 0) + sum_k a[m,k] b[k,n] (+ bias[n])
 *
 * a, b, c: one float dtype (F32 or F64; ref also F16 and BF16). In each of a and b one of the two
 * strides is 1 (a transposed view is as good as a packed one); c has unit stride along n. c
 * overlaps neither a nor b. m, n, k may be 0 (k = 0: zeros plus bias). Accuracy: |c - exact| <=
 * u|c| + 2 k u sum|a||b| with u the unit round-off of the dtype, plus the same for c and bias as
 * terms. Deterministic: any thread count gives the same bits. NaN and infinity propagate. */
#ifndef WN_KERNELS_MATMUL_H
#define WN_KERNELS_MATMUL_H

#include "tensor/tensor.h"

typedef struct wn__matmul {
    wn_tensor a;    /* [m, k] */
    wn_tensor b;    /* [k, n] */
    wn_tensor bias; /* [n] or absent */
    wn_tensor c;    /* [m, n] */
    bool accumulate;
} wn__matmul;

#endif
