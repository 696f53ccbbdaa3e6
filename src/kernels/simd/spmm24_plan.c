// SPDX-License-Identifier: MIT
// The cut of a 2:4 product and the workspace that follows from it.
#include "kernels/simd/spmm24_plan.h"
#include "kernels/contract.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/matmul_plan.h"
#include "kernels/spmm24_rows.h"

#include <stdio.h>

#define MOST_SUMS   (256 * 128) // of a block: 128 KiB
#define LEAST_BLOCK 64
#define LINE        WN_SPMM24_LINE
#define KEPT_FLOATS (512 * 256) // of panels that a worker keeps beside sums and weights: 512 KiB
#define KEPT_TILES  64
#define MOST_LISTS  (32 << 20) // bytes of column lists as pairs
// Tiles that pair up lists for themselves rather than read what another core wrote: cores without a
// common cache take twice as long for that as for all else at four tiles.
#define SHARED_TILES 8
#define EACH         4   // pieces of work for each thread, if there can be that many
#define WORTH_PAIRS  256 // outputs of a block for which slices of pairs are worth writing

static const wn__spmm24_cut vectors64 = {WN_AVX512_LANES, 1}, vectors32 = {WN_AVX2_LANES, 1},
                            pairs = {WN_PAIRS_LANES, WN_PAIR_STEPS};

bool wn__spmm24_is_few(const wn__spmm24 *p) {
    return p->x.dtype != WN_DTYPE_BF16 && p->x.shape[0] <= WN_SPMM24_FEW;
}

bool wn__accepts_spmm24_tiles(const void *args, char *why, size_t n) {
    if (!wn__accepts_f32(args, why, n)) return false;
    if (!wn__spmm24_is_few(args)) return true;
    (void)snprintf(why, n, "%d tokens or fewer are no tile", WN_SPMM24_FEW);
    return false;
}

// Blocks of pairs that are wanted at most: each writes all slices of a panel for itself, which
// takes as long as a dozen outputs. But one for each thread.
static int64_t worth_writing(int64_t tiles, int64_t outputs, int threads) {
    int64_t each = wn__ceil_div(threads, tiles), blocks = outputs / WORTH_PAIRS / each * each;
    return blocks > each ? blocks : each;
}

// Blocks of a tile: few, since each reads the panel again, but so many that threads end together.
static int64_t blocks_of(int64_t tiles, int64_t outputs, wn__spmm24_cut cut, int threads) {
    int64_t lines = wn__ceil_div(outputs, LINE), finest = wn__ceil_div(outputs, LEAST_BLOCK);
    int64_t least = wn__ceil_div(lines, MOST_SUMS / cut.lanes / LINE);
    int64_t blocks = wn__ceil_div((int64_t)EACH * threads, tiles);
    if (cut.steps > 1 && blocks > worth_writing(tiles, outputs, threads))
        blocks = worth_writing(tiles, outputs, threads);
    if (blocks > finest) blocks = finest;
    if (blocks < least) blocks = least;
    for (int64_t even = blocks; even < blocks + threads && even <= finest; even++)
        if (tiles * even % threads == 0) return even;
    return blocks;
}

wn__spmm24_plan wn__spmm24_plan_for(int64_t lanes, int64_t outputs, int64_t depth,
                                    wn__spmm24_cut cut, int threads) {
    int64_t tile = cut.lanes, tiles = wn__ceil_div(lanes, tile);
    wn__spmm24_plan plan = {.lanes = tile, .rows = wn__ceil_div(depth, 4) * 4 / cut.steps};
    plan.tiles = tiles;
    plan.keeps = tiles <= KEPT_TILES && tiles * tile * plan.rows <= KEPT_FLOATS;
    if (outputs > 0 && tiles > 0) {
        plan.blocks = blocks_of(plan.keeps ? 1 : tiles, outputs, cut, threads);
        plan.block = wn__ceil_div(wn__ceil_div(outputs, LINE), plan.blocks) * LINE;
    }
    size_t floats = (size_t)((plan.block + (plan.keeps ? tiles : 1) * plan.rows) * tile);
    plan.worker_bytes = WN_SPMM24_HEAD + floats * sizeof(float);
    return plan;
}

int64_t wn__spmm24_output(const wn__spmm24_plan *plan, int64_t outputs, int64_t block) {
    int64_t output = wn__ceil_div(outputs, LINE) * block / plan->blocks * LINE;
    return output < outputs ? output : outputs;
}

