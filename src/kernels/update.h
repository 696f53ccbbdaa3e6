// SPDX-License-Identifier: MIT
/* axpby, adam_direction, adafactor, adam8bit: what optimizers besides adamw.h do to a tensor. The
 * scalars are double; g' = grad_scale g everywhere.
 *
 * axpby: y = a x + b y (b = 0: y is not read). Per-element work is in the dtype (ref: double).
 *
 * adam_direction (Kingma and Ba 2015, in the form of the first transformers AdamW):
 *   m = beta1 m + (1-beta1) g';  v = beta2 v + (1-beta2) g'^2;  d = m / (sqrt(v) + eps)
 * with eps on the raw sqrt(v). The bias correction belongs to the step, lr sqrt(1-beta2^t) /
 * (1-beta1^t). d may be g. Per-element work is in the dtype (ref: double).
 *
 * adafactor (Shazeer and Stern 2018), without its relative step sizes: with rho = 1 - step^-0.8,
 *   matrix (row, col given): row = rho row + (1-rho) mean over columns of (g'^2 + eps1), col the
 *     same over rows, u = g' / sqrt(row col / mean(row))
 *   other (v given): v = rho v + (1-rho) (g'^2 + eps1), u = g' / sqrt(v)
 *   u /= max(1, rms(u) / clip);  beta1 > 0: m = beta1 m + (1-beta1) u, and m takes u's place
 *   w *= 1 - lr weight_decay;  w -= lr u
 * Sums are double.
 *
 * adam8bit (Dettmers et al. 2022): adamw.h whose moments are kept in blocks of WN_BLOCK8 elements
 * as codes of the dynamic data type (signed for m, unsigned for v) times the block's largest
 * magnitude. A block is decoded, updated by adamw.h's formulas with moments that are not yet
 * rounded, and encoded: x/scale to the nearest code, ties to the lower; a block of zeros has scale
 * 0. All in the dtype (F32 or F64), each operation rounded by itself, so the bits are the same on
 * every variant.
 *
 * Packed tensors of one count and float dtype. */
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
    wn_tensor w, g;     /* F32 or F64, as all others */
    wn_tensor row, col; /* [r], [c] of a matrix; absent with v */
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

/* The values of the 256 codes, ascending. For i = 0 .. 6 there are n = 2^i (unsigned: 2^(i+1))
 * values 10^(i-6) (0.1 + 0.9 (2j+1)/(2n)), j < n; signed: and their negatives; besides, 0 and 1. */
extern const float wn__dynamic8_signed[256], wn__dynamic8_unsigned[256];

#endif
