// SPDX-License-Identifier: MIT
/* swiglu (Shazeer 2020): y = silu(gate) up, silu(z) = z / (1 + exp(-z)).
 * swiglu_grad: dup = dy silu(gate); dgate = dy up (s + gate s (1 - s)), s = 1/(1 + exp(-gate)).
 * relu2 (So et al. 2021): y = max(x,0)^2.   relu2_grad: dx = 2 max(x,0) dy.
 * Elementwise over packed tensors of one shape and float dtype. y may be an input; dgate/dup/dx may
 * be dy or the matching input. NaN propagates. */
#ifndef WN_KERNELS_MLP_H
#define WN_KERNELS_MLP_H

#include "tensor/tensor.h"

typedef struct wn__swiglu {
    wn_tensor gate, up, y;
} wn__swiglu;
typedef struct wn__swiglu_grad {
    wn_tensor gate, up, dy, dgate, dup;
} wn__swiglu_grad;
typedef struct wn__relu2 {
    wn_tensor x, y;
} wn__relu2;
typedef struct wn__relu2_grad {
    wn_tensor x, dy, dx;
} wn__relu2_grad;

#endif
