// SPDX-License-Identifier: MIT
/* stream of INT8 and INT4 weights, 512 bits wide: one instruction adds four products of an unsigned
 * and a signed byte to each dword, which may wrap. A dword is a lane, so one register holds the
 * sums of a token for a tile, and a tile is read once for all of up to 16 tokens.
 *
 * dense   the weights are the unsigned side, offset by 128 (INT4: by 8, as they are stored), x is a
 *         broadcast from memory; the offset times sum(x) is known before: sums begin with its
 *         negative
 * 2:4     x + 128 is the unsigned side: each lane picks its four bytes out of eight columns of x.
 *         128 sum(q) is summed beside the tokens and taken off
 *
 * One token of INT4 2:4 does without dwords, as twice as many weights fit a register where a lane
 * is a word: x + 128 comes as tables of the columns of each pair (stream_int.inc.h), and sums
 * of a group stay in 16 bits, where they may wrap. What is left fits.
 *
 * All of it is exact: below 2^31 up to 2^17 columns. */
#include "kernels/simd/stream_bytes.inc.h"

typedef __m512i vi;

typedef struct lane_sums {
    vi of[WN_STREAM_BATCH];
} lane_sums;

ALWAYS vi vi_load(const void *p) {
    return _mm512_loadu_si512(p);
}
ALWAYS vi vi_dword(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}
ALWAYS vi vi_qword(const uint8_t *p) {
    int64_t eight;
    memcpy(&eight, p, sizeof eight);
    return _mm512_set1_epi64(eight);
}
/* (a & b) | c */
ALWAYS vi and_or(vi a, vi b, vi c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0xEA);
}
ALWAYS vi each_byte(int value) {
    return _mm512_set1_epi8((char)value);
}
/* A sum is finished before the next term, so that no tree of terms is spilled. */
ALWAYS vi add_dots(vi sum, vi u, vi s) {
    sum = _mm512_dpbusd_epi32(sum, u, s);
    __asm__("" : "+v"(sum));
    return sum;
}

/* Sums of a group: of dense weights minus the offset of group b. */
ALWAYS void begin_sums(bool sparse, int tokens, const int_rows *r, int64_t b, lane_sums *sums) {
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums->of[t] =
            sparse ? _mm512_setzero_si512() : vi_dword(r->scales + t * r->down + 8 * b + 4);
}

/* ---- INT8 */

ALWAYS void int8_dense_block(int tokens, const uint8_t *w, const int_rows *r, int64_t column,
                             lane_sums *sums) {
    vi weights = _mm512_xor_si512(vi_load(w), each_byte(0x80));
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums->of[t] = add_dots(sums->of[t], weights, vi_dword(r->x + t * r->down + column));
}

ALWAYS void int8_sparse_block(int tokens, const uint8_t *w, const int_rows *r, int64_t column,
                              int64_t ahead, lane_sums *sums, vi *offset) {
    const vi second = _mm512_set1_epi32(0x04040000);
    vi index = vi_load(w);
    UNROLL
    for (int step = 0; step < 4; step++) {
        fetch_lines(w, step == 0 ? 0 : 64 + 64 * step, 128 + 64 * step, ahead);
        vi control = and_or(_mm512_srli_epi32(index, (unsigned)(2 * step)), each_byte(3), second);
        vi weights = vi_load(w + 64 + 64 * step);
        *offset = add_dots(*offset, each_byte(0x80), weights);
        UNROLL
        for (int t = 0; t < tokens; t++) {
            vi eight = vi_qword(r->x + t * r->down + column + 8 * step);
            sums->of[t] = add_dots(sums->of[t], _mm512_shuffle_epi8(eight, control), weights);
        }
    }
}

/* The offset of a dense weight belongs to the whole row: it is added where the sum is scaled. */
ALWAYS void int8_pass(bool sparse, int tokens, const uint8_t *w, const int_rows *r, int64_t blocks,
                      int64_t ahead, int32_t *to) {
    const int64_t bytes = sparse ? 320 : 64;
    vi offset = _mm512_setzero_si512();
    lane_sums sums;
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums.of[t] = vi_load(to + 16 * t);
    for (int64_t b = 0; b < blocks; b++, w += bytes) {
        if (sparse) {
            int8_sparse_block(tokens, w, r, 32 * b, ahead, &sums, &offset);
        } else {
            fetch_lines(w, 0, bytes, ahead);
            int8_dense_block(tokens, w, r, 4 * b, &sums);
        }
    }
    UNROLL
    for (int t = 0; t < tokens; t++)
        _mm512_storeu_si512(to + 16 * t, _mm512_sub_epi32(sums.of[t], offset));
}

