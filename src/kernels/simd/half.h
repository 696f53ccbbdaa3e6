// SPDX-License-Identifier: MIT
/* bfloat16 numbers in memory as lanes of floats, and back, over vec.h. A function with `half` among
 * its arguments serves both dtypes: elements are uint16_t where it is set and float where not. */
#ifndef WN_KERNELS_SIMD_HALF_H
#define WN_KERNELS_SIMD_HALF_H

#include "kernels/simd/matmul_plan.h"
#include "kernels/simd/vbits.h"

#include <string.h>

/* To bfloat16, still as floats: half a unit of the last place less one, and one more where the
 * place is odd. */
ALWAYS vf vf_round16(vf a) {
    vi bits = vi_bits(a), odd = vi_and(vi_shift_right(bits, 16), vi_set(1));
    vi rounded = vi_add(vi_add(bits, vi_set(0x7FFF)), odd);
    vi quiet = vi_or(bits, vi_set(0x400000));
    vf result = vf_select(vm_nan(a), vf_of_bits(quiet), vf_of_bits(rounded));
    return vf_of_bits(vi_and(vi_bits(result), vi_set(0xFFFF0000)));
}

#if VF == 16
ALWAYS vf half_load(const uint16_t *p) {
    __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
ALWAYS vf half_load_n(const uint16_t *p, int64_t n) {
    __m256i bits = _mm256_maskz_loadu_epi16(vm_first(n), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
/* Lanes that are bfloat16 numbers already. */
ALWAYS void half_store_n(uint16_t *p, vf a, int64_t n) {
    __m256i bits = _mm512_cvtepi32_epi16(_mm512_srli_epi32(vi_bits(a), 16));
    _mm256_mask_storeu_epi16(p, vm_first(n), bits);
}
#else
ALWAYS vf half_load(const uint16_t *p) {
    __m128i bits = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
static inline vf half_load_n(const uint16_t *p, int64_t n) {
    uint16_t whole[VF] = {0};
    memcpy(whole, p, (size_t)n * sizeof *p);
    return half_load(whole);
}
static inline void half_store_n(uint16_t *p, vf a, int64_t n) {
    __m256i bits = _mm256_srli_epi32(vi_bits(a), 16);
    bits = _mm256_permute4x64_epi64(_mm256_packus_epi32(bits, bits), 0x08);
    if (n == VF) {
        _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(bits));
    } else {
        uint16_t whole[VF];
        _mm_storeu_si128((__m128i *)(void *)whole, _mm256_castsi256_si128(bits));
        memcpy(p, whole, (size_t)n * sizeof *p);
    }
}
#endif

/* Element i of an array. */
ALWAYS const void *half_at(const void *p, bool half, int64_t i) {
    return half ? (const void *)((const uint16_t *)p + i) : (const void *)((const float *)p + i);
}
/* n <= VF lanes from element i on. */
ALWAYS vf half_get(const void *p, bool half, int64_t i, int64_t n) {
    const void *at = half_at(p, half, i);
    if (!half) return vf_get(at, n);
    return n == VF ? half_load(at) : half_load_n(at, n);
}
/* Rounds where the array is of bfloat16. */
ALWAYS void half_put(void *p, bool half, int64_t i, vf a, int64_t n) {
    if (half)
        half_store_n((uint16_t *)p + i, vf_round16(a), n);
    else
        vf_put((float *)p + i, a, n);
}

/* The same where full vectors are no case of their own. */
ALWAYS vf half_get_n(const void *p, bool half, int64_t i, int64_t n) {
    const void *at = half_at(p, half, i);
    return half ? half_load_n(at, n) : vf_load_n(at, n);
}
/* vf_read_block and vf_write_block of either dtype. */
ALWAYS void half_read_block(const void *from, bool half, int64_t stride, int64_t rows, int64_t n,
                            vf r[VF]) {
    if (!half) {
        vf_read_block(from, stride, rows, n, r);
        return;
    }
    if (rows >= VF && n == VF) {
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            r[i] = half_load((const uint16_t *)from + i * stride);
        return;
    }
    UNROLL
    for (int64_t i = 0; i < VF; i++)
        r[i] = i < rows ? half_get(from, true, i * stride, n) : vf_zero();
}
ALWAYS void half_write_block(void *to, bool half, int64_t at, int64_t stride, int64_t rows,
                             int64_t n, const vf r[VF]) {
    if (!half) {
        vf_write_block((float *)to + at, stride, rows, n, r);
        return;
    }
    UNROLL
    for (int64_t i = 0; i < VF; i++)
        if (i < rows) half_put(to, true, at + i * stride, r[i], n);
}

/* Whether panels hold pairs of bfloat16 numbers. */
#if defined(__AVX512BF16__) || defined(__AMX_BF16__)
#define PAIRS 1
#define STEPS WN_PAIR_STEPS /* of the depth in a float of a panel */
#else
#define PAIRS 0
#define STEPS 1
#endif

#if PAIRS
/* Pairs of bfloat16 numbers, the first in the lower half of a lane. Numbers that come as floats are
 * bfloat16 numbers already: their lower halves are zeros. */
ALWAYS vf pairs_of(vf first, vf second) {
    return vf_of_bits(_mm512_or_si512(_mm512_srli_epi32(vi_bits(first), 16),
                                      vi_and(vi_bits(second), vi_set(0xFFFF0000))));
}
/* sum + a b, pair by pair, b of memory or a register. gcc 12 loads the operand of the intrinsic by
 * an instruction of its own and moves sums from register to register, more than a core starts in a
 * cycle. */
ALWAYS vf pairs_fma(vf a, vf b, vf sum) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}
ALWAYS vf pairs_fma_at(vf a, const float *b, vf sum) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "m"(*(const __m512_u *)(const void *)b));
    return sum;
}
/* n <= 2 VF numbers that stand one after the other, from element i on. */
ALWAYS vf pairs_get(const void *p, bool half, int64_t i, int64_t n) {
    if (half) {
        __mmask32 exist = (__mmask32)((UINT64_C(1) << (unsigned)n) - 1);
        const void *at = half_at(p, true, i);
        return vf_of_bits(n == 2 * VF ? _mm512_loadu_si512(at)
                                      : _mm512_maskz_loadu_epi16(exist, at));
    }
    const __m512i upper =
        _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                         25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    vf first = half_get(p, false, i, n < VF ? n : VF);
    vf second = n > VF ? half_get(p, false, i + VF, n - VF) : vf_zero();
    return vf_of_bits(_mm512_permutex2var_epi16(vi_bits(first), upper, vi_bits(second)));
}
#endif

/* n <= STEPS VF numbers that stand one after the other. */
ALWAYS vf pack_read(const void *from, bool half, int64_t at, int64_t n) {
#if PAIRS
    return pairs_get(from, half, at, n);
#else
    return half_get(from, half, at, n);
#endif
}

/* That many of each of `rows` <= VF vectors; zeros for the rest. */
ALWAYS void pack_read_block(const void *from, bool half, int64_t stride, int64_t rows, int64_t n,
                            vf r[VF]) {
    if (rows == VF && n == STEPS * VF) {
        UNROLL
        for (int64_t s = 0; s < VF; s++)
            r[s] = pack_read(from, half, s * stride, STEPS * VF);
    } else {
        UNROLL
        for (int64_t s = 0; s < VF; s++)
            r[s] = s < rows ? pack_read(from, half, s * stride, n) : vf_zero();
    }
}

#endif
