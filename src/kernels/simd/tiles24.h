// SPDX-License-Identifier: MIT
/* A step of VF tiles of 4x4, over group24.h: the exact search of mask24's TILE, and what a tile
 * keeps as the packed forms want it. TILE adds up the 90 candidates just as mask24.h says and keeps
 * the first of the largest sums. */
#ifndef WN_KERNELS_SIMD_TILES24_H
#define WN_KERNELS_SIMD_TILES24_H

#include "kernels/pack24.h"
#include "kernels/simd/rank24.h"

/* ---- the search */

/* The patterns of a row in the order of the contract, and the two columns each keeps. */
static const uint8_t patterns[6] = {0x3, 0x5, 0x9, 0x6, 0xA, 0xC};
static const uint8_t first_of[6] = {0, 0, 0, 1, 1, 2}, second_of[6] = {1, 2, 3, 2, 3, 3};

/* A pair of patterns for two rows is 6 first + second. Six of the 36 keep every column once: any of
 * the six goes with any other. Of those only the best partner needs a look, and which one it was is
 * asked at the end; so the 90 candidates are these 60, in order. Sums are rounded, but adding the
 * same number never turns two around: the largest sum is that of the largest partner. */
#define ANY 36
static const uint8_t even_pairs[6] = {5, 10, 15, 20, 25, 30};
static const struct {
    uint8_t upper, lower;
} candidates[60] = {
    {0, 35},  {1, 29},  {1, 34},  {2, 23},  {2, 33},  {3, 17},   {3, 32},   {4, 11},   {4, 31},
    {5, ANY}, {6, 29},  {6, 34},  {7, 28},  {8, 22},  {8, 27},   {9, 16},   {9, 26},   {10, ANY},
    {11, 4},  {11, 24}, {12, 23}, {12, 33}, {13, 22}, {13, 27},  {14, 21},  {15, ANY}, {16, 9},
    {16, 19}, {17, 3},  {17, 18}, {18, 17}, {18, 32}, {19, 16},  {19, 26},  {20, ANY}, {21, 14},
    {22, 8},  {22, 13}, {23, 2},  {23, 12}, {24, 11}, {24, 31},  {25, ANY}, {26, 9},   {26, 19},
    {27, 8},  {27, 13}, {28, 7},  {29, 1},  {29, 6},  {30, ANY}, {31, 4},   {31, 24},  {32, 3},
    {32, 18}, {33, 2},  {33, 12}, {34, 1},  {34, 6},  {35, 0}};

/* Their bits; none yet for the lower rows where any even pair goes. As whole vectors where no
 * instruction broadcasts its operand. */
#if VF == 16
#define BITS_LANES 1
#define LANES(a)                                                                                   \
    { a }
#else
#define BITS_LANES 8
#define LANES(a)                                                                                   \
    { a, a, a, a, a, a, a, a }
#endif
static const _Alignas(4 * BITS_LANES) int32_t candidate_bits[60][BITS_LANES] = {
    LANES(0xCC33), LANES(0xCA53), LANES(0xAC53), LANES(0xC693), LANES(0x6C93), LANES(0xC963),
    LANES(0x9C63), LANES(0xC5A3), LANES(0x5CA3), LANES(0x00C3), LANES(0xCA35), LANES(0xAC35),
    LANES(0xAA55), LANES(0xA695), LANES(0x6A95), LANES(0xA965), LANES(0x9A65), LANES(0x00A5),
    LANES(0xA3C5), LANES(0x3AC5), LANES(0xC639), LANES(0x6C39), LANES(0xA659), LANES(0x6A59),
    LANES(0x6699), LANES(0x0069), LANES(0x65A9), LANES(0x56A9), LANES(0x63C9), LANES(0x36C9),
    LANES(0xC936), LANES(0x9C36), LANES(0xA956), LANES(0x9A56), LANES(0x0096), LANES(0x9966),
    LANES(0x95A6), LANES(0x59A6), LANES(0x93C6), LANES(0x39C6), LANES(0xC53A), LANES(0x5C3A),
    LANES(0x005A), LANES(0x659A), LANES(0x569A), LANES(0x956A), LANES(0x596A), LANES(0x55AA),
    LANES(0x53CA), LANES(0x35CA), LANES(0x003C), LANES(0xA35C), LANES(0x3A5C), LANES(0x639C),
    LANES(0x369C), LANES(0x936C), LANES(0x396C), LANES(0x53AC), LANES(0x35AC), LANES(0x33CC),
};
#undef LANES

