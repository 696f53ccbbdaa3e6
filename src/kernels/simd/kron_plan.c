// SPDX-License-Identifier: MIT
// Cutting products with Kronecker-sparse factors, and the workspace that takes.
#include "kernels/simd/kron_plan.h"
#include "kernels/simd/accepts.h"

#define NEAR     ((int64_t)64 << 10)  // floats that stay close: between two factors
#define PANELS   ((int64_t)512 << 10) // floats of all panels that go together
#define TOGETHER 64                   // lanes that share a pass over the weights, at most
#define ENOUGH   16                   // pieces to share out among threads
#define SUMS     ((int64_t)96 << 10)  // floats of a task of kron_grad

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Whether the two factors have a common pattern; then its numbers.
static bool chainable(const wn__kron_mul *p, wn__kron_plan *plan) {
    if (p->count != 2) return false;
    wn__kron_size right = wn__kron_size_of(&p->w[0]), left = wn__kron_size_of(&p->w[1]);
    if (right.a % left.a != 0 || left.d % right.d != 0 || left.a * left.c % right.a != 0)
        return false;
    plan->s = right.a / left.a;
    plan->t = left.d / right.d;
    plan->r = left.a * left.c / right.a;
    return true;
}

wn__kron_plan wn__kron_plan_for(const wn__kron_mul *p, int64_t lanes) {
    wn__kron_plan plan = {.lanes = lanes, .in = p->x.shape[1], .out = p->y.shape[1]};
    int64_t width = wn__kron_mul_width(p), rows = 0;
    plan.pair = chainable(p, &plan);
    for (int t = 0; t < p->count; t++) {
        wn__kron_size s = wn__kron_size_of(&p->w[t]);
        plan.weights += wn__kron_line(s.a * s.b * s.c * s.d);
        plan.places += wn__kron_line(s.a * s.b * s.d);
    }
    plan.places += wn__kron_line(plan.in);
    rows = plan.pair ? plan.in + plan.out : 2 * width;
    plan.panels = most(1, least(TOGETHER / lanes, PANELS / (rows * lanes)));
    if (p->x.shape[0] < ENOUGH * plan.panels * lanes) plan.panels = 1;
    plan.middle = width;
    if (plan.pair) {
        int64_t row = plan.s * plan.r;
        plan.chunk = least(plan.t, most(1, NEAR / (row * lanes * plan.panels)));
        plan.middle = row * plan.chunk;
        rows += plan.middle;
    }
    plan.worker = rows * lanes * plan.panels;
    return plan;
}

static size_t workspace(const wn__kron_mul *p, int threads, int64_t lanes) {
    wn__kron_plan plan = wn__kron_plan_for(p, lanes);
    return (size_t)(plan.weights + plan.places + threads * plan.worker) * sizeof(float);
}

size_t wn__workspace_kron_mul_avx2(const void *args, int threads) {
    return workspace(args, threads, WN_KRON_AVX2_LANES);
}

size_t wn__workspace_kron_mul_avx512(const void *args, int threads) {
    return workspace(args, threads, WN_KRON_AVX512_LANES);
}

size_t wn__workspace_kron_mul_ref(const void *args, int threads) {
    return (size_t)threads * 2 * (size_t)wn__kron_mul_width(args) * sizeof(double);
}

// Two tensors of the widest batch, and one more to gather from.
size_t wn__workspace_kron_mul_cblas(const void *args, int threads) {
    (void)threads;
    const wn__kron_mul *p = args;
    int64_t all = 0;
    for (int t = 0; t < p->count; t++) {
        wn__kron_size s = wn__kron_size_of(&p->w[t]);
        all = most(all, s.a * s.b * s.c * s.d);
    }
    int64_t panel = wn__kron_line(p->x.shape[0] * wn__kron_mul_width(p));
    return (size_t)(3 * panel + all) * sizeof(float);
}

static int64_t up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

wn__kron_cut wn__kron_cut_for(const wn__kron_grad *p, int64_t vector) {
    wn__kron_size s = wn__kron_size_of(&p->dw);
    wn__kron_cut cut = {.wide = s.d > 1 ? vector : 1};
    int64_t j = s.d > 1 ? 3 : 6, k = s.d > 1 ? 4 : 2 * vector; // of a register tile
    cut.kr = up(s.c, k);
    cut.rows = least(up(s.b, j), most(j, SUMS / (cut.kr * cut.wide) / j * j));
    cut.jr = cut.rows;
    cut.parts_l = (s.d + cut.wide - 1) / cut.wide;
    cut.parts_j = (s.b + cut.rows - 1) / cut.rows;
    cut.tasks = s.a * cut.parts_l * cut.parts_j;
    cut.worker =
        wn__kron_line(cut.jr * cut.kr * cut.wide + WN_KRON_TOKENS * (cut.jr + cut.kr) * cut.wide);
    return cut;
}

size_t wn__workspace_kron_grad_avx2(const void *args, int threads) {
    return (size_t)(threads * wn__kron_cut_for(args, 8).worker) * sizeof(float);
}

size_t wn__workspace_kron_grad_avx512(const void *args, int threads) {
    return (size_t)(threads * wn__kron_cut_for(args, 16).worker) * sizeof(float);
}