/* Sums of a token become floats: scales of the tile and of x, behind it the offset. */
ALWAYS void scale_int8(const uint8_t *tile, const uint8_t *x, float *sums) {
    float scale;
    memcpy(&scale, x, sizeof scale);
    vf both = vf_mul(vf_load((const float *)(const void *)tile), vf_set(scale));
    vi dots = _mm512_add_epi32(vi_load(sums), vi_dword(x + 4));
    vf_store(sums, vf_mul(_mm512_cvtepi32_ps(dots), both));
}

/* ---- INT4 */

ALWAYS void int4_dense_block(int tokens, const uint8_t *w, const int_rows *r, int64_t b,
                             int64_t ahead, lane_sums *sums) {
    UNROLL
    for (int j = 0; j < 8; j++) {
        fetch_lines(w, 32 + 64 * j, 96 + 64 * j, ahead);
        vi both = vi_load(w + 32 + 64 * j);
        vi low = _mm512_and_si512(both, each_byte(15));
        vi high = _mm512_and_si512(_mm512_srli_epi32(both, 4), each_byte(15));
        UNROLL
        for (int t = 0; t < tokens; t++) {
            const uint8_t *x = r->x + t * r->down + 64 * b + 8 * j;
            sums->of[t] = add_dots(sums->of[t], low, vi_dword(x));
            sums->of[t] = add_dots(sums->of[t], high, vi_dword(x + 4));
        }
    }
}

/* The words of a plane, each one twice: a dword is a lane. */
ALWAYS vi plane_of(const uint8_t *w, int plane) {
    const vi twice =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13));
    vi words = _mm512_cvtepu16_epi32(
        _mm256_loadu_si256((const __m256i *)(const void *)(w + 32 + 32 * plane)));
    return _mm512_shuffle_epi8(words, twice);
}

/* Columns of both slots of groups 2 m and 2 m + 1 among eight. */
ALWAYS vi int4_control(const vi planes[3], int m) {
    const vi columns =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 1, 1, 2, 0, 0, 1, 2, 3, 2, 3, 3, 0, 0));
    const vi slot = _mm512_set1_epi32(0x08080000), group = _mm512_set1_epi32(0x04000400);
    vi pairs = planes[m < 6 ? m / 2 : m - 6];
    if (m < 6) {
        if (m % 2) pairs = _mm512_srli_epi32(pairs, 3);
        pairs = and_or(pairs, each_byte(7), slot);
    } else {
        vi four = _mm512_srli_epi32(planes[2], (unsigned)(m - 2));
        four = and_or(four, each_byte(4), slot);
        pairs = and_or(_mm512_srli_epi32(pairs, 6), each_byte(3), four);
    }
    return _mm512_or_si512(_mm512_shuffle_epi8(columns, pairs), group);
}

/* Weights of both slots of groups 2 m and 2 m + 1. */
ALWAYS vi int4_weights(const uint8_t *w, int m) {
    vi both = _mm512_cvtepu16_epi32(
        _mm256_loadu_si256((const __m256i *)(const void *)(w + 128 + 32 * m)));
    both = _mm512_or_si512(both, _mm512_slli_epi32(both, 12));
    return _mm512_sub_epi8(_mm512_and_si512(both, each_byte(15)), each_byte(8));
}

ALWAYS void int4_sparse_block(int tokens, const uint8_t *w, const int_rows *r, int64_t b,
                              int64_t ahead, lane_sums *sums) {
    const vi planes[3] = {plane_of(w, 0), plane_of(w, 1), plane_of(w, 2)};
    vi offset = _mm512_setzero_si512();
    UNROLL
    for (int m = 0; m < 8; m++) {
        if (m < 6) fetch_lines(w, 64 * m, 64 * m + 64, ahead);
        vi control = int4_control(planes, m), weights = int4_weights(w, m);
        offset = add_dots(offset, each_byte(0x80), weights);
        UNROLL
        for (int t = 0; t < tokens; t++) {
            vi eight = vi_qword(r->x + t * r->down + 64 * b + 8 * m);
            sums->of[t] = add_dots(sums->of[t], _mm512_shuffle_epi8(eight, control), weights);
        }
    }
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums->of[t] = _mm512_sub_epi32(sums->of[t], offset);
}

