// SPDX-License-Identifier: MIT
/* rmsnorm (Zhang and Sennrich 2019): rstd[n] = 1/sqrt(mean_c x[n,c]^2 + eps), y = x rstd weight.
 * rmsnorm_grad: with h = dy weight, dx (+)= rstd (h - x rstd^2 mean_c(h x)); dweight[c] += sum_n dy
 * x rstd (n in fixed chunks, ascending). All packed, one float dtype. y may be x; dx may be dy, not
 * with accumulate. Accuracy: mean in the accumulator with C terms. */
#ifndef WN_KERNELS_RMSNORM_H
#define WN_KERNELS_RMSNORM_H

#include "tensor/tensor.h"

typedef struct wn__rmsnorm {
    wn_tensor x;      /* [N, C] */
    wn_tensor weight; /* [C] */
    wn_tensor y;      /* [N, C] */
    wn_tensor rstd;   /* [N] or absent */
    double eps;
} wn__rmsnorm;

typedef struct wn__rmsnorm_grad {
    wn_tensor x, weight, rstd, dy; /* [N,C], [C], [N], [N,C] */
    wn_tensor dx;                  /* [N, C] */
    wn_tensor dweight;             /* [C], in and out */
    bool accumulate;               /* dx += */
} wn__rmsnorm_grad;

#endif
