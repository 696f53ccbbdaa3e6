// SPDX-License-Identifier: MIT
/* pack24 for F32, both forms in one pass over w. Rows: a step of VF groups becomes 2 VF values, an
 * entry of w that is not kept is read as zero, so a slot that points at it needs no case of its
 * own. Columns: of four rows each column keeps two entries at most; they wait until 32 rows have
 * filled a cache line of every column, are transposed and written at once. */
#include "base/fail.h"
#include "kernels/pack24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/group24.h"

#include <stdatomic.h>

#define STRIP_BLOCKS 8  /* blocks of 4 rows: 16 values, one line, for a column */
#define ITEM_BLOCKS  32 /* of a block of work: four strips, 16 bytes of index for a column */
#define ITEM_COLUMNS 512
/* Outputs from this size on go past the caches: they would only throw out what is still needed. */
#define STREAM_BYTES (8 << 20)

typedef struct pack24_job {
    const wn__pack24 *p;
    int64_t across; /* items side by side */
    bool stream_rows, stream_columns;
    atomic_bool bad; /* the mask keeps too much somewhere */
} pack24_job;

/* What an item keeps of its columns: the values of a strip, with room between rows that would share
 * cache sets, and the nibbles of all blocks, 0xE for those that do not exist. */
typedef struct item24 {
    _Alignas(64) float kept[2 * STRIP_BLOCKS][ITEM_COLUMNS + 16];
    _Alignas(64) uint8_t nibble[ITEM_BLOCKS][ITEM_COLUMNS];
} item24;

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

/* The 2 VF slots of a step, from its entries and its nibbles. */
ALWAYS void gather_slots(const float *w, keep24 keep, keep24 nibbles, vf out[2]) {
#if VF == 16
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
#else
    const __m256i shift = _mm256_setr_epi32(0, 2, 0, 0, 4, 6, 0, 0);
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        __m256i slot = _mm256_srlv_epi32(vi_set((int)(nibbles >> 16 * h)), shift);
        vf a = _mm256_permutevar_ps(load_kept(w + 16 * h, keep >> 16 * h), slot);
        slot = _mm256_srli_epi32(slot, 8);
        vf b = _mm256_permutevar_ps(load_kept(w + 16 * h + 8, keep >> (16 * h + 8)), slot);
        __m256d ab = _mm256_castps_pd(_mm256_shuffle_ps(a, b, 0x44));
        out[h] = _mm256_castpd_ps(_mm256_permute4x64_pd(ab, 0xD8));
    }
#endif
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

/* The rows of the next block, at the columns that this one has reached. */
ALWAYS void prefetch_step(const float *row, int64_t stride) {
#pragma GCC unroll 4
    for (int j = 0; j < STEP_COLUMNS; j += 16)
        _mm_prefetch((const char *)(row + 4 * stride + j), _MM_HINT_T0);
}

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

/* The strip that begins with `block`, to its rows of the transposed form. */
static void write_values(const pack24_job *job, const place24 *at, int64_t block,
                         const item24 *item) {
    const wn__pack24 *p = job->p;
    int64_t down = p->values_t.shape[1], n = 2 * clamp24(at->blocks - block, STRIP_BLOCKS);
    bool stream = job->stream_columns && n == 2 * STRIP_BLOCKS;
    float *to = (float *)p->values_t.data + at->j0 * down + 2 * (at->i0 / 4 + block);
    for (int64_t j = 0; j < at->columns; j += VF)
        for (int64_t v = 0; v < n; v += VF) {
            vf r[VF];
#pragma GCC unroll 16
            for (int i = 0; i < VF; i++)
                r[i] = vf_load(&item->kept[v + i][j]);
            vf_transpose(r);
            if (stream && at->columns - j >= VF) {
#pragma GCC unroll 16
                for (int i = 0; i < VF; i++)
                    vf_stream(to + (j + i) * down + v, r[i]);
            } else {
                vf_write_block(to + j * down + v, down, clamp24(at->columns - j, VF),
                               clamp24(n - v, VF), r);
            }
        }
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
            if (columns && last) write_values(job, &at, b / STRIP_BLOCKS * STRIP_BLOCKS, &item);
        }
        if (columns) write_indices(job->p, &at, &item);
    }
    _mm_sfence(); /* streamed lines are seen before the block counts as done */
}

/* Streaming wants whole lines. */
static bool streams(const wn_tensor *t) {
    return wn__given(t) && (uintptr_t)t->data % 64 == 0 && t->shape[1] % 16 == 0 &&
           wn__tensor_bytes(t) >= STREAM_BYTES;
}

static wn_status pack24(const void *args, wn__exec *x) {
    const wn__pack24 *p = args;
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    pack24_job job = {.p = p,
                      .across = (c + ITEM_COLUMNS - 1) / ITEM_COLUMNS,
                      .stream_rows = streams(&p->values),
                      .stream_columns = streams(&p->values_t)};
    wn__parallel_for(x->pool, (r + 3) / 4, PIECE / (c + 1) + 1, look_at_mask, &job);
    if (atomic_load(&job.bad)) return wn__pack24_refuse_mask(p);
    int64_t items = (r + 4 * ITEM_BLOCKS - 1) / (4 * ITEM_BLOCKS) * job.across;
    wn__parallel_for(x->pool, items, 1, pack_items, &job);
    return WN_OK;
}
