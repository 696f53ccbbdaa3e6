// SPDX-License-Identifier: MIT
/* wn__philox_draw for consecutive indices: VF/2 counters in 64-bit lanes, whose upper halves are of
 * no account, since the multiplication reads the lower ones. */
#ifndef WN_KERNELS_SIMD_PHILOX_H
#define WN_KERNELS_SIMD_PHILOX_H

#include "kernels/simd/vec.h"

#define PHILOX_ROUNDS 10
#define PHILOX_BATCH  (2 * VF) /* words of one turn */

/* Where draws come from: the index is high << 32 | number. */
typedef struct philox {
    uint64_t key[PHILOX_ROUNDS][2];
    uint64_t stream;
    uint32_t high;
} philox;

static inline philox philox_of(uint64_t seed, uint64_t stream, uint64_t high) {
    philox p = {.stream = stream, .high = (uint32_t)high};
    uint32_t a = (uint32_t)seed, b = (uint32_t)(seed >> 32);
    for (int i = 0; i < PHILOX_ROUNDS; i++) {
        p.key[i][0] = a;
        p.key[i][1] = b;
        a += 0x9E3779B9U;
        b += 0xBB67AE85U;
    }
    return p;
}

#if VF == 16
typedef __m512i vl; /* 64-bit lanes */
ALWAYS vl vl_set(uint64_t a) {
    return _mm512_set1_epi64((long long)a);
}
ALWAYS vl vl_times(vl a, vl b) {
    return _mm512_mul_epu32(a, b);
}
/* (a >> 32) ^ b ^ c */
ALWAYS vl vl_mix(vl a, vl b, vl c) {
    return _mm512_ternarylogic_epi64(_mm512_srli_epi64(a, 32), b, c, 0x96);
}
/* Lane order: the interleaved stores below put them in a row. */
ALWAYS vl vl_numbers(uint32_t first) {
    return _mm512_add_epi64(vl_set(first), _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
}
ALWAYS void vl_store_words(uint32_t *out, const vl word[4]) {
    vl a = _mm512_mask_blend_epi32(0xAAAA, word[0], _mm512_slli_epi64(word[1], 32));
    vl b = _mm512_mask_blend_epi32(0xAAAA, word[2], _mm512_slli_epi64(word[3], 32));
    _mm512_storeu_si512(out, _mm512_unpacklo_epi64(a, b));
    _mm512_storeu_si512(out + 16, _mm512_unpackhi_epi64(a, b));
}
#else
typedef __m256i vl;
ALWAYS vl vl_set(uint64_t a) {
    return _mm256_set1_epi64x((long long)a);
}
ALWAYS vl vl_times(vl a, vl b) {
    return _mm256_mul_epu32(a, b);
}
ALWAYS vl vl_mix(vl a, vl b, vl c) {
    return _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(a, 32), b), c);
}
ALWAYS vl vl_numbers(uint32_t first) {
    return _mm256_add_epi64(vl_set(first), _mm256_setr_epi64x(0, 2, 1, 3));
}
ALWAYS void vl_store_words(uint32_t *out, const vl word[4]) {
    vl a = _mm256_blend_epi32(word[0], _mm256_slli_epi64(word[1], 32), 0xAA);
    vl b = _mm256_blend_epi32(word[2], _mm256_slli_epi64(word[3], 32), 0xAA);
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_unpacklo_epi64(a, b));
    _mm256_storeu_si256((__m256i *)(void *)(out + 8), _mm256_unpackhi_epi64(a, b));
}
#endif

/* The words of the draws number first .. on, in order: out[turns PHILOX_BATCH]. Two turns at a time
 * (the last ones may be done twice), so that one multiplies while the other waits. */
static void philox_words(const philox *p, uint32_t first, int64_t turns, uint32_t *out) {
    const vl mul_a = vl_set(0xD2511F53U), mul_b = vl_set(0xCD9E8D57U);
    for (int64_t t = 0; t < turns; t += 2) {
        vl x[2][4];
        UNROLL
        for (int i = 0; i < 2; i++) {
            int64_t turn = t + i < turns ? t + i : t;
            x[i][0] = vl_numbers(first + (uint32_t)turn * (PHILOX_BATCH / 4));
            x[i][1] = vl_set(p->high);
            x[i][2] = vl_set((uint32_t)p->stream);
            x[i][3] = vl_set(p->stream >> 32);
        }
        for (int round = 0; round < PHILOX_ROUNDS; round++) {
            vl key_a = vl_set(p->key[round][0]), key_b = vl_set(p->key[round][1]);
            UNROLL
            for (int i = 0; i < 2; i++) {
                vl a = vl_times(mul_a, x[i][0]), b = vl_times(mul_b, x[i][2]);
                x[i][0] = vl_mix(b, x[i][1], key_a);
                x[i][2] = vl_mix(a, x[i][3], key_b);
                x[i][1] = b;
                x[i][3] = a;
            }
        }
        UNROLL
        for (int i = 0; i < 2; i++)
            vl_store_words(out + (t + i < turns ? t + i : t) * PHILOX_BATCH, x[i]);
    }
}

#endif
