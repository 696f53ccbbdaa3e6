// SPDX-License-Identifier: MIT
/* stream of INT8 and INT4 weights, 256 bits wide: products of bytes, whose sums are exact.
 *
 * INT8: |x| times the weight with the sign of x, as the instruction multiplies unsigned by signed
 * bytes; two products are at most 2 127^2 and do not saturate. A lane of a 2:4 tile picks its bytes
 * out of eight columns of x; there |w| meets x with the sign of w.
 * INT4 dense: the stored q + 8 is the unsigned side; sums of a group stay in 16 bits, where they
 * may wrap: after 8 sum(x) is taken off they are within 32 7 127.
 * INT4 2:4: x + 128 is the unsigned side, picked by the number of a pair out of two tables, of its
 * first and of its second column; 128 sum(q) is taken off, and what is left is within 32 7 127. */
#include "kernels/simd/stream_bytes.inc.h"

typedef __m256i v8;

ALWAYS v8 v8_load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
ALWAYS v8 v8_dword(const void *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}
ALWAYS v8 v8_qword(const void *p) {
    long long eight;
    memcpy(&eight, p, sizeof eight);
    return _mm256_set1_epi64x(eight);
}
ALWAYS v8 v8_table(const void *p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}
/* A sum is finished before the next term: gcc would build trees of terms and spill them. */
ALWAYS v8 in_order(v8 a) {
    __asm__("" : "+x"(a));
    return a;
}

/* Sums of 32-bit integers of INT8, in two halves of 8 outputs. */
typedef struct int8_sums {
    v8 of[WN_STREAM_BATCH][2];
} int8_sums;

/* sum += the dots of four bytes x and w, given |x|. */
ALWAYS v8 add_dots(v8 sum, v8 magnitude, v8 x, v8 w) {
    v8 pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(w, x));
    return in_order(_mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
}

ALWAYS void int8_dense_block(int tokens, const uint8_t *w, const int_rows *r, int64_t column,
                             int8_sums *sums) {
    v8 low = v8_load(w), high = v8_load(w + 32);
    UNROLL
    for (int t = 0; t < tokens; t++) {
        const uint8_t *x = r->x + t * r->down + column;
        v8 four = v8_dword(x), magnitude = v8_dword(x + r->columns);
        sums->of[t][0] = add_dots(sums->of[t][0], magnitude, four, low);
        sums->of[t][1] = add_dots(sums->of[t][1], magnitude, four, high);
    }
}

/* Two groups of each lane: columns 0..3 and 4..7 of eight. */
ALWAYS v8 int8_control(const uint8_t *index, int step) {
    v8 slot = _mm256_and_si256(_mm256_srli_epi16(v8_load(index), 2 * step), _mm256_set1_epi8(3));
    return _mm256_or_si256(slot, _mm256_set1_epi32(0x04040000));
}

ALWAYS void int8_sparse_block(int tokens, const uint8_t *w, const int_rows *r, int64_t column,
                              int64_t ahead, int8_sums *sums) {
    UNROLL
    for (int step = 0; step < 4; step++) {
        fetch_lines(w, step == 0 ? 0 : 64 + 64 * step, 128 + 64 * step, ahead);
        UNROLL
        for (int h = 0; h < 2; h++) {
            v8 control = int8_control(w + 32 * h, step);
            v8 weights = v8_load(w + 64 + 64 * step + 32 * h), magnitude = _mm256_abs_epi8(weights);
            UNROLL
            for (int t = 0; t < tokens; t++) {
                v8 eight = v8_qword(r->x + t * r->down + column + 8 * step);
                v8 x = _mm256_shuffle_epi8(eight, control);
                sums->of[t][h] = add_dots(sums->of[t][h], magnitude, weights, x);
            }
        }
    }
}

ALWAYS void int8_pass(bool sparse, int tokens, const uint8_t *w, const int_rows *r, int64_t blocks,
                      int64_t ahead, int32_t *to) {
    const int64_t bytes = sparse ? 320 : 64;
    int8_sums sums;
    UNROLL
    for (int t = 0; t < tokens; t++) {
        sums.of[t][0] = v8_load(to + 16 * t);
        sums.of[t][1] = v8_load(to + 16 * t + 8);
    }
    for (int64_t b = 0; b < blocks; b++, w += bytes) {
        if (sparse) {
            int8_sparse_block(tokens, w, r, 32 * b, ahead, &sums);
        } else {
            fetch_lines(w, 0, bytes, ahead);
            int8_dense_block(tokens, w, r, 4 * b, &sums);
        }
    }
    UNROLL
    for (int t = 0; t < tokens; t++) {
        _mm256_storeu_si256((__m256i *)(void *)(to + 16 * t), sums.of[t][0]);
        _mm256_storeu_si256((__m256i *)(void *)(to + 16 * t + 8), sums.of[t][1]);
    }
}

