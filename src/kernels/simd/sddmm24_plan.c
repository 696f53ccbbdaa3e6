// SPDX-License-Identifier: MIT
// The cut of a product at kept places, and the workspace that follows from it.
#include "kernels/simd/sddmm24_plan.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/matmul_plan.h"

#define MOST_TOKENS  1024
#define MOST_OUTPUTS 4096 // of a part: 16 MiB of dy
#define MOST_COLUMNS 4096
#define BLOCK        256 // outputs: with the tokens of a part 1 MiB of dy

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

// A last chunk of tokens takes at most the room of a whole one. Sums that are rounded at the end
// are not cut: what is between two parts of the tokens waits in v.
wn__sddmm24_plan wn__sddmm24_plan_for(const wn__sddmm24 *p, int64_t vec, int64_t steps,
                                      int threads) {
    wn__sddmm24_plan plan = {
        .chunk = WN_SDDMM24_SLICE / (2 * vec) * steps,
        .tokens = p->v.dtype == WN_DTYPE_BF16 ? p->x.shape[0] : smaller(p->x.shape[0], MOST_TOKENS),
        .outputs = smaller(p->dy.shape[1], MOST_OUTPUTS),
        .columns = smaller(p->x.shape[1], MOST_COLUMNS),
        .block = BLOCK};
    int64_t floats = round_up(plan.tokens, plan.chunk) / steps,
            columns = round_up(plan.columns, 2 * vec);
    plan.x_floats = (size_t)(floats * columns);
    plan.dy_floats = (size_t)(floats * plan.outputs);
    plan.sums_floats = (size_t)(plan.block * vec);
    plan.bytes =
        sizeof(float) * (plan.x_floats + plan.dy_floats + (size_t)threads * plan.sums_floats);
    return plan;
}

size_t wn__workspace_sddmm24_avx2(const void *args, int threads) {
    return wn__sddmm24_plan_for(args, 8, 1, threads).bytes;
}

size_t wn__workspace_sddmm24_avx512(const void *args, int threads) {
    return wn__sddmm24_plan_for(args, 16, 1, threads).bytes;
}

size_t wn__workspace_sddmm24_avx512bf16(const void *args, int threads) {
    return wn__sddmm24_plan_for(args, 16, WN_PAIR_STEPS, threads).bytes;
}