/* The bits of candidate i. */
ALWAYS vi bits_of(const int32_t (*bits)[BITS_LANES], unsigned i) {
#if VF == 16
    return vi_set(bits[i][0]);
#else
    return _mm256_load_si256((const __m256i *)(const void *)bits[i]);
#endif
}

/* The bits of a pair. */
ALWAYS int32_t pair_bits(unsigned pair) {
    return patterns[pair / 6] | patterns[pair % 6] << 4;
}

/* What each pattern keeps of a row; NaN sets its lane. */
ALWAYS vm row_sums(const vf a[4], vf sums[6]) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; i++)
        sums[i] = vf_add(a[first_of[i]], a[second_of[i]]);
    return vm_nan(sums[0], sums[5]);
}

ALWAYS vf pair_sum(const vf first[6], const vf second[6], unsigned pair) {
    return vf_add(first[pair / 6], second[pair % 6]);
}

/* The first of the even pairs that brings a lane's upper sum to its total, as bits 8..15. */
ALWAYS vi even_partner(vf upper, const vf lower[36], vi total) {
    vi bits = vi_set(pair_bits(even_pairs[5]) << 8);
#pragma GCC unroll 5
    for (int i = 4; i >= 0; i--) {
        vm less = vm_more(total, vi_of(vf_add(upper, lower[even_pairs[i]])));
        bits = vi_select(less, bits, vi_set(pair_bits(even_pairs[i]) << 8));
    }
    return bits;
}

/* The 16 bits of each lane's tile, from what the patterns keep of its four rows. Sums of magnitudes
 * are compared as integers: the same order, on execution units that the additions leave free. */
ALWAYS vi best_masks(vf row[4][6]) {
    vf lower[36];
#pragma GCC unroll 36
    for (unsigned i = 0; i < 36; i++)
        lower[i] = pair_sum(row[2], row[3], i);
    vi any = vi_of(lower[even_pairs[0]]);
#pragma GCC unroll 5
    for (int i = 1; i < 6; i++)
        any = vi_max(any, vi_of(lower[even_pairs[i]]));
    vi best = vi_set(-1), bits = vi_set(0);
    vf even = vf_zero(); /* the upper sum of the best candidate, if it is an even one */
    const int32_t(*bit)[BITS_LANES] = candidate_bits;
    __asm__("" : "+r"(bit)); /* or all 60 constants become vectors on the stack */
#pragma GCC unroll 60
    for (unsigned i = 0; i < 60; i++) {
        unsigned u = candidates[i].upper, l = candidates[i].lower;
        vf upper = pair_sum(row[0], row[1], u);
        vi sum = vi_of(vf_add(upper, l == ANY ? vf_of(any) : lower[l]));
        vm more = vm_more(sum, best);
        bits = vi_select(more, bits_of(bit, i), bits);
        if (l == ANY) even = vf_select(more, upper, even);
        best = vi_max(best, sum);
    }
    return vi_select(vi_positive(vi_down(bits, 8)), bits,
                     vi_or(bits, even_partner(even, lower, best)));
}

/* Bits 4 i .. 4 i + 3 to byte i. */
ALWAYS vi spread_nibbles(vi a) {
    a = vi_and(vi_or(a, vi_up(a, 8)), vi_set(0x00FF00FF));
    return vi_and(vi_or(a, vi_up(a, 4)), vi_set(0x0F0F0F0F));
}

/* ---- what the tiles keep */

/* A step of one row by its columns, lanes in an order of their own: that of the groups where halves
 * of a vector are loaded as cheaply as the whole, else that of load_columns. */
ALWAYS void load_tiles(const float *w, vf column[4]) {
    vf r[4];
#pragma GCC unroll 4
    for (int l = 0; l < 4; l++) {
#if VF == 16
        r[l] = vf_load(w + VF * l);
#else
        __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(w + 4 * l));
        r[l] = _mm256_insertf128_ps(low, _mm_loadu_ps(w + 4 * (l + 4)), 1);
#endif
    }
    split_columns(r, column);
}

/* The group that a lane holds. */
ALWAYS int64_t tile_of_lane(int64_t lane) {
#if VF == 16
    return 4 * (lane % 4) + lane / 4;
#else
    return lane;
#endif
}