/* The same of words: groups 4 p .. 4 p + 3, two in each half. Bytes 0..5 and 8..13 of a table: the
 * numbers of pairs. */
ALWAYS vi int4_words(const uint8_t *w, int p) {
    const vi group = _mm512_set1_epi16(0x0800);
    const __m256i *planes = (const __m256i *)(const void *)(w + 32);
    const vi halves = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(3), 1);
    if (p < 3) {
        vi both = _mm512_broadcast_i64x4(_mm256_loadu_si256(planes + p));
        return and_or(_mm512_srlv_epi16(both, halves), each_byte(7), group);
    }
    const vi fifth = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(5), 1);
    vi four = _mm512_srlv_epi16(_mm512_broadcast_i64x4(_mm256_loadu_si256(planes + 2)), fifth);
    four = and_or(four, each_byte(4), group);
    return and_or(_mm512_srli_epi16(vi_load(planes), 6), each_byte(3), four);
}

/* Sums of a block as dwords. */
ALWAYS void int4_tables_block(int tokens, const uint8_t *w, const int_rows *r, int64_t b,
                              int64_t ahead, lane_sums *sums) {
    vi all = _mm512_setzero_si512(); /* the sums of q, byte by byte */
    UNROLL
    for (int t = 0; t < tokens; t++)
        sums->of[t] = _mm512_setzero_si512();
    UNROLL
    for (int p = 0; p < 4; p++) {
        if (p < 3) fetch_lines(w, 128 * p, 128 * p + 128, ahead);
        vi both = vi_load(w + 128 + 64 * p), control = int4_words(w, p);
        vi first = _mm512_and_si512(both, each_byte(15));
        vi second = _mm512_and_si512(_mm512_srli_epi16(both, 4), each_byte(15));
        first = _mm512_sub_epi8(first, each_byte(8));
        second = _mm512_sub_epi8(second, each_byte(8));
        all = _mm512_add_epi8(all, _mm512_add_epi8(first, second));
        UNROLL
        for (int t = 0; t < tokens; t++) {
            const uint8_t *tables = r->x + t * r->down + 512 * b + 128 * p;
            vi x = _mm512_shuffle_epi8(vi_load(tables), control);
            vi y = _mm512_shuffle_epi8(vi_load(tables + 64), control);
            sums->of[t] = _mm512_add_epi16(sums->of[t], _mm512_maddubs_epi16(x, first));
            sums->of[t] = _mm512_add_epi16(sums->of[t], _mm512_maddubs_epi16(y, second));
        }
    }
    vi offset = _mm512_slli_epi16(_mm512_maddubs_epi16(each_byte(1), all), 7);
    UNROLL
    for (int t = 0; t < tokens; t++) {
        vi exact = _mm512_sub_epi16(sums->of[t], offset);
        sums->of[t] = _mm512_cvtepi16_epi32(
            _mm256_add_epi16(_mm512_castsi512_si256(exact), _mm512_extracti64x4_epi64(exact, 1)));
    }
}

/* Where tokens have their floats: up to KEPT_TOKENS in registers throughout a pass, more in memory,
 * where each block adds to them. */
#define KEPT_TOKENS 8

typedef struct kept_sums {
    vf of[KEPT_TOKENS];
} kept_sums;

ALWAYS void keep_sums(int tokens, const float *to, kept_sums *kept) {
    UNROLL
    for (int t = 0; t < tokens && tokens <= KEPT_TOKENS; t++)
        kept->of[t] = vf_load(to + 16 * t);
}
ALWAYS void put_sums(int tokens, const kept_sums *kept, float *to) {
    UNROLL
    for (int t = 0; t < tokens && tokens <= KEPT_TOKENS; t++)
        vf_store(to + 16 * t, kept->of[t]);
}
/* Adds a block's sum of token t times `both` scales. */
ALWAYS void add_sum(int tokens, int t, vi sum, vf both, kept_sums *kept, float *to) {
    vf a = _mm512_cvtepi32_ps(sum);
    if (tokens <= KEPT_TOKENS) {
        kept->of[t] = vf_fma(a, both, kept->of[t]);
        return;
    }
    vf_store(to + 16 * t, vf_fma(a, both, vf_load(to + 16 * t)));
    __asm__("" ::: "memory"); /* else gcc keeps a copy on the stack, and stores twice */
}

