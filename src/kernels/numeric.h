// SPDX-License-Identifier: MIT
/* round16, round8, rescale: numbers of fewer bits, simulated in the dtype of the tensors.
 *
 * round16: y = x rounded to bfloat16 (to nearest, ties to even; overflow to infinity). Exact codes
 * are unchanged. round8: y = fp8(s x) as a number of the dtype, s = largest/amax(x) (per tensor; 1
 * when amax is 0) written to scale[0]. E4M3: 1-4-3, largest 448, smallest subnormal 2^-9, no
 * infinities (OCP e4m3fn). E5M2: 1-5-2, largest 57344, smallest subnormal 2^-16. To nearest, ties
 * to even; magnitudes beyond the largest saturate. x is multiplied by s in the dtype (one rounding)
 * before it is rounded to 8 bits. NaN propagates; an infinity in x gives NaN everywhere, scale NaN.
 * rescale: y (+)= x / (a[0] b[0]), the scales of two round8 operands, in the dtype; a b in double.
 * Packed, or unit stride along the last dimension of a matrix; y may be x. The same bits on every
 * variant. */
#ifndef WN_KERNELS_NUMERIC_H
#define WN_KERNELS_NUMERIC_H

#include "tensor/tensor.h"

typedef struct wn__round16 {
    wn_tensor x, y;
} wn__round16;

typedef enum wn__fp8 { WN_FP8_E4M3, WN_FP8_E5M2 } wn__fp8;

typedef struct wn__round8 {
    wn_tensor x, y;
    wn_tensor scale; /* F64 [1], written */
    wn__fp8 format;
} wn__round8;

typedef struct wn__rescale {
    wn_tensor x, y;
    wn_tensor a, b; /* F64 [1] */
    bool accumulate;
} wn__rescale;

#endif
