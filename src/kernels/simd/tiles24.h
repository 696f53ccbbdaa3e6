// SPDX-License-Identifier: MIT
/* What a step of VF tiles of 4x4 keeps as the packed forms want it, over search24.h. */
#ifndef WN_KERNELS_SIMD_TILES24_H
#define WN_KERNELS_SIMD_TILES24_H

#include "kernels/pack24.h"
#include "kernels/simd/search24.h"

/* Bits 4 i .. 4 i + 3 to byte i. */
ALWAYS vi spread_nibbles(vi a) {
    a = vi_and(vi_or(a, vi_up(a, 8)), vi_set(0x00FF00FF));
    return vi_and(vi_or(a, vi_up(a, 4)), vi_set(0x0F0F0F0F));
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
#endif

/* Byte i of every lane to row i of p, of n tiles. */
ALWAYS void store_tiles(vi a, uint8_t *p, int64_t stride, int64_t n) {
    __m128i row[4];
    bytes_of_rows(a, row);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
#if VF == 16
        store_bytes(row[i], p + i * stride, n);
#else
        store_bytes((uint64_t)_mm_cvtsi128_si64(row[i]), p + i * stride, n);
#endif
    }
}

/* Rows and columns of each lane's tile of bits change places. */
ALWAYS vi turn_bits(vi a) {
    vi t = vi_and(vi_xor(vi_down(a, 3), a), vi_set(0x0A0A));
    a = vi_xor(a, vi_or(t, vi_up(t, 3)));
    t = vi_and(vi_xor(vi_down(a, 6), a), vi_set(0x00CC));
    return vi_xor(a, vi_or(t, vi_up(t, 6)));
}

#if VF == 16
/* Slot 0 has the first of the two kept entries, slot 1 the other. */
ALWAYS void slots_of_four(const vf e[4], const vm keep[4], vf slot[2]) {
    slot[0] = vf_select(keep[0], e[0], vf_select(keep[1], e[1], e[2]));
    slot[1] = vf_select(keep[3], e[3], vf_select(keep[2], e[2], e[1]));
}
#endif

#endif
