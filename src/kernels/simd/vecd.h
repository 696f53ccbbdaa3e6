// SPDX-License-Identifier: MIT
/* More of vec.h's doubles: truth values (vb, one a lane) and what they choose. */
#ifndef WN_KERNELS_SIMD_VECD_H
#define WN_KERNELS_SIMD_VECD_H

#include "kernels/simd/vec.h"

#if VF == 16
typedef __mmask8 vb;

ALWAYS vd vd_set(double a) {
    return _mm512_set1_pd(a);
}
ALWAYS vd vd_sub(vd a, vd b) {
    return _mm512_sub_pd(a, b);
}
ALWAYS vd vd_div(vd a, vd b) {
    return _mm512_div_pd(a, b);
}
ALWAYS vb vd_lt(vd a, vd b) {
    return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ);
}
ALWAYS vb vd_le(vd a, vd b) {
    return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ);
}
ALWAYS vb vb_and(vb a, vb b) {
    return _kand_mask8(a, b);
}
ALWAYS vb vb_or(vb a, vb b) {
    return _kor_mask8(a, b);
}
ALWAYS vb vb_without(vb a, vb b) { /* a and not b */
    return _kandn_mask8(b, a);
}
ALWAYS vb vb_xor(vb a, vb b) {
    return (vb)(a ^ b);
}
ALWAYS vb vb_not(vb a) {
    return _knot_mask8(a);
}
/* The same in general registers, where gcc 12 keeps masks that few vectors read: a twentieth of
 * the time of APPROX draws, which EXACT ones would lose. */
ALWAYS vb vb_or_scalar(vb a, vb b) {
    return (vb)(a | b);
}
ALWAYS vb vb_not_scalar(vb a) {
    return (vb)~a;
}
/* m ? a : 0, m ? 0 : a, m ? a : b */
ALWAYS vd vd_keep(vb m, vd a) {
    return _mm512_maskz_mov_pd(m, a);
}
ALWAYS vd vd_drop(vb m, vd a) {
    return _mm512_maskz_mov_pd((vb)~m, a);
}
ALWAYS vd vd_select(vb m, vd a, vd b) {
    return _mm512_mask_blend_pd(m, b, a);
}
/* Two halves as floats, each rounded once. */
ALWAYS vf vf_of_doubles(vd low, vd high) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high),
                              1);
}
ALWAYS vm vm_of_halves(vb low, vb high) {
    return _mm512_kunpackb(high, low);
}
/* VF words as doubles. */
ALWAYS void vd_of_words(__m512i words, vd out[2]) {
    out[0] = _mm512_cvtepu32_pd(_mm512_castsi512_si256(words));
    out[1] = _mm512_cvtepu32_pd(_mm512_extracti64x4_epi64(words, 1));
}
#else
typedef __m256d vb;

ALWAYS vd vd_set(double a) {
    return _mm256_set1_pd(a);
}
ALWAYS vd vd_sub(vd a, vd b) {
    return _mm256_sub_pd(a, b);
}
ALWAYS vd vd_div(vd a, vd b) {
    return _mm256_div_pd(a, b);
}
ALWAYS vb vd_lt(vd a, vd b) {
    return _mm256_cmp_pd(a, b, _CMP_LT_OQ);
}
ALWAYS vb vd_le(vd a, vd b) {
    return _mm256_cmp_pd(a, b, _CMP_LE_OQ);
}
ALWAYS vb vb_and(vb a, vb b) {
    return _mm256_and_pd(a, b);
}
ALWAYS vb vb_or(vb a, vb b) {
    return _mm256_or_pd(a, b);
}
ALWAYS vb vb_without(vb a, vb b) { /* a and not b */
    return _mm256_andnot_pd(b, a);
}
ALWAYS vb vb_xor(vb a, vb b) {
    return _mm256_xor_pd(a, b);
}
ALWAYS vb vb_not(vb a) {
    return _mm256_xor_pd(a, _mm256_castsi256_pd(_mm256_set1_epi64x(-1)));
}
ALWAYS vb vb_or_scalar(vb a, vb b) {
    return vb_or(a, b);
}
ALWAYS vb vb_not_scalar(vb a) {
    return vb_not(a);
}
ALWAYS vd vd_keep(vb m, vd a) {
    return _mm256_and_pd(m, a);
}
ALWAYS vd vd_drop(vb m, vd a) {
    return _mm256_andnot_pd(m, a);
}
ALWAYS vd vd_select(vb m, vd a, vd b) {
    return _mm256_blendv_pd(b, a, m);
}
ALWAYS vf vf_of_doubles(vd low, vd high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(low)), _mm256_cvtpd_ps(high),
                                1);
}
ALWAYS vm vm_of_halves(vb low, vb high) {
    __m256 mixed = _mm256_shuffle_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high), 0x88);
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(mixed), 0xD8));
}
/* The bits of 2^52 + word are those of 2^52 or'ed with it. */
ALWAYS vd vd_of_word_half(__m128i words) {
    const __m256d base = _mm256_set1_pd(0x1p52);
    __m256i wide = _mm256_or_si256(_mm256_cvtepu32_epi64(words), _mm256_castpd_si256(base));
    return _mm256_sub_pd(_mm256_castsi256_pd(wide), base);
}
ALWAYS void vd_of_words(__m256i words, vd out[2]) {
    out[0] = vd_of_word_half(_mm256_castsi256_si128(words));
    out[1] = vd_of_word_half(_mm256_extracti128_si256(words, 1));
}
#endif

#endif
