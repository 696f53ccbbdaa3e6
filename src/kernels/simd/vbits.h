// SPDX-License-Identifier: MIT
/* The bits of a vector of floats as 32-bit integers, and narrowing from double, over vec.h. */
#ifndef WN_KERNELS_SIMD_VBITS_H
#define WN_KERNELS_SIMD_VBITS_H

#include "kernels/simd/vec.h"

#if VF == 16
typedef __m512i vi;

static inline vi vi_bits(vf a) {
    return _mm512_castps_si512(a);
}
static inline vf vf_of_bits(vi a) {
    return _mm512_castsi512_ps(a);
}
static inline vi vi_set(uint32_t a) {
    return _mm512_set1_epi32((int)a);
}
static inline vi vi_add(vi a, vi b) {
    return _mm512_add_epi32(a, b);
}
static inline vi vi_and(vi a, vi b) {
    return _mm512_and_si512(a, b);
}
static inline vi vi_or(vi a, vi b) {
    return _mm512_or_si512(a, b);
}
static inline vi vi_shift_right(vi a, int n) {
    return _mm512_srl_epi32(a, _mm_cvtsi32_si128(n));
}
static inline vi vi_max(vi a, vi b) { /* unsigned */
    return _mm512_max_epu32(a, b);
}
static inline uint32_t vi_largest(vi a) {
    return _mm512_reduce_max_epu32(a);
}
static inline vm vm_nan(vf a) {
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}
/* Rounds: the lower and the upper half of the lanes. */
static inline vf vf_narrow(vd low, vd high) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high),
                              1);
}
static inline vd vd_set(double a) {
    return _mm512_set1_pd(a);
}
#else
typedef __m256i vi;

static inline vi vi_bits(vf a) {
    return _mm256_castps_si256(a);
}
static inline vf vf_of_bits(vi a) {
    return _mm256_castsi256_ps(a);
}
static inline vi vi_set(uint32_t a) {
    return _mm256_set1_epi32((int)a);
}
static inline vi vi_add(vi a, vi b) {
    return _mm256_add_epi32(a, b);
}
static inline vi vi_and(vi a, vi b) {
    return _mm256_and_si256(a, b);
}
static inline vi vi_or(vi a, vi b) {
    return _mm256_or_si256(a, b);
}
static inline vi vi_shift_right(vi a, int n) {
    return _mm256_srl_epi32(a, _mm_cvtsi32_si128(n));
}
static inline vi vi_max(vi a, vi b) {
    return _mm256_max_epu32(a, b);
}
static inline uint32_t vi_largest(vi a) {
    __m128i b = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    b = _mm_max_epu32(b, _mm_shuffle_epi32(b, 0x4E));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(b, _mm_shuffle_epi32(b, 0xB1)));
}
static inline vm vm_nan(vf a) {
    return _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
}
static inline vf vf_narrow(vd low, vd high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high),
                                1);
}
static inline vd vd_set(double a) {
    return _mm256_set1_pd(a);
}
#endif

#endif
