// SPDX-License-Identifier: MIT
/* stream_pack from F32 and BF16: 16 rows become a tile, 64 columns (32 slots) at a time. Each row
 * is brought to the bits it has in a lane, then lanes are made of rows by transposing dwords.
 * Integers are rounded quotients of doubles, as in ref. */
#include "base/half.h"
#include "kernels/op.h"
#include "kernels/simd/half.h"
#include "kernels/simd/stream_bytes.inc.h"
#include "kernels/simd/stream_index.h"
#include "kernels/simd/stream_plan.h"

#include <stdatomic.h>
#include <string.h>

#define LANES 16
#define CHUNK 64 /* columns */

typedef struct stream_packing {
    const wn__stream_pack *p;
    const wn_tensor *from; /* dense weights or kept values */
    int64_t count, down;   /* of a row of them */
    atomic_bool bad;       /* something has no scale */
} stream_packing;

/* Sixteen rows of a chunk: as floats, then as the bytes of lanes; where it stands. */
typedef struct pack_chunk {
    _Alignas(64) float x[LANES][CHUNK];
    _Alignas(64) uint8_t lanes[LANES][4 * CHUNK];
    int64_t row, rows; /* that exist */
    int64_t at, n;     /* first weight as they are stored, and how many of a whole chunk's */
} pack_chunk;

ALWAYS int64_t chunk_weights(const wn__stream_format *f) {
    return f->sparse ? CHUNK / 2 : CHUNK;
}

/* Zeros where there are none. */
static void read_chunk(const stream_packing *job, pack_chunk *c) {
    bool half = job->from->dtype == WN_DTYPE_BF16;
    int64_t left = job->count - c->at;
    for (int64_t i = 0; i < LANES; i++)
        for (int64_t j = 0; j < c->n; j += VF) {
            int64_t n = i >= c->rows || left < j ? 0 : left - j < VF ? left - j : VF;
            vf a = vf_zero();
            if (n > 0) a = half_get(job->from->data, half, (c->row + i) * job->down + c->at + j, n);
            vf_store(c->x[i] + j, a);
        }
}

/* Dwords j < count of each lane at to + 64 j. */
static void turn_dwords(const pack_chunk *c, int64_t from, int64_t count, uint8_t *to) {
    for (int64_t lane = 0; lane < LANES; lane += VF)
        for (int64_t j = 0; j < count; j += VF) {
            vf r[VF];
            UNROLL
            for (int64_t i = 0; i < VF; i++)
                r[i] = vf_load((const float *)(const void *)(c->lanes[lane + i] + from + 4 * j));
            vf_transpose(r);
            for (int64_t i = 0; i < VF && j + i < count; i++)
                vf_store((float *)(void *)(to + 64 * (j + i)) + lane, r[i]);
        }
}

/* ---- the index of 2:4 */

/* Nibbles of eight groups of a row: 0xE of those that do not exist, 0 of a row that does not. */
static uint32_t index_of_row(const stream_packing *job, const pack_chunk *c, int64_t i,
                             int64_t group) {
    const wn_tensor *index = &job->p->index;
    uint32_t nibbles = 0xEEEEEEEE;
    if (i >= c->rows) return 0;
    int64_t left = index->shape[1] - group / 2;
    if (left > 0)
        memcpy(&nibbles, (const uint8_t *)index->data + (c->row + i) * index->stride[0] + group / 2,
               left < 4 ? (size_t)left : sizeof nibbles);
    return nibbles;
}

/* 4 x 4 elements of two bits: slot 4 i + j becomes element i of byte j. */
static uint32_t turn_slots(uint32_t m) {
    uint32_t t = (m ^ (m >> 6)) & 0x00CC00CC;
    m ^= t ^ (t << 6);
    t = (m ^ (m >> 12)) & 0x0000F0F0;
    return m ^ t ^ (t << 12);
}

static void put_index(const stream_packing *job, const pack_chunk *c, int64_t group, uint8_t *to) {
    uint32_t index[LANES];
    for (int64_t i = 0; i < LANES; i++)
        index[i] = index_of_row(job, c, i, group);
    if (job->p->format.type == WN_STREAM_INT8)
        for (int64_t i = 0; i < LANES; i++)
            index[i] = turn_slots(index[i]);
    else
        wn__stream_turn_index(index);
    memcpy(to, index, sizeof index);
}

