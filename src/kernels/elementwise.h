// SPDX-License-Identifier: MIT
/* add: c = a + b (c may be a or b).  fill: x = value.  copy: dst = src.  normal: x[i] = mean + std
 * N(0,1). add, fill, normal: packed, any float dtype. copy: any strides, any of F64/F32/BF16/F16 to
 * any of them (rounded to nearest even), or equal integer dtypes; no overlap. normal: element i is
 * word i%4 of wn__philox_normal(seed, stream, i/4), so it depends on neither threads nor shape;
 * rounded once. */
#ifndef WN_KERNELS_ELEMENTWISE_H
#define WN_KERNELS_ELEMENTWISE_H

#include "tensor/tensor.h"

typedef struct wn__add {
    wn_tensor a, b, c;
} wn__add;
typedef struct wn__fill {
    wn_tensor x;
    double value;
} wn__fill;
typedef struct wn__copy {
    wn_tensor src, dst; /* one shape */
} wn__copy;
typedef struct wn__normal {
    wn_tensor x;
    uint64_t seed, stream;
    double mean, std;
} wn__normal;

#endif
