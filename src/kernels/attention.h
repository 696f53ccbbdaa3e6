// SPDX-License-Identifier: MIT
/* attention: causal grouped-query attention. Query t of batch b stands at absolute position S - T +
 * t and sees keys 0 .. S - T + t. s[j] = scale q.k[j];  lse = log sum_j exp(s[j]);  out = sum_j
 * exp(s[j] - lse) v[j]        key/value head = query head / (H/Hk) attention_grad: with p[j] =
 * exp(s[j] - lse) and delta = dout . out: dv[j] = sum p[j] dout;  ds[j] = p[j] (dout . v[j] -
 * delta);  dq = scale sum_j ds[j] k[j];  dk[j] = scale sum ds[j] q dq, dk, dv are overwritten (not
 * added to). Views may have strides in all but the last dimension (unit along D). H % Hk == 0, S >=
 * T >= 1. No T x S matrix is kept: variants may use scratch for one (b, head) block at most.
 * Outputs overlap no input. Deterministic. The maximum is subtracted before exp, so finite scores
 * never overflow. */
#ifndef WN_KERNELS_ATTENTION_H
#define WN_KERNELS_ATTENTION_H

#include "tensor/tensor.h"

typedef struct wn__attention {
    wn_tensor q;    /* [B, T, H, D] */
    wn_tensor k, v; /* [B, S, Hk, D] */
    wn_tensor out;  /* [B, T, H, D] */
    wn_tensor lse;  /* [B, H, T] packed, or absent */
    double scale;   /* 1/sqrt(D) as a rule */
} wn__attention;

typedef struct wn__attention_grad {
    wn_tensor q, k, v, out, lse, dout; /* as above */
    wn_tensor dq, dk, dv;              /* as q, k, v */
    double scale;
} wn__attention_grad;

#endif
