// SPDX-License-Identifier: MIT
/* A block of outputs of a packed weight: two bits of the index and a shift make the address of the
 * panel's row that a kept weight meets, then there are only FMAs. Each element adds its products in
 * ascending order of the depth. Weights of BF16 become floats as they are broadcast. */
#include "kernels/simd/lanes24.inc.h"
#include "kernels/simd/packed24.h"
#include "kernels/simd/pick8.h"

#define SLICE_OUTPUTS 4 /* that take turns, at most */
#define AHEAD         4 /* outputs whose weights are being fetched */

/* How many take turns: what hides the latency of an FMA is independent sums, some 8 vectors, and
 * what limits them are registers. */
#if VECTOR_REGISTERS == 32
#define TURNS(vecs) ((vecs) > 6 ? 2 : (vecs) > 4 ? 3 : SLICE_OUTPUTS)
#else
#define TURNS(vecs) ((vecs) > 6 ? 1 : (vecs) > 3 ? 2 : (vecs) > 2 ? 3 : SLICE_OUTPUTS)
#endif

/* Groups of a chunk, whose index are a word, and of a slice of a whole tile: 32 KiB of vectors of
 * 64 bytes, 24 KiB of those of 32. */
#if VF == 16
#define CHUNK_GROUPS 16
#define SLICE_GROUPS 16
typedef uint64_t chunk_word;
#else
#define CHUNK_GROUPS 8
#define SLICE_GROUPS 24
typedef uint32_t chunk_word;
#endif

/* acc += weight times a row of the panel: row `slot` (two bits) of the group whose rows begin at
 * `rows`. The compiler must not see through the address: it would share parts of it between rows
 * and run out of registers for them. */
ALWAYS void add_row(int vecs, vf weight, const float *panel, size_t slot, int64_t first, vf *acc) {
    const float *row = panel + slot * VF * (size_t)vecs;
    __asm__("" : "+r"(row));
    row += first * VF * vecs;
    UNROLL
    for (int v = 0; v < vecs; v++)
        acc[v] = vf_fma(weight, vf_load(row + VF * v), acc[v]);
}

/* One of the two weights of a group, broadcast right before it is used: there is no register to
 * keep the other. */
ALWAYS vf broadcast_slot(bool half, const void *group, size_t slot) {
    if (!half) return vf_set(((const float *)group)[slot]);
    uint32_t bits;
    memcpy(&bits, group, sizeof bits);
#if VF == 16
    vi low = _mm512_slli_epi32(vi_set(bits), 16);
#else
    vi low = _mm256_slli_epi32(vi_set(bits), 16);
#endif
    return vf_of_bits(slot == 0 ? low : vi_and(vi_set(bits), vi_set(UINT32_C(0xFFFF0000))));
}

/* A weight is broadcast by a load or by a permutation of those of a few groups: simd/pick8.h. */
ALWAYS vf broadcast_weight(bool half, const void *values, vf picked, size_t i) {
    if (!half && PICKS(i)) return pick(picked, i % PICKED);
    return broadcast_slot(half, half_at(values, half, (int64_t)i / 2 * 2), i % 2);
}

/* Four groups of each of a few outputs, whose index are the low 16 of its bits. The two bits of
 * each slot count rows of the panel from its group's first. */
ALWAYS void add_four_groups(int outputs, int vecs, bool half, const void *const *values,
                            const uint64_t *bits, const float *panel, vf acc[][VECS]) {
    vf picked[SLICE_OUTPUTS];
    UNROLL
    for (size_t i = 0; i < 8; i++) {
        if (i % PICKED == 0) {
            EACH_OUTPUT(outputs,
                        picked[o] = half ? vf_zero() : read_picked((const float *)values[o] + i))
        }
        EACH_OUTPUT(outputs, add_row(vecs, broadcast_weight(half, values[o], picked[o], i), panel,
                                     bits[o] >> (2 * i) & 3, (int64_t)i / 2 * 4, acc[o]))
    }
}

/* One output of a slice: where its weights and its sums are. bits: the index of the chunk that is
 * next. It is read while the chunk before it is multiplied, and at the end of an output from
 * `following`, the index of the output whose turn comes: loads of an FMA that wait for their
 * address fill the queue that a load of the index would have to pass. */
typedef struct output24 {
    const void *values;
    const uint8_t *index, *following;
    const float *from; /* sums before the slice */
    float *to;         /* and behind it */
    uint64_t bits;
} output24;

ALWAYS uint64_t chunk_bits(const uint8_t *index) {
    chunk_word bits;
    memcpy(&bits, index, sizeof bits);
    return bits;
}

/* Where vectors are of 64 bytes, taking a bfloat16 weight apart costs a port of the FMAs. There
 * those of a chunk become floats in the first cache, 16 at a time, and are broadcast like others.
 */
#define WIDENS(half) ((half) && VF == 16)
typedef struct chunk24 {
    _Alignas(64) float of[2 * CHUNK_GROUPS];
} chunk24;

