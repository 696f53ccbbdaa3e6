// SPDX-License-Identifier: MIT
/* stream, with STREAM_FLOATS of F32 and BF16 (with STREAM_TOKENS by another loop for 16 tokens),
 * with STREAM_INTEGERS, which names the header of their loops, of INT8 and INT4, with STREAM_QUADS
 * too of INT4 2:4 alone. x is laid out in scratch, then blocks of tiles pass over the weights once,
 * in the order in which they lie. A few tokens at a time share what they read of a tile; up to 16
 * take turns over a slice of it that stays in L1, and the slice after it is fetched meanwhile. More
 * tokens come after them, while the tile is in L2. */
#include "base/cpu.h"
#include "base/fail.h"
#include "kernels/op.h"
#include "kernels/simd/stream_plan.h"

#include <string.h>

#ifdef STREAM_FLOATS
#include "kernels/simd/stream_float.inc.h"
#endif
#ifdef STREAM_TOKENS
#include "kernels/simd/stream_tokens.inc.h"
#endif
#ifdef STREAM_INTEGERS
#include STREAM_INTEGERS
#endif

/* A block of work: tiles of so many bytes, as each block begins with lines that nothing fetched
 * ahead, but no more than leave every thread a few blocks, and no fewer than BLOCK_TILES. */
#define BLOCK_TILES 4
#define BLOCK_BYTES ((int64_t)384 << 10)
#define BLOCK_TURNS 8 /* blocks of a thread, at least */

#if defined(STREAM_QUADS)
#define STREAM_TABLES 4
#else
#define STREAM_TABLES (VF == 16 ? 8 : 4)
#endif

typedef struct stream_job {
    const wn__stream *p;
    wn__stream_plan plan;
    uint8_t *rows; /* of x, plan.row bytes each */
    int64_t t0, tokens;
    bool alone;  /* one token, which fetches as FETCH_ALONE says */
    bool fetch;  /* lines are fetched before they are read */
    int64_t far; /* and how far, of INT4 2:4 as tables */
} stream_job;

/* ---- x */

static void lay_floats(const stream_job *job, int64_t t) {
    int64_t k = job->p->format.k;
    const float *x = (const float *)job->p->x.data + (job->t0 + t) * job->p->x.stride[0];
    float *row = (float *)(void *)(job->rows + t * job->plan.row);
    if (k > 0) memcpy(row, x, (size_t)k * sizeof *row);
    for (int64_t c = k; c < job->plan.columns; c++)
        row[c] = 0;
}

#ifdef STREAM_INTEGERS
static void lay_int8_row(const stream_job *job, const float *x, uint8_t *row) {
    const wn__stream_format *f = &job->p->format;
    float scale = quantise(x, f->k, job->plan.columns, (int8_t *)row);
    memcpy(row + job->plan.scales, &scale, sizeof scale);
    lay_int8(f->sparse, job->plan.columns, (int8_t *)row, row + job->plan.scales + 4);
}

static void lay_int4_row(const stream_job *job, const float *x, uint8_t *row) {
    const wn__stream_format *f = &job->p->format;
    int64_t step = WN_STREAM_GROUP * job->plan.column;
    for (int64_t b = 0; b < job->plan.groups; b++) {
        int8_t q[WN_STREAM_GROUP];
        int64_t left = f->k - b * WN_STREAM_GROUP;
        uint8_t *scales = row + job->plan.scales + 8 * b;
        float scale = quantise(x + b * WN_STREAM_GROUP,
                               left < WN_STREAM_GROUP ? left : WN_STREAM_GROUP, WN_STREAM_GROUP, q);
        memcpy(scales, &scale, sizeof scale);
        lay_int4(f->sparse, job->plan.column, q, row + step * b, scales + 4);
    }
}

static void lay_row(const stream_job *job, int64_t t) {
    const float *x = (const float *)job->p->x.data + (job->t0 + t) * job->p->x.stride[0];
    uint8_t *row = job->rows + t * job->plan.row;
    if (job->p->format.type == WN_STREAM_INT8)
        lay_int8_row(job, x, row);
    else if (job->p->format.type == WN_STREAM_INT4)
        lay_int4_row(job, x, row);
    else
        lay_floats(job, t);
}
#else
static void lay_row(const stream_job *job, int64_t t) {
    lay_floats(job, t);
}
#endif

#ifdef STREAM_TOKENS
/* Where x of a block of tokens is a panel. */
static bool in_panel(const wn__stream_format *f, int64_t tokens) {
    return f->sparse && !wn__stream_quantised(f) && tokens == WN_STREAM_BATCH;
}
#endif

