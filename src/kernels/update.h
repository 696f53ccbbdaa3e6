// SPDX-License-Identifier: MIT
/* axpby, adam_direction, adafactor, adam8bit: what optimizers besides adamw.h do to a tensor.
 *
 * axpby: y = a x + b y (b = 0: y is not read). Packed, one count and float dtype.
 * adam_direction (Kingma and Ba 2015, in the form of the first transformers AdamW): with g' =
 * grad_scale g, m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g'^2;  d = m / (sqrt(v) + eps)
 * (eps on the raw sqrt(v)) The bias correction belongs to the step: lr sqrt(1-beta2^t)/(1-beta1^t).
 * d may be g. adafactor (Shazeer and Stern 2018), one update of w[r,c] (factored) or w[n] / a
 * matrix with v given: see the fields. g' = grad_scale g; rho = 1 - t^(-0.8); matrix: row = rho row
 * + (1-rho) mean_c(g'^2 + eps1), col likewise over rows, u = g' / sqrt(row col / mean(row));
 * vector: v = rho v + (1-rho)(g'^2 + eps1), u = g'/sqrt(v); u /= max(1, rms(u)/clip); momentum
 * (beta1 > 0): m = beta1 m + (1-beta1) u, u = m; w -= lr u after w *= 1 - lr weight_decay. adam8bit
 * (Dettmers et al. 2022): AdamW whose moments are kept in 8 bits: blocks of WN_BLOCK8 consecutive
 * elements, each with its absolute maximum in fp32 and codes of the dynamic data type (signed for
 * m, unsigned for v). Each update decodes a block, applies adamw.h's formulas in the dtype and
 * encodes it again, to the nearest code (ties to the lower). The scalars are double; per-element
 * work is in the dtype (ref: double). */
#ifndef WN_KERNELS_UPDATE_H
#define WN_KERNELS_UPDATE_H

#include "tensor/tensor.h"

#define WN_BLOCK8 256

typedef struct wn__axpby {
    wn_tensor x, y;
    double a, b;
} wn__axpby;

typedef struct wn__adam_direction {
    wn_tensor m, v; /* in and out */
    wn_tensor g, d;
    double beta1, beta2, eps, grad_scale;
} wn__adam_direction;

typedef struct wn__adafactor {
    wn_tensor w, g;
    wn_tensor row, col; /* F32/F64 [r], [c] of a matrix; absent with v */
    wn_tensor v;        /* as w; absent with row and col */
    wn_tensor m;        /* as w; absent when beta1 is 0 */
    double lr, beta1, eps1, clip, weight_decay, grad_scale;
    int64_t step; /* from 1 */
} wn__adafactor;

typedef struct wn__adam8bit {
    wn_tensor w, g;
    wn_tensor m, v;             /* U8, as many as w */
    wn_tensor m_scale, v_scale; /* F32 [ceil(count/WN_BLOCK8)] */
    double lr, beta1, beta2, eps, weight_decay, grad_scale;
    int64_t step; /* from 1 */
} wn__adam8bit;

/* The 256 codes' values, ascending. */
extern const float wn__dynamic8_signed[256], wn__dynamic8_unsigned[256];

#endif