/* Numbers of the pairs of 16 groups of a row, two groups a word, as the three planes hold them. */
static void put_pairs_of(uint64_t nibbles, uint8_t *to) {
    static const uint8_t number[16] = {
        [0x4] = 0, [0x8] = 1, [0xC] = 2, [0x9] = 3, [0xD] = 4, [0xE] = 5, [0x0] = 0};
    uint32_t m[8];
    for (int i = 0; i < 8; i++)
        m[i] = number[nibbles >> (8 * i) & 15] | (uint32_t)number[nibbles >> (8 * i + 4) & 15] << 8;
    const uint16_t planes[3] = {
        (uint16_t)(m[0] | m[1] << 3 | (m[6] & 0x0303) << 6),
        (uint16_t)(m[2] | m[3] << 3 | (m[7] & 0x0303) << 6),
        (uint16_t)(m[4] | m[5] << 3 | (m[6] & 0x0404) << 4 | (m[7] & 0x0404) << 5)};
    for (int i = 0; i < 3; i++)
        memcpy(to + 32 * i, planes + i, sizeof *planes);
}

static void put_pairs(const stream_packing *job, const pack_chunk *c, int64_t group, uint8_t *to) {
    for (int64_t i = 0; i < LANES; i++) {
        uint64_t low = index_of_row(job, c, i, group), high = index_of_row(job, c, i, group + 8);
        put_pairs_of(low | high << 32, to + 2 * i);
    }
}

/* ---- integers */

/* The scale of what has this largest magnitude, as it is stored. */
static float scale_of(wn__stream_type type, float amax) {
    if (amax < WN_STREAM_LEAST) return 0;
    if (type == WN_STREAM_INT8) return amax / 127;
    return wn__bf16_to_f32(wn__bf16_from_f32(amax / 7));
}

/* Quotients, rounded to nearest even; they are within what amax became. */
ALWAYS void put_quotients(int8_t *q, vf a, vd scale) {
#if VF == 16
    __m256i low = _mm512_cvtpd_epi32(_mm512_div_pd(vd_low(a), scale));
    __m256i high = _mm512_cvtpd_epi32(_mm512_div_pd(vd_high(a), scale));
    __m512i all = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    __m128i bytes = _mm512_cvtepi32_epi8(all);
#else
    __m128i low = _mm256_cvtpd_epi32(_mm256_div_pd(vd_low(a), scale));
    __m128i high = _mm256_cvtpd_epi32(_mm256_div_pd(vd_high(a), scale));
    __m128i bytes = _mm_packs_epi32(low, high);
    bytes = _mm_packs_epi16(bytes, bytes);
#endif
    memcpy(q, &bytes, VF);
}

/* A row of a chunk as bytes of lanes. */
ALWAYS void quantise_row(pack_chunk *c, int64_t i, float scale) {
    double by = scale > 0 ? (double)scale : (double)__builtin_inff(); /* zeros */
#if VF == 16
    vd divisor = _mm512_set1_pd(by);
#else
    vd divisor = _mm256_set1_pd(by);
#endif
    for (int64_t j = 0; j < c->n; j += VF)
        put_quotients((int8_t *)c->lanes[i] + j, vf_load(c->x[i] + j), divisor);
}

/* Bytes q of a row become nibbles q + 8: of eight columns the last four in the high ones; of a pair
 * of slots the second. */
ALWAYS void join_nibbles(bool sparse, uint8_t *row) {
    for (int64_t j = 0; j < (sparse ? 4 : 8); j++) {
        uint64_t eight;
        memcpy(&eight, row + 8 * j, sizeof eight);
        eight = (eight ^ 0x0808080808080808U) & 0x0F0F0F0F0F0F0F0FU; /* + 8 of four bits */
        if (sparse) {
            eight = (eight | eight >> 4) & 0x00FF00FF00FF00FFU;
            eight = (eight | eight >> 8) & 0x0000FFFF0000FFFFU;
            eight |= eight >> 16;
        } else {
            eight |= eight >> 28;
        }
        uint32_t four = (uint32_t)eight;
        memcpy(row + 4 * j, &four, sizeof four);
    }
}

/* The magnitudes that matter of rows of the chunk, or `bad`. */
ALWAYS void note_largest(stream_packing *job, const pack_chunk *c, float amax[LANES]) {
    for (int64_t i = 0; i < c->rows; i++) {
        float largest = largest_of(c->x[i], c->n);
        if (!(largest <= 0x1p120F)) atomic_store(&job->bad, true);
        if (largest > amax[i]) amax[i] = largest;
    }
}

