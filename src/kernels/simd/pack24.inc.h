// SPDX-License-Identifier: MIT
/* pack24 for F32, both forms in one pass over w. Rows: a step of VF groups becomes 2 VF values, an
 * entry of w that is not kept is read as zero, so a slot that points at it needs no case of its
 * own. Columns: of four rows each column keeps two entries at most; they wait until 32 rows have
 * filled a cache line of every column, are transposed and written at once. AVX-512 compresses each
 * row and each column by itself; AVX2 permutes
 * each row and each column of a tile, four floats, by its mask. */
#include "base/fail.h"
#include "kernels/pack24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/tiles24.h"

#include <stdatomic.h>

#define STRIP_BLOCKS 8  /* blocks of 4 rows: 16 values, one line, for a column */
#define ITEM_BLOCKS  32 /* of a block of work: four strips, 16 bytes of index for a column */
#define ITEM_COLUMNS 256
/* Outputs from this size on go past the caches. Packs of a weight are read when the model comes to
 * its layer again, and their lines are most often in the cache of whoever read them last, from
 * where it costs more to fetch them than to write memory. Packs of tokens are read at once, so they
 * stay unless they would only throw out what is still needed. */
#define WEIGHT_STREAM_BYTES (1 << 20)
#define TOKENS_STREAM_BYTES (8 << 20)

typedef struct pack24_job {
    const wn__pack24 *p;
    int64_t across; /* items side by side */
    bool stream_rows, stream_columns;
    atomic_bool bad; /* the mask keeps too much somewhere */
} pack24_job;

/* What an item keeps of its columns: the values of a strip, with room between rows that would share
 * cache sets, or as lines of columns, and the nibbles of all blocks, 0xE for those that do not
 * exist. */
typedef struct item24 {
    union {
        _Alignas(64) float kept[2 * STRIP_BLOCKS][ITEM_COLUMNS + 16];
        _Alignas(64) float line[ITEM_COLUMNS][2 * STRIP_BLOCKS];
    };
    _Alignas(64) uint8_t nibble[ITEM_BLOCKS][ITEM_COLUMNS];
} item24;

/* What came from tiles lies in `kept` as lanes hold it, 16 of them: a step's columns 0 of all
 * tiles, then its columns 1, and so on. The column at place i of a step; */
ALWAYS int64_t column_at(bool tiles, int64_t i) {
    return tiles ? 4 * tile_of_lane(i % VF) + i / VF : i;
}
/* and how far the column of the l-th lane after it is. */
ALWAYS int64_t lane_distance(bool tiles, int64_t l) {
    return tiles ? 4 * tile_of_lane(l) : l;
}

/* ---- The mask is legal: nothing is written before all of it was seen. */

ALWAYS __m256i bytes_load(const uint8_t *p, int64_t n) {
    if (n >= 32) return _mm256_loadu_si256((const __m256i *)(const void *)p);
    _Alignas(32) uint8_t bytes[32] = {0};
    memcpy(bytes, p, (size_t)n);
    return _mm256_load_si256((const __m256i *)(const void *)bytes);
}

/* Nonzero bytes: groups with three columns or more, or with bits 4 to 7. */
ALWAYS __m256i crowded_groups(__m256i mask) {
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1));
    return _mm256_or_si256(_mm256_shuffle_epi8(table, mask),
                           _mm256_and_si256(mask, _mm256_set1_epi8((char)0xF0)));
}

/* The columns that three or four of the rows keep. */
ALWAYS __m256i crowded_columns(const __m256i row[4]) {
    __m256i a = _mm256_and_si256(row[0], row[1]), b = _mm256_and_si256(row[2], row[3]);
    return _mm256_or_si256(_mm256_and_si256(a, _mm256_or_si256(row[2], row[3])),
                           _mm256_and_si256(b, _mm256_or_si256(row[0], row[1])));
}

