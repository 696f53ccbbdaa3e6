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

// Whether the factors can be read as they lie, so few vectors are there.
static bool are_few(const wn__kron_mul *p) {
    if (p->x.shape[0] > WN_KRON_FEW) return false;
    for (int t = 0; t < p->count; t++) {
        const wn_tensor *w = &p->w[t];
        if (w->stride[1] != 1 && w->stride[2] != 1) return false;
        if (w->shape[1] * w->shape[2] < WN_KRON_BLOCK) return false;
    }
    return true;
}

static wn__kron_plan few_plan(const wn__kron_mul *p) {
    wn__kron_plan plan = {.few = true, .few_width = wn__kron_line(wn__kron_mul_width(p))};
    for (int t = 0; t < p->count; t++) {
        plan.few_inputs = most(plan.few_inputs, wn__kron_line(p->w[t].shape[2]));
        plan.few_outputs = most(plan.few_outputs, wn__kron_line(p->w[t].shape[1]));
    }
    plan.worker = p->x.shape[0] * (plan.few_inputs + plan.few_outputs);
    return plan;
}

wn__kron_plan wn__kron_plan_for(const wn__kron_mul *p, int64_t lanes) {
    if (are_few(p)) return few_plan(p);
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
    int64_t shared = plan.few ? 2 * p->x.shape[0] * plan.few_width : plan.weights + plan.places;
    return (size_t)(shared + threads * plan.worker) * sizeof(float);
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

// Whether lanes that run over blocks l do less in vain than lanes along k: the
// share of a register tile that exists, of 3 j x 4 k of `vector` blocks or 6 j x 2 vectors of k.
static bool across_blocks(const wn__kron_size *s, int64_t vector) {
    double wide = (double)(up(s->b, 3) * up(s->c, 4)) * (double)up(s->d, vector);
    double narrow = (double)(up(s->b, 6) * up(s->c, 2 * vector)) * (double)s->d;
    return s->d > 1 && wide <= narrow;
}

wn__kron_cut wn__kron_cut_for(const wn__kron_grad *p, int64_t vector) {
    wn__kron_size s = wn__kron_size_of(&p->dw);
    bool wide = across_blocks(&s, vector);
    wn__kron_cut cut = {.wide = wide ? vector : 1};
    int64_t j = wide ? 3 : 6, k = wide ? 4 : 2 * vector; // of a register tile
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
