// SPDX-License-Identifier: MIT
/* rope_table: cos[p,i] = cos(p inv_freq[i]) * scale, sin likewise, p = 0..P-1, i < D/2; computed in
 * double, rounded once. rope (Su et al. 2021, half-split as in Hugging Face's Llama): for i < D/2,
 * with c,s of position pos0 + t: x[i], x[i+D/2] = x[i] c - x[i+D/2] s, x[i+D/2] c + x[i] s
 * (inverse: s negated; the gradient of a rotation) In place. x [B,T,H,D] may have strides, unit
 * along D. pos0 + T <= P, else INVALID. */
#ifndef WN_KERNELS_ROPE_H
#define WN_KERNELS_ROPE_H

#include "tensor/tensor.h"

typedef struct wn__rope_table {
    wn_tensor inv_freq; /* F64 [D/2] */
    wn_tensor cos, sin; /* [P, D/2] packed */
    double scale;       /* 1 but for scaled variants */
} wn__rope_table;

typedef struct wn__rope {
    wn_tensor x;        /* [B, T, H, D], in and out */
    wn_tensor cos, sin; /* [P, D/2] packed */
    int64_t pos0;       /* position of t = 0 */
    bool inverse;
} wn__rope;

#endif