/* Blocks of 4 rows of the mask. */
static void look_at_mask(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    pack24_job *job = ctx;
    const wn__pack24 *p = job->p;
    int64_t r = p->mask.shape[0], groups = p->mask.shape[1], last = p->w.shape[1] % 4;
    bool columns = wn__given(&p->values_t), bad = false;
    for (int64_t block = begin; block < end; block++) {
        const uint8_t *mask = (const uint8_t *)p->mask.data + 4 * block * groups;
        int64_t rows = clamp24(r - 4 * block, 4);
        __m256i found = _mm256_setzero_si256();
        for (int64_t g = 0; g < groups; g += 32) {
            __m256i row[4];
            for (int64_t i = 0; i < 4; i++) {
                row[i] = i < rows ? bytes_load(mask + i * groups + g, clamp24(groups - g, 32))
                                  : _mm256_setzero_si256();
                found = _mm256_or_si256(found, crowded_groups(row[i]));
            }
            if (columns) found = _mm256_or_si256(found, crowded_columns(row));
        }
        bad |= !_mm256_testz_si256(found, found);
        for (int64_t i = 0; last > 0 && i < rows; i++)
            bad |= mask[i * groups + groups - 1] >> last != 0;
    }
    if (bad) atomic_store_explicit(&job->bad, true, memory_order_relaxed);
}

/* ---- Reading what is kept */

#if VF == 16
/* Entries of a row that the low bits of keep name, +0 elsewhere; only those are touched. */
ALWAYS vf load_kept(const float *w, keep24 keep) {
    return _mm512_maskz_loadu_ps((__mmask16)keep, w);
}
/* Past the caches. */
ALWAYS void vf_stream(float *p, vf a) {
    _mm512_stream_ps(p, a);
}
#else
/* The sign of lane j: bit j. */
ALWAYS vi signs_of(keep24 keep) {
    return _mm256_sllv_epi32(vi_set((int)keep), _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24));
}
ALWAYS vf load_kept(const float *w, keep24 keep) {
    return _mm256_maskload_ps(w, signs_of(keep));
}
ALWAYS void vf_stream(float *p, vf a) {
    _mm256_stream_ps(p, a);
}
#endif

#if VF == 16
/* The 2 VF slots of a step, from its entries and its nibbles. */
ALWAYS void gather_slots(const float *w, keep24 keep, keep24 nibbles, vf out[2]) {
    const __m512i shift =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i group =
        _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        __m512i slot = _mm512_srlv_epi32(vi_set((int)(nibbles >> 32 * h)), shift);
        slot = _mm512_ternarylogic_epi32(slot, vi_set(3), group, 0xEA); /* slot & 3 | group */
        out[h] = _mm512_permutex2var_ps(load_kept(w + 32 * h, keep >> 32 * h), slot,
                                        load_kept(w + 32 * h + 16, keep >> (32 * h + 16)));
    }
}

/* A step of n groups of one row. */
ALWAYS void pack_row(const float *w, __m128i mask, keep24 keep, int64_t n, bool stream,
                     float *values, uint8_t *index) {
    vf out[2];
    keep24 nibbles = join_nibbles(groups_lookup(wn__nibble_of_mask24, mask));
    gather_slots(w, keep, nibbles, out);
    if (n == VF) {
        if (stream) {
            vf_stream(values, out[0]);
            vf_stream(values + VF, out[1]);
        } else {
            vf_store(values, out[0]);
            vf_store(values + VF, out[1]);
        }
        memcpy(index, &nibbles, sizeof nibbles);
    } else {
        vf_store_n(values, out[0], clamp24(2 * n, VF));
        vf_store_n(values + clamp24(2 * n, VF), out[1], clamp24(2 * n - VF, VF));
        memcpy(index, &nibbles, (size_t)(n + 1) / 2);
    }
}
#endif

/* The nibble of each column of a step, from the bits of its four rows. */
ALWAYS void column_nibbles(const keep24 keep[4], uint8_t *nibble) {
#if VF == 16
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_loadu_si128((const __m128i *)(const void *)wn__nibble_of_mask24));
    __m512i mask = _mm512_maskz_set1_epi8(keep[0], 1);
    mask = _mm512_or_si512(mask, _mm512_maskz_set1_epi8(keep[1], 2));
    mask = _mm512_or_si512(mask, _mm512_maskz_set1_epi8(keep[2], 4));
    mask = _mm512_or_si512(mask, _mm512_maskz_set1_epi8(keep[3], 8));
    _mm512_store_si512(nibble, _mm512_shuffle_epi8(table, mask));
