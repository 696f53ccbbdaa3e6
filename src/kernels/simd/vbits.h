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
static inline vi vi_max_signed(vi a, vi b) {
    return _mm512_max_epi32(a, b);
}
static inline vi vi_min_signed(vi a, vi b) {
    return _mm512_min_epi32(a, b);
}
static inline vi vi_times(vi a, int b) {
    return _mm512_mullo_epi32(a, _mm512_set1_epi32(b));
}
static inline vi vi_one_where(vm m) {
    return _mm512_maskz_set1_epi32(m, 1);
}
static inline vf vf_gather(const float *from, vi at) {
    return _mm512_i32gather_ps(at, from, 4);
}
/* Four bytes from each place on. */
static inline vi vi_gather_bytes(const uint8_t *from, vi at) {
    return _mm512_i32gather_epi32(at, from, 1);
}
static inline vi vi_of_bytes(const uint8_t *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
static inline void vi_to_bytes(uint8_t *p, vi a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(a));
}
/* Rounds: the lower and the upper half of the lanes. */
static inline vf vf_narrow(vd low, vd high) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high),
                              1);
}
static inline vd vd_set(double a) {
    return _mm512_set1_pd(a);
}
/* VF doubles += the lanes. */
static inline void vd_accumulate(double *to, vf a) {
    _mm512_storeu_pd(to, vd_add(_mm512_loadu_pd(to), vd_low(a)));
    _mm512_storeu_pd(to + 8, vd_add(_mm512_loadu_pd(to + 8), vd_high(a)));
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
static inline vi vi_max_signed(vi a, vi b) {
    return _mm256_max_epi32(a, b);
}
static inline vi vi_min_signed(vi a, vi b) {
    return _mm256_min_epi32(a, b);
}
static inline vi vi_times(vi a, int b) {
    return _mm256_mullo_epi32(a, _mm256_set1_epi32(b));
}
static inline vi vi_one_where(vm m) {
    return _mm256_srli_epi32(_mm256_castps_si256(m), 31);
}
static inline vf vf_gather(const float *from, vi at) {
    return _mm256_i32gather_ps(from, at, 4);
}
static inline vi vi_gather_bytes(const uint8_t *from, vi at) {
    return _mm256_i32gather_epi32((const int *)(const void *)from, at, 1);
}
static inline vi vi_of_bytes(const uint8_t *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
static inline void vi_to_bytes(uint8_t *p, vi a) {
    __m128i b = _mm_packus_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(b, b));
}
static inline vf vf_narrow(vd low, vd high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high),
                                1);
}
static inline vd vd_set(double a) {
    return _mm256_set1_pd(a);
}
static inline void vd_accumulate(double *to, vf a) {
    _mm256_storeu_pd(to, vd_add(_mm256_loadu_pd(to), vd_low(a)));
    _mm256_storeu_pd(to + 4, vd_add(_mm256_loadu_pd(to + 4), vd_high(a)));
}
#endif

#endif