/* Eight outputs of a token: to += dots times both scales. */
ALWAYS void add_scaled(float *to, v8 dots, __m256 w, float x) {
    __m256 both = _mm256_mul_ps(w, _mm256_set1_ps(x));
    __m256 sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), both, _mm256_loadu_ps(to));
    _mm256_storeu_ps(to, sum);
}

ALWAYS v8 nibbles(v8 a, bool high) {
    return _mm256_and_si256(high ? _mm256_srli_epi16(a, 4) : a, _mm256_set1_epi8(15));
}

ALWAYS void int4_dense_block(int tokens, const uint8_t *w, const int_rows *r, int64_t b,
                             int64_t ahead, float *to) {
    v8 sums[WN_STREAM_BATCH][2];
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums[t][0] = sums[t][1] = _mm256_setzero_si256();
    for (int64_t j = 0; j < 8; j++) {
        v8 first = v8_load(w + 32 + 64 * j), second = v8_load(w + 64 + 64 * j);
        fetch_lines(w, 32 + 64 * j, 96 + 64 * j, ahead);
        UNROLL
        for (int high = 0; high < 2; high++) {
            v8 a = nibbles(first, high), c = nibbles(second, high);
            UNROLL
            for (int t = 0; t < tokens; t++) {
                v8 x = v8_dword(r->x + t * r->down + 64 * b + 8 * j + 4 * high);
                sums[t][0] = in_order(_mm256_add_epi16(sums[t][0], _mm256_maddubs_epi16(a, x)));
                sums[t][1] = in_order(_mm256_add_epi16(sums[t][1], _mm256_maddubs_epi16(c, x)));
            }
        }
    }
    UNROLL
    for (int t = 0; t < tokens; t++) {
        v8 offset = v8_dword(r->scales + t * r->down + 8 * b + 4);
        UNROLL
        for (int h = 0; h < 2; h++) {
            v8 exact = _mm256_sub_epi16(sums[t][h], offset);
            add_scaled(to + 16 * t + 8 * h, _mm256_madd_epi16(exact, _mm256_set1_epi16(1)),
                       scales_of(w, 8 * h), scale_of_group(r, t, b));
        }
    }
}

/* Bytes 0..5 and 8..13 of a table: the numbers of the pairs of groups 2 m and 2 m + 1. */
ALWAYS v8 int4_control(const uint8_t *w, int m) {
    v8 pairs = v8_load(w + 32 + (m < 6 ? m / 2 : m - 6) * 32);
    if (m < 6 && m % 2) pairs = _mm256_srli_epi16(pairs, 3);
    if (m >= 6) {
        v8 two = _mm256_and_si256(_mm256_srli_epi16(pairs, 6), _mm256_set1_epi8(3));
        v8 four = _mm256_srli_epi16(v8_load(w + 96), m - 2);
        pairs = _mm256_or_si256(two, _mm256_and_si256(four, _mm256_set1_epi8(4)));
    } else {
        pairs = _mm256_and_si256(pairs, _mm256_set1_epi8(7));
    }
    return _mm256_or_si256(pairs, _mm256_set1_epi16(0x0800));
}