#else
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_loadu_si128((const __m128i *)(const void *)wn__nibble_of_mask24));
    const __m256i byte =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i mask = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m256i bits = _mm256_shuffle_epi8(vi_set((int)keep[i]), byte);
        bits = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
        mask = _mm256_or_si256(mask, _mm256_and_si256(bits, _mm256_set1_epi8((char)(1 << i))));
    }
    _mm256_store_si256((__m256i *)(void *)nibble, _mm256_shuffle_epi8(table, mask));
#endif
}

/* What VF columns keep of four rows. Slot 0 has the first kept entry unless that is the last row's;
 * slot 1 has whatever else there is. Entries that are not kept are zero bits. */
ALWAYS void column_slots(const vf x[4], const keep24 keep[4], vf out[2]) {
#if VF == 16
    out[0] = _mm512_mask_mov_ps(x[2], (__mmask16)keep[1], x[1]);
    out[0] = _mm512_mask_mov_ps(out[0], (__mmask16)keep[0], x[0]);
    __m512i all = _mm512_ternarylogic_epi32(vi_of(x[0]), vi_of(x[1]), vi_of(x[2]), 0x96);
    out[1] = _mm512_castsi512_ps(_mm512_ternarylogic_epi32(all, vi_of(x[3]), vi_of(out[0]), 0x96));
#else
    out[0] = _mm256_blendv_ps(x[2], x[1], _mm256_castsi256_ps(signs_of(keep[1])));
    out[0] = _mm256_blendv_ps(out[0], x[0], _mm256_castsi256_ps(signs_of(keep[0])));
    vf all = _mm256_xor_ps(_mm256_xor_ps(x[0], x[1]), _mm256_xor_ps(x[2], x[3]));
    out[1] = _mm256_xor_ps(all, out[0]);
#endif
}

/* A step of columns in one block of four rows; row[i] begins at its first column. */
ALWAYS void keep_columns(const float *const row[4], const keep24 keep[4], item24 *item,
                         int64_t block, int64_t column) {
    float(*kept)[ITEM_COLUMNS + 16] = item->kept + block % STRIP_BLOCKS * 2;
#pragma GCC unroll 4
    for (int l = 0; l < 4; l++) {
        vf x[4], out[2];
        keep24 part[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            part[i] = keep[i] >> VF * l;
            x[i] = load_kept(row[i] + VF * l, part[i]);
        }
        column_slots(x, part, out);
        vf_store(&kept[0][column + VF * l], out[0]);
        vf_store(&kept[1][column + VF * l], out[1]);
    }
    column_nibbles(keep, &item->nibble[block][column]);
}

/* ---- One block of 4 rows, one strip, one item */

/* Where an item stands; what of it exists. */
typedef struct place24 {
    int64_t i0, j0, blocks, columns;
} place24;

static place24 place_of(const pack24_job *job, int64_t item) {
    const int64_t *shape = job->p->w.shape;
    int64_t i0 = item / job->across * 4 * ITEM_BLOCKS, j0 = item % job->across * ITEM_COLUMNS;
    return (place24){i0, j0, clamp24((shape[0] - i0 + 3) / 4, ITEM_BLOCKS),
                     clamp24(shape[1] - j0, ITEM_COLUMNS)};
}

/* Eight rows that share cache sets leave no room in a small first level. */
#if VF == 16
#define PREFETCH_TO _MM_HINT_T0
#else
#define PREFETCH_TO _MM_HINT_T1
#endif

/* The rows of the next block, at the columns that this one has reached. */
ALWAYS void prefetch_step(const float *row, int64_t stride) {
#pragma GCC unroll 4
    for (int j = 0; j < STEP_COLUMNS; j += 16)
        _mm_prefetch((const char *)(row + 4 * stride + j), PREFETCH_TO);
}

