// SPDX-License-Identifier: MIT
/* A block of outputs of a packed weight, of bfloat16 numbers two at a time: the two kept weights of
 * a group are a pair already, and each of the six pairs of columns that they may meet is a row of a
 * slice, made of the panel's pairs for all outputs of the block. A group then is one instruction a
 * vector straight from memory, half of what a dense product takes. Each element adds its groups in
 * ascending order. */
#include "kernels/simd/packed24.h"
#include "kernels/simd/pairs24_two.h"

#define NO_PAIRS UINT64_C(0x4444444444444444) /* an index that names rows that exist */
#define AHEAD    14                           /* outputs whose weights are being fetched */

/* acc += a pair of weights times the row whose bytes begin at `row`, group `g` of a slice. */
ALWAYS void add_pair(int vecs, __m256i weights, const float *slice, uint64_t bits, int g,
                     __m256 *acc) {
    const int row_bytes = vecs * HALF_VF * (int)sizeof(float);
    uint64_t row = (bits >> (4 * g) & 15) * (unsigned)row_bytes;
    /* The compiler must not see through the address: it would share parts of it between rows and
     * run out of registers for them. */
    __asm__("" : "+r"(row));
    const char *at = (const char *)slice + row + 7 * g * row_bytes;
    UNROLL
    for (int v = 0; v < vecs; v++) {
        add_products(acc + v, weights, at + 32 * v);
    }
}

/* At most eight groups from `g` on of a few outputs, whose pairs are in `eight`. */
ALWAYS void add_groups(int groups, int outputs, int vecs, const __m256i *lane, const __m256i *eight,
                       const uint64_t *bits, const float *slice, int g, __m256 acc[][WIDTH_VECS]) {
    UNROLL
    for (int i = 0; i < groups; i++) {
        EACH_OUTPUT(outputs, add_pair(vecs, _mm256_permutevar8x32_epi32(eight[o], lane[i]), slice,
                                      bits[o], g + i, acc[o]))
    }
}

/* The pairs of a slice of a row, and its index; zeros where it has no more groups. */
ALWAYS vi slice_pairs(bool half, const packed24 *p, int64_t row, int64_t g, int64_t groups) {
    return vi_bits(pairs_get(p->values, half, row * 2 * p->groups + 2 * g, 2 * groups));
}
ALWAYS uint64_t slice_bits(const packed24 *p, int64_t row, int64_t g, int64_t groups) {
    const uint8_t *index = p->index + row * p->bytes + g / 2;
    uint64_t bits = 0;
    if (groups == SLICE_GROUPS) {
        memcpy(&bits, index, sizeof bits);
        return bits;
    }
    __mmask16 bytes = (__mmask16)((1U << (groups + 1) / 2) - 1);
    bits = (uint64_t)_mm_cvtsi128_si64(_mm_maskz_loadu_epi8(bytes, index));
    uint64_t exist = (UINT64_C(1) << (4 * groups)) - 1;
    return (bits & exist) | (NO_PAIRS & ~exist);
}

/* The weights and the index that are fetched next: those of `left` rows, then of rows that begin
 * elsewhere. */
typedef struct fetch24 {
    const char *values, *index, *then_values, *then_index;
    int64_t left;
    bool begins; /* rows of weights need not begin with a line */
} fetch24;

/* For the slice from group g on of rows o0 .. o0 + outputs - 1: the slice after it follows, after
 * the last one the first of the rows that come next. */
ALWAYS fetch24 fetch_after(bool half, const packed24 *p, int64_t o0, int64_t outputs, int64_t g) {
    const bool last = g + SLICE_GROUPS >= p->groups;
    const int64_t row = o0 + at_most(AHEAD, outputs - 1), then = last ? o0 + outputs : o0,
                  then_g = last ? 0 : g + SLICE_GROUPS;
    return (fetch24){half_at(p->values, half, row * 2 * p->groups + 2 * g),
                     (const char *)p->index + row * p->bytes + g / 2,
                     half_at(p->values, half, then * 2 * p->groups + 2 * then_g),
                     (const char *)p->index + then * p->bytes + then_g / 2,
                     o0 + outputs - row,
                     p->groups % SLICE_GROUPS != 0};
}

/* Rows of a pack are far apart and a line or two of each are wanted in a slice, which no prefetcher
 * of the hardware foresees, least of all from the last row of a slice to the first of the next. */
