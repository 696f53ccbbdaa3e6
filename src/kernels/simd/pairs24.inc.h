// SPDX-License-Identifier: MIT
/* A block of outputs of a packed weight, of bfloat16 numbers two at a time: the two kept weights of
 * a group are a pair already, and each of the six pairs of columns that they may meet is a row of a
 * slice, made of the panel's pairs for all outputs of the block. A group then is one instruction a
 * vector straight from memory, half of what a dense product takes.
 *
 * A slice has six rows of every seven: group g's pair (i, j), whose nibble is i | j << 2, is row
 * 7 g + nibble. The six nibbles are 4, 8, 9, 12, 13 and 14, no two of them equal modulo 7, so no
 * two groups want the same row, and no table stands between a nibble and its address. Vectors are
 * of 32 bytes: a Zen 4 loads two of those a cycle, as many as it multiplies. Each element adds its
 * groups in ascending order. */
#include "kernels/simd/lanes24.inc.h"
#include "kernels/simd/packed24.h"

#define HALF_VF       8
#define SLICE_GROUPS  16 /* their pairs are a vector, their index is a word */
#define EIGHT         8  /* pairs of half a vector */
#define SLICE_ROWS    (7 * (SLICE_GROUPS - 1) + 15)
#define SLICE_OUTPUTS 4                            /* that take turns, at most */
#define WIDTH_VECS    (WN_PAIRS_LANES / HALF_VF)   /* of a whole tile */
#define NO_PAIRS      UINT64_C(0x4444444444444444) /* an index that names rows that exist */
#define AHEAD         4                            /* outputs whose weights are being fetched */

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

/* Eight groups from `g` on of a few outputs, whose pairs are in `eight`. */
ALWAYS void add_eight(int outputs, int vecs, const __m256i *lane, const __m256i *eight,
                      const uint64_t *bits, const float *slice, int g, __m256 acc[][WIDTH_VECS]) {
    UNROLL
    for (int i = 0; i < EIGHT; i++) {
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
    memcpy(&bits, index, (size_t)(groups + 1) / 2);
    uint64_t exist = (UINT64_C(1) << (4 * groups)) - 1;
    return (bits & exist) | (NO_PAIRS & ~exist);
}

/* sums (+)= the products of a few rows with a slice. Their index has been read while the rows
 * before them were multiplied; that of rows `next` is read now: loads that wait for their address
 * fill the queue that a load of the index would have to pass. */
ALWAYS void add_outputs(int outputs, int vecs, bool half, const packed24 *p, const float *slice,
                        int64_t row, int64_t next, int64_t g, int64_t groups, rows24 from,
                        rows24 to, bool first, const __m256i *lane, uint64_t *bits) {
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
        _mm_prefetch(half_at(p->values, half, (row + AHEAD + i) * 2 * p->groups + 2 * g),
                     _MM_HINT_T0);
        _mm_prefetch((const char *)p->index + (row + AHEAD + i) * p->bytes + g / 2, _MM_HINT_T0);
    }
    EACH_OUTPUT(outputs, take_sums(vecs, first, from.at + o * from.stride, acc[o]))
    add_eight(outputs, vecs, lane, low, now, slice, 0, acc);
    add_eight(outputs, vecs, lane, high, now, slice, EIGHT, acc);
    EACH_OUTPUT(outputs, put_sums(vecs, acc[o], to.at + o * to.stride))
}

/* Rows from `row` to `end` in turns of `outputs`; returns the first that is left over. */
ALWAYS int64_t add_rows_of(int outputs, int vecs, bool half, const packed24 *p, const float *slice,
                           int64_t row, int64_t end, int64_t g, int64_t groups, rows24 from,
                           rows24 to, bool first) {
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
                    bits);
        from.at += outputs * from.stride;
        to.at += outputs * to.stride;
    }
    return row;
}

/* A whole slice is a case of its own: its numbers are known. */
ALWAYS int64_t add_rows(int outputs, int vecs, bool half, const packed24 *p, const float *slice,
                        int64_t row, int64_t end, int64_t g, rows24 from, rows24 to, bool first) {
    if (g + SLICE_GROUPS <= p->groups)
        return add_rows_of(outputs, vecs, half, p, slice, row, end, g, SLICE_GROUPS, from, to,
                           first);
    return add_rows_of(outputs, vecs, half, p, slice, row, end, g, p->groups - g, from, to, first);
}

/* All outputs of a block, slice after slice. */
ALWAYS void add_block(int vecs, bool half, const packed24 *p, const float *panel, int64_t o0,
                      int64_t outputs, rows24 sums, rows24 out) {
    const int64_t width = HALF_VF * vecs, last = o0 + outputs;
    const int turns = vecs > WIDTH_VECS / 2 ? 2 : SLICE_OUTPUTS;
    int64_t extra, end = extras_of(p, o0, outputs, &extra);
    slice24 slice;
    for (int64_t g = 0; g < p->groups; g += SLICE_GROUPS) {
        write_slice(width, panel + g * 2 * width, at_most(p->groups - g, SLICE_GROUPS), slice.row);
        rows24 to = g + SLICE_GROUPS >= p->groups ? out : sums;
        int64_t left = add_rows(turns, vecs, half, p, slice.row, o0, last, g, sums, to, g == 0);
        add_rows(1, vecs, half, p, slice.row, left, last, g, rows_from(sums, left - o0),
                 rows_from(to, left - o0), g == 0);
        for (int64_t e = extra; e < end; e++) {
            rows24 row = rows_from(to, p->extra[e] - o0);
            add_rows(1, vecs, half, p, slice.row, p->first_extra + e, p->first_extra + e + 1, g,
                     row, row, false);
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