/* Blocks of 16 tokens. */
static void lay_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const stream_job *job = ctx;
#ifdef STREAM_TOKENS
    const wn__stream *p = job->p;
    if (in_panel(&p->format, end - begin)) {
        lay_panel((const float *)p->x.data + (job->t0 + begin) * p->x.stride[0], p->x.stride[0],
                  p->format.k, job->plan.columns,
                  (float *)(void *)(job->rows + begin * job->plan.row));
        return;
    }
#endif
    for (int64_t t = begin; t < end; t++)
        lay_row(job, t);
}

/* ---- y */

/* Sixteen outputs of a token, of which n exist. */
static void finish_token(const wn__stream *p, int64_t t, int64_t o, const float *sums) {
    float *y = (float *)p->y.data + t * p->y.stride[0] + o;
    for (int64_t v = 0; v < 16 && o + v < p->format.n; v += VF) {
        int64_t n = p->format.n - o - v < VF ? p->format.n - o - v : VF;
        vf sum = vf_load(sums + v);
        if (p->accumulate) sum = vf_add(vf_load_n(y + v, n), sum);
        if (wn__given(&p->bias))
            sum = vf_add(sum, vf_load_n((const float *)p->bias.data + o + v, n));
        vf_store_n(y + v, sum, n);
    }
}

/* ---- one tile */

/* What a turn does: `count` tokens from t on over `blocks` blocks from `first` on. */
typedef struct turn {
    const uint8_t *w; /* of block `first` */
    int64_t first, blocks, t, ahead;
} turn;

#ifdef STREAM_INTEGERS
/* x of a turn's first token. */
ALWAYS int_rows rows_of_turn(const stream_job *job, const turn *u) {
    const uint8_t *row = job->rows + u->t * job->plan.row;
    int64_t column = u->first * wn__stream_block_columns(&job->p->format);
    return (int_rows){.x = row + job->plan.column * column,
                      .column = job->plan.column,
                      .scales = row + job->plan.scales + 8 * u->first,
                      .down = job->plan.row,
                      .columns = job->plan.columns,
                      .far = job->far};
}
#endif

/* alone: fetches FETCH_ALONE, a constant, instead of u->ahead, which is not below zero. */
ALWAYS void take_turn(wn__stream_type type, bool sparse, int tokens, bool alone,
                      const stream_job *job, const turn *u, float *to) {
    const int64_t ahead = alone ? FETCH_ALONE : u->ahead;
    if (!alone && ahead < 0) __builtin_unreachable();
#ifdef STREAM_INTEGERS
    if (type == WN_STREAM_INT8 || type == WN_STREAM_INT4) {
        const int_rows r = rows_of_turn(job, u);
        if (type == WN_STREAM_INT8)
            int8_pass(sparse, tokens, u->w, &r, u->blocks, ahead, (int32_t *)(void *)to);
        else
            int4_pass(sparse, tokens, u->w, &r, u->blocks, ahead, to);
        return;
    }
#endif
#ifdef STREAM_FLOATS
    const float *x = (const float *)(const void *)(job->rows + u->t * job->plan.row);
    float_pass(type, sparse, tokens, u->w, x + u->first * wn__stream_block_columns(&job->p->format),
               job->plan.row / 4, u->blocks, ahead, to);
#endif
}

/* Tokens that share one reading of the weights, at most: as many as have their sums in registers.
 */
ALWAYS int most_tokens(wn__stream_type type, bool sparse) {
    if (VF == 16) return 16;
    return type == WN_STREAM_INT4 && sparse ? 8 : 4;
}

/* As even as turns can be. */
ALWAYS int turn_tokens(int64_t left, int most) {
    int64_t turns = (left + most - 1) / most;
    return (int)((left + turns - 1) / turns);
}

/* One loop for each number of tokens, which is unrolled. */
ALWAYS void take_turn_of(wn__stream_type type, bool sparse, int tokens, const stream_job *job,
                         const turn *u, float *to) {
    const int most = most_tokens(type, sparse);
#define STREAM_TURN(n)                                                                             \
    case n:                                                                                        \
        if ((n) <= most) take_turn(type, sparse, (n) <= most ? (n) : 1, false, job, u, to);        \
        return;
    if (job->alone) {
        take_turn(type, sparse, 1, true, job, u, to);
        return;
    }
    switch (tokens) {
        STREAM_TURN(1)
        STREAM_TURN(2)
        STREAM_TURN(3)
        STREAM_TURN(4)
        STREAM_TURN(5)
        STREAM_TURN(6)
        STREAM_TURN(7)
        STREAM_TURN(8)
        STREAM_TURN(9)
        STREAM_TURN(10)
        STREAM_TURN(11)
        STREAM_TURN(12)
        STREAM_TURN(13)
        STREAM_TURN(14)
        STREAM_TURN(15)
        STREAM_TURN(16)
    }
#undef STREAM_TURN
}

