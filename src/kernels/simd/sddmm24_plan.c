// SPDX-License-Identifier: MIT
// The cut of a product at kept places, and the workspace that follows from it.
#include "kernels/simd/sddmm24_plan.h"
#include "base/cpu.h"
#include "kernels/contract.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/matmul_plan.h"

#define DY_FLOATS   (128 * 1024) // of a block: 512 KiB
#define LEAST_BLOCK 256          // since each block brings in x again
#define MOST_BLOCK  1024
#define FEW         40 // tokens, at most, that columns are lanes for
#define FEW_TILES   16 // of a block

const wn__sddmm24_cut wn__sddmm24_vectors32 = {8, 1, 8192, 1024},
                      wn__sddmm24_pairs = {16, WN_PAIR_STEPS, 8192, 1024};

// AMD's first processors with AVX-512 have 32 KiB of the first cache, of which 8192 floats leave
// nothing for dy.
wn__sddmm24_cut wn__sddmm24_vectors64(bool other) {
    static const wn__sddmm24_cut whole = {16, 1, 8192, 1024}, split = {16, 1, 4096, 256};
    const bool is_split = (wn__cpu_flags() & WN_CPU_AVX512SPLIT) != 0;
    return is_split != other ? split : whole;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Sums that are rounded at the end are not cut: what is between two parts of the tokens waits in v.
wn__sddmm24_plan wn__sddmm24_plan_for(const wn__sddmm24 *p, wn__sddmm24_cut cut) {
    int64_t n = p->dy.shape[1], T = p->x.shape[0], turn = WN_SDDMM24_TURN * cut.vec * cut.steps;
    wn__sddmm24_plan plan = {.chunk = cut.floats / (2 * cut.vec) * cut.steps,
                             .tokens = p->v.dtype == WN_DTYPE_BF16 ? T : smaller(T, cut.tokens),
                             .slices = wn__ceil_div(p->x.shape[1], 2 * cut.vec)};
    int64_t floats = wn__ceil_div(plan.tokens, turn) * turn / cut.steps;
    int64_t most = floats > 0 ? DY_FLOATS / floats : MOST_BLOCK;
    if (most > MOST_BLOCK) most = MOST_BLOCK;
    if (most < LEAST_BLOCK) most = LEAST_BLOCK;
    plan.blocks = wn__ceil_div(n, most);
    most = plan.blocks > 0 ? wn__ceil_div(n, plan.blocks) : 0;
    plan.dy_floats = (size_t)(most * floats);
    plan.x_floats = (size_t)(2 * cut.vec * floats);
    plan.sums_floats = (size_t)(most * cut.vec);
    plan.worker_bytes =
        WN_SDDMM24_HEAD + sizeof(float) * (plan.dy_floats + plan.x_floats + plan.sums_floats);
    plan.worker_bytes = (plan.worker_bytes + 63) / 64 * 64;
    return plan;
}

bool wn__sddmm24_is_few(const wn__sddmm24 *p) {
    return p->x.shape[0] <= FEW;
}

wn__sddmm24_few wn__sddmm24_few_for(const wn__sddmm24 *p) {
    const int64_t vec = wn__sddmm24_vectors64(false).vec;
    wn__sddmm24_few plan = {.vecs = wn__ceil_div(p->x.shape[1], vec),
                            .tiles = wn__ceil_div(p->dy.shape[1], WN_SDDMM24_FEW_OUTPUTS)};
    plan.slices = wn__ceil_div(plan.vecs, WN_SDDMM24_FEW_VECS);
    plan.blocks = wn__ceil_div(plan.tiles, FEW_TILES);
    size_t tokens = (size_t)p->x.shape[0];
    plan.dy_floats = FEW_TILES * WN_SDDMM24_FEW_ROW * tokens;
    plan.worker_bytes =
        WN_SDDMM24_HEAD +
        sizeof(float) * (plan.dy_floats + tokens * (size_t)(WN_SDDMM24_FEW_VECS * vec));
    return plan;
}

size_t wn__workspace_sddmm24_avx2(const void *args, int threads) {
    return (size_t)threads * wn__sddmm24_plan_for(args, wn__sddmm24_vectors32).worker_bytes;
}

size_t wn__workspace_sddmm24_avx512(const void *args, int threads) {
    size_t each = wn__sddmm24_is_few(args)
                      ? wn__sddmm24_few_for(args).worker_bytes
                      : wn__sddmm24_plan_for(args, wn__sddmm24_vectors64(false)).worker_bytes;
    return (size_t)threads * each;
}

size_t wn__workspace_sddmm24_avx512_cut(const void *args, int threads) {
    return (size_t)threads * wn__sddmm24_plan_for(args, wn__sddmm24_vectors64(true)).worker_bytes;
}

size_t wn__workspace_sddmm24_avx512bf16(const void *args, int threads) {
    return (size_t)threads * wn__sddmm24_plan_for(args, wn__sddmm24_pairs).worker_bytes;
}
