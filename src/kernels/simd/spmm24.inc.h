// SPDX-License-Identifier: MIT
/* spmm24 by tokens in lanes. x is transposed once, in tiles of tokens, so that a kept weight times
 * a row of the tile is a multiplication of whole vectors straight from memory: one broadcast, a
 * shift and a mask to turn two bits of the index into an address, then only FMAs. A slice of
 * SLICE_GROUPS groups of the tile stays in L1 while all outputs of a block pass over it; their
 * sums, outputs by tokens, wait in L2 and are transposed back at the end. Vectors are of 8 floats
 * on both instruction sets: on Zen 4 two loads of 32 bytes beat one of 64. Each element adds its
 * products in ascending column order. Few tokens go another way: see spmm24_few.inc.h. */
#include "kernels/simd/accepts.h"
#include "kernels/simd/spmm24_few.inc.h"
#include "kernels/simd/spmm24_plan.h"
#include "kernels/simd/vec.h"
#include "kernels/spmm24.h"

#include <string.h>

#if VF == 16
#define TOKENS       WN_AVX512_TOKENS
#define SLICE_GROUPS 12
#else
#define TOKENS       WN_AVX2_TOKENS
#define SLICE_GROUPS 16
#endif

#define AHEAD 4 /* outputs whose weights are being fetched */

typedef struct spmm24_job {
    const wn__spmm24 *p;
    wn__spmm24_plan plan;
    float *panel;   /* x transposed: tile after tile, each [depth][its width] */
    char *scratch;  /* of the workers */
    int64_t t0, t1; /* tokens of this chunk */
    int64_t tiles;
} spmm24_job;

typedef struct spmm24_tile {
    int64_t t0, count; /* tokens that exist */
    int64_t width;     /* 8 times 1, 2, 4, 8 or a whole tile */
    float *panel;
} spmm24_tile;

/* Tokens are rounded up to a multiple of 8; those that whole tiles leave over take tiles of 64, 32,
 * 16 and 8. */
static spmm24_tile tile_at(const spmm24_job *job, int64_t i) {
    int64_t tokens = (job->t1 - job->t0 + 7) / 8 * 8, whole = tokens / TOKENS;
    int64_t t = (i < whole ? i : whole) * TOKENS, width = TOKENS;
    for (int64_t skip = i - whole, next = 64; skip >= 0; next /= 2) {
        if (tokens - t < next) continue;
        if (skip-- > 0)
            t += next;
        else
            width = next;
    }
    int64_t left = job->t1 - job->t0 - t, count = left < width ? left : width;
    return (spmm24_tile){job->t0 + t, count, width, job->panel + t * job->plan.depth};
}

static int64_t tile_count(int64_t tokens) {
    tokens = (tokens + 7) / 8 * 8;
    int64_t count = tokens / TOKENS;
    for (int64_t left = tokens % TOKENS / 8; left > 0; left &= left - 1)
        count++;
    return count;
}

static int64_t at_most(int64_t n, int64_t most) {
    return n < most ? n : most;
}

/* panel[c][t] = x[t][c]; zeros for tokens and columns that do not exist. */
static void transpose_in(const wn__spmm24 *p, const spmm24_tile *tile, int64_t depth) {
    int64_t k = p->x.shape[1], down = p->x.stride[0];
    for (int64_t t = 0; t < tile->width; t += VF) {
        const float *x = (const float *)p->x.data + (tile->t0 + t) * down;
        for (int64_t c = 0; c < depth; c += VF) {
            vf r[VF];
            vf_read_block(x + c, down, at_most(tile->count - t, VF), at_most(k - c, VF), r);
            vf_transpose(r);
            vf_write_block(tile->panel + c * tile->width + t, tile->width, at_most(depth - c, VF),
                           at_most(tile->width - t, VF), r);
        }
    }
}

