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

#define SLICE_OUTPUTS 4 /* that take turns, at most */
#define AHEAD         4 /* outputs whose weights are being fetched */

typedef struct spmm24_job {
    const wn__spmm24 *p;
    wn__spmm24_plan plan;
    float *panel;   /* shared: x transposed: tile after tile, each [depth][its width] */
    char *scratch;  /* of the workers, after that */
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
                UNROLL
                for (int64_t i = 0; i < VF; i++)
                    if (i < tokens) r[i] = vf_add(vf_load_n(y + i * down, n), r[i]);
            }
            if (wn__given(&p->bias)) {
                vf bias = vf_load_n((const float *)p->bias.data + o0 + o, n);
                UNROLL
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
ALWAYS void add_row(int vecs, __m256 weight, const float *panel, size_t slot, int64_t first,
                    __m256 *acc) {
    const float *row = panel + slot * 8 * (size_t)vecs;
    __asm__("" : "+r"(row));
    row += first * 8 * vecs;
    UNROLL
    for (int v = 0; v < vecs; v++)
        acc[v] = _mm256_fmadd_ps(weight, _mm256_load_ps(row + 8 * v), acc[v]);
}

/* Four groups, whose index is two bytes. The two bits of each slot count rows of the panel from its
 * group's first. */
ALWAYS void add_four_groups(int vecs, const float *values, const uint8_t *index, const float *panel,
                            __m256 *acc) {
    uint16_t two;
    memcpy(&two, index, sizeof two);
    size_t bits = two;
#if VF == 16
    __m256 weights = _mm256_loadu_ps(values);
#endif
    UNROLL
    for (size_t i = 0; i < 8; i++) {
#if VF == 16
        __m256 weight = _mm256_permutexvar_ps(_mm256_set1_epi32((int)i), weights);
#else
        __m256 weight = _mm256_broadcast_ss(values + i);
#endif
        add_row(vecs, weight, panel, bits >> (2 * i) & 3, (int64_t)i / 2 * 4, acc);
    }
}

/* One output of a slice: its `groups` groups, and where its sums are. */
typedef struct output24 {
    const float *values;
    const uint8_t *index;
    float *sums;
} output24;

/* sums (+)= the products of a few outputs with the rows of a slice of the panel. They take turns,
 * so that narrow tiles have enough independent sums to hide the latency of an FMA. */
ALWAYS void add_outputs(int outputs, int vecs, int64_t groups, const output24 *out,
                        const float *panel, bool first) {
    __m256 acc[SLICE_OUTPUTS][TOKENS / 8];
    UNROLL
    for (int o = 0; o < outputs; o++) {
        UNROLL
        for (int v = 0; v < vecs; v++)
            acc[o][v] = first ? _mm256_setzero_ps() : _mm256_load_ps(out[o].sums + 8 * v);
    }
    int64_t g = 0;
    for (; g + 4 <= groups; g += 4) {
        UNROLL
        for (int o = 0; o < outputs; o++)
            add_four_groups(vecs, out[o].values + 2 * g, out[o].index + g / 2,
                            panel + g * 4 * 8 * vecs, acc[o]);
    }
    for (; g < groups; g++) {
        UNROLL
        for (int o = 0; o < outputs; o++) {
            size_t nibble = (size_t)out[o].index[g / 2] >> (g % 2 * 4);
            const float *rows = panel + g * 4 * 8 * vecs, *values = out[o].values + 2 * g;
            add_row(vecs, _mm256_broadcast_ss(values), rows, nibble & 3, 0, acc[o]);
            add_row(vecs, _mm256_broadcast_ss(values + 1), rows, nibble >> 2 & 3, 0, acc[o]);
        }
    }
    UNROLL
    for (int o = 0; o < outputs; o++) {
        UNROLL
        for (int v = 0; v < vecs; v++)
            _mm256_store_ps(out[o].sums + 8 * v, acc[o][v]);
    }
}

/* The rows of packed weights are far apart, and only a few lines of each are wanted in a slice: no
 * hardware prefetcher follows. */
ALWAYS void prefetch_output(const float *values, const uint8_t *index) {
    UNROLL
    for (int64_t i = 0; i < 2 * SLICE_GROUPS; i += 16)
        _mm_prefetch((const char *)(values + i), _MM_HINT_T0);
    _mm_prefetch((const char *)index, _MM_HINT_T0);
}

/* `count` outputs from o of a block on, in the slice that begins with group g. */
ALWAYS void add_slice(int count, int vecs, const wn__spmm24 *p, const float *panel, int64_t o0,
                      int64_t o, int64_t g, int64_t groups, float *sums) {
    int64_t row = p->values.shape[1], bytes = p->index.shape[1];
    output24 out[SLICE_OUTPUTS];
    UNROLL
    for (int i = 0; i < count; i++) {
        out[i].values = (const float *)p->values.data + (o0 + o + i) * row + 2 * g;
        out[i].index = (const uint8_t *)p->index.data + (o0 + o + i) * bytes + g / 2;
        out[i].sums = sums + (o + i) * 8 * vecs;
        prefetch_output(out[i].values + AHEAD * row, out[i].index + AHEAD * bytes);
    }
    add_outputs(count, vecs, groups, out, panel + g * 4 * 8 * vecs, g == 0);
}

/* All outputs of a block, slice after slice. A narrow tile has longer slices, and outputs in turns.
 */
ALWAYS void add_block(int vecs, const wn__spmm24 *p, const float *panel, int64_t o0,
                      int64_t outputs, float *sums) {
    int64_t all = p->values.shape[1] / 2;
    const int64_t slice = SLICE_GROUPS * (TOKENS / 8) / vecs / 4 * 4;
    const int turns = vecs >= 8 ? 1 : vecs == 4 ? 2 : SLICE_OUTPUTS;
    for (int64_t g = 0; g < all; g += slice) {
        int64_t groups = at_most(all - g, slice), o = 0;
        for (; o + turns <= outputs; o += turns)
            add_slice(turns, vecs, p, panel, o0, o, g, groups, sums);
        for (; o < outputs; o++)
            add_slice(1, vecs, p, panel, o0, o, g, groups, sums);
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

/* One block of outputs of one tile. */
static void run_block(const spmm24_job *job, const spmm24_tile *tile, int64_t o0, float *sums) {
    const wn__spmm24 *p = job->p;
    int64_t outputs = at_most(p->y.shape[1] - o0, job->plan.block);
    if (p->values.shape[1] == 0) memset(sums, 0, (size_t)(outputs * tile->width) * sizeof *sums);
    if (tile->width == TOKENS)
        block_whole(p, tile->panel, o0, outputs, sums);
    else if (tile->width == 64)
        block_64(p, tile->panel, o0, outputs, sums);
    else if (tile->width == 32)
        block_32(p, tile->panel, o0, outputs, sums);
    else if (tile->width == 16)
        block_16(p, tile->panel, o0, outputs, sums);
    else
        block_8(p, tile->panel, o0, outputs, sums);
    transpose_out(p, tile, sums, o0, outputs);
}

/* A worker's sums; its own panel follows. */
static float *worker_sums(const spmm24_job *job, int worker) {
    return (float *)(void *)(job->scratch + (size_t)worker * job->plan.worker_bytes);
}

/* Whole tiles: transposed, multiplied by everything and forgotten. */
static void spmm24_tiles(void *ctx, int64_t begin, int64_t end, int worker) {
    const spmm24_job *job = ctx;
    float *sums = worker_sums(job, worker);
    for (int64_t i = begin; i < end; i++) {
        spmm24_tile tile = tile_at(job, i);
        tile.panel = sums + job->plan.block * job->plan.tokens;
        transpose_in(job->p, &tile, job->plan.depth);
        for (int64_t o = 0; o < job->p->y.shape[1]; o += job->plan.block)
            run_block(job, &tile, o, sums);
    }
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
    for (int64_t i = begin; i < end; i++) {
        spmm24_tile tile = tile_at(job, i % job->tiles);
        run_block(job, &tile, i / job->tiles * job->plan.block, worker_sums(job, worker));
    }
}

static void run_shared(spmm24_job *job, wn__pool *pool) {
    int64_t T = job->p->x.shape[0], n = job->p->y.shape[1];
    job->scratch += job->plan.panel_bytes;
    for (job->t0 = 0; job->t0 < T; job->t0 = job->t1) {
        job->t1 = job->t0 + at_most(T - job->t0, job->plan.chunk);
        job->tiles = tile_count(job->t1 - job->t0);
        wn__parallel_for(pool, job->tiles, 1, spmm24_transpose, job);
        int64_t blocks = (n + job->plan.block - 1) / job->plan.block;
        wn__parallel_for(pool, job->tiles * blocks, 1, spmm24_blocks, job);
    }
}

static wn_status spmm24(const void *args, wn__exec *x) {
    const wn__spmm24 *p = args;
    int64_t T = p->x.shape[0];
    if (T <= WN_SPMM24_FEW) {
        wn__parallel_for(x->pool, p->y.shape[1], SPMM24_FEW_BLOCK, spmm24_few, (void *)args);
        return WN_OK;
    }
    spmm24_job job = {.p = p, .panel = (float *)(void *)x->scratch, .scratch = x->scratch, .t1 = T};
    job.plan = wn__spmm24_plan_for(p, TOKENS, wn__pool_threads(x->pool));
    if (job.plan.shared)
        run_shared(&job, x->pool);
    else
        wn__parallel_for(x->pool, tile_count(T), 1, spmm24_tiles, &job);
    return WN_OK;
}
