// SPDX-License-Identifier: MIT
/* Vectors over groups of 4, for the 2:4 kernels: a step is VF groups, 4 VF columns. Split apart, a
 * step is four vectors, one for each column of the groups, in the order of unpack instructions:
 * lane 4 q + l holds group VF/4 l + q. That order is undone on the bytes of a mask alone. */
#ifndef WN_KERNELS_SIMD_GROUP24_H
#define WN_KERNELS_SIMD_GROUP24_H

#include "kernels/simd/split_columns.h"

#include <string.h>

#define STEP_COLUMNS (4 * VF)
#define ALWAYS       static inline __attribute__((always_inline))

/* A matrix cut for threads into pieces of at most PIECE columns, by its shape alone. Rows that
 * follow each other without a gap and hold whole groups are one long row. */
#define PIECE 16384
typedef struct cut24 {
    int64_t columns; /* of a row */
    int64_t pieces;  /* of a row */
    int64_t count;   /* of all rows */
    int64_t grain;   /* pieces that make a block: short rows go together */
} cut24;

static inline cut24 cut24_of(int64_t r, int64_t c, bool joined) {
    int64_t rows = joined && c % 4 == 0 ? 1 : r, columns = rows == r ? c : r * c;
    int64_t pieces = (columns + PIECE - 1) / PIECE;
    return (cut24){columns, pieces, rows * pieces, columns > 0 ? PIECE / columns + 1 : 1};
}

static inline int64_t clamp24(int64_t n, int64_t most) {
    return n < 0 ? 0 : n < most ? n : most;
}

/* Bit j: column j of a step is kept. */
#if VF == 16
typedef uint64_t keep24;
#else
typedef uint32_t keep24;
#endif

/* VF groups from their n <= VF bytes, zeros beyond. */
ALWAYS __m128i groups_load(const uint8_t *p, int64_t n) {
#if VF == 16
    if (n == 16) return _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm_maskz_loadu_epi8((__mmask16)((1U << n) - 1U), p);
#else
    if (n == 8) return _mm_loadl_epi64((const __m128i *)(const void *)p);
    uint64_t bytes = 0;
    memcpy(&bytes, p, (size_t)n);
    return _mm_cvtsi64_si128((long long)bytes);
#endif
}

/* The low halves of VF bytes, one after the other. The high halves are zero. */
ALWAYS keep24 join_nibbles(__m128i bytes) {
    __m128i pairs = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x1001));
    return (keep24)_mm_cvtsi128_si64(_mm_packus_epi16(pairs, pairs));
}

/* table[byte], byte < 16. */
ALWAYS __m128i groups_lookup(const uint8_t table[16], __m128i bytes) {
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)table), bytes);
}

#if VF == 16
typedef __m512i vi;

ALWAYS vi vi_set(int32_t a) {
    return _mm512_set1_epi32(a);
}
ALWAYS vi vi_of(vf a) {
    return _mm512_castps_si512(a);
}
ALWAYS vf vf_of(vi a) {
    return _mm512_castsi512_ps(a);
}
ALWAYS vi vi_max(vi a, vi b) {
    return _mm512_max_epi32(a, b);
}
ALWAYS vi vi_min(vi a, vi b) {
    return _mm512_min_epi32(a, b);
}
ALWAYS vi vi_sub(vi a, vi b) {
    return _mm512_sub_epi32(a, b);
}
ALWAYS vi vi_or(vi a, vi b) {
    return _mm512_or_si512(a, b);
}
ALWAYS vi vi_and(vi a, vi b) {
    return _mm512_and_si512(a, b);
}
ALWAYS vi vi_xor(vi a, vi b) {
    return _mm512_xor_si512(a, b);
}
ALWAYS vi vi_not(vi a) {
    return _mm512_ternarylogic_epi32(a, a, a, 0x55);
}
/* Bit by bit what two of the three say. */
ALWAYS vi vi_majority(vi a, vi b, vi c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0xE8);
}
#define vi_down(a, n) _mm512_srli_epi32(a, n)
#define vi_up(a, n)   _mm512_slli_epi32(a, n)
/* m ? a : b */
ALWAYS vi vi_select(vm m, vi a, vi b) {
    return _mm512_mask_blend_epi32(m, b, a);
}
/* Whether a or b is NaN. */
ALWAYS vm vm_nan(vf a, vf b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q);
}
ALWAYS vm vm_or(vm a, vm b) {
    return _kor_mask16(a, b);
}
ALWAYS vm vm_and(vm a, vm b) {
    return _kand_mask16(a, b);
}
/* a and not b */
ALWAYS vm vm_without(vm a, vm b) {
    return _kandn_mask16(b, a);
}
/* a > b */
ALWAYS vm vm_more(vi a, vi b) {
    return _mm512_cmpgt_epi32_mask(a, b);
}
/* bits where the sign of a is set, else 0 */
ALWAYS vi vi_where_negative(vf a, int32_t bits) {
    return _mm512_maskz_set1_epi32(_mm512_movepi32_mask(_mm512_castps_si512(a)), bits);
}
ALWAYS vm vi_positive(vi a) {
    return _mm512_test_epi32_mask(a, a);
} /* of a >= 0 */

