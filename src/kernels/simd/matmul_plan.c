// SPDX-License-Identifier: MIT
// The cut of a product into blocks, from its shapes alone, and the workspace that follows from it.
#include "kernels/simd/matmul_plan.h"
#include "kernels/simd/accepts.h"

#define MOST_M  168 // with a slice of k: 168 KiB of packed a
#define MOST_N  512 // 512 KiB of packed b
#define LEAST_M 84
#define LEAST_N 128
#define ENOUGH  12 // blocks; more threads than that need larger products
#define SLACK   16 // floats that the last store of a panel may pass its end by
#define LINE    16 // floats of a cache line

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

// size cut into equal parts of at most `most`, each a multiple of tile but the last.
static int64_t even_part(int64_t size, int64_t most, int64_t tile) {
    int64_t parts = ceil_div(size, most);
    return parts > 0 ? ceil_div(ceil_div(size, parts), tile) * tile : tile;
}

bool wn__matmul_is_few(const wn__matmul *p) {
    return p->c.shape[0] <= WN_MATMUL_FEW_M && (p->b.stride[1] == 1 || p->a.stride[1] == 1);
}

wn__matmul_plan wn__matmul_plan_for(const wn__matmul *p, int64_t tile_m, int64_t tile_n) {
    int64_t m = p->c.shape[0], n = p->c.shape[1], most_m = MOST_M, most_n = MOST_N;
    while (ceil_div(m, most_m) * ceil_div(n, most_n) < ENOUGH) {
        if (most_n > LEAST_N && most_n > most_m)
            most_n /= 2;
        else if (most_m > LEAST_M)
            most_m -= LEAST_M;
        else if (most_n > LEAST_N)
            most_n /= 2;
        else
            break;
    }
    wn__matmul_plan plan = {.block_m = even_part(m, most_m, tile_m),
                            .block_n = even_part(n, most_n, tile_n)};
    int64_t slice = p->a.shape[1] < WN_MATMUL_SLICE_K ? p->a.shape[1] : WN_MATMUL_SLICE_K;
    plan.rows = ceil_div(m, plan.block_m);
    plan.columns = ceil_div(n, plan.block_n);
    plan.a_floats = ceil_div(plan.block_m * slice + SLACK, LINE) * LINE;
    int64_t b_floats = ceil_div(plan.block_n * slice + SLACK, LINE) * LINE;
    plan.worker_bytes = (size_t)(plan.a_floats + b_floats) * sizeof(float);
    return plan;
}

wn__matmul_block wn__matmul_block_at(const wn__matmul_plan *plan, const wn__matmul *p, int64_t i) {
    int64_t m0 = i % plan->rows * plan->block_m, n0 = i / plan->rows * plan->block_n;
    int64_t m = p->c.shape[0] - m0, n = p->c.shape[1] - n0;
    return (wn__matmul_block){m0, m < plan->block_m ? m : plan->block_m, n0,
                              n < plan->block_n ? n : plan->block_n};
}

static size_t workspace(const wn__matmul *p, int threads, int64_t tile_m, int64_t tile_n) {
    if (wn__matmul_is_few(p)) return 0;
    return (size_t)threads * wn__matmul_plan_for(p, tile_m, tile_n).worker_bytes;
}

size_t wn__workspace_matmul_avx512(const void *args, int threads) {
    return workspace(args, threads, WN_AVX512_TILE_M, WN_AVX512_TILE_N);
}

size_t wn__workspace_matmul_avx2(const void *args, int threads) {
    return workspace(args, threads, WN_AVX2_TILE_M, WN_AVX2_TILE_N);
}
