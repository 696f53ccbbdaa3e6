// SPDX-License-Identifier: MIT
/* stream of INT8 and INT4 weights, 256 bits wide: products of bytes, whose sums are exact.
 *
 * INT8: |x| times the weight with the sign of x, as the instruction multiplies unsigned by signed
 * bytes; two products are at most 2 127^2 and do not saturate. A lane of a 2:4 tile picks its bytes
 * out of eight columns of x.
 * INT4 dense: the stored q + 8 is the unsigned side; sums of a group stay in 16 bits, where they
 * may wrap: after 8 sum(x) is taken off they are within 32 7 127.
 * INT4 2:4: x + 128 is the unsigned side, picked out of a table with both columns of all six pairs;
 * 128 sum(q) is taken off, and what is left is within 32 7 127 again. */
#include "kernels/simd/vec.h"
#include "kernels/stream_layout.h"

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
ALWAYS void fetch_ahead(const uint8_t *w, int64_t bytes, int64_t ahead) {
    if (ahead == 0) return;
    UNROLL
    for (int64_t line = 0; line < bytes; line += 64)
        _mm_prefetch((const char *)w + ahead + line, _MM_HINT_T0);
}

/* What a pass reads of x: rows `down` bytes apart, from the pass's first column on; the scales and
 * sums of its first group of columns. */
typedef struct int_rows {
    const uint8_t *x;
    const uint8_t *scales;
    int64_t down, columns;
} int_rows;

/* Sums of 32-bit integers of INT8, in two halves of 8 outputs. */
typedef struct int8_sums {
    v8 of[4][2];
} int8_sums;

/* sum += the dots of four bytes: |x| and x as bytes, w signed. */
ALWAYS v8 add_dots(v8 sum, v8 magnitude, v8 x, v8 w) {
    v8 pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(w, x));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
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
                              int8_sums *sums) {
    UNROLL
    for (int step = 0; step < 4; step++) {
        UNROLL
        for (int h = 0; h < 2; h++) {
            v8 control = int8_control(w + 32 * h, step);
            v8 weights = v8_load(w + 64 + 64 * step + 32 * h);
            UNROLL
            for (int t = 0; t < tokens; t++) {
                v8 eight = v8_qword(r->x + t * r->down + column + 8 * step);
                v8 x = _mm256_shuffle_epi8(eight, control);
                sums->of[t][h] = add_dots(sums->of[t][h], _mm256_abs_epi8(x), x, weights);
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
        fetch_ahead(w, bytes, ahead);
        if (sparse)
            int8_sparse_block(tokens, w, r, 32 * b, &sums);
        else
            int8_dense_block(tokens, w, r, 4 * b, &sums);
    }
    UNROLL
    for (int t = 0; t < tokens; t++) {
        _mm256_storeu_si256((__m256i *)(void *)(to + 16 * t), sums.of[t][0]);
        _mm256_storeu_si256((__m256i *)(void *)(to + 16 * t + 8), sums.of[t][1]);
    }
}

ALWAYS __m256 scales_of(const uint8_t *w) {
    __m128i half = _mm_loadu_si128((const __m128i *)(const void *)w);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* Eight outputs of a token: to += dots times both scales. */
ALWAYS void add_scaled(float *to, v8 dots, __m256 w, float x) {
    __m256 both = _mm256_mul_ps(w, _mm256_set1_ps(x));
    __m256 sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), both, _mm256_loadu_ps(to));
    _mm256_storeu_ps(to, sum);
}

ALWAYS float scale_of_group(const int_rows *r, int t, int64_t b) {
    float scale;
    memcpy(&scale, r->scales + t * r->down + 8 * b, sizeof scale);
    return scale;
}

ALWAYS v8 nibbles(v8 a, bool high) {
    return _mm256_and_si256(high ? _mm256_srli_epi16(a, 4) : a, _mm256_set1_epi8(15));
}

ALWAYS void int4_dense_block(int tokens, const uint8_t *w, const int_rows *r, int64_t b,
                             float *to) {
    v8 sums[4][2];
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums[t][0] = sums[t][1] = _mm256_setzero_si256();
    for (int64_t j = 0; j < 8; j++) {
        v8 first = v8_load(w + 32 + 64 * j), second = v8_load(w + 64 + 64 * j);
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
                       scales_of(w + 16 * h), scale_of_group(r, t, b));
        }
    }
}

/* Bytes 0..5 and 8..13 of a table: the number of a lane's pair, and that plus 8 in the odd byte. */
ALWAYS v8 int4_control(v8 low) {
    const v8 twice = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14));
    v8 both = _mm256_and_si256(_mm256_shuffle_epi8(low, twice), _mm256_set1_epi8(7));
    return _mm256_or_si256(both, _mm256_set1_epi16(0x0800));
}

ALWAYS v8 int4_pairs(const uint8_t *w, int g) {
    v8 a = v8_load(w + 32 + (g < 15 ? g / 5 : 0) * 32);
    if (g < 15) return _mm256_srli_epi16(a, 3 * (g % 5));
    v8 b = _mm256_and_si256(_mm256_srli_epi16(v8_load(w + 64), 14), _mm256_set1_epi16(2));
    v8 c = _mm256_and_si256(_mm256_srli_epi16(v8_load(w + 96), 13), _mm256_set1_epi16(4));
    return _mm256_or_si256(_mm256_srli_epi16(a, 15), _mm256_or_si256(b, c));
}