/* Where the rows of a step of tiles go; mask NULL: nowhere. */
typedef struct step24 {
    float *values;
    uint8_t *index, *mask;
    int64_t values_stride, index_stride, mask_stride;
    int64_t rows, tiles; /* that exist */
} step24;

#if VF == 16
/* Or all 16 comparisons of a step live on the stack from its rows to its columns. */
#define FORGET(bits) __asm__("" : "+x"(bits))

/* Row i of a step in the row-wise form, but for its bytes. whole: all of the step exists. */
ALWAYS void store_row(const step24 *to, int i, const vf e[4], vi bits, bool whole, bool stream) {
    const vm keep[4] = {tile_bit(bits, 4 * i), tile_bit(bits, 4 * i + 1), tile_bit(bits, 4 * i + 2),
                        tile_bit(bits, 4 * i + 3)};
    float *values = to->values + i * to->values_stride;
    vf slot[2], out[2];
    slots_of_four(e, keep, slot);
    slots_in_order(slot, out);
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++)
        if (whole && stream)
            vf_stream(values + VF * h, out[h]);
        else if (whole)
            vf_store(values + VF * h, out[h]);
        else
            vf_put(values + VF * h, out[h], clamp24(2 * to->tiles - VF * h, VF));
}
#endif

/* The indices of a step's rows, and the mask if that is wanted. */
ALWAYS void store_row_bytes(const step24 *to, vi bits, bool whole) {
    __m128i nibble[4], mask[4];
    vi bytes = spread_nibbles(bits);
    bytes_of_rows(lanes_lookup(wn__nibble_of_mask24, bytes), nibble);
    bytes_of_rows(bytes, mask);
    size_t tiles = whole ? VF : (size_t)to->tiles;
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        if (!whole && i >= to->rows) break;
        keep24 pairs = join_nibbles(nibble[i]);
        if (tiles % 2 != 0) /* the odd last nibble */
            pairs = (pairs & ~((keep24)15 << 4 * tiles)) | (keep24)0xE << 4 * tiles;
        memcpy(to->index + i * to->index_stride, &pairs, (tiles + 1) / 2);
        if (to->mask != NULL) memcpy(to->mask + i * to->mask_stride, &mask[i], tiles);
    }
}

#if VF == 16
/* The column-wise form of a step, for the time being. */
ALWAYS void keep_tiles(vf e[4][4], vi bits, item24 *item, int64_t block, int64_t column) {
    float(*kept)[ITEM_COLUMNS + 16] = item->kept + block % STRIP_BLOCKS * 2;
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        FORGET(bits);
        const vm keep[4] = {tile_bit(bits, j), tile_bit(bits, 4 + j), tile_bit(bits, 8 + j),
                            tile_bit(bits, 12 + j)};
        const vf down[4] = {e[0][j], e[1][j], e[2][j], e[3][j]};
        vf slot[2];
        slots_of_four(down, keep, slot);
        vf_store(&kept[0][column + VF * j], slot[0]);
        vf_store(&kept[1][column + VF * j], slot[1]);
    }
    store_lanes(lanes_lookup(wn__nibble_of_mask24, spread_nibbles(turn_bits(bits))),
                &item->nibble[block][column]);
}

/* Both forms of a step; row[i] begins at its first column. */
ALWAYS void store_forms(const step24 *to, const float *const row[4], vi bits, item24 *item,
                        int64_t block, int64_t column, bool whole, bool stream) {
    vf e[4][4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        load_tiles(row[i], e[i]);
        if (whole || i < to->rows) store_row(to, i, e[i], bits, whole, stream);
        FORGET(bits);
    }
    store_row_bytes(to, bits, whole);
    keep_tiles(e, bits, item, block, column);
}
#else
#include "kernels/simd/pack24_quads.inc.h"
#endif

