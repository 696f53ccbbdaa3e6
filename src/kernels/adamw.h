// SPDX-License-Identifier: MIT
/* adamw (Loshchilov and Hutter 2019), as in PyTorch: with g' = grad_scale g,
 *   w *= 1 - lr weight_decay;  m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g'^2
 *   w -= lr/(1-beta1^step) * m / (sqrt(v)/sqrt(1-beta2^step) + eps)
 * Packed tensors of one count and float dtype. step counts from 1. The scalars are double;
 * per-element work is in the dtype (ref: double). */
#ifndef WN_KERNELS_ADAMW_H
#define WN_KERNELS_ADAMW_H

#include "tensor/tensor.h"

typedef struct wn__adamw {
    wn_tensor w, m, v; /* in and out */
    wn_tensor g;
    double lr, beta1, beta2, eps, weight_decay, grad_scale;
    int64_t step;
} wn__adamw;

/* INVALID names a step or a beta that is not legal. */
WN_NODISCARD wn_status wn__adamw_check_scalars(const char *op, const wn__adamw *p);

#endif