ALWAYS void widen_chunk(const void *values, chunk24 *chunk) {
    UNROLL
    for (int64_t i = 0; i < 2 * CHUNK_GROUPS; i += VF)
        vf_store(chunk->of + i, half_load((const uint16_t *)values + i));
}

/* Group g. */
ALWAYS void add_group(int vecs, bool half, const output24 *out, int64_t g, const float *rows,
                      vf *acc) {
    size_t nibble = (size_t)out->index[g / 2] >> (g % 2 * 4);
    const void *group = half_at(out->values, half, 2 * g);
    add_row(vecs, broadcast_slot(half, group, 0), rows, nibble & 3, 0, acc);
    add_row(vecs, broadcast_slot(half, group, 1), rows, nibble >> 2 & 3, 0, acc);
}

/* The groups after the last whole chunk. */
ALWAYS void add_last_groups(int outputs, int vecs, bool half, int64_t g, int64_t groups,
                            const output24 *out, const float *panel, vf acc[][VECS]) {
    for (; g + 4 <= groups; g += 4) {
        const void *values[SLICE_OUTPUTS];
        uint64_t bits[SLICE_OUTPUTS];
        UNROLL
        for (int o = 0; o < outputs; o++) {
            uint16_t two;
            memcpy(&two, out[o].index + g / 2, sizeof two);
            bits[o] = two;
            values[o] = half_at(out[o].values, half, 2 * g);
        }
        add_four_groups(outputs, vecs, half, values, bits, panel + g * 4 * VF * vecs, acc);
    }
    for (; g < groups; g++) {
        EACH_OUTPUT(outputs, add_group(vecs, half, &out[o], g, panel + g * 4 * VF * vecs, acc[o]))
    }
}

ALWAYS void take_sums(int vecs, bool first, const float *sums, vf *acc) {
    UNROLL
    for (int v = 0; v < vecs; v++)
        acc[v] = first ? vf_zero() : vf_load(sums + VF * v);
}
ALWAYS void put_sums(int vecs, const vf *acc, float *sums) {
    UNROLL
    for (int v = 0; v < vecs; v++)
        vf_store(sums + VF * v, acc[v]);
}

/* sums (+)= the products of a few outputs with the rows of a slice of the panel. They take turns,
 * so that narrow tiles have enough independent sums to hide the latency of an FMA. */
ALWAYS void add_outputs(int outputs, int vecs, bool half, int64_t groups, output24 *out,
                        const float *panel, bool first) {
    vf acc[SLICE_OUTPUTS][VECS];
    EACH_OUTPUT(outputs, take_sums(vecs, first, out[o].from, acc[o]))
    int64_t g = 0;
    for (; g + CHUNK_GROUPS <= groups; g += CHUNK_GROUPS) {
        bool more = g + 2 * CHUNK_GROUPS <= groups;
        uint64_t bits[SLICE_OUTPUTS];
        UNROLL
        for (int o = 0; o < outputs; o++) {
            bits[o] = out[o].bits;
            out[o].bits =
                chunk_bits(more ? out[o].index + (g + CHUNK_GROUPS) / 2 : out[o].following);
        }
        chunk24 chunk[SLICE_OUTPUTS];
        UNROLL
        for (int o = 0; WIDENS(half) && o < outputs; o++)
            widen_chunk(half_at(out[o].values, half, 2 * g), chunk + o);
        for (int64_t q = g; q < g + CHUNK_GROUPS; q += 4) {
            const void *values[SLICE_OUTPUTS];
            UNROLL
            for (int o = 0; o < outputs; o++)
                values[o] =
                    WIDENS(half) ? chunk[o].of + 2 * (q - g) : half_at(out[o].values, half, 2 * q);
            add_four_groups(outputs, vecs, half && !WIDENS(half), values, bits,
                            panel + q * 4 * VF * vecs, acc);
            UNROLL
            for (int o = 0; o < outputs; o++)
                bits[o] >>= 16;
        }
    }
    add_last_groups(outputs, vecs, half, g, groups, out, panel, acc);
    EACH_OUTPUT(outputs, put_sums(vecs, acc[o], out[o].to))
}

/* The rows of packed weights are far apart, and only a few lines of each are wanted in a slice: no
 * hardware prefetcher follows. */
ALWAYS void prefetch_output(bool half, const void *values, const uint8_t *index) {
    UNROLL
    for (int64_t i = 0; i < 2 * SLICE_GROUPS; i += half ? 32 : 16)
        _mm_prefetch(half_at(values, half, i), _MM_HINT_T0);
    _mm_prefetch((const char *)half_at(values, half, 2 * SLICE_GROUPS) - 1, _MM_HINT_T0);
    _mm_prefetch((const char *)index, _MM_HINT_T0);
}