static void pack_int4_chunk(stream_packing *job, pack_chunk *c, uint8_t *block) {
    const wn__stream_format *f = &job->p->format;
    float amax[LANES] = {0};
    note_largest(job, c, amax);
    for (int64_t i = 0; i < LANES; i++) {
        float scale = scale_of(WN_STREAM_INT4, amax[i]);
        uint16_t half = wn__bf16_from_f32(scale);
        memcpy(block + 2 * i, &half, sizeof half);
        quantise_row(c, i, scale);
        join_nibbles(f->sparse, c->lanes[i]);
    }
    if (!f->sparse) {
        turn_dwords(c, 0, 8, block + 32);
        return;
    }
    uint32_t two[4][LANES];
    turn_dwords(c, 0, 4, (uint8_t *)two);
    for (int64_t j = 0; j < 4; j++) {
        uint16_t words[2][LANES];
        for (int64_t i = 0; i < LANES; i++) {
            words[0][i] = (uint16_t)two[j][i];
            words[1][i] = (uint16_t)(two[j][i] >> 16);
        }
        memcpy(block + 128 + 64 * j, words, sizeof words);
    }
    put_pairs(job, c, c->at / 2, block + 32);
}

/* ---- a tile */

/* Rows of floats as the bytes of lanes. */
ALWAYS void lay_lanes(wn__stream_type type, pack_chunk *c, const float scales[LANES]) {
    for (int64_t i = 0; i < LANES; i++) {
        if (type == WN_STREAM_INT8)
            quantise_row(c, i, scales[i]);
        else if (type == WN_STREAM_F32)
            memcpy(c->lanes[i], c->x[i], (size_t)c->n * sizeof(float));
        else
            for (int64_t j = 0; j < c->n; j += VF)
                half_put(c->lanes[i], true, j, vf_load(c->x[i] + j), VF);
    }
}

/* One chunk of F32, BF16 or INT8, whose first block is `to`. */
ALWAYS void pack_lanes(wn__stream_type type, stream_packing *job, pack_chunk *c,
                       const float scales[LANES], uint8_t *to) {
    const wn__stream_format *f = &job->p->format;
    const int64_t bytes = type == WN_STREAM_F32 ? 4 : type == WN_STREAM_BF16 ? 2 : 1;
    lay_lanes(type, c, scales);
    if (!f->sparse) {
        int64_t all = wn__stream_blocks(f) * 4, left = all - c->at;
        turn_dwords(c, 0, (left < CHUNK ? left : CHUNK) * bytes / 4, to);
        return;
    }
    for (int64_t b = 0; b < 2 && c->at / 16 + b < wn__stream_blocks(f); b++) {
        uint8_t *block = to + b * wn__stream_block_bytes(f);
        put_index(job, c, c->at / 2 + 8 * b, block);
        turn_dwords(c, 16 * bytes * b, 4 * bytes, block + 64);
    }
}

/* The scales of INT8 belong to whole rows. */
static void find_scales(stream_packing *job, pack_chunk *c, uint8_t *head, float scales[LANES]) {
    float amax[LANES] = {0};
    for (c->at = 0; c->at < job->count; c->at += c->n) {
        read_chunk(job, c);
        note_largest(job, c, amax);
    }
    for (int64_t i = 0; i < LANES; i++)
        scales[i] = scale_of(WN_STREAM_INT8, amax[i]);
    memcpy(head, scales, LANES * sizeof *scales);
}

static void pack_tiles(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    stream_packing *job = ctx;
    const wn__stream_format *f = &job->p->format;
    int64_t blocks = CHUNK / wn__stream_block_columns(f), bytes = wn__stream_block_bytes(f);
    pack_chunk c = {.n = chunk_weights(f)};
    float scales[LANES] = {0};
    for (int64_t tile = begin; tile < end; tile++) {
        uint8_t *to = (uint8_t *)job->p->stream.data + tile * wn__stream_tile_bytes(f);
        c.row = tile * LANES;
        c.rows = f->n - c.row < LANES ? f->n - c.row : LANES;
        if (f->type == WN_STREAM_INT8) find_scales(job, &c, to, scales);
        to += wn__stream_head_bytes(f);
        for (c.at = 0; c.at < job->count; c.at += c.n, to += blocks * bytes) {
            read_chunk(job, &c);
            if (f->type == WN_STREAM_INT4)
                pack_int4_chunk(job, &c, to);
            else if (f->type == WN_STREAM_INT8)
                pack_lanes(WN_STREAM_INT8, job, &c, scales, to);
            else if (f->type == WN_STREAM_BF16)
                pack_lanes(WN_STREAM_BF16, job, &c, scales, to);
            else
                pack_lanes(WN_STREAM_F32, job, &c, scales, to);
        }
    }
}

static wn_status stream_pack(const void *args, wn__exec *x) {
    const wn__stream_pack *p = args;
    const wn_tensor *from = p->format.sparse ? &p->values : &p->w;
    stream_packing job = {.p = p, .from = from, .count = from->shape[1], .down = from->stride[0]};
    atomic_init(&job.bad, false);
    wn__parallel_for(x->pool, wn__stream_tiles(&p->format), 1, pack_tiles, &job);
    return atomic_load(&job.bad) ? wn__stream_refuse(p) : WN_OK;
}