#if VF == 16
static void pack_block(const pack24_job *job, const place24 *at, int64_t block, item24 *item) {
    const wn__pack24 *p = job->p;
    int64_t i0 = at->i0 + 4 * block, stride = p->w.stride[0], groups = p->mask.shape[1];
    int64_t rows = clamp24(p->w.shape[0] - i0, 4);
    for (int64_t j = 0; j < at->columns; j += STEP_COLUMNS) {
        int64_t g = (at->j0 + j) / 4, count = clamp24((at->columns - j + 3) / 4, VF);
        const float *row[4];
        keep24 keep[4] = {0}; /* nothing is read of rows that do not exist */
        for (int64_t k = 0; k < 4; k++) {
            int64_t i = i0 + (k < rows ? k : 0);
            row[k] = (const float *)p->w.data + i * stride + at->j0 + j;
            if (k >= rows) continue;
            __m128i mask = groups_load((const uint8_t *)p->mask.data + i * groups + g, count);
            keep[k] = join_nibbles(mask);
            prefetch_step(row[k], stride);
            if (wn__given(&p->values))
                pack_row(row[k], mask, keep[k], count, job->stream_rows,
                         (float *)p->values.data + 2 * (i * groups + g),
                         (uint8_t *)p->index.data + i * p->index.shape[1] + g / 2);
        }
        if (wn__given(&p->values_t)) keep_columns(row, keep, item, block, j);
    }
}
#else
/* The bits of VF tiles from those of their rows. */
ALWAYS vi bits_of_tiles(const __m128i row[4]) {
    const __m128i weight = _mm_set1_epi16(0x1001);
    __m128i upper = _mm_maddubs_epi16(_mm_unpacklo_epi8(row[0], row[1]), weight);
    __m128i lower = _mm_maddubs_epi16(_mm_unpacklo_epi8(row[2], row[3]), weight);
    return _mm256_cvtepu16_epi32(_mm_or_si128(upper, _mm_slli_epi16(lower, 8)));
}

/* A step: row[i] begins at its first column. */
ALWAYS void pack_step(const pack24_job *job, const step24 *to, const float *const row[4],
                      const __m128i mask[4], item24 *item, int64_t block, int64_t column,
                      bool whole, bool stream) {
    vi bits = bits_of_tiles(mask);
    if (to->values != NULL) {
        store_rows(to, row, bits, whole, stream);
        store_row_bytes(to, bits, whole);
    }
    if (wn__given(&job->p->values_t)) keep_quads(row, bits, item, block, column);
}

/* What is left of a block's columns, or all of them where rows are missing. */
static void pack_rest(const pack24_job *job, step24 *to, const place24 *at, int64_t block,
                      int64_t column, item24 *item) {
    const wn__pack24 *p = job->p;
    float rest[4][STEP_COLUMNS] = {{0}};
    const float *const row[4] = {rest[0], rest[1], rest[2], rest[3]};
    __m128i mask[4] = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128(),
                       _mm_setzero_si128()};
    int64_t n = clamp24(at->columns - column, STEP_COLUMNS), j = at->j0 + column;
    to->tiles = (n + 3) / 4;
    for (int64_t k = 0; k < to->rows; k++) {
        int64_t i = at->i0 + 4 * block + k;
        memcpy(rest[k], (const float *)p->w.data + i * p->w.stride[0] + j,
               (size_t)n * sizeof(float));
        mask[k] =
            groups_load((const uint8_t *)p->mask.data + i * p->mask.shape[1] + j / 4, to->tiles);
    }
    pack_step(job, to, row, mask, item, block, column, false, false);
}

