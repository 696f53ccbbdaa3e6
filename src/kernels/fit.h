// SPDX-License-Identifier: MIT
/* squared_error, gradient_norms, fit_update: what an update of a fit does besides its products. Its
 * numbers that change from one update to the next lie in tensors, so that a device need not ask the
 * host for them and an update can be captured as a graph. S is the dtype of sums: F64 where
 * operands are, else F32.
 *
 * squared_error: y [n,m] is given without its bias [m] (S; absent: none), target [n,m] (S) is what
 * it should be: e = y + bias_scale bias - target;  sum[0] (+)= sum_scale sum e^2   (F64) gradient =
 * gradient_scale e, of the dtype of y, [n,m], may be y, or absent; dbias = dbias_scale sum_n e, S
 * [m], or absent y, target and gradient have unit stride along m. Sums of n or n m terms in S and
 * F64: |error| <= 2 u (terms + 4) (sum of the magnitudes), u that of S.
 *
 * gradient_norms: g (S, packed) is parts one behind the other, part p up to end[p], the last up to
 * the end; with g' = scale g and the 2-norm,
 *   sums[p] += |g'_p|;  sums[parts] += |g'_1, g'_2, ...| (all but part 0)   (F64 [parts + 1])
 *   factor[0] = scale, times most / (|g'| + 1e-6) where most > 0 and |g'| > most   (F64 [1])
 *
 * fit_update: with step = {lr, lr / (1 - beta1^t), sqrt(1 - beta2^t)} (F64 [3]) and g' = factor g,
 *   adamw  w *= 1 - lr decay, then as adam with g'
 *   adam   g' + decay w in place of g' (adamw: not);  m = beta1 m + (1-beta1) g';  v = beta2 v +
 *          (1-beta2) g'^2;  w -= step[1] m / (sqrt(v)/step[2] + eps)
 *   sgd    g' as adam's;  m = beta1 m + g';  w -= lr m;  v stays as it is and may be absent
 *   rounded = w, of any float dtype, or absent
 * Per-element work is in S (ref: double), packed tensors of one count. */
#ifndef WN_KERNELS_FIT_H
#define WN_KERNELS_FIT_H

#include "tensor/tensor.h"

enum { WN__FIT_PARTS = 72 };

typedef struct wn__squared_error {
    wn_tensor y, target;
    wn_tensor bias;
    wn_tensor gradient, dbias;
    wn_tensor sum;
    double bias_scale, gradient_scale, dbias_scale, sum_scale;
    bool accumulate;
} wn__squared_error;

typedef struct wn__gradient_norms {
    wn_tensor g, sums, factor;
    int parts;
    int64_t end[WN__FIT_PARTS];
    double scale, most;
} wn__gradient_norms;

typedef enum wn__fit_rule { WN__FIT_ADAMW, WN__FIT_ADAM, WN__FIT_SGD } wn__fit_rule;

typedef struct wn__fit_update {
    wn_tensor w, m, v; /* in and out */
    wn_tensor g;
    wn_tensor rounded;
    wn_tensor step, factor;
    wn__fit_rule rule;
    double beta1, beta2, eps, decay;
} wn__fit_update;

#endif
