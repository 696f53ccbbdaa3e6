// SPDX-License-Identifier: MIT
/* Float32, bfloat16 and float16 numbers in memory as lanes of floats, and back, over half.h. The
 * dtype is a constant where these are inlined; storing rounds once, to nearest even. */
#ifndef WN_KERNELS_SIMD_NUMBER_H
#define WN_KERNELS_SIMD_NUMBER_H

#include "base/half.h"
#include "kernels/simd/half.h"
#include "winnow/tensor.h"

#define NUM_NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

#if VF == 16
ALWAYS vf f16_get(const uint16_t *p, int64_t n) {
    const void *at = p;
    return _mm512_cvtph_ps(n == VF ? _mm256_loadu_si256(at)
                                   : _mm256_maskz_loadu_epi16(vm_first(n), at));
}
ALWAYS void f16_put(uint16_t *p, vf a, int64_t n) {
    _mm256_mask_storeu_epi16(p, vm_first(n), _mm512_cvtps_ph(a, NUM_NEAREST));
}
#else
ALWAYS vf f16_get(const uint16_t *p, int64_t n) {
    if (n == VF) return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
    uint16_t whole[VF] = {0};
    memcpy(whole, p, (size_t)n * sizeof *p);
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)whole));
}
ALWAYS void f16_put(uint16_t *p, vf a, int64_t n) {
    uint16_t whole[VF];
    __m128i bits = _mm256_cvtps_ph(a, NUM_NEAREST);
    if (n == VF) {
        _mm_storeu_si128((__m128i *)(void *)p, bits);
        return;
    }
    _mm_storeu_si128((__m128i *)(void *)whole, bits);
    memcpy(p, whole, (size_t)n * sizeof *p);
}
#endif

/* n <= VF lanes from element i on, zeros behind them. */
ALWAYS vf num_get(wn_dtype t, const void *p, int64_t i, int64_t n) {
    if (t == WN_DTYPE_F16) return f16_get((const uint16_t *)p + i, n);
    return half_get(p, t == WN_DTYPE_BF16, i, n);
}
ALWAYS void num_put(wn_dtype t, void *p, int64_t i, vf a, int64_t n) {
    if (t == WN_DTYPE_F16)
        f16_put((uint16_t *)p + i, a, n);
    else
        half_put(p, t == WN_DTYPE_BF16, i, a, n);
}

/* vf_read_block and vf_write_block from element i on. */
ALWAYS void num_read_block(wn_dtype t, const void *p, int64_t i, int64_t stride, int64_t rows,
                           int64_t n, vf r[VF]) {
    if (t == WN_DTYPE_F32) {
        vf_read_block((const float *)p + i, stride, rows, n, r);
        return;
    }
    UNROLL
    for (int64_t k = 0; k < VF; k++)
        r[k] = k < rows ? num_get(t, p, i + k * stride, n) : vf_zero();
}
ALWAYS void num_write_block(wn_dtype t, void *p, int64_t i, int64_t stride, int64_t rows, int64_t n,
                            const vf r[VF]) {
    if (t == WN_DTYPE_F32) {
        vf_write_block((float *)p + i, stride, rows, n, r);
        return;
    }
    UNROLL
    for (int64_t k = 0; k < VF; k++)
        if (k < rows) num_put(t, p, i + k * stride, r[k], n);
}

/* One number. */
ALWAYS float num_one(wn_dtype t, const void *p, int64_t i) {
    if (t == WN_DTYPE_F32) return ((const float *)p)[i];
    if (t == WN_DTYPE_BF16) return wn__bf16_to_f32(((const uint16_t *)p)[i]);
    return _cvtsh_ss(((const uint16_t *)p)[i]);
}
ALWAYS void num_set(wn_dtype t, void *p, int64_t i, float a) {
    if (t == WN_DTYPE_F32)
        ((float *)p)[i] = a;
    else if (t == WN_DTYPE_BF16)
        ((uint16_t *)p)[i] = wn__bf16_from_f32(a);
    else
        ((uint16_t *)p)[i] = _cvtss_sh(a, NUM_NEAREST);
}

/* CALL(T) with the dtype as a constant. */
#define NUM_SWITCH(dtype, CALL)                                                                    \
    switch (dtype) {                                                                               \
    case WN_DTYPE_BF16:                                                                            \
        CALL(WN_DTYPE_BF16);                                                                       \
        break;                                                                                     \
    case WN_DTYPE_F16:                                                                             \
        CALL(WN_DTYPE_F16);                                                                        \
        break;                                                                                     \
    default:                                                                                       \
        CALL(WN_DTYPE_F32);                                                                        \
    }

#endif
