// SPDX-License-Identifier: MIT
/* round16, round8, rescale: numbers of fewer bits, simulated in the dtype of the tensors.
 *
 * round16: y = x rounded to bfloat16 (to nearest, ties to even; overflow to infinity; NaN stays
 * NaN). What has 8 significant bits is unchanged.
 *
 * round8: y = fp8(s x) as a number of the dtype, with one s for the whole tensor, written to
 * scale[0]: s = largest/amax(x) rounded to the dtype, 1 where amax is 0, at most the dtype's
 * largest number (F64: 2^1000). s x is rounded to the dtype, then to 8 bits: to nearest, ties to
 * even, magnitudes beyond the largest saturate. A NaN or infinity in x makes all of y and s NaN.
 *   E4M3 (1-4-3, OCP's e4m3fn): largest 448, smallest normal 2^-6, smallest subnormal 2^-9
 *   E5M2 (1-5-2): largest 57344, smallest normal 2^-14, smallest subnormal 2^-16
 *
 * rescale: y (+)= x / (a[0] b[0]) with the scales of two round8 operands whose product x is:
 * x (1/a) (1/b) in double, rounded to the dtype, then added.
 *
 * Packed tensors, or matrices with unit stride along the last dimension; y may be x. The same bits
 * on every variant. */
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

/* The numbers of a format: quantum = 2^(exponent - mantissa), exponents from least_exponent on. */
typedef struct wn__fp8_format {
    double largest;
    int mantissa, least_exponent;
} wn__fp8_format;
static inline wn__fp8_format wn__fp8_of(wn__fp8 format) {
    return format == WN_FP8_E4M3 ? (wn__fp8_format){448, 3, -6} : (wn__fp8_format){57344, 2, -14};
}
/* s of the largest magnitude (finite) of a tensor. */
double wn__round8_scale(wn__fp8 format, wn_dtype dtype, double amax);

#endif