int64_t wn__spmm24_block_of(const wn__spmm24_plan *plan, int64_t outputs, int64_t output) {
    return wn__ceil_div(output / LINE * plan->blocks, wn__ceil_div(outputs, LINE));
}

size_t wn__spmm24_plan_bytes(int64_t lanes, int64_t outputs, int64_t depth, wn__spmm24_cut cut,
                             int threads) {
    return (size_t)threads * wn__spmm24_plan_for(lanes, outputs, depth, cut, threads).worker_bytes;
}

static size_t spmm24(const wn__spmm24 *p, int threads, wn__spmm24_cut cut) {
    if (wn__spmm24_is_few(p)) return 0;
    return wn__spmm24_plan_bytes(p->x.shape[0], p->y.shape[1], p->x.shape[1], cut, threads);
}

size_t wn__workspace_spmm24_avx512(const void *args, int threads) {
    return spmm24(args, threads, vectors64);
}

size_t wn__workspace_spmm24_avx512bf16(const void *args, int threads) {
    return spmm24(args, threads, pairs);
}

size_t wn__workspace_spmm24_avx2(const void *args, int threads) {
    return spmm24(args, threads, vectors32);
}

static size_t rows(const wn__spmm24_rows *p, int threads, wn__spmm24_cut cut) {
    return wn__spmm24_plan_bytes(p->b.shape[1], p->c.shape[0], p->b.shape[0], cut, threads);
}

size_t wn__workspace_spmm24_rows_avx512(const void *args, int threads) {
    return rows(args, threads, vectors64);
}

size_t wn__workspace_spmm24_rows_avx512bf16(const void *args, int threads) {
    return rows(args, threads, pairs);
}

size_t wn__workspace_spmm24_rows_avx2(const void *args, int threads) {
    return rows(args, threads, vectors32);
}

static size_t columns(const wn__spmm24_columns *p, int threads, wn__spmm24_cut cut) {
    return wn__spmm24_plan_bytes(p->x.shape[0], p->y.shape[1], p->x.shape[1], cut, threads);
}

size_t wn__workspace_spmm24_columns_avx512(const void *args, int threads) {
    return columns(args, threads, vectors64);
}

size_t wn__workspace_spmm24_columns_avx2(const void *args, int threads) {
    return columns(args, threads, vectors32);
}

bool wn__paired24_once(const wn__spmm24_columns *p, int threads) {
    const wn__spmm24_plan plan =
        wn__spmm24_plan_for(p->x.shape[0], p->y.shape[1], p->x.shape[1], pairs, 1);
    if (threads > 1) return plan.tiles <= SHARED_TILES;
    return plan.tiles <= 1 || (plan.tiles == 2 && !plan.keeps);
}

int64_t wn__paired24_columns(int64_t slices, int64_t columns) {
    int64_t batches = MOST_LISTS / (int64_t)sizeof(wn__batch24) / (slices > 0 ? slices : 1),
            most = (batches > 1 ? batches : 1) * WN_PAIRED24_BATCH;
    if (most >= columns) return columns;
    return wn__ceil_div(wn__ceil_div(columns, wn__ceil_div(columns, most)), LINE) * LINE;
}

size_t wn__paired24_bytes(const wn__spmm24_plan *plan, int64_t slices, int64_t columns) {
    return (size_t)(slices * (columns / WN_PAIRED24_BATCH + plan->blocks)) * sizeof(wn__batch24);
}

// Of so many columns at a time.
static size_t paired_bytes(const wn__spmm24_columns *p, int64_t columns, int threads) {
    const wn__spmm24_plan plan =
        wn__spmm24_plan_for(p->x.shape[0], columns, p->x.shape[1], pairs, threads);
    return wn__paired24_bytes(&plan, p->start.shape[0], columns) +
           (size_t)threads * plan.worker_bytes;
}

size_t wn__workspace_spmm24_columns_avx512bf16(const void *args, int threads) {
    const wn__spmm24_columns *p = args;
    if (wn__paired24_once(p, threads)) return columns(args, threads, pairs);
    int64_t c = p->y.shape[1], most = wn__paired24_columns(p->start.shape[0], c);
    size_t some = paired_bytes(p, most, threads),
           last = most > 0 ? paired_bytes(p, c % most, threads) : 0;
    return some > last ? some : last;
}
