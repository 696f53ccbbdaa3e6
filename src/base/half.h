// SPDX-License-Identifier: MIT
/* bfloat16 and IEEE binary16, as bit patterns. Rounding is to nearest even; NaN stays NaN (made
 * quiet); overflow to infinity; binary16 subnormals are exact. */
#ifndef WN_BASE_HALF_H
#define WN_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t wn__f32_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}
static inline float wn__f32_from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline float wn__bf16_to_f32(uint16_t h) {
    return wn__f32_from_bits((uint32_t)h << 16);
}
uint16_t wn__bf16_from_f32(float f);
float wn__f16_to_f32(uint16_t h);
uint16_t wn__f16_from_f32(float f);
/* Correctly rounded from double (no double rounding through float). */
uint16_t wn__bf16_from_f64(double d);
uint16_t wn__f16_from_f64(double d);

#endif