/* Bytes 4 q + l of each quarter change places with bytes 4 l + q. */
ALWAYS __m128i turn_4x4(__m128i a) {
    return _mm_shuffle_epi8(a, _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
}

ALWAYS void store_bytes(__m128i bytes, uint8_t *p, int64_t n) {
    if (n == 16)
        _mm_storeu_si128((__m128i *)(void *)p, bytes);
    else
        _mm_mask_storeu_epi8(p, (__mmask16)((1U << n) - 1U), bytes);
}

/* The low byte of every lane to p[n], groups in their own order. */
ALWAYS void store_groups(vi a, uint8_t *p, int64_t n) {
    store_bytes(turn_4x4(_mm512_cvtepi32_epi8(a)), p, n);
}

#else
typedef __m256i vi;

ALWAYS vi vi_set(int32_t a) {
    return _mm256_set1_epi32(a);
}
ALWAYS vi vi_of(vf a) {
    return _mm256_castps_si256(a);
}
ALWAYS vf vf_of(vi a) {
    return _mm256_castsi256_ps(a);
}
ALWAYS vi vi_max(vi a, vi b) {
    return _mm256_max_epi32(a, b);
}
ALWAYS vi vi_min(vi a, vi b) {
    return _mm256_min_epi32(a, b);
}
ALWAYS vi vi_sub(vi a, vi b) {
    return _mm256_sub_epi32(a, b);
}
ALWAYS vi vi_or(vi a, vi b) {
    return _mm256_or_si256(a, b);
}
ALWAYS vi vi_and(vi a, vi b) {
    return _mm256_and_si256(a, b);
}
ALWAYS vi vi_xor(vi a, vi b) {
    return _mm256_xor_si256(a, b);
}
ALWAYS vi vi_not(vi a) {
    return _mm256_xor_si256(a, _mm256_set1_epi32(-1));
}
ALWAYS vi vi_majority(vi a, vi b, vi c) {
    return vi_or(vi_and(a, b), vi_and(c, vi_or(a, b)));
}
#define vi_down(a, n) _mm256_srli_epi32(a, n)
#define vi_up(a, n)   _mm256_slli_epi32(a, n)
ALWAYS vi vi_select(vm m, vi a, vi b) {
    return _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(b), _mm256_castsi256_ps(a), m));
}
ALWAYS vm vm_nan(vf a, vf b) {
    return _mm256_cmp_ps(a, b, _CMP_UNORD_Q);
}
ALWAYS vm vm_or(vm a, vm b) {
    return _mm256_or_ps(a, b);
}
ALWAYS vm vm_and(vm a, vm b) {
    return _mm256_and_ps(a, b);
}
ALWAYS vm vm_without(vm a, vm b) {
    return _mm256_andnot_ps(b, a);
}
ALWAYS vm vm_more(vi a, vi b) {
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b));
}
ALWAYS vi vi_where_negative(vf a, int32_t bits) {
    return _mm256_castps_si256(
        _mm256_blendv_ps(_mm256_setzero_ps(), _mm256_castsi256_ps(vi_set(bits)), a));
}
ALWAYS vm vi_positive(vi a) {
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, _mm256_setzero_si256()));
}

ALWAYS void store_bytes(uint64_t bytes, uint8_t *p, int64_t n) {
    if (n == 8)
        memcpy(p, &bytes, 8);
    else
        memcpy(p, &bytes, (size_t)n);
}

ALWAYS void store_groups(vi a, uint8_t *p, int64_t n) {
    const __m256i low = _mm256_set1_epi32(0x0C080400);
    a = _mm256_shuffle_epi8(a, low);
    __m128i both = _mm_unpacklo_epi8(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    store_bytes((uint64_t)_mm_cvtsi128_si64(both), p, n);
}

#endif

/* n columns from w on, 0 <= n <= 4 VF, split; zeros beyond. */
ALWAYS void load_columns(const float *w, int64_t n, vf column[4]) {
    vf r[4];
    if (n == STEP_COLUMNS) {
#pragma GCC unroll 4
        for (int l = 0; l < 4; l++)
            r[l] = vf_load(w + VF * l);
    } else {
        for (int l = 0; l < 4; l++)
            r[l] = vf_load_n(w + clamp24(VF * l, n), clamp24(n - VF * l, VF));
    }
    split_columns(r, column);
}

#endif
