// SPDX-License-Identifier: MIT
/* kron_grad: dw[i,j,k,l] = (accumulate ? dw : 0) + sum_n dy[n, (i b + j) d + l] x[n, (i c + k) d +
 * l], the gradient of the one factor of kron_mul.h that took x and gave y.
 *
 * x [n, a c d], dy [n, a b d], each with unit stride along either dimension; dw a view [a,b,c,d] of
 * any strides that overlaps nothing. One float dtype: F32, BF16, F16, and of ref F64 too; or dw F32
 * and x, dy 16-bit. n may be 0. Accuracy as matmul with n terms. Deterministic for any thread
 * count: the batch is never split, or on a GPU as sizes alone say. */
#ifndef WN_KERNELS_KRON_GRAD_H
#define WN_KERNELS_KRON_GRAD_H

#include "tensor/tensor.h"

typedef struct wn__kron_grad {
    wn_tensor x, dy, dw;
    bool accumulate;
} wn__kron_grad;

#endif