ALWAYS void int4_sparse_block(int tokens, const uint8_t *w, const int_rows *r, int64_t b,
                              float *to) {
    v8 sums[8], weights = _mm256_setzero_si256(); /* the sums of q, byte by byte */
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums[t] = _mm256_setzero_si256();
    UNROLL
    for (int g = 0; g < 16; g++) {
        v8 q = nibbles(v8_load(w + 128 + g / 2 * 32), g % 2);
        q = _mm256_sub_epi8(q, _mm256_set1_epi8(8));
        weights = in_order(_mm256_add_epi8(weights, q));
        v8 control = int4_control(int4_pairs(w, g));
        UNROLL
        for (int t = 0; t < tokens; t++) {
            v8 table = v8_table(r->x + t * r->down + 256 * b + 16 * g);
            v8 x = _mm256_shuffle_epi8(table, control);
            sums[t] = in_order(_mm256_add_epi16(sums[t], _mm256_maddubs_epi16(x, q)));
        }
    }
    v8 offset = _mm256_slli_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), weights), 7);
    UNROLL
    for (int t = 0; t < tokens; t++) {
        v8 exact = _mm256_sub_epi16(sums[t], offset);
        float x = scale_of_group(r, t, b);
        add_scaled(to + 16 * t, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(exact)), scales_of(w),
                   x);
        add_scaled(to + 16 * t + 8, _mm256_cvtepi16_epi32(_mm256_extracti128_si256(exact, 1)),
                   scales_of(w + 16), x);
    }
}

ALWAYS void int4_pass(bool sparse, int tokens, const uint8_t *w, const int_rows *r, int64_t blocks,
                      int64_t ahead, float *to) {
    const int64_t bytes = sparse ? 384 : 544;
    for (int64_t b = 0; b < blocks; b++, w += bytes) {
        fetch_ahead(w, bytes, ahead);
        if (sparse)
            int4_sparse_block(tokens, w, r, b, to);
        else
            int4_dense_block(tokens, w, r, b, to);
    }
}

/* ---- x in 8 bits */

/* The largest magnitude of n floats; NaN where one is not finite. */
ALWAYS float largest_of(const float *x, int64_t n) {
    __m256 largest = _mm256_setzero_ps(), bad = _mm256_setzero_ps();
    const __m256 sign = _mm256_set1_ps(-0.0F), infinity = _mm256_set1_ps(__builtin_inff());
    for (int64_t i = 0; i < n; i += 8) {
        int64_t left = n - i < 8 ? n - i : 8;
        __m256 a = _mm256_andnot_ps(sign, _mm256_maskload_ps(x + i, vm_lanes_(left)));
        bad = _mm256_or_ps(bad, _mm256_cmp_ps(a, infinity, _CMP_NLT_UQ));
        largest = _mm256_max_ps(largest, a);
    }
    return _mm256_movemask_ps(bad) ? __builtin_nanf("") : vf_largest(largest);
}

/* n floats times r as bytes to q, zeros after them up to `all`, a multiple of 4. */
ALWAYS void round_to_bytes(const float *x, int64_t n, int64_t all, float r, int8_t *q) {
    __m256 factor = _mm256_set1_ps(r);
    for (int64_t i = 0; i < all; i += 8) {
        int64_t left = n - i < 0 ? 0 : n - i < 8 ? n - i : 8;
        __m256i a =
            _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_maskload_ps(x + i, vm_lanes_(left)), factor));
        __m128i b = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
        b = _mm_packs_epi16(b, b);
        memcpy(q + i, &b, all - i < 8 ? 4 : 8);
    }
}

/* One group: `all` bytes to q, of which n exist; returns the scale. */
ALWAYS float quantise(const float *x, int64_t n, int64_t all, int8_t *q) {
    float amax = largest_of(x, n);
    bool some = amax >= WN_STREAM_LEAST; /* false for NaN */
    if (some)
        round_to_bytes(x, n, all, 127 / amax, q);
    else
        memset(q, 0, (size_t)all);
    return amax < WN_STREAM_LEAST ? 0 : amax / 127;
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

/* Tables of 16 groups: x + 128 of both columns of each pair. */
ALWAYS void put_tables(const int8_t *q, uint8_t *to) {
    const __m128i pairs = _mm_setr_epi8(0, 0, 0, 1, 1, 2, 0, 0, 1, 2, 3, 2, 3, 3, 0, 0);
    for (int g = 0; g < 16; g++) {
        int32_t four;
        memcpy(&four, q + 4 * g, sizeof four);
        __m128i x = _mm_xor_si128(_mm_cvtsi32_si128(four), _mm_set1_epi8((char)0x80));
        _mm_storeu_si128((__m128i *)(void *)(to + 16 * g), _mm_shuffle_epi8(x, pairs));
    }
}