ALWAYS void fetch_weights(bool half, const packed24 *p, fetch24 *f) {
    const int64_t bytes = SLICE_GROUPS * (half ? 4 : 8);
    if (f->begins) _mm_prefetch(f->values, _MM_HINT_T0);
    UNROLL
    for (int64_t i = 64; i <= bytes; i += 64)
        _mm_prefetch(f->values + i - 1, _MM_HINT_T0);
    _mm_prefetch(f->index, _MM_HINT_T0);
    f->values += p->groups * (half ? 4 : 8);
    f->index += p->bytes;
    if (--f->left == 0) {
        f->values = f->then_values;
        f->index = f->then_index;
    }
}

/* sums (+)= the products of a few rows with a slice. Their index has been read while the rows
 * before them were multiplied; that of rows `next` is read now: loads that wait for their address
 * fill the queue that a load of the index would have to pass. */
ALWAYS void add_outputs(int outputs, int vecs, bool half, const packed24 *p, const float *slice,
                        int64_t row, int64_t next, int64_t g, int64_t groups, rows24 from,
                        rows24 to, bool first, const __m256i *lane, uint64_t *bits,
                        fetch24 *fetch) {
    __m256 acc[SLICE_OUTPUTS][WIDTH_VECS];
    __m256i low[SLICE_OUTPUTS], high[SLICE_OUTPUTS];
    uint64_t now[SLICE_OUTPUTS];
    UNROLL
    for (int i = 0; i < outputs; i++) {
        vi pairs = slice_pairs(half, p, row + i, g, groups);
        low[i] = _mm512_castsi512_si256(pairs);
        high[i] = _mm512_extracti64x4_epi64(pairs, 1);
        now[i] = bits[i];
        bits[i] = slice_bits(p, next + i, g, groups);
        if (fetch) fetch_weights(half, p, fetch);
    }
    EACH_OUTPUT(outputs, take_sums(vecs, first, from.at + o * from.stride, acc[o]))
    if (vecs >= 6 && groups <= 4) {
        add_groups(4, outputs, vecs, lane, low, now, slice, 0, acc);
    } else {
        add_groups(EIGHT, outputs, vecs, lane, low, now, slice, 0, acc);
        if (groups > EIGHT) add_groups(EIGHT, outputs, vecs, lane, high, now, slice, EIGHT, acc);
    }
    EACH_OUTPUT(outputs, put_sums(vecs, acc[o], to.at + o * to.stride))
}

/* Rows from `row` to `end` in turns of `outputs`; returns the first that is left over. */
ALWAYS int64_t add_rows_of(int outputs, int vecs, bool half, const packed24 *p, const float *slice,
                           int64_t row, int64_t end, int64_t g, int64_t groups, rows24 from,
                           rows24 to, bool first, fetch24 *fetch) {
    uint64_t bits[SLICE_OUTPUTS] = {0};
    __m256i lane[EIGHT];
    if (row + outputs > end) return row;
    UNROLL
    for (int i = 0; i < outputs; i++)
        bits[i] = slice_bits(p, row + i, g, groups);
    UNROLL
    for (int i = 0; i < EIGHT; i++) {
        lane[i] = _mm256_set1_epi32(i);
        __asm__("" : "+v"(lane[i])); /* to stay in its register */
    }
    for (; row + outputs <= end; row += outputs) {
        int64_t next = row + 2 * outputs <= end ? row + outputs : row;
        add_outputs(outputs, vecs, half, p, slice, row, next, g, groups, from, to, first, lane,
                    bits, fetch);
        from.at += outputs * from.stride;
        to.at += outputs * to.stride;
    }
    return row;
}

/* Two at a time of rows of six or eight vectors, in a whole slice; returns the row that is left
 * over. */