/* `tokens` tokens, 16 at most, from t0 on. */
ALWAYS void run_tile(wn__stream_type type, bool sparse, const stream_job *job, int64_t i,
                     int64_t t0, int64_t tokens) {
    const wn__stream_format *f = &job->p->format;
    const int64_t bytes = wn__stream_block_bytes(&(wn__stream_format){type, sparse, 0, 0});
    const uint8_t *tile = (const uint8_t *)job->p->stream.data + i * wn__stream_tile_bytes(f);
    const uint8_t *w = tile + wn__stream_head_bytes(f);
    _Alignas(64) float sums[16 * WN_STREAM_BATCH];
    int64_t all = wn__stream_blocks(f);
    const int most = most_tokens(type, sparse);
    bool many = tokens > most;
    int64_t slice = many ? SLICE_BYTES / bytes : all;
    memset(sums, 0, (size_t)(16 * tokens) * sizeof *sums);
    for (int64_t b = 0; b < all; b += slice) {
        turn u = {.w = w + b * bytes,
                  .first = b,
                  .blocks = all - b < slice ? all - b : slice,
                  .t = t0,
                  .ahead = t0 > 0 || !job->fetch ? 0
                           : many                ? FETCH_MANY
                                                 : FETCH_ONE};
        while (u.t < t0 + tokens) {
            int count = turn_tokens(t0 + tokens - u.t, most);
            take_turn_of(type, sparse, count, job, &u, sums + 16 * (u.t - t0));
            u.t += count;
            u.ahead = 0;
        }
    }
    for (int64_t t = 0; t < tokens; t++) {
#ifdef STREAM_INTEGERS
        if (type == WN_STREAM_INT8)
            scale_int8(tile, job->rows + (t0 + t) * job->plan.row + job->plan.scales,
                       sums + 16 * t);
#endif
        finish_token(job->p, job->t0 + t0 + t, i * WN_STREAM_LANES, sums + 16 * t);
    }
}

#ifdef STREAM_TOKENS
/* The same for 16 tokens of a panel: four outputs at a time take turns over a slice. */
ALWAYS void run_panel(wn__stream_type type, const stream_job *job, int64_t i, int64_t t0) {
    const wn__stream_format *f = &job->p->format;
    const int64_t bytes = wn__stream_block_bytes(&(wn__stream_format){type, true, 0, 0});
    const int64_t slice = SLICE_BYTES / bytes, all = wn__stream_blocks(f);
    const uint8_t *w = (const uint8_t *)job->p->stream.data + i * wn__stream_tile_bytes(f);
    const char *panel = (const char *)job->rows + t0 * job->plan.row;
    _Alignas(64) float sums[16 * WN_STREAM_BATCH], turned[16 * WN_STREAM_BATCH];
    memset(sums, 0, sizeof sums);
    for (int64_t b = 0; b < all; b += slice) {
        int64_t blocks = all - b < slice ? all - b : slice;
        for (int lane = 0; lane < 16; lane += PANEL_OUTPUTS)
            token_lanes(type, w + b * bytes, panel + b * 32 * PANEL_BYTES, blocks,
                        t0 > 0 || lane > 0 ? 0 : FETCH_MANY, lane, sums + lane * WN_STREAM_BATCH);
    }
    turn_sums(sums, turned);
    for (int64_t t = 0; t < WN_STREAM_BATCH; t++)
        finish_token(job->p, job->t0 + t0 + t, i * WN_STREAM_LANES, turned + 16 * t);
}
#endif

ALWAYS void run_some(wn__stream_type type, bool sparse, const stream_job *job, int64_t i,
                     int64_t t0, int64_t tokens) {
#ifdef STREAM_TOKENS
    if (in_panel(&(wn__stream_format){type, sparse, 0, 0}, tokens)) {
        run_panel(type, job, i, t0);
        return;
    }
#endif
    run_tile(type, sparse, job, i, t0, tokens);
}

