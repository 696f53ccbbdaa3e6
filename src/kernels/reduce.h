// SPDX-License-Identifier: MIT
/* sum, sumsq: out[0] = sum x, sum x^2, in double over fixed chunks of 65536 elements added in
 * ascending order (the chunk's inner order is the variant's own). colsum: out[c] += sum_n x[n,c] (n
 * in fixed chunks, ascending).   nonfinite: out[0] = flat index of the first NaN or infinity in
 * row-major order, -1 if none. x packed, float; out F64 [1] (sum, sumsq), dtype of x [C] (colsum),
 * I64 [1] (nonfinite). */
#ifndef WN_KERNELS_REDUCE_H
#define WN_KERNELS_REDUCE_H

#include "tensor/tensor.h"

#define WN_REDUCE_CHUNK 65536

typedef struct wn__reduce {
    wn_tensor x;
    wn_tensor out;
} wn__reduce; /* sum, sumsq, nonfinite */
typedef struct wn__colsum {
    wn_tensor x;   /* [N, C] packed */
    wn_tensor out; /* [C], in and out */
} wn__colsum;

#endif