/* Of slots and bytes, the instructions that put lanes back in order. */
#if VF == 16
/* Slots 0 and 1 of a row to its 2 VF values. */
ALWAYS void slots_in_order(const vf slot[2], vf out[2]) {
    const __m512i at = _mm512_setr_epi32(0, 16, 4, 20, 8, 24, 12, 28, 1, 17, 5, 21, 9, 25, 13, 29);
    out[0] = _mm512_permutex2var_ps(slot[0], at, slot[1]);
    out[1] = _mm512_permutex2var_ps(slot[0], _mm512_add_epi32(at, vi_set(2)), slot[1]);
}
/* Byte i of every lane to row[i], tiles in their own order. */
ALWAYS void bytes_of_rows(vi a, __m128i row[4]) {
    const __m512i turn =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m512i gather = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    a = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(gather, _mm512_shuffle_epi8(a, turn)), turn);
    row[0] = _mm512_castsi512_si128(a);
    row[1] = _mm512_extracti32x4_epi32(a, 1);
    row[2] = _mm512_extracti32x4_epi32(a, 2);
    row[3] = _mm512_extracti32x4_epi32(a, 3);
}
/* The four bytes of every lane to p, tiles in their own order. */
ALWAYS void store_lanes(vi a, uint8_t *p) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, a));
}
/* table[byte] of bytes below 16. */
ALWAYS vi lanes_lookup(const uint8_t table[16], vi a) {
    return _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table)), a);
}
/* The lanes whose bit k is set; for vf_select alone. */
#define tile_bit(bits, k) _mm512_test_epi32_mask(bits, vi_set(1 << (k)))
#else
ALWAYS void slots_in_order(const vf slot[2], vf out[2]) {
    out[0] = _mm256_unpacklo_ps(slot[0], slot[1]); /* groups 0 1 4 5 */
    out[1] = _mm256_unpackhi_ps(slot[0], slot[1]); /* groups 2 3 6 7 */
}
ALWAYS void bytes_of_rows(vi a, __m128i row[4]) {
    const __m256i turn = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    a = _mm256_shuffle_epi8(a, turn);
    __m128i low = _mm256_castsi256_si128(a), high = _mm256_extracti128_si256(a, 1);
    row[0] = _mm_unpacklo_epi32(low, high);
    row[1] = _mm_unpackhi_epi64(row[0], row[0]);
    row[2] = _mm_unpackhi_epi32(low, high);
    row[3] = _mm_unpackhi_epi64(row[2], row[2]);
}
ALWAYS void store_lanes(vi a, uint8_t *p) {
    _mm256_storeu_si256((__m256i *)(void *)p, a);
}
ALWAYS vi lanes_lookup(const uint8_t table[16], vi a) {
    return _mm256_shuffle_epi8(
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table)), a);
}
/* Shifts have one execution unit where comparisons have two. */
#define tile_bit(bits, k)                                                                          \
    _mm256_castsi256_ps(_mm256_cmpeq_epi32(vi_and(bits, vi_set(1 << (k))), vi_set(1 << (k))))
#endif

/* Rows and columns of each lane's tile of bits change places. */
ALWAYS vi turn_bits(vi a) {
    vi t = vi_and(vi_xor(vi_down(a, 3), a), vi_set(0x0A0A));
    a = vi_xor(a, vi_or(t, vi_up(t, 3)));
    t = vi_and(vi_xor(vi_down(a, 6), a), vi_set(0x00CC));
    return vi_xor(a, vi_or(t, vi_up(t, 6)));
}

/* Slot 0 has the first kept entry unless that is the last; slot 1 has whatever else there is. two:
 * exactly two are kept; else those that are not are zero bits. */
ALWAYS void slots_of_four(const vf e[4], const vm keep[4], bool two, vf slot[2]) {
    slot[0] = vf_select(keep[0], e[0], vf_select(keep[1], e[1], e[2]));
    if (two) {
        slot[1] = vf_select(keep[3], e[3], vf_select(keep[2], e[2], e[1]));
    } else {
        vi all = vi_xor(vi_xor(vi_of(e[0]), vi_of(e[1])), vi_xor(vi_of(e[2]), vi_of(e[3])));
        slot[1] = vf_of(vi_xor(all, vi_of(slot[0])));
    }
}

#endif