/* Rows of the result are too short for hardware to foresee. */
ALWAYS void prefetch_result(int vecs, const float *row) {
    UNROLL
    for (int v = 0; v < vecs; v += 64 / (4 * VF))
        _mm_prefetch((const char *)(row + VF * v), _MM_HINT_T0);
}

/* Whether sums may go to rows of the result: who includes this says so. Where they only wait, one
 * address and a constant stride do, and registers are few. */
#ifndef WRITES_ROWS
#define WRITES_ROWS 0
#endif

ALWAYS float *row_at(int vecs, rows24 rows, int64_t i) {
    return rows.at + i * (WRITES_ROWS ? rows.stride : VF * vecs);
}

/* `count` packed rows from `row` on, in the slice that begins with group g. Row `next` has the turn
 * after them; bits: of their first chunks, and then of its. */
ALWAYS void add_slice(int count, int vecs, bool half, const packed24 *p, const float *panel,
                      int64_t row, int64_t next, int64_t g, int64_t groups, rows24 from, rows24 to,
                      bool first, uint64_t *bits) {
    int64_t length = 2 * p->groups, bytes = p->bytes;
    output24 out[SLICE_OUTPUTS];
    UNROLL
    for (int i = 0; i < count; i++) {
        out[i].values = half_at(p->values, half, (row + i) * length + 2 * g);
        out[i].index = p->index + (row + i) * bytes + g / 2;
        out[i].following = p->index + (next + i) * bytes + g / 2;
        out[i].from = row_at(vecs, from, i);
        out[i].to = WRITES_ROWS ? row_at(vecs, to, i) : row_at(vecs, from, i);
        out[i].bits = bits[i];
        prefetch_output(half, half_at(out[i].values, half, AHEAD * length),
                        out[i].index + AHEAD * bytes);
        if (WRITES_ROWS && to.stride != VF * vecs)
            prefetch_result(vecs, out[i].to + 2 * AHEAD * to.stride);
    }
    add_outputs(count, vecs, half, groups, out, panel + g * 4 * VF * vecs, first);
    UNROLL
    for (int i = 0; i < count; i++)
        bits[i] = out[i].bits;
}

/* Rows from `row` to `end` in turns of `count`; returns the first that is left over. */
ALWAYS int64_t add_rows(int count, int vecs, bool half, const packed24 *p, const float *panel,
                        int64_t row, int64_t end, int64_t g, int64_t groups, rows24 from, rows24 to,
                        bool first) {
    uint64_t bits[SLICE_OUTPUTS] = {0};
    if (row + count > end) return row;
    UNROLL
    for (int i = 0; i < count; i++)
        if (groups >= CHUNK_GROUPS) bits[i] = chunk_bits(p->index + (row + i) * p->bytes + g / 2);
    for (; row + count <= end; row += count) {
        int64_t next = row + 2 * count <= end ? row + count : row;
        add_slice(count, vecs, half, p, panel, row, next, g, groups, from, to, first, bits);
        from.at = row_at(vecs, from, count);
        to.at = row_at(vecs, to, count);
    }
    return row;
}

/* All outputs of a block, slice after slice. A narrow tile has longer slices, and outputs in turns.
 */
ALWAYS void add_block(int vecs, bool half, const packed24 *p, const float *panel, int64_t o0,
                      int64_t outputs, rows24 sums, rows24 out) {
    const int64_t slice = SLICE_GROUPS * VECS / vecs / CHUNK_GROUPS * CHUNK_GROUPS;
    const int turns = TURNS(vecs);
    int64_t extra, end = extras_of(p, o0, outputs, &extra);
    for (int64_t g = 0; g < p->groups; g += slice) {
        int64_t groups = at_most(p->groups - g, slice), last = o0 + outputs;
        rows24 to = WRITES_ROWS && g + groups == p->groups ? out : sums;
        int64_t left = add_rows(turns, vecs, half, p, panel, o0, last, g, groups, sums, to, g == 0);
        add_rows(1, vecs, half, p, panel, left, last, g, groups, rows_from(sums, left - o0),
                 rows_from(to, left - o0), g == 0);
        for (int64_t e = extra; e < end; e++) {
            rows24 row = rows_from(to, p->extra[e] - o0);
            add_rows(1, vecs, half, p, panel, p->first_extra + e, p->first_extra + e + 1, g, groups,
                     row, row, false);
        }
    }
}

BLOCK24(8)
BLOCK24(7)
BLOCK24(6)
BLOCK24(5)
BLOCK24(4)
BLOCK24(3)
BLOCK24(2)
BLOCK24(1)

/* half: values are of BF16. */
static void packed24_block(bool half, const packed24 *p, int64_t width, const float *panel,
                           int64_t o0, int64_t outputs, rows24 sums, rows24 out) {
    static void (*const of[])(bool, const packed24 *, const float *, int64_t, int64_t, rows24,
                              rows24) = {block_1, block_2, block_3, block_4,
                                         block_5, block_6, block_7, block_8};
    of[width / VF - 1](half, p, panel, o0, outputs, sums, out);
}