ALWAYS void int4_sparse_block(int tokens, const uint8_t *w, const int_rows *r, int64_t b,
                              int64_t ahead, float *to) {
    v8 sums[WN_STREAM_BATCH], weights = _mm256_setzero_si256(); /* the sums of q, byte by byte */
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums[t] = _mm256_setzero_si256();
    UNROLL
    for (int m = 0; m < 8; m++) {
        if (m < 6) fetch_lines(w, 64 * m, 64 * m + 64, ahead);
        v8 both = v8_load(w + 128 + 32 * m), control = int4_control(w, m);
        v8 first = _mm256_sub_epi8(nibbles(both, false), _mm256_set1_epi8(8));
        v8 second = _mm256_sub_epi8(nibbles(both, true), _mm256_set1_epi8(8));
        weights = in_order(_mm256_add_epi8(weights, _mm256_add_epi8(first, second)));
        UNROLL
        for (int t = 0; t < tokens; t++) {
            const uint8_t *tables = r->x + t * r->down + 256 * b + 32 * m;
            v8 x = _mm256_shuffle_epi8(v8_table(tables), control);
            sums[t] = in_order(_mm256_add_epi16(sums[t], _mm256_maddubs_epi16(x, first)));
            x = _mm256_shuffle_epi8(v8_table(tables + 16), control);
            sums[t] = in_order(_mm256_add_epi16(sums[t], _mm256_maddubs_epi16(x, second)));
        }
    }
    v8 offset = _mm256_slli_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), weights), 7);
    UNROLL
    for (int t = 0; t < tokens; t++) {
        v8 exact = _mm256_sub_epi16(sums[t], offset);
        float x = scale_of_group(r, t, b);
        add_scaled(to + 16 * t, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(exact)),
                   scales_of(w, 0), x);
        add_scaled(to + 16 * t + 8, _mm256_cvtepi16_epi32(_mm256_extracti128_si256(exact, 1)),
                   scales_of(w, 8), x);
    }
}

ALWAYS void int4_pass(bool sparse, int tokens, const uint8_t *w, const int_rows *r, int64_t blocks,
                      int64_t ahead, float *to) {
    const int64_t bytes = sparse ? 384 : 544;
    for (int64_t b = 0; b < blocks; b++, w += bytes) {
        if (sparse)
            int4_sparse_block(tokens, w, r, b, ahead, to);
        else
            int4_dense_block(tokens, w, r, b, ahead, to);
    }
}

/* 8 sum(x) of the columns whose number mod 4 is 0 or 1, and 2 or 3, as two words. */
ALWAYS void put_offset(const int8_t *q, uint8_t *to) {
    int low = 0, high = 0;
    for (int c = 0; c < 64; c += 4) {
        low += q[c] + q[c + 1];
        high += q[c + 2] + q[c + 3];
    }
    uint32_t both = ((uint32_t)(8 * low) & 0xFFFF) | (uint32_t)(8 * high) << 16;
    memcpy(to, &both, sizeof both);
}

/* Two tables for each two of 16 groups: x + 128 of the first and of the second column of each pair.
 */
ALWAYS void put_tables(const int8_t *q, uint8_t *to) {
    const __m128i first = _mm_setr_epi8(0, 0, 0, 1, 1, 2, 0, 0, 4, 4, 4, 5, 5, 6, 0, 0);
    const __m128i second = _mm_setr_epi8(1, 2, 3, 2, 3, 3, 0, 0, 5, 6, 7, 6, 7, 7, 0, 0);
    for (int m = 0; m < 8; m++) {
        __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)(q + 8 * m));
        x = _mm_xor_si128(x, _mm_set1_epi8((char)0x80));
        _mm_storeu_si128((__m128i *)(void *)(to + 32 * m), _mm_shuffle_epi8(x, first));
        _mm_storeu_si128((__m128i *)(void *)(to + 32 * m + 16), _mm_shuffle_epi8(x, second));
    }
}

/* Sums of a token become floats: scales of the tile and of x. */
ALWAYS void scale_int8(const uint8_t *tile, const uint8_t *x, float *sums) {
    float scale;
    memcpy(&scale, x, sizeof scale);
    for (int h = 0; h < 16; h += 8) {
        vf both = vf_mul(vf_load((const float *)(const void *)tile + h), vf_set(scale));
        vf_store(sums + h, vf_mul(_mm256_cvtepi32_ps(v8_load(sums + h)), both));
    }
}

/* ---- x of a token, which has `columns` bytes: INT8 dense as q and |q|, INT4 2:4 as tables */

ALWAYS void lay_int8(bool sparse, int64_t columns, int8_t *row, uint8_t *offset) {
    (void)offset;
    for (int64_t c = 0; !sparse && c < columns; c++)
        row[columns + c] = (int8_t)(row[c] < 0 ? -row[c] : row[c]);
}

/* A group of 64 columns; its second dword beside the scale is the offset. */
ALWAYS void lay_int4(bool sparse, int64_t column, const int8_t *q, uint8_t *to, uint8_t *offset) {
    (void)column;
    if (sparse) {
        put_tables(q, to);
    } else {
        memcpy(to, q, WN_STREAM_GROUP);
        put_offset(q, offset);
    }
}