#define STREAM_TILES(name, type, sparse)                                                           \
    static void name(void *ctx, int64_t begin, int64_t end, int worker) {                          \
        (void)worker;                                                                              \
        const stream_job *job = ctx;                                                               \
        for (int64_t i = begin; i < end; i++)                                                      \
            for (int64_t t = 0; t < job->tokens; t += WN_STREAM_BATCH)                             \
                run_some(type, sparse, job, i, t,                                                  \
                         job->tokens - t < WN_STREAM_BATCH ? job->tokens - t : WN_STREAM_BATCH);   \
    }
#ifdef STREAM_FLOATS
STREAM_TILES(tiles_f32, WN_STREAM_F32, false)
STREAM_TILES(tiles_f32_24, WN_STREAM_F32, true)
STREAM_TILES(tiles_bf16, WN_STREAM_BF16, false)
STREAM_TILES(tiles_bf16_24, WN_STREAM_BF16, true)
#endif
#ifdef STREAM_INTEGERS
#ifndef STREAM_QUADS
STREAM_TILES(tiles_int8, WN_STREAM_INT8, false)
STREAM_TILES(tiles_int8_24, WN_STREAM_INT8, true)
STREAM_TILES(tiles_int4, WN_STREAM_INT4, false)
#endif
STREAM_TILES(tiles_int4_24, WN_STREAM_INT4, true)
#endif
#undef STREAM_TILES

/* One token, and more bytes than fit into the caches of these threads, of which two at least share
 * one. */
static bool past_caches(const wn__stream *p, int threads) {
    uint64_t keep = wn__cpu_last_cache() * (uint64_t)((threads + 1) / 2);
    return p->x.shape[0] == 1 && keep > 0 && wn__stream_bytes(&p->format) > keep;
}

/* Where a line meets few operations, Zen 4 by itself has more of them on their way than it has with
 * others fetched beside. INT4 2:4 reads a block in another order than it lies. */
static bool fetches(const wn__stream *p) {
    const wn__stream_format *f = &p->format;
    bool split = (wn__cpu_detected() & WN_CPU_AVX512SPLIT) != 0;
    bool quick = !f->sparse && (f->type == WN_STREAM_F32 || f->type == WN_STREAM_INT8);
    if (VF == 8 || !split || (f->sparse && f->type == WN_STREAM_INT4)) return true;
    return p->x.shape[0] > (quick ? 2 : 1);
}

static int64_t far_of(const wn__stream *p, int threads) {
    bool much = (int64_t)wn__stream_bytes(&p->format) / threads >= FETCH_TABLES_SHARE;
    return much ? FETCH_TABLES : FETCH_FAR;
}

static int64_t tiles_of_block(const wn__stream_format *f, int threads) {
    int64_t most = wn__stream_tiles(f) / (BLOCK_TURNS * threads);
    int64_t tiles = BLOCK_BYTES / (wn__stream_tile_bytes(f) + 1);
    if (tiles > most) tiles = most;
    return tiles > BLOCK_TILES ? tiles : BLOCK_TILES;
}

static wn_status stream(const void *args, wn__exec *x) {
    static wn__range_fn *const tiles[][2] = {
#ifdef STREAM_FLOATS
        [WN_STREAM_F32] = {tiles_f32, tiles_f32_24},
        [WN_STREAM_BF16] = {tiles_bf16, tiles_bf16_24},
#endif
#if defined(STREAM_QUADS)
        [WN_STREAM_INT4] = {NULL, tiles_int4_24},
#elif defined(STREAM_INTEGERS)
        [WN_STREAM_INT8] = {tiles_int8, tiles_int8_24},
        [WN_STREAM_INT4] = {tiles_int4, tiles_int4_24},
#endif
    };
    const wn__stream *p = args;
    stream_job job = {.p = p,
                      .plan = wn__stream_plan_of(p, VF == 16, STREAM_TABLES),
                      .rows = (uint8_t *)x->scratch,
                      .fetch = fetches(p),
                      .far = far_of(p, wn__pool_threads(x->pool))};
    job.alone =
        VF == 8 ? past_caches(p, wn__pool_threads(x->pool)) : !job.fetch && p->x.shape[0] == 1;
    for (; job.t0 < p->x.shape[0]; job.t0 += job.tokens) {
        int64_t left = p->x.shape[0] - job.t0;
        job.tokens = left < job.plan.tokens ? left : job.plan.tokens;
        wn__parallel_for(x->pool, job.tokens, WN_STREAM_BATCH, lay_rows, &job);
        wn__parallel_for(x->pool, wn__stream_tiles(&p->format),
                         tiles_of_block(&p->format, wn__pool_threads(x->pool)),
                         tiles[p->format.type][p->format.sparse], &job);
    }
    return WN_OK;
}
