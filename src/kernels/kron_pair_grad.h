// SPDX-License-Identifier: MIT
/* kron_pair_grad: the gradients of both factors of y = x (K_1 K_0)^T (kron_mul.h, two factors):
 *
 *   dw1[i,j,k,l] (+)= sum_n dy[n, (i b + j) d + l] h[n, (i c + k) d + l],   h = x K_0^T
 *   dw0[i,j,k,l] (+)= sum_n g[n, (i b + j) d + l] x[n, (i c + k) d + l],    g = dy K_1
 *
 * with a, b, c, d those of the factor. x [n, a c d of w0], dy [n, a b d of w1], each with unit
 * stride along either dimension; w0, w1 and dw0, dw1 views [a,b,c,d] of any strides, dw0 and dw1
 * overlap nothing. One float dtype: F32, BF16, F16, and of ref F64 too; or dw0, dw1 F32 and all
 * else 16-bit. n may be 0. Accuracy: u|dw| + 2 (n + c_0 + b_1 + 2) u' S as kron_mul's; with 16-bit
 * numbers a variant may round h and g to that dtype, which adds u S, and what kron_mul says of its
 * range. Deterministic for any thread count. */
#ifndef WN_KERNELS_KRON_PAIR_GRAD_H
#define WN_KERNELS_KRON_PAIR_GRAD_H

#include "kernels/kron_mul.h"

typedef struct wn__kron_pair_grad {
    wn_tensor x, dy, w0, w1, dw0, dw1;
    bool accumulate;
} wn__kron_pair_grad;

#endif