/* y[t][o0 + o] from sums[o][t]. */
static void transpose_out(const wn__spmm24 *p, const spmm24_tile *tile, const float *sums,
                          int64_t o0, int64_t outputs) {
    int64_t down = p->y.stride[0];
    for (int64_t t = 0; t < tile->count; t += VF) {
        int64_t tokens = at_most(tile->count - t, VF);
        for (int64_t o = 0; o < outputs; o += VF) {
            int64_t n = at_most(outputs - o, VF);
            float *y = (float *)p->y.data + (tile->t0 + t) * down + o0 + o;
            vf r[VF];
            vf_read_block(sums + o * tile->width + t, tile->width, n, at_most(tile->width - t, VF),
                          r);
            vf_transpose(r);
            if (p->accumulate) {
#pragma GCC unroll 16
                for (int64_t i = 0; i < VF; i++)
                    if (i < tokens) r[i] = vf_add(vf_load_n(y + i * down, n), r[i]);
            }
            if (wn__given(&p->bias)) {
                vf bias = vf_load_n((const float *)p->bias.data + o0 + o, n);
#pragma GCC unroll 16
                for (int64_t i = 0; i < VF; i++)
                    r[i] = vf_add(r[i], bias);
            }
            vf_write_block(y, down, tokens, n, r);
        }
    }
}

/* acc += weight times a row of the panel: row `slot` (two bits) of the group whose rows begin at
 * `rows`. The compiler must not see through the address: it would share parts of it between rows
 * and run out of registers for them. */
static inline __attribute__((always_inline)) void
add_row(int vecs, __m256 weight, const float *panel, size_t slot, int64_t first, __m256 *acc) {
    const float *row = panel + slot * 8 * (size_t)vecs;
    __asm__("" : "+r"(row));
    row += first * 8 * vecs;
#pragma GCC unroll 16
    for (int v = 0; v < vecs; v++)
        acc[v] = _mm256_fmadd_ps(weight, _mm256_load_ps(row + 8 * v), acc[v]);
}

/* Four groups, whose index is two bytes. The two bits of each slot count rows of the panel from its
 * group's first. */
static inline __attribute__((always_inline)) void add_four_groups(int vecs, const float *values,
                                                                  const uint8_t *index,
                                                                  const float *panel, __m256 *acc) {
    uint16_t two;
    memcpy(&two, index, sizeof two);
    size_t bits = two;
#if VF == 16
    __m256 weights = _mm256_loadu_ps(values);
#endif
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
#if VF == 16
        __m256 weight = _mm256_permutexvar_ps(_mm256_set1_epi32((int)i), weights);
#else
        __m256 weight = _mm256_broadcast_ss(values + i);
#endif
        add_row(vecs, weight, panel, bits >> (2 * i) & 3, (int64_t)i / 2 * 4, acc);
    }
}

/* sums[o] (+)= the products of `groups` groups of one output with the rows of a slice of the panel.
 */
static inline __attribute__((always_inline)) void
add_output(int vecs, int64_t groups, const float *values, const uint8_t *index, const float *panel,
           bool first, float *sums) {
    __m256 acc[TOKENS / 8];
    if (first) {
#pragma GCC unroll 16
        for (int v = 0; v < vecs; v++)
            acc[v] = _mm256_setzero_ps();
    } else {
#pragma GCC unroll 16
        for (int v = 0; v < vecs; v++)
            acc[v] = _mm256_load_ps(sums + 8 * v);
    }
    int64_t g = 0;
    for (; g + 4 <= groups; g += 4)
        add_four_groups(vecs, values + 2 * g, index + g / 2, panel + g * 4 * 8 * vecs, acc);
    for (; g < groups; g++) {
        unsigned nibble = index[g / 2] >> (g % 2 * 4);
        const float *rows = panel + g * 4 * 8 * vecs;
        add_row(vecs, _mm256_broadcast_ss(values + 2 * g), rows, nibble & 3, 0, acc);
        add_row(vecs, _mm256_broadcast_ss(values + 2 * g + 1), rows, nibble >> 2 & 3, 0, acc);
    }
#pragma GCC unroll 16
    for (int v = 0; v < vecs; v++)
        _mm256_store_ps(sums + 8 * v, acc[v]);
}

/* The rows of packed weights are far apart, and only a few lines of each are wanted in a slice: no
 * hardware prefetcher follows. */
static inline __attribute__((always_inline)) void prefetch_output(const float *values,
                                                                  const uint8_t *index) {
#pragma GCC unroll 3
    for (int64_t i = 0; i < 2 * SLICE_GROUPS; i += 16)
        _mm_prefetch((const char *)(values + i), _MM_HINT_T0);
    _mm_prefetch((const char *)index, _MM_HINT_T0);
}

