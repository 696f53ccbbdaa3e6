// SPDX-License-Identifier: MIT
/* cross_entropy: loss[n] = logsumexp(logits[n,:]) - logits[n,target[n]]; 0 where target[n] < 0 (an
 * ignored label). dlogits[n,v] = scale (softmax(logits[n,:])[v] - [v == target[n]]); zeros for
 * ignored rows. dlogits may be logits. A target >= V is INVALID, named by position. The maximum is
 * subtracted first. All packed; F32, F64 (ref: any float). */
#ifndef WN_KERNELS_CROSS_ENTROPY_H
#define WN_KERNELS_CROSS_ENTROPY_H

#include "tensor/tensor.h"

typedef struct wn__cross_entropy {
    wn_tensor logits;  /* [N, V] */
    wn_tensor target;  /* I32 [N] */
    wn_tensor loss;    /* [N], dtype of logits */
    wn_tensor dlogits; /* [N, V] or absent */
    double scale;
} wn__cross_entropy;

#endif
