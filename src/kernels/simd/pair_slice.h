// SPDX-License-Identifier: MIT
/* Pairs of bfloat16 numbers in lanes, and a slice of all that two kept weights of a group may meet:
 * what the products of packed weights (pairs24.inc.h) and of lists of columns
 * (pair_columns.inc.h) share.
 *
 * A slice has six rows of every seven: group g's pair (i, j), whose nibble is i | j << 2, is row
 * 7 g + nibble. The six nibbles are 4, 8, 9, 12, 13 and 14, no two of them equal modulo 7, so no
 * two groups want the same row, and no table stands between a nibble and its address. Vectors are
 * of 32 bytes: a Zen 4 loads two of those a cycle, as many as it multiplies. */
#ifndef WN_KERNELS_SIMD_PAIR_SLICE_H
#define WN_KERNELS_SIMD_PAIR_SLICE_H

#include "kernels/simd/lanes24.inc.h"

#define HALF_VF       8
#define SLICE_GROUPS  16
#define EIGHT         8 /* pairs of half a vector */
#define SLICE_ROWS    (7 * (SLICE_GROUPS - 1) + 15)
#define SLICE_OUTPUTS 4                          /* that take turns, at most */
#define WIDTH_VECS    (WN_PAIRS_LANES / HALF_VF) /* of a whole tile */

typedef struct slice24 {
    _Alignas(64) float row[SLICE_ROWS * WN_PAIRS_LANES]; /* [SLICE_ROWS][width] */
} slice24;

/* The six pairs of a group of 16 lanes, from those of its first and its last two columns. */
ALWAYS void write_pairs(vi first, vi last, int64_t width, float *to) {
    const __mmask32 upper = 0xAAAAAAAA;
    vi first_down = vi_shift_right(first, 16), last_up = _mm512_slli_epi32(last, 16);
    vf_store(to + 4 * width, vf_of_bits(first));
    vf_store(to + 8 * width, vf_of_bits(_mm512_mask_mov_epi16(first, upper, last_up)));
    vf_store(to + 9 * width, vf_of_bits(_mm512_mask_mov_epi16(first_down, upper, last_up)));
    vf_store(to + 12 * width, vf_of_bits(_mm512_mask_mov_epi16(first, upper, last)));
    vf_store(to + 13 * width, vf_of_bits(_mm512_mask_mov_epi16(first_down, upper, last)));
    vf_store(to + 14 * width, vf_of_bits(last));
}

/* Rows of `groups` groups, and zeros for those that a slice at the end does not have. */
ALWAYS void write_slice(int64_t width, const float *panel, int64_t groups, float *to) {
    for (int64_t g = 0; g < SLICE_GROUPS; g++, panel += 2 * width, to += 7 * width)
        for (int64_t t = 0; t < width; t += VF) {
            bool exists = g < groups;
            vi first = exists ? vi_bits(vf_load(panel + t)) : vi_set(0),
               last = exists ? vi_bits(vf_load(panel + width + t)) : vi_set(0);
            write_pairs(first, last, width, to + t);
        }
}

/* acc += weights times pairs in memory, as pairs_fma_at does. */
ALWAYS void add_products(__m256 *acc, __m256i weights, const void *pairs) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(*acc) : "v"(weights), "m"(*(const __m256i *)pairs));
}

ALWAYS void take_sums(int vecs, bool first, const float *sums, __m256 *acc) {
    UNROLL
    for (int v = 0; v < vecs; v++)
        acc[v] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(sums + HALF_VF * v);
}
ALWAYS void put_sums(int vecs, const __m256 *acc, float *sums) {
    UNROLL
    for (int v = 0; v < vecs; v++)
        _mm256_storeu_ps(sums + HALF_VF * v, acc[v]);
}

#endif
