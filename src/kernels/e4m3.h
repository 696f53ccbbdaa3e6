// SPDX-License-Identifier: MIT
/* Numbers of 8 bits, OCP's e4m3fn: sign, 4 bits of exponent, 3 of fraction; largest 448, smallest
 * normal 2^-6, no infinity, NaN 0x7F and 0xFF. */
#ifndef WN_KERNELS_E4M3_H
#define WN_KERNELS_E4M3_H

#include <math.h>
#include <stdint.h>

enum { WN_E4M3_NAN = 0x7F, WN_E4M3_LARGEST = 0x7E };

static inline double wn__e4m3_value(uint8_t code) {
    const int exponent = code >> 3 & 15, fraction = code & 7;
    const double sign = code >> 7 != 0 ? -1 : 1;
    if ((code & 0x7F) == WN_E4M3_NAN) return (double)NAN;
    if (exponent == 0) return sign * ldexp(fraction, -9);
    return sign * ldexp(8 + fraction, exponent - 10);
}

/* To nearest, ties to even; what is beyond the largest becomes the largest. */
static inline uint8_t wn__e4m3_code(float x) {
    const uint8_t sign = signbit(x) ? 0x80 : 0;
    const float size = fabsf(x);
    int exponent;
    if (isnan(x)) return WN_E4M3_NAN;
    if (size >= 464) return (uint8_t)(sign | WN_E4M3_LARGEST);
    if (size < 0x1p-6F) return (uint8_t)(sign | (int)rintf(size * 512));
    (void)frexpf(size, &exponent); // size / 2^exponent in [1/2, 1)
    // a carry out of the fraction counts the exponent up
    const int code = (exponent + 6) * 8 + (int)rintf(ldexpf(size, 4 - exponent)) - 8;
    return (uint8_t)(sign | (code > WN_E4M3_LARGEST ? WN_E4M3_LARGEST : code));
}

#endif
