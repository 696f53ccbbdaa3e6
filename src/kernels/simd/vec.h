// SPDX-License-Identifier: MIT
/* One vocabulary for both vector widths: a kernel body written over it is compiled in avx2/ (8
 * floats), in avx512/ (16 floats) and, where 32 registers of 8 floats are wanted, in avx512vl/,
 * each file with the flags of its folder. Everything is static: no symbol is shared between them.
 * vf    VF floats               vd    half as many doubles
 * (VF/2) vm    one truth value a lane  *_n   the first n lanes (0 <= n <= VF): loads give 0
 * elsewhere, stores leave the rest untouched */
#ifndef WN_KERNELS_SIMD_VEC_H
#define WN_KERNELS_SIMD_VEC_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__AVX512F__)
#define VECTOR_REGISTERS 32
#else
#define VECTOR_REGISTERS 16
#endif

/* Inlined even where the compiler would not: its constant arguments unroll it. */
#define ALWAYS static inline __attribute__((always_inline))

/* Unrolls a loop whose number of turns is a constant once its function is inlined. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__AVX512F__) && !defined(WN_VECTORS_OF_32_BYTES)
#define VF 16
typedef __m512 vf;
typedef __m512d vd;
typedef __mmask16 vm;

static inline vm vm_first(int64_t n) {
    return (vm)((1U << (unsigned)n) - 1U);
}
static inline vf vf_zero(void) {
    return _mm512_setzero_ps();
}
static inline vf vf_set(float a) {
    return _mm512_set1_ps(a);
}
static inline vf vf_load(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline vf vf_load_n(const float *p, int64_t n) {
    return _mm512_maskz_loadu_ps(vm_first(n), p);
}
static inline void vf_store(float *p, vf a) {
    _mm512_storeu_ps(p, a);
}
static inline void vf_store_n(float *p, vf a, int64_t n) {
    _mm512_mask_storeu_ps(p, vm_first(n), a);
}
static inline vf vf_add(vf a, vf b) {
    return _mm512_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b) {
    return _mm512_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b) {
    return _mm512_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b) {
    return _mm512_div_ps(a, b);
}
static inline vf vf_sqrt(vf a) {
    return _mm512_sqrt_ps(a);
}
/* a b + c, c - a b: one rounding */
static inline vf vf_fma(vf a, vf b, vf c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c) {
    return _mm512_fnmadd_ps(a, b, c);
}
/* b where either is NaN */
static inline vf vf_max(vf a, vf b) {
    return _mm512_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b) {
    return _mm512_min_ps(a, b);
}
static inline vf vf_abs(vf a) {
    return _mm512_abs_ps(a);
}
static inline vf vf_round(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a 2^n for a near 1, n integral and within +-250, rounded once */
static inline vf vf_scale(vf a, vf n) {
    return _mm512_scalef_ps(a, n);
}
static inline vm vm_lt(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
/* Neither NaN nor infinite. */
static inline vm vm_finite(vf a) {
    return _mm512_cmp_ps_mask(vf_sub(a, a), vf_zero(), _CMP_EQ_OQ);
}
/* m ? a : b */
static inline vf vf_select(vm m, vf a, vf b) {
    return _mm512_mask_blend_ps(m, b, a);
}
/* bit i: lane i */
static inline unsigned vm_bits(vm m) {
    return m;
}
static inline vm vm_of_bits(unsigned bits) {
    return (vm)bits;
}
/* Sum and maximum of the lanes, in a fixed order. */
static inline float vf_sum(vf a) {
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
/* The sums of four vectors, in the first four lanes; the others are 0. */
static inline vf vf_sum4_lanes(const vf a[4]) {
    vf s = vf_add(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
    vf t = vf_add(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
    s = vf_add(_mm512_shuffle_ps(s, t, 0x44), _mm512_shuffle_ps(s, t, 0xEE));
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    return _mm512_zextps128_ps512(
        _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1)));
}
static inline float vf_largest(vf a) {
    return _mm512_reduce_max_ps(a);
}
static inline vd vd_zero(void) {
    return _mm512_setzero_pd();
}
/* The lower and the upper half of the lanes, as doubles. */
static inline vd vd_low(vf a) {
    return _mm512_cvtps_pd(_mm512_castps512_ps256(a));
}
static inline vd vd_high(vf a) {
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
}
static inline vd vd_add(vd a, vd b) {
    return _mm512_add_pd(a, b);
}
static inline vd vd_mul(vd a, vd b) {
    return _mm512_mul_pd(a, b);
}
static inline vd vd_fma(vd a, vd b, vd c) {
    return _mm512_fmadd_pd(a, b, c);
}
static inline double vd_sum(vd a) {
    __m256d b = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    __m128d c = _mm_add_pd(_mm256_castpd256_pd128(b), _mm256_extractf128_pd(b, 1));
    return _mm_cvtsd_f64(_mm_add_sd(c, _mm_unpackhi_pd(c, c)));
}
/* Rows and columns of a VF x VF block change places. */
ALWAYS void vf_transpose(vf r[VF]) {
    vf t[VF];
    UNROLL
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xEE);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    UNROLL
    for (int i = 0; i < 4; i++) { /* r[4q + i]: column 4l + i of rows 4q .. 4q+3 in quarter l */
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xDD);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xDD);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD);
    }
}

#else
#define VF 8
typedef __m256 vf;
typedef __m256d vd;
typedef __m256 vm; /* all bits of a lane */