/* All outputs of a block, slice after slice. */
static inline __attribute__((always_inline)) void add_block(int vecs, const wn__spmm24 *p,
                                                            const float *panel, int64_t o0,
                                                            int64_t outputs, float *sums) {
    int64_t all = p->values.shape[1] / 2;
    for (int64_t g = 0; g < all; g += SLICE_GROUPS) {
        int64_t groups = all - g < SLICE_GROUPS ? all - g : SLICE_GROUPS;
        const float *values = (const float *)p->values.data + o0 * 2 * all + 2 * g;
        const uint8_t *index = (const uint8_t *)p->index.data + o0 * p->index.shape[1] + g / 2;
        for (int64_t o = 0; o < outputs; o++, values += 2 * all, index += p->index.shape[1]) {
            prefetch_output(values + AHEAD * 2 * all, index + AHEAD * p->index.shape[1]);
            add_output(vecs, groups, values, index, panel + g * 4 * 8 * vecs, g == 0,
                       sums + o * 8 * vecs);
        }
    }
}

/* One function for each width of a tile, so that its sums are registers. */
static void block_whole(const wn__spmm24 *p, const float *panel, int64_t o0, int64_t outputs,
                        float *sums) {
    add_block(TOKENS / 8, p, panel, o0, outputs, sums);
}
static void block_64(const wn__spmm24 *p, const float *panel, int64_t o0, int64_t outputs,
                     float *sums) {
    add_block(8, p, panel, o0, outputs, sums);
}
static void block_32(const wn__spmm24 *p, const float *panel, int64_t o0, int64_t outputs,
                     float *sums) {
    add_block(4, p, panel, o0, outputs, sums);
}
static void block_16(const wn__spmm24 *p, const float *panel, int64_t o0, int64_t outputs,
                     float *sums) {
    add_block(2, p, panel, o0, outputs, sums);
}
static void block_8(const wn__spmm24 *p, const float *panel, int64_t o0, int64_t outputs,
                    float *sums) {
    add_block(1, p, panel, o0, outputs, sums);
}

static void spmm24_transpose(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const spmm24_job *job = ctx;
    for (int64_t i = begin; i < end; i++) {
        spmm24_tile tile = tile_at(job, i);
        transpose_in(job->p, &tile, job->plan.depth);
    }
}

static void spmm24_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    const spmm24_job *job = ctx;
    const wn__spmm24 *p = job->p;
    float *sums = (float *)(void *)(job->scratch + (size_t)worker * job->plan.worker_bytes);
    for (int64_t i = begin; i < end; i++) {
        spmm24_tile tile = tile_at(job, i % job->tiles);
        int64_t o0 = i / job->tiles * job->plan.block, left = p->y.shape[1] - o0;
        int64_t outputs = left < job->plan.block ? left : job->plan.block;
        if (p->values.shape[1] == 0) memset(sums, 0, (size_t)(outputs * tile.width) * sizeof *sums);
        if (tile.width == TOKENS)
            block_whole(p, tile.panel, o0, outputs, sums);
        else if (tile.width == 64)
            block_64(p, tile.panel, o0, outputs, sums);
        else if (tile.width == 32)
            block_32(p, tile.panel, o0, outputs, sums);
        else if (tile.width == 16)
            block_16(p, tile.panel, o0, outputs, sums);
        else
            block_8(p, tile.panel, o0, outputs, sums);
        transpose_out(p, &tile, sums, o0, outputs);
    }
}

static wn_status spmm24(const void *args, wn__exec *x) {
    const wn__spmm24 *p = args;
    int64_t T = p->x.shape[0], n = p->y.shape[1];
    if (T <= WN_SPMM24_FEW) {
        wn__parallel_for(x->pool, n, SPMM24_FEW_BLOCK, spmm24_few, (void *)args);
        return WN_OK;
    }
    spmm24_job job = {
        .p = p, .plan = wn__spmm24_plan_for(p, TOKENS), .panel = (float *)(void *)x->scratch};
    job.scratch = x->scratch + job.plan.panel_bytes;
    for (job.t0 = 0; job.t0 < T; job.t0 = job.t1) {
        job.t1 = T - job.t0 < job.plan.chunk ? T : job.t0 + job.plan.chunk;
        job.tiles = tile_count(job.t1 - job.t0);
        wn__parallel_for(x->pool, job.tiles, 1, spmm24_transpose, &job);
        wn__parallel_for(x->pool, job.tiles * ((n + job.plan.block - 1) / job.plan.block), 1,
                         spmm24_blocks, &job);
    }
    return WN_OK;
}