ALWAYS int64_t add_whole_rows(int vecs, const packed24 *p, const float *slice, int64_t row,
                              int64_t end, int64_t g, rows24 from, rows24 to, bool first) {
    const rows_of_pairs24 r = {.slice = slice,
                               .pairs = half_at(p->values, true, row * 2 * p->groups + 2 * g),
                               .index = (const char *)p->index + row * p->bytes + g / 2,
                               .row = 4 * p->groups,
                               .index_row = p->bytes,
                               .count = (end - row) / 2 * 2,
                               .from = from.at,
                               .to = to.at,
                               .stride = to.stride * (int64_t)sizeof(float),
                               .sums_exist = first ? 0 : -1};
    if (r.count > 0 && vecs == 8 && from.lanes <= 7 * HALF_VF)
        rows_of_pairs_7(&r);
    else if (r.count > 0 && vecs == 8)
        rows_of_pairs_8(&r);
    else if (r.count > 0)
        rows_of_pairs_6(&r);
    return row + r.count;
}

/* A whole slice is a case of its own: its numbers are known. */
ALWAYS int64_t add_rows(int outputs, int vecs, bool half, const packed24 *p, const float *slice,
                        int64_t row, int64_t end, int64_t g, rows24 from, rows24 to, bool first,
                        fetch24 *fetch) {
    if (g + SLICE_GROUPS <= p->groups && half && outputs == 2 && vecs >= 6)
        return add_whole_rows(vecs, p, slice, row, end, g, from, to, first);
    if (g + SLICE_GROUPS <= p->groups)
        return add_rows_of(outputs, vecs, half, p, slice, row, end, g, SLICE_GROUPS, from, to,
                           first, fetch);
    return add_rows_of(outputs, vecs, half, p, slice, row, end, g, p->groups - g, from, to, first,
                       fetch);
}

/* The first rows of a slice that the next one will not find fetched: rows_of_pairs24 fetches those
 * of its own slice only. */
ALWAYS void fetch_first_rows(const packed24 *p, int64_t row, int64_t rows, int64_t g) {
    for (int64_t i = row; i < row + at_most(rows, ROWS_AHEAD); i++) {
        const char *pairs = half_at(p->values, true, i * 2 * p->groups + 2 * g);
        _mm_prefetch(pairs, _MM_HINT_T0);
        _mm_prefetch(pairs + 4 * SLICE_GROUPS - 1, _MM_HINT_T0);
        _mm_prefetch((const char *)p->index + i * p->bytes + g / 2, _MM_HINT_T0);
    }
}

/* All outputs of a block, slice after slice. */
ALWAYS void add_block(int vecs, bool half, const packed24 *p, const float *panel, int64_t o0,
                      int64_t outputs, rows24 sums, rows24 out) {
    const int64_t width = HALF_VF * vecs, last = o0 + outputs;
    const int turns = vecs > WIDTH_VECS / 2 ? 2 : SLICE_OUTPUTS;
    int64_t extra, end = extras_of(p, o0, outputs, &extra);
    slice24 slice;
    for (int64_t g = 0; g < p->groups; g += SLICE_GROUPS) {
        if (half && vecs >= 6) fetch_first_rows(p, o0, outputs, g);
        write_slice(width, panel + g * 2 * width, at_most(p->groups - g, SLICE_GROUPS), slice.row);
        rows24 to = g + SLICE_GROUPS >= p->groups ? out : sums;
        fetch24 fetch = fetch_after(half, p, o0, outputs, g);
        int64_t left =
            add_rows(turns, vecs, half, p, slice.row, o0, last, g, sums, to, g == 0, &fetch);
        add_rows(1, vecs, half, p, slice.row, left, last, g, rows_from(sums, left - o0),
                 rows_from(to, left - o0), g == 0, &fetch);
        for (int64_t e = extra; e < end; e++) {
            rows24 row = rows_from(to, p->extra[e] - o0);
            add_rows(1, vecs, half, p, slice.row, p->first_extra + e, p->first_extra + e + 1, g,
                     row, row, false, NULL);
        }
    }
}

BLOCK24(8)
BLOCK24(6)
BLOCK24(4)
BLOCK24(2)

/* half: values are of BF16. */
static void packed24_block(bool half, const packed24 *p, int64_t width, const float *panel,
                           int64_t o0, int64_t outputs, rows24 sums, rows24 out) {
    if (width == 8 * HALF_VF)
        block_8(half, p, panel, o0, outputs, sums, out);
    else if (width == 6 * HALF_VF)
        block_6(half, p, panel, o0, outputs, sums, out);
    else if (width == 4 * HALF_VF)
        block_4(half, p, panel, o0, outputs, sums, out);
    else
        block_2(half, p, panel, o0, outputs, sums, out);
}
