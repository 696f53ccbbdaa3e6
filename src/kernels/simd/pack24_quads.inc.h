// SPDX-License-Identifier: MIT
/* Both packed forms of a step of tiles for pack24.inc.h, 256 bits wide. A row of a tile is four
 * floats, and so is a column once the tile has been turned round: one permutation of 16 bytes,
 * found in a table by the mask, puts what is kept in front. That is as wide as these processors'
 * units often are. A column's values go straight to its line. */

/* Controls that move the two slots of a mask to bytes 0..7 and zero the rest, and that move them to
 * bytes 8..15. A slot that nothing is kept for is zero. */
#define SLOT_(i) 4 * (i), 4 * (i) + 1, 4 * (i) + 2, 4 * (i) + 3
#define NONE_    0x80, 0x80, 0x80, 0x80
#define PICK_(a, b)                                                                                \
    {a, b, NONE_, NONE_}, {                                                                        \
        NONE_, NONE_, a, b                                                                         \
    }
static const _Alignas(64) uint8_t quad_picks[16][2][16] = {
    {PICK_(NONE_, NONE_)},       {PICK_(SLOT_(0), NONE_)},    {PICK_(SLOT_(1), NONE_)},
    {PICK_(SLOT_(0), SLOT_(1))}, {PICK_(SLOT_(2), NONE_)},    {PICK_(SLOT_(0), SLOT_(2))},
    {PICK_(SLOT_(1), SLOT_(2))}, {PICK_(NONE_, NONE_)},       {PICK_(NONE_, SLOT_(3))},
    {PICK_(SLOT_(0), SLOT_(3))}, {PICK_(SLOT_(1), SLOT_(3))}, {PICK_(NONE_, NONE_)},
    {PICK_(SLOT_(2), SLOT_(3))}, {PICK_(NONE_, NONE_)},       {PICK_(NONE_, NONE_)},
    {PICK_(NONE_, NONE_)},
};
#undef PICK_
#undef NONE_
#undef SLOT_

/* The slots of four floats as the first (half 0) or the last 8 bytes; mask16: 16 times the mask. */
ALWAYS __m128i quad_slots(__m128i four, unsigned mask16, int half) {
    const char *picks = (const char *)quad_picks + 2 * (size_t)mask16 + 16 * half;
    return _mm_shuffle_epi8(four, _mm_load_si128((const __m128i *)(const void *)picks));
}
ALWAYS __m128i quad_load(const float *p) {
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
/* 16 times the masks of the rows of each tile, or of its columns, four bytes a tile. */
ALWAYS void quad_masks(vi bits, uint8_t masks[4 * VF]) {
    _mm256_storeu_si256((__m256i *)(void *)masks, vi_up(spread_nibbles(bits), 4));
}

/* The row-wise form of a step, but for its bytes; row[i] begins at its first column. whole: all of
 * the step exists. */
ALWAYS void store_rows(const step24 *to, const float *const row[4], vi bits, bool whole,
                       bool stream) {
    uint8_t masks[4 * VF];
    quad_masks(bits, masks);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        float *values = to->values + i * to->values_stride, rest[2 * VF];
        if (!whole && i >= to->rows) break;
#pragma GCC unroll 4
        for (int t = 0; t < VF; t += 2) {
            __m128i two =
                _mm_or_si128(quad_slots(quad_load(row[i] + 4 * t), masks[4 * t + i], 0),
                             quad_slots(quad_load(row[i] + 4 * t + 4), masks[4 * t + 4 + i], 1));
            float *at = (whole ? values : rest) + 2 * t;
            if (whole && stream)
                _mm_stream_ps(at, _mm_castsi128_ps(two));
            else
                _mm_storeu_ps(at, _mm_castsi128_ps(two));
        }
        if (!whole) memcpy(values, rest, 2 * (size_t)to->tiles * sizeof *rest);
    }
}

/* The column-wise form of a step, for the time being. */
ALWAYS void keep_quads(const float *const row[4], vi bits, item24 *item, int64_t block,
                       int64_t column) {
    float(*line)[2 * STRIP_BLOCKS] = item->line + column;
    const int64_t v = block % STRIP_BLOCKS * 2;
    uint8_t masks[4 * VF];
    vi turned = turn_bits(bits);
    quad_masks(turned, masks);
#pragma GCC unroll 8
    for (int t = 0; t < VF; t++) {
        __m128i a = quad_load(row[0] + 4 * t), b = quad_load(row[1] + 4 * t);
        __m128i c = quad_load(row[2] + 4 * t), d = quad_load(row[3] + 4 * t);
        __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d);
        __m128i high_ab = _mm_unpackhi_epi32(a, b), high_cd = _mm_unpackhi_epi32(c, d);
        const __m128i down[4] = {_mm_unpacklo_epi64(ab, cd), _mm_unpackhi_epi64(ab, cd),
                                 _mm_unpacklo_epi64(high_ab, high_cd),
                                 _mm_unpackhi_epi64(high_ab, high_cd)};
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            _mm_storel_epi64((__m128i *)(void *)&line[4 * t + j][v],
                             quad_slots(down[j], masks[4 * t + j], 0));
    }
    store_lanes(lanes_lookup(wn__nibble_of_mask24, spread_nibbles(turned)),
                &item->nibble[block][column]);
}

/* Both forms of a step, two of each four. */
ALWAYS void store_forms(const step24 *to, const float *const row[4], vi bits, item24 *item,
                        int64_t block, int64_t column, bool whole, bool stream) {
    store_rows(to, row, bits, whole, stream);
    store_row_bytes(to, bits, whole);
    keep_quads(row, bits, item, block, column);
}

/* A strip of n values for each of the item's columns; to is the first column's. */
ALWAYS void write_lines(const item24 *item, float *to, int64_t down, int64_t n, int64_t columns,
                        bool stream) {
    for (int64_t j = 0; j < columns; j++, to += down) {
        const float *line = item->line[j];
        if (stream) {
            vf_stream(to, vf_load(line));
            vf_stream(to + VF, vf_load(line + VF));
        } else if (n == 2 * STRIP_BLOCKS) {
            vf_store(to, vf_load(line));
            vf_store(to + VF, vf_load(line + VF));
        } else {
            memcpy(to, line, (size_t)n * sizeof *to);
        }
    }
}