static void pack_block(const pack24_job *job, const place24 *at, int64_t block, item24 *item) {
    const wn__pack24 *p = job->p;
    int64_t i0 = at->i0 + 4 * block, stride = p->w.stride[0], groups = p->mask.shape[1], j = 0;
    const float *w = (const float *)p->w.data + i0 * stride + at->j0;
    const uint8_t *bits = (const uint8_t *)p->mask.data + i0 * groups + at->j0 / 4;
    step24 to = {.values_stride = wn__given(&p->values) ? p->values.shape[1] : 0,
                 .index_stride = wn__given(&p->values) ? p->index.shape[1] : 0,
                 .rows = clamp24(p->w.shape[0] - i0, 4)};
    if (wn__given(&p->values)) {
        to.values = (float *)p->values.data + i0 * to.values_stride + at->j0 / 2;
        to.index = (uint8_t *)p->index.data + i0 * to.index_stride + at->j0 / 8;
    }
    for (; j < at->columns; j += STEP_COLUMNS) {
        if (to.rows == 4 && at->columns - j >= STEP_COLUMNS) {
            const float *const row[4] = {w + j, w + stride + j, w + 2 * stride + j,
                                         w + 3 * stride + j};
            const uint8_t *m = bits + j / 4;
            const __m128i mask[4] = {groups_load(m, VF), groups_load(m + groups, VF),
                                     groups_load(m + 2 * groups, VF),
                                     groups_load(m + 3 * groups, VF)};
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++)
                prefetch_step(row[k], stride);
            if (job->stream_rows)
                pack_step(job, &to, row, mask, item, block, j, true, true);
            else
                pack_step(job, &to, row, mask, item, block, j, true, false);
        } else {
            pack_rest(job, &to, at, block, j, item);
        }
        if (to.values == NULL) continue;
        to.values += 2 * VF;
        to.index += VF / 2;
    }
}
#endif

/* Columns whose lines are made at once. */
#if VF == 16
#define LINES 16
#else
#define LINES 4
#endif

/* VF values, from v on, of the columns at LINES places from i on. */
ALWAYS void column_lines(const item24 *item, int64_t v, int64_t i, vf line[LINES]) {
#if VF == 16
#pragma GCC unroll 16
    for (int l = 0; l < 16; l++)
        line[l] = vf_load(&item->kept[v + l][i]);
    vf_transpose(line);
#else
    vf r[4];
#pragma GCC unroll 4
    for (int l = 0; l < 4; l++) {
        __m256 low = _mm256_castps128_ps256(_mm_load_ps(&item->kept[v + l][i]));
        r[l] = _mm256_insertf128_ps(low, _mm_load_ps(&item->kept[v + 4 + l][i]), 1);
    }
    split_columns(r, line);
#endif
}

/* A strip of n values for each of the item's columns; to is the first column's. whole: n makes a
 * line and columns steps. */
ALWAYS void write_strip(const item24 *item, float *to, int64_t down, int64_t n, int64_t columns,
                        bool tiles, bool whole, bool stream) {
    for (int64_t i = 0; i < columns; i += STEP_COLUMNS)
        for (int64_t k = 0; k < STEP_COLUMNS; k += LINES) {
            float *first = to + (i + column_at(tiles, k)) * down;
#pragma GCC unroll 2
            for (int64_t v = 0; v < 2 * STRIP_BLOCKS; v += VF) {
                vf line[LINES];
                column_lines(item, v, i + k, line);
#pragma GCC unroll 16
                for (int l = 0; l < LINES; l++) {
                    float *at = first + lane_distance(tiles, l) * down + v;
                    if (stream)
                        vf_stream(at, line[l]);
                    else if (whole)
                        vf_store(at, line[l]);
                    else if (i + column_at(tiles, k) + lane_distance(tiles, l) < columns && v < n)
                        vf_put(at, line[l], clamp24(n - v, VF));
                }
            }
        }
}

/* The strip that begins with `block`, to its rows of the transposed form. */
ALWAYS void write_values(const pack24_job *job, const place24 *at, int64_t block,
                         const item24 *item, bool tiles) {
    const wn__pack24 *p = job->p;
    int64_t down = p->values_t.shape[1], n = 2 * clamp24(at->blocks - block, STRIP_BLOCKS);
    float *to = (float *)p->values_t.data + at->j0 * down + 2 * (at->i0 / 4 + block);
#if VF == 8
    if (tiles) {
        write_lines(item, to, down, n, at->columns, job->stream_columns && n == 2 * STRIP_BLOCKS);
        return;
    }
#endif
    if (n < 2 * STRIP_BLOCKS || at->columns % STEP_COLUMNS != 0)
        write_strip(item, to, down, n, at->columns, tiles, false, false);
    else if (job->stream_columns)
        write_strip(item, to, down, n, at->columns, tiles, true, true);
    else
        write_strip(item, to, down, n, at->columns, tiles, true, false);
}

