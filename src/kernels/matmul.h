// SPDX-License-Identifier: MIT
/* matmul: c[m,n] = (accumulate ? c : 0) + sum_k a[m,k] b[k,n] (+ bias[n])
 *
 * a, b, c: one float dtype (F32, F64 or BF16; ref also F16); where a and b are BF16, c and bias may
 * both be F32 instead. In each of a and b one of the two strides is 1 (a transposed view is as good
 * as a packed one); c has unit stride along n. c overlaps neither a nor b. m, n, k may be 0 (k = 0:
 * zeros plus bias). Accuracy: |c - exact| <= u|c| + 2 k u' sum|a||b| with u the unit round-off of
 * c's dtype and u' that of the sums, which is u but for BF16 and F16 that of F32; plus the same for
 * c and bias as terms. Deterministic: any thread count gives the same bits (a
 * library's variant: at the same alignment of its operands). NaN and infinity propagate.
 *
 * BF16, and F32 with rounded16: a processor's product of bfloat16 pairs takes subnormal operands
 * for zeros, flushes subnormal sums and looks at no rounding mode. Such variants may be off by a
 * further f (sum|a| + sum|b| + 2 terms), f = 2^-126 the smallest normal number, and an infinity
 * times a subnormal may be NaN. */
#ifndef WN_KERNELS_MATMUL_H
#define WN_KERNELS_MATMUL_H

#include "tensor/tensor.h"

typedef struct wn__matmul {
    wn_tensor a;    /* [m, k] */
    wn_tensor b;    /* [k, n] */
    wn_tensor bias; /* [n] or absent */
    wn_tensor c;    /* [m, n] */
    bool accumulate;
    bool rounded16; /* every element of a and b is a bfloat16 number, whatever dtype holds it: a
                       variant may multiply in bfloat16 */
} wn__matmul;

#endif
