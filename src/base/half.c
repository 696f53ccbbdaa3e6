// SPDX-License-Identifier: MIT
// Conversions to and from 16-bit floats by integer arithmetic: one rounding, to nearest even,
// whatever the floating-point environment. NaN keeps its sign and the top of its payload and
// becomes quiet.
#include "base/half.h"

// A 16-bit float format: bits of the significand with the leading one, exponent of the smallest
// normal number.
typedef struct format16 {
    int precision;
    int min_exponent;
    uint16_t infinity;
} format16;

static const format16 bf16 = {8, -126, 0x7f80};
static const format16 f16 = {11, -14, 0x7c00};

// m >> shift, to nearest even. 1 <= shift <= 63.
static uint64_t shift_round(uint64_t m, int shift) {
    uint64_t half = (uint64_t)1 << (shift - 1), rest = m & (2 * half - 1), q = m >> shift;
    return q + (rest > half || (rest == half && (q & 1)));
}

static uint16_t round_f64(double d, format16 to) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 48 & 0x8000);
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
    if (exponent == 1024) {
        if (fraction == 0) return (uint16_t)(sign | to.infinity);
        uint64_t payload = fraction >> (53 - to.precision);
        uint64_t quiet = (uint64_t)1 << (to.precision - 2);
        return (uint16_t)(sign | to.infinity | quiet | payload);
    }
    if (exponent < to.min_exponent - to.precision - 1)
        return sign; // below half the least subnormal
    if (exponent > -to.min_exponent + 1) return (uint16_t)(sign | to.infinity);
    // Adding the rounded significand to the exponent field lets a carry run into it, subnormals
    // included.
    uint64_t significand = fraction | (uint64_t)1 << 52;
    int below = exponent < to.min_exponent ? to.min_exponent - exponent : 0;
    uint64_t q = shift_round(significand, 53 - to.precision + below);
    if (below == 0) q += (uint64_t)(exponent - to.min_exponent) << (to.precision - 1);
    return (uint16_t)(sign | (q > to.infinity ? to.infinity : (uint16_t)q));
}

uint16_t wn__bf16_from_f32(float f) {
    uint32_t u = wn__f32_bits(f);
    if ((u & 0x7fffffffU) > 0x7f800000U) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fffU + (u >> 16 & 1)) >> 16);
}

uint16_t wn__bf16_from_f64(double d) {
    return round_f64(d, bf16);
}

// A double holds every float, so the one rounding is the one in round_f64.
uint16_t wn__f16_from_f32(float f) {
    return round_f64((double)f, f16);
}

uint16_t wn__f16_from_f64(double d) {
    return round_f64(d, f16);
}

float wn__f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000U) << 16, exponent = h >> 10 & 0x1fU,
             fraction = h & 0x3ffU;
    if (exponent == 0) { // fraction * 2^-24 is a normal float
        float f = (float)fraction * 0x1p-24f;
        return wn__f32_from_bits(wn__f32_bits(f) | sign);
    }
    if (exponent == 31) {
        uint32_t quiet = fraction != 0 ? 0x400000U : 0;
        return wn__f32_from_bits(sign | 0x7f800000U | quiet | fraction << 13);
    }
    return wn__f32_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}