/* Rows and columns of a 16 x 16 block of bytes change places. */
static void transpose_bytes(__m128i r[16]) {
    for (int stage = 0; stage < 4; stage++) { /* each: (r0 r8) (r1 r9) .. (r7 r15) interleaved */
        __m128i t[16];
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            t[2 * i] = _mm_unpacklo_epi8(r[i], r[i + 8]);
            t[2 * i + 1] = _mm_unpackhi_epi8(r[i], r[i + 8]);
        }
        memcpy(r, t, sizeof t);
    }
}

/* All blocks of an item, to its rows of the transposed form. */
static void write_indices(const wn__pack24 *p, const place24 *at, const item24 *item) {
    int64_t down = p->index_t.shape[1], bytes = (at->blocks + 1) / 2;
    uint8_t *to = (uint8_t *)p->index_t.data + at->j0 * down + at->i0 / 8;
    for (int64_t j = 0; j < at->columns; j += 16) {
        __m128i r[16];
        for (int i = 0; i < 16; i++) {
            const uint8_t *pair = &item->nibble[2 * i][j];
            __m128i even = _mm_load_si128((const __m128i *)(const void *)pair);
            __m128i odd = _mm_load_si128((const __m128i *)(const void *)(pair + ITEM_COLUMNS));
            r[i] = _mm_or_si128(even, _mm_slli_epi16(odd, 4));
        }
        transpose_bytes(r);
        for (int64_t i = 0; i < clamp24(at->columns - j, 16); i++)
            if (bytes == 16)
                _mm_storeu_si128((__m128i *)(void *)(to + (j + i) * down), r[i]);
            else
                memcpy(to + (j + i) * down, r + i, (size_t)bytes);
    }
}

static void pack_items(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const pack24_job *job = ctx;
    item24 item;
    for (int64_t i = begin; i < end; i++) {
        place24 at = place_of(job, i);
        bool columns = wn__given(&job->p->values_t);
        if (columns && at.blocks < ITEM_BLOCKS) memset(item.nibble, 0xE, sizeof item.nibble);
        for (int64_t b = 0; b < at.blocks; b++) {
            pack_block(job, &at, b, &item);
            bool last = b + 1 == at.blocks || (b + 1) % STRIP_BLOCKS == 0;
            if (columns && last)
                write_values(job, &at, b / STRIP_BLOCKS * STRIP_BLOCKS, &item, VF == 8);
        }
        if (columns) write_indices(job->p, &at, &item);
    }
    _mm_sfence(); /* streamed lines are seen before the block counts as done */
}

/* Streaming wants whole lines. */
static bool streams(const wn_tensor *t, size_t from) {
    return wn__given(t) && (uintptr_t)t->data % 64 == 0 && t->shape[1] % 16 == 0 &&
           wn__tensor_bytes(t) >= from;
}

static pack24_job pack24_job_of(const wn__pack24 *p) {
    return (pack24_job){.p = p,
                        .across = (p->w.shape[1] + ITEM_COLUMNS - 1) / ITEM_COLUMNS,
                        .stream_rows = streams(&p->values, WEIGHT_STREAM_BYTES),
                        .stream_columns = streams(&p->values_t, WEIGHT_STREAM_BYTES)};
}

static bool mask_is_legal(pack24_job *job, wn__exec *x) {
    int64_t r = job->p->w.shape[0], c = job->p->w.shape[1];
    wn__parallel_for(x->pool, (r + 3) / 4, PIECE / (c + 1) + 1, look_at_mask, job);
    return !atomic_load(&job->bad);
}

static int64_t item_count(const pack24_job *job) {
    return (job->p->w.shape[0] + 4 * ITEM_BLOCKS - 1) / (4 * ITEM_BLOCKS) * job->across;
}

static wn_status pack24(const void *args, wn__exec *x) {
    pack24_job job = pack24_job_of(args);
    if (!mask_is_legal(&job, x)) return wn__pack24_refuse_mask(job.p);
    wn__parallel_for(x->pool, item_count(&job), 1, pack_items, &job);
    return WN_OK;
}
