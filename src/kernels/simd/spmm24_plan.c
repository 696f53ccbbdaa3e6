// SPDX-License-Identifier: MIT
// The cut of a 2:4 product, from its shapes alone, and the workspace that follows from it.
#include "kernels/simd/spmm24_plan.h"
#include "kernels/simd/accepts.h"

#define TILES       16  // of a chunk
#define MOST_BLOCK  256 // outputs: 128 KiB of sums
#define LEAST_BLOCK 64
#define ENOUGH      16 // pieces of work to share out

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

wn__spmm24_plan wn__spmm24_plan_for(const wn__spmm24 *p, int64_t tokens) {
    int64_t T = ceil_div(p->x.shape[0], 8) * 8, n = p->y.shape[1];
    wn__spmm24_plan plan = {.tokens = tokens, .chunk = TILES * tokens, .block = MOST_BLOCK};
    if (plan.chunk > T) plan.chunk = ceil_div(T, tokens) * tokens;
    plan.depth = p->values.shape[1] / 2 * 4;
    while (plan.block > LEAST_BLOCK && plan.chunk / tokens * ceil_div(n, plan.block) < ENOUGH)
        plan.block /= 2;
    plan.panel_bytes = (size_t)(plan.chunk * plan.depth) * sizeof(float);
    plan.worker_bytes = (size_t)(plan.block * tokens) * sizeof(float);
    return plan;
}

static size_t workspace(const wn__spmm24 *p, int threads, int64_t tokens) {
    if (p->x.shape[0] <= WN_SPMM24_FEW) return 0;
    wn__spmm24_plan plan = wn__spmm24_plan_for(p, tokens);
    return plan.panel_bytes + (size_t)threads * plan.worker_bytes;
}

size_t wn__workspace_spmm24_avx512(const void *args, int threads) {
    return workspace(args, threads, WN_AVX512_TOKENS);
}

size_t wn__workspace_spmm24_avx2(const void *args, int threads) {
    return workspace(args, threads, WN_AVX2_TOKENS);
}
