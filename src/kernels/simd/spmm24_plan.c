// SPDX-License-Identifier: MIT
// The cut of a 2:4 product and the workspace that follows from it.
#include "kernels/simd/spmm24_plan.h"
#include "kernels/simd/accepts.h"

#define TILES       16  // of a chunk
#define MOST_BLOCK  256 // outputs: 128 KiB of sums
#define LEAST_BLOCK 64
#define EACH        4 // pieces of work for each thread, if there can be that many

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// Whole tiles are best left to one worker, in whose L2 they stay.
wn__spmm24_plan wn__spmm24_plan_for(const wn__spmm24 *p, int64_t tokens, int threads) {
    int64_t tiles = ceil_div(p->x.shape[0], tokens), n = p->y.shape[1];
    wn__spmm24_plan plan = {
        .shared = tiles < EACH * threads, .tokens = tokens, .block = MOST_BLOCK};
    plan.depth = p->values.shape[1] / 2 * 4;
    if (plan.shared) {
        if (tiles > TILES) tiles = TILES;
        while (plan.block > LEAST_BLOCK && tiles * ceil_div(n, plan.block) < EACH * threads)
            plan.block /= 2;
        plan.chunk = tiles * tokens;
    }
    plan.panel_bytes = (size_t)((plan.shared ? plan.chunk : tokens) * plan.depth) * sizeof(float);
    plan.worker_bytes = (size_t)(plan.block * tokens) * sizeof(float);
    if (!plan.shared) plan.worker_bytes += plan.panel_bytes;
    return plan;
}

static size_t workspace(const wn__spmm24 *p, int threads, int64_t tokens) {
    if (p->x.shape[0] <= WN_SPMM24_FEW) return 0;
    wn__spmm24_plan plan = wn__spmm24_plan_for(p, tokens, threads);
    return (plan.shared ? plan.panel_bytes : 0) + (size_t)threads * plan.worker_bytes;
}

size_t wn__workspace_spmm24_avx512(const void *args, int threads) {
    return workspace(args, threads, WN_AVX512_TOKENS);
}

size_t wn__workspace_spmm24_avx2(const void *args, int threads) {
    return workspace(args, threads, WN_AVX2_TOKENS);
}
