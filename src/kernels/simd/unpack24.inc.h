// SPDX-License-Identifier: MIT
/* unpack24 for F32: a step of VF groups takes 2 VF values to their columns. A legal nibble names
 * two columns that ascend, so the kept columns of a step in order are its values in order. */
#include "base/fail.h"
#include "kernels/pack24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/group24.h"

#include <stdatomic.h>

typedef struct unpack24_job {
    const wn__unpack24 *p;
    atomic_bool bad; /* an index does not ascend, or a value lies in the padding */
} unpack24_job;

/* The kept columns of n groups; *legal is cleared if one does not keep two. */
ALWAYS keep24 keep_of_index(const uint8_t *index, int64_t n, bool *legal) {
    keep24 nibbles = 0;
    memcpy(&nibbles, index, (size_t)(n + 1) / 2);
    if (n < VF) { /* what follows is of no account, but legal */
        keep24 groups = ((keep24)1 << (4 * n)) - 1;
        nibbles = (nibbles & groups) | ((keep24)0xEEEEEEEEEEEEEEEE & ~groups);
    }
    __m128i bytes = _mm_cvtsi64_si128((long long)nibbles), low = _mm_set1_epi8(0x0F);
    __m128i even = _mm_and_si128(bytes, low), odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), low);
    __m128i mask = groups_lookup(wn__mask_of_nibble24, _mm_unpacklo_epi8(even, odd));
#if VF == 8
    mask = _mm_unpacklo_epi64(mask, mask); /* 4 of the bytes came from above the word */
#endif
    *legal &= _mm_movemask_epi8(_mm_cmpeq_epi8(mask, _mm_setzero_si128())) == 0;
    return join_nibbles(mask);
}

/* The last group of a row keeps nothing but zeros beyond column c. */
static bool padding_is_zero(const wn__unpack24 *p, int64_t row) {
    int64_t c = p->w.shape[1], last = p->values.shape[1] / 2 - 1;
    if (c % 4 == 0) return true;
    const float *value = (const float *)p->values.data + row * p->values.shape[1] + 2 * last;
    unsigned byte = ((const uint8_t *)p->index.data)[row * p->index.shape[1] + last / 2];
    unsigned nibble = byte >> (last % 2 * 4) & 15U;
    return ((nibble & 3) < c % 4 || value[0] == 0) && ((nibble >> 2) < c % 4 || value[1] == 0);
}

static void look_at_index(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    unpack24_job *job = ctx;
    const wn__unpack24 *p = job->p;
    int64_t groups = p->values.shape[1] / 2;
    bool legal = true;
    for (int64_t i = begin; i < end; i++) {
        const uint8_t *index = (const uint8_t *)p->index.data + i * p->index.shape[1];
        int64_t g = 0;
        for (; g + VF <= groups; g += VF)
            (void)keep_of_index(index + g / 2, VF, &legal);
        if (g < groups) (void)keep_of_index(index + g / 2, groups - g, &legal);
        legal &= padding_is_zero(p, i);
    }
    if (!legal) atomic_store_explicit(&job->bad, true, memory_order_relaxed);
}

/* VF columns that take their values, in order, from the first of the two vectors; +0 elsewhere. */
#if VF == 16
ALWAYS vf spread_values(const float *values, keep24 keep) {
    return _mm512_maskz_expand_ps((__mmask16)keep, _mm512_castps256_ps512(_mm256_loadu_ps(values)));
}
#else
/* Each half of 8 columns is a group of four: column j takes value 0 unless a kept one precedes. */
ALWAYS vf spread_values(const float *values, keep24 keep) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i before = _mm256_setr_epi32(0, 1, 3, 7, 0, 16, 48, 112);
    __m256i bits = vi_set((int)keep), none = _mm256_setzero_si256();
    __m256i first = _mm256_cmpeq_epi32(vi_and(bits, before), none);
    __m256d both = _mm256_castps_pd(_mm256_broadcast_ps((const __m128 *)(const void *)values));
    vf pairs = _mm256_castpd_ps(_mm256_permute_pd(both, 0xC)); /* 01 01 23 23 */
    vf value = _mm256_permutevar_ps(pairs, _mm256_add_epi32(vi_set(1), first));
    __m256i kept = _mm256_cmpeq_epi32(vi_and(bits, bit), bit);
    return _mm256_and_ps(value, _mm256_castsi256_ps(kept));
}
#endif

/* n columns of a step that need not be whole. */
static void unpack_tail(const float *values, keep24 keep, int64_t groups, int64_t n, float *w) {
    float padded[2 * VF] = {0};
    memcpy(padded, values, (size_t)(2 * groups) * sizeof *values);
    for (int64_t l = 0; VF * l < n; l++)
        vf_store_n(w + VF * l, spread_values(padded + VF / 2 * l, keep >> VF * l),
                   clamp24(n - VF * l, VF));
}

static void unpack_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const unpack24_job *job = ctx;
    const wn__unpack24 *p = job->p;
    int64_t c = p->w.shape[1], groups = p->values.shape[1] / 2;
    bool legal = true;
    for (int64_t i = begin; i < end; i++) {
        const float *values = (const float *)p->values.data + i * 2 * groups;
        const uint8_t *index = (const uint8_t *)p->index.data + i * p->index.shape[1];
        float *w = (float *)p->w.data + i * p->w.stride[0];
        int64_t g = 0;
        for (; 4 * (g + VF) <= c; g += VF) {
            keep24 keep = keep_of_index(index + g / 2, VF, &legal);
#pragma GCC unroll 4
            for (int l = 0; l < 4; l++)
                vf_store(w + 4 * g + VF * l,
                         spread_values(values + 2 * g + VF / 2 * l, keep >> VF * l));
        }
        if (g < groups)
            unpack_tail(values + 2 * g, keep_of_index(index + g / 2, groups - g, &legal),
                        groups - g, c - 4 * g, w + 4 * g);
    }
}

static wn_status unpack24(const void *args, wn__exec *x) {
    const wn__unpack24 *p = args;
    int64_t r = p->w.shape[0], grain = PIECE / (p->w.shape[1] + 1) + 1;
    unpack24_job job = {.p = p};
    wn__parallel_for(x->pool, r, grain, look_at_index, &job);
    if (atomic_load(&job.bad)) return wn__unpack24_refuse_index(p);
    wn__parallel_for(x->pool, r, grain, unpack_rows, &job);
    return WN_OK;
}