static inline __m256i vm_lanes_(int64_t n) {
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - n));
}
static inline vm vm_first(int64_t n) {
    return _mm256_castsi256_ps(vm_lanes_(n));
}
static inline vf vf_zero(void) {
    return _mm256_setzero_ps();
}
static inline vf vf_set(float a) {
    return _mm256_set1_ps(a);
}
static inline vf vf_load(const float *p) {
    return _mm256_loadu_ps(p);
}
static inline vf vf_load_n(const float *p, int64_t n) {
    return _mm256_maskload_ps(p, vm_lanes_(n));
}
static inline void vf_store(float *p, vf a) {
    _mm256_storeu_ps(p, a);
}
static inline void vf_store_n(float *p, vf a, int64_t n) {
    _mm256_maskstore_ps(p, vm_lanes_(n), a);
}
static inline vf vf_add(vf a, vf b) {
    return _mm256_add_ps(a, b);
}
static inline vf vf_sub(vf a, vf b) {
    return _mm256_sub_ps(a, b);
}
static inline vf vf_mul(vf a, vf b) {
    return _mm256_mul_ps(a, b);
}
static inline vf vf_div(vf a, vf b) {
    return _mm256_div_ps(a, b);
}
static inline vf vf_sqrt(vf a) {
    return _mm256_sqrt_ps(a);
}
static inline vf vf_fma(vf a, vf b, vf c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf vf_fnma(vf a, vf b, vf c) {
    return _mm256_fnmadd_ps(a, b, c);
}
static inline vf vf_max(vf a, vf b) {
    return _mm256_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b) {
    return _mm256_min_ps(a, b);
}
static inline vf vf_abs(vf a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a);
}
static inline vf vf_round(vf a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/* a 2^(n/2) 2^(n - n/2): the first product is exact while a is near 1, the second rounds */
static inline vf vf_scale(vf a, vf n) {
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1),
            bias = _mm256_set1_epi32(127);
    __m256i low = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i high = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23);
    return vf_mul(vf_mul(a, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high));
}
static inline vm vm_lt(vf a, vf b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vm vm_finite(vf a) {
    return _mm256_cmp_ps(vf_sub(a, a), vf_zero(), _CMP_EQ_OQ);
}
static inline vf vf_select(vm m, vf a, vf b) {
    return _mm256_blendv_ps(b, a, m);
}
static inline unsigned vm_bits(vm m) {
    return (unsigned)_mm256_movemask_ps(m);
}
static inline vm vm_of_bits(unsigned bits) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i hit = _mm256_and_si256(_mm256_set1_epi32((int)bits), lane);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(hit, lane));
}
static inline float vf_sum(vf a) {
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
static inline vf vf_sum4_lanes(const vf a[4]) {
    vf s = vf_add(_mm256_unpacklo_ps(a[0], a[1]), _mm256_unpackhi_ps(a[0], a[1]));
    vf t = vf_add(_mm256_unpacklo_ps(a[2], a[3]), _mm256_unpackhi_ps(a[2], a[3]));
    s = vf_add(_mm256_shuffle_ps(s, t, 0x44), _mm256_shuffle_ps(s, t, 0xEE));
    return _mm256_zextps128_ps256(
        _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
}
static inline float vf_largest(vf a) {
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
static inline vd vd_zero(void) {
    return _mm256_setzero_pd();
}
static inline vd vd_low(vf a) {
    return _mm256_cvtps_pd(_mm256_castps256_ps128(a));
}
static inline vd vd_high(vf a) {
    return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
}
static inline vd vd_add(vd a, vd b) {
    return _mm256_add_pd(a, b);
}
static inline vd vd_mul(vd a, vd b) {
    return _mm256_mul_pd(a, b);
}
static inline vd vd_fma(vd a, vd b, vd c) {
    return _mm256_fmadd_pd(a, b, c);
}
static inline double vd_sum(vd a) {
    __m128d c = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(c, _mm_unpackhi_pd(c, c)));
}
ALWAYS void vf_transpose(vf r[VF]) {
    vf t[VF];
    UNROLL
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    UNROLL
    for (int i = 0; i < 8; i++)
        r[i] = t[i];
}
#endif

static inline void vf_sum4(const vf a[4], float out[4]) {
#if VF == 16
    _mm_storeu_ps(out, _mm512_castps512_ps128(vf_sum4_lanes(a)));
#else
    _mm_storeu_ps(out, _mm256_castps256_ps128(vf_sum4_lanes(a)));
#endif
}
/* n lanes, most often all: where n is the constant VF there is no mask. */
ALWAYS vf vf_get(const float *p, int64_t n) {
    return n == VF ? vf_load(p) : vf_load_n(p, n);
}
ALWAYS void vf_put(float *p, vf a, int64_t n) {
    if (n == VF)
        vf_store(p, a);
    else
        vf_store_n(p, a, n);
}
/* A block of `rows` rows of n floats, both at most VF: what does not exist is read as zeros and not
 * written. */
ALWAYS void vf_read_block(const float *from, int64_t stride, int64_t rows, int64_t n, vf r[VF]) {
    if (rows == VF && n == VF) {
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            r[i] = vf_load(from + i * stride);
    } else {
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            r[i] = i < rows ? vf_load_n(from + i * stride, n) : vf_zero();
    }
}
ALWAYS void vf_write_block(float *to, int64_t stride, int64_t rows, int64_t n, const vf r[VF]) {
    if (rows == VF && n == VF) {
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            vf_store(to + i * stride, r[i]);
    } else {
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            if (i < rows) vf_store_n(to + i * stride, r[i], n);
    }
}

#endif