#ifdef STREAM_QUADS
#include "kernels/simd/stream_quads.inc.h"
#endif

ALWAYS void int4_blocks(bool sparse, bool tables, int tokens, const uint8_t *w, const int_rows *r,
                        int64_t blocks, int64_t ahead, float *to) {
    const int64_t bytes = sparse ? 384 : 544;
    kept_sums kept;
    keep_sums(tokens, to, &kept);
    for (int64_t b = 0; b < blocks; b++, w += bytes) {
        lane_sums sums;
        if (!tables) begin_sums(sparse, tokens, r, b, &sums);
        if (tables)
            int4_tables_block(tokens, w, r, b, ahead, &sums);
        else if (sparse)
            int4_sparse_block(tokens, w, r, b, ahead, &sums);
        else
            int4_dense_block(tokens, w, r, b, ahead, &sums);
        vf scales = scales_of(w, 0);
        UNROLL
        for (int t = 0; t < tokens; t++)
            add_sum(tokens, t, sums.of[t], vf_mul(scales, vf_set(scale_of_group(r, t, b))), &kept,
                    to);
    }
    put_sums(tokens, &kept, to);
}

ALWAYS void int4_pass(bool sparse, int tokens, const uint8_t *w, const int_rows *rows,
                      int64_t blocks, int64_t ahead, float *to) {
    const int_rows copy = *rows, *r = &copy; /* which no store to `to` may change */
    const bool tables = sparse && tokens <= WN_STREAM_TABLES && r->column > 1;
#ifdef STREAM_QUADS
    if (tables)
        quads_pass(tokens, true, w, r, blocks, ahead, to);
    else
        quads_pass(tokens, false, w, r, blocks, ahead, to);
#else
    if (tables)
        int4_blocks(sparse, true, tokens, w, r, blocks, ahead, to);
    else
        int4_blocks(sparse, false, tokens, w, r, blocks, ahead, to);
#endif
}

/* ---- x of a token, a byte a column: as it is for dense weights, plus 128 for 2:4 */

/* `all` bytes; to `offset` what a dense weight's offset adds. */
ALWAYS void lay_bytes(bool sparse, int64_t all, int32_t by, int8_t *q, uint8_t *offset) {
    int32_t sum = 0;
    for (int64_t c = 0; c < all; c++)
        sum += q[c];
    sum = sparse ? 0 : -by * sum;
    memcpy(offset, &sum, sizeof sum);
    for (int64_t c = 0; sparse && c < all; c++)
        q[c] = (int8_t)(q[c] ^ -128);
}

ALWAYS void lay_int8(bool sparse, int64_t columns, int8_t *row, uint8_t *offset) {
    lay_bytes(sparse, columns, 128, row, offset);
}

/* Of groups 4 p .. 4 p + 3 the first columns of pairs, then the second: 16 bytes of two groups,
 * each for two quarters of a register. */
ALWAYS void lay_tables(const int8_t *q, uint8_t *to) {
    const __m128i pick[2] = {_mm_setr_epi8(0, 0, 0, 1, 1, 2, 0, 0, 4, 4, 4, 5, 5, 6, 0, 0),
                             _mm_setr_epi8(1, 2, 3, 2, 3, 3, 0, 0, 5, 6, 7, 6, 7, 7, 0, 0)};
    for (int m = 0; m < 8; m++) {
        __m128i x = _mm_loadl_epi64((const __m128i *)(const void *)(q + 8 * m));
        x = _mm_xor_si128(x, _mm_set1_epi8((char)0x80));
        uint8_t *at = to + m / 2 * 128 + m % 2 * 32;
        for (int s = 0; s < 2; s++)
            _mm256_storeu_si256((__m256i *)(void *)(at + 64 * s),
                                _mm256_broadcastsi128_si256(_mm_shuffle_epi8(x, pick[s])));
    }
}

ALWAYS void lay_int4(bool sparse, int64_t column, const int8_t *q, uint8_t *to, uint8_t *offset) {
    if (column > 1) {
#ifdef STREAM_QUADS
        lay_quads(q, to);
#else
        lay_tables(q, to);
#endif
        return;
    }
    memcpy(to, q, WN_STREAM_GROUP);
    lay_bytes(sparse, WN_STREAM_GROUP, 8, (int8_t *)to, offset);
}
