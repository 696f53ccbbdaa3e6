// SPDX-License-Identifier: MIT
/* cross_entropy: loss[n] = logsumexp(logits[n,:]) - logits[n,target[n]]; 0 where target[n] < 0 (an
 * ignored label). dlogits[n,v] = scale (softmax(logits[n,:])[v] - [v == target[n]]); zeros for
 * ignored rows. dlogits may be logits. A target >= V is INVALID, named by position. The maximum is
 * subtracted first. All packed; F32, F64 (ref: any float).
 *
 * With a teacher's logits t (Hinton, Vinyals & Dean, "Distilling the knowledge in a neural
 * network", 2015), s = share in [0,1] and T = temperature > 0, of a row that is not ignored:
 *     loss = (1-s) (the above) + s T^2 KL(softmax(t/T) || softmax(logits/T))
 *     dlogits = scale ((1-s) (the above) + s T (softmax(logits/T) - softmax(t/T)))
 * T^2 keeps gradients as large as those of the labels whatever T is. A class whose
 * softmax(t/T) is nothing in the dtype counts nothing, whatever its logit. */
#ifndef WN_KERNELS_CROSS_ENTROPY_H
#define WN_KERNELS_CROSS_ENTROPY_H

#include "tensor/tensor.h"

typedef struct wn__cross_entropy {
    wn_tensor logits;  /* [N, V] */
    wn_tensor target;  /* I32 [N] */
    wn_tensor loss;    /* [N], dtype of logits */
    wn_tensor dlogits; /* [N, V] or absent */
    double scale;
    wn_tensor teacher; /* [N, V] or absent */
    double share, temperature;
} wn__cross_entropy;

#endif
