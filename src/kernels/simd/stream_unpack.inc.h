// SPDX-License-Identifier: MIT
/* stream_unpack of F32 and BF16: lanes become rows, a block of VF of them and VF columns (or slots)
 * at a time; the index of a block is transposed as a matrix of two bits. */
#include "kernels/op.h"
#include "kernels/simd/stream_index.h"
#include "kernels/simd/vec.h"
#include "kernels/stream_layout.h"

#include <string.h>

/* VF values of VF lanes: columns or slots number j on, of those that lie at `at`. */
ALWAYS void lanes_of(wn__stream_type type, const uint8_t *at, int64_t j, int64_t lane, vf r[VF]) {
    UNROLL
    for (int64_t i = 0; i < VF; i++) {
        if (type == WN_STREAM_F32) {
            r[i] = vf_load((const float *)(const void *)(at + 64 * (j + i)) + lane);
            continue;
        }
        const uint8_t *two = at + (j + i) / 2 * 64 + 4 * lane;
#if VF == 16
        __m512i bits = _mm512_loadu_si512(two);
        bits = i % 2 ? _mm512_and_si512(bits, _mm512_set1_epi32((int)0xFFFF0000))
                     : _mm512_slli_epi32(bits, 16);
        r[i] = _mm512_castsi512_ps(bits);
#else
        __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)two);
        bits = i % 2 ? _mm256_and_si256(bits, _mm256_set1_epi32((int)0xFFFF0000))
                     : _mm256_slli_epi32(bits, 16);
        r[i] = _mm256_castsi256_ps(bits);
#endif
    }
}

/* Rows i .. of the output, 16 at most, from lane 0 of a tile: `count` values of each, the first one
 * at number j of `at`. */
ALWAYS void unpack_values(wn__stream_type type, const uint8_t *at, int64_t count, int64_t rows,
                          float *to, int64_t down) {
    for (int64_t lane = 0; lane < rows; lane += VF)
        for (int64_t j = 0; j < count; j += VF) {
            int64_t n = count - j < VF ? count - j : VF;
            vf r[VF];
            lanes_of(type, at, j, lane, r);
            vf_transpose(r);
            vf_write_block(to + lane * down + j, down, rows - lane < VF ? rows - lane : VF, n, r);
        }
}

static void unpack_index(const uint8_t *at, int64_t bytes, int64_t rows, uint8_t *to,
                         int64_t down) {
    uint32_t index[WN_STREAM_LANES];
    memcpy(index, at, sizeof index);
    wn__stream_turn_index(index);
    for (int64_t lane = 0; lane < rows; lane++)
        memcpy(to + lane * down, index + lane, (size_t)bytes);
}

static int64_t rows_of(const wn__stream_unpack *p) {
    return wn__given(&p->w) ? p->w.shape[0] : p->values.shape[0];
}

/* A dense tile is one sequence of columns: of F32 64 bytes each, of BF16 for two of them. */
ALWAYS void unpack_dense_tile(wn__stream_type type, const wn__stream_unpack *p, int64_t i,
                              int64_t rows) {
    const wn__stream_format *f = &p->format;
    const uint8_t *tile =
        (const uint8_t *)p->stream.data + (p->row / WN_STREAM_LANES + i) * wn__stream_tile_bytes(f);
    float *to = (float *)p->w.data + i * WN_STREAM_LANES * p->w.stride[0];
    int64_t whole = wn__stream_blocks(f) * 4 / VF * VF, left = f->k - whole;
    _Alignas(64) uint8_t last[64 * VF] = {0};
    int64_t step = type == WN_STREAM_F32 ? 64 : 32;
    if (left <= 0) {
        unpack_values(type, tile, f->k, rows, to, p->w.stride[0]);
        return;
    }
    unpack_values(type, tile, whole, rows, to, p->w.stride[0]);
    memcpy(last, tile + whole * step, (size_t)((wn__stream_blocks(f) * 4 - whole) * step));
    unpack_values(type, last, left, rows, to + whole, p->w.stride[0]);
}

ALWAYS void unpack_sparse_tile(wn__stream_type type, const wn__stream_unpack *p, int64_t i,
                               int64_t rows) {
    const wn__stream_format *f = &p->format;
    const uint8_t *tile =
        (const uint8_t *)p->stream.data + (p->row / WN_STREAM_LANES + i) * wn__stream_tile_bytes(f);
    int64_t slots = p->values.shape[1], bytes = p->index.shape[1], first = i * WN_STREAM_LANES;
    float *values = (float *)p->values.data + first * slots;
    uint8_t *index = (uint8_t *)p->index.data + first * bytes;
    for (int64_t b = 0; b < wn__stream_blocks(f); b++) {
        const uint8_t *block = tile + b * wn__stream_block_bytes(f);
        int64_t n = slots - 16 * b < 16 ? slots - 16 * b : 16;
        int64_t m = bytes - 4 * b < 4 ? bytes - 4 * b : 4;
        unpack_values(type, block + 64, n, rows, values + 16 * b, slots);
        unpack_index(block, m, rows, index + 4 * b, bytes);
    }
}

static void unpack_tiles(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__stream_unpack *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        int64_t left = rows_of(p) - i * WN_STREAM_LANES;
        int64_t rows = left < WN_STREAM_LANES ? left : WN_STREAM_LANES;
        if (p->format.sparse && p->format.type == WN_STREAM_F32)
            unpack_sparse_tile(WN_STREAM_F32, p, i, rows);
        else if (p->format.sparse)
            unpack_sparse_tile(WN_STREAM_BF16, p, i, rows);
        else if (p->format.type == WN_STREAM_F32)
            unpack_dense_tile(WN_STREAM_F32, p, i, rows);
        else
            unpack_dense_tile(WN_STREAM_BF16, p, i, rows);
    }
}

static wn_status stream_unpack(const void *args, wn__exec *x) {
    const wn__stream_unpack *p = args;
    int64_t tiles = (rows_of(p) + WN_STREAM_LANES - 1) / WN_STREAM_LANES;
    wn__parallel_for(x->pool, tiles, 1, unpack_tiles, (void *)args);
    return WN_OK;
}
