// SPDX-License-Identifier: MIT
/* embed: out[n,:] = table[token[n],:].  embed_grad: dtable[token[n],:] += dout[n,:], summed over n
 * ascending. A token outside [0,V) is INVALID, named by position. Exact; F32, F64 (ref: any float).
 */
#ifndef WN_KERNELS_EMBED_H
#define WN_KERNELS_EMBED_H

#include "tensor/tensor.h"

typedef struct wn__embed {
    wn_tensor token; /* I32 [N] packed */
    wn_tensor table; /* [V, C] packed */
    wn_tensor out;   /* [N, C] packed */
} wn__embed;

typedef struct wn__embed_grad {
    wn_tensor token;  /* I32 [N] packed */
    wn_tensor dout;   /* [N, C] packed */
    wn_tensor dtable; /* [V, C] packed, in and out */
} wn__embed_grad;

#endif
