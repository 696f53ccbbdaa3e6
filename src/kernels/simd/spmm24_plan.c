// SPDX-License-Identifier: MIT
// The cut of a 2:4 product and the workspace that follows from it.
#include "kernels/simd/spmm24_plan.h"
#include "kernels/columns24.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/matmul_plan.h"
#include "kernels/spmm24_rows.h"

#include <stdio.h>

#define TILES       16          // of a chunk
#define MOST_SUMS   (256 * 128) // of a block: 128 KiB
#define LEAST_BLOCK 64
#define EACH        4 // pieces of work for each thread, if there can be that many

static const wn__spmm24_cut vectors64 = {WN_AVX512_LANES, 1}, vectors32 = {WN_AVX2_LANES, 1},
                            pairs = {WN_PAIRS_LANES, WN_PAIR_STEPS};

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

bool wn__spmm24_is_few(const wn__spmm24 *p) {
    return p->x.dtype != WN_DTYPE_BF16 && p->x.shape[0] <= WN_SPMM24_FEW;
}

bool wn__accepts_spmm24_tiles(const void *args, char *why, size_t n) {
    if (!wn__accepts_f32(args, why, n)) return false;
    if (!wn__spmm24_is_few(args)) return true;
    (void)snprintf(why, n, "%d tokens or fewer are no tile", WN_SPMM24_FEW);
    return false;
}

// Whole tiles are best left to one worker, in whose L2 they stay.
wn__spmm24_plan wn__spmm24_plan_for(int64_t lanes, int64_t outputs, int64_t depth,
                                    wn__spmm24_cut cut, int threads) {
    int64_t tile = cut.lanes, tiles = ceil_div(lanes, tile);
    wn__spmm24_plan plan = {
        .shared = tiles < EACH * threads, .lanes = tile, .block = MOST_SUMS / tile};
    plan.rows = ceil_div(depth, 4) * 4 / cut.steps;
    if (plan.shared) {
        if (tiles > TILES) tiles = TILES;
        while (plan.block > LEAST_BLOCK && tiles * ceil_div(outputs, plan.block) < EACH * threads)
            plan.block /= 2;
        plan.chunk = tiles * tile;
    }
    plan.panel_bytes = (size_t)((plan.shared ? plan.chunk : tile) * plan.rows) * sizeof(float);
    plan.worker_bytes = (size_t)(plan.block * tile) * sizeof(float);
    if (!plan.shared) plan.worker_bytes += plan.panel_bytes;
    return plan;
}

size_t wn__spmm24_plan_bytes(int64_t lanes, int64_t outputs, int64_t depth, wn__spmm24_cut cut,
                             int threads) {
    wn__spmm24_plan plan = wn__spmm24_plan_for(lanes, outputs, depth, cut, threads);
    return (plan.shared ? plan.panel_bytes : 0) + (size_t)threads * plan.worker_bytes;
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
