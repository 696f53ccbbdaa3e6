// SPDX-License-Identifier: MIT
/* What the tests of MLPs share: one MLP in float64 with its buffers, and its formulas once more in
 * plain loops over matrices of at most ROWS x WIDTH. */
#ifndef MLP_TEST_H
#define MLP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/philox.h"
#include "kernels/runtime.h"
#include "nn/mlp.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS  32
#define WIDTH 40

typedef struct matrix {
    int64_t r, c;
    double v[ROWS > WIDTH ? ROWS : WIDTH][WIDTH];
} matrix;

typedef struct shape {
    wn__mlp_kind kind;
    int64_t C, I, B, T, seq; /* seq 0: T */
    bool bias;
    const char *rules[3];
    wn__structure base;
    int threads; /* 0: 2 */
    bool evaluation, count_zeros;
} shape;

typedef struct rig {
    wn__runtime *rt;
    wn__arena weights, gradients, activations;
    wn__params params;
    wn__pass pass;
    wn__scratch scratch;
    wn__structure_rules rules;
    wn__mlp m;
    wn__mlp_buffers buffers;
    wn_tensor x, y, dx, dy, work;
    int64_t T;
} rig;

static inline double noise(uint64_t stream, int64_t i) {
    float four[4];
    wn__philox_normal(11, WN_STREAM_TEST + stream, (uint64_t)i / 4, four);
    return (double)four[i % 4];
}

static inline void randomize(const wn_tensor *t, uint64_t stream) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        ((double *)t->data)[i] = noise(stream, i);
}

static inline void set(const wn_tensor *t, const double *values) {
    memcpy(t->data, values, wn__tensor_bytes(t));
}

static inline matrix read_matrix(const wn_tensor *t) {
    matrix m = {.r = t->shape[0], .c = t->shape[1]};
    for (int64_t i = 0; i < m.r; i++)
        for (int64_t j = 0; j < m.c; j++)
            m.v[i][j] = *(const double *)wn__tensor_at(t, i, j);
    return m;
}

static inline void near_at(const matrix *got, const matrix *want, double bound, int line) {
    assert_int_equal(got->r, want->r);
    assert_int_equal(got->c, want->c);
    for (int64_t i = 0; i < got->r; i++)
        for (int64_t j = 0; j < got->c; j++)
            if (!(fabs(got->v[i][j] - want->v[i][j]) <= bound * (1 + fabs(want->v[i][j]))))
                fail_msg("line %d: [%d, %d] is %.17g, not %.17g", line, (int)i, (int)j,
                         got->v[i][j], want->v[i][j]);
}
#define NEAR(got, want)                                                                            \
    do {                                                                                           \
        const matrix near_got = (got), near_want = (want);                                         \
        near_at(&near_got, &near_want, 1e-11, __LINE__);                                           \
    } while (0)
#define SAME(got, want)                                                                            \
    do {                                                                                           \
        const matrix near_got = (got), near_want = (want);                                         \
        near_at(&near_got, &near_want, 0, __LINE__);                                               \
    } while (0)

/* a b, a^T b, a b^T */
static inline matrix product(const matrix *a, const matrix *b) {
    matrix c = {.r = a->r, .c = b->c};
    for (int64_t i = 0; i < a->r; i++)
        for (int64_t j = 0; j < b->c; j++)
            for (int64_t k = 0; k < a->c; k++)
                c.v[i][j] += a->v[i][k] * b->v[k][j];
    return c;
}
static inline matrix transposed(const matrix *a) {
    matrix t = {.r = a->c, .c = a->r};
    for (int64_t i = 0; i < a->r; i++)
        for (int64_t j = 0; j < a->c; j++)
            t.v[j][i] = a->v[i][j];
    return t;
}
static inline matrix product_tn(const matrix *a, const matrix *b) {
    const matrix t = transposed(a);
    return product(&t, b);
}
static inline matrix product_nt(const matrix *a, const matrix *b) {
    const matrix t = transposed(b);
    return product(a, &t);
}

static inline wn__structure defaults(void) {
    wn__structure s = wn__structure_defaults();
    s.act_warmup = 0;
    s.act_dense = 0;
    return s;
}

static inline wn__model_config config_of(const shape *s) {
    return (wn__model_config){
        .hidden_size = s->C, .intermediate_size = s->I, .mlp = s->kind, .mlp_bias = s->bias};
}

static inline void alloc(rig *r, int64_t rows, int64_t cols, wn_tensor *out) {
    OK(wn__tensor_alloc2(&r->activations, WN_DTYPE_F64, rows, cols, out));
}

static inline void build(rig *r, const shape *s) {
    int64_t rows = s->B * s->T;
    const wn__model_config c = config_of(s);
    wn__build b = {.weights = &r->weights,
                   .gradients = s->evaluation ? NULL : &r->gradients,
                   .activations = &r->activations,
                   .params = &r->params,
                   .dtype = WN_DTYPE_F64,
                   .training = !s->evaluation,
                   .count_zeros = s->count_zeros,
                   .rows = rows,
                   .dy_rows = rows,
                   .seq = s->seq > 0 ? s->seq : s->T,
                   .pass = &r->pass,
                   .scratch = &r->scratch};
    OK(wn__mlp_build(&r->m, "block.mlp", &c, &r->rules, &b));
    OK(wn__mlp_buffers_alloc(&r->m, rows, &b, &r->buffers));
    alloc(r, rows, s->C, &r->x);
    alloc(r, rows, s->C, &r->y);
    alloc(r, rows, s->C, &r->dx);
    alloc(r, rows, s->C, &r->dy);
    OK(wn__tensor_alloc1(&r->activations, WN_DTYPE_F64, rows * wn__mlp_scratch(&r->m), &r->work));
    OK(wn__tensor_alloc1(&r->activations, WN_DTYPE_F64, r->scratch.elements, &r->scratch.block));
}

static inline wn_status prepare(rig *r, int64_t step) {
    r->pass.update = step;
    if (r->m.kind == WN_MLP_SWIGLU) WN_TRY(wn__linear_prepare(&r->m.gate, &r->rt->exec, step));
    WN_TRY(wn__linear_prepare(&r->m.up, &r->rt->exec, step));
    return wn__linear_prepare(&r->m.down, &r->rt->exec, step);
}

static inline wn_status forward(rig *r, bool learning) {
    r->pass.learning = learning;
    memset(r->y.data, 0, wn__tensor_bytes(&r->y));
    return wn__mlp_forward(&r->m, &r->rt->exec, &r->x, &r->buffers, &r->y);
}

static inline wn_status backward(rig *r) {
    for (size_t i = 0; i < r->params.count; i++)
        if (wn__given(&r->params.item[i].g))
            memset(r->params.item[i].g.data, 0, wn__tensor_bytes(&r->params.item[i].g));
    wn_status status =
        wn__mlp_backward(&r->m, &r->rt->exec, r->T, &r->x, &r->buffers, &r->dy, &r->dx, &r->work);
    r->pass.learning = false;
    return status;
}

/* Workspace as planning says it; a plan changes no state. */
static inline void plan(rig *r, bool training) {
    const bool sparse = r->m.act.sparse;
    wn__runtime_plan_begin(r->rt);
    OK(wn__linear_prepare(&r->m.up, &r->rt->exec, 0));
    OK(wn__linear_prepare(&r->m.down, &r->rt->exec, 0));
    if (r->m.kind == WN_MLP_SWIGLU) OK(wn__linear_prepare(&r->m.gate, &r->rt->exec, 0));
    OK(wn__mlp_forward(&r->m, &r->rt->exec, &r->x, &r->buffers, &r->y));
    if (training)
        OK(wn__mlp_backward(&r->m, &r->rt->exec, r->T, &r->x, &r->buffers, &r->dy, &r->dx,
                            &r->work));
    OK(wn__runtime_plan_end(r->rt));
    assert_true(r->m.act.sparse == sparse);
    assert_true(!wn__act24_given(&r->m.act) || (r->m.act.zero_share < 0 && r->m.act.scaled_at < 0));
}

/* Random weights, inputs and output gradients, prepared at update 0. */
static inline void open_mlp(rig *r, const shape *s) {
    size_t rules = 0;
    while (rules < 3 && s->rules[rules] != NULL)
        rules++;
    *r = (rig){.pass = {.seed = 3}, .T = s->T};
    OK(wn__runtime_create(s->threads > 0 ? s->threads : 2, NULL, false, &r->rt));
    OK(wn__structure_rules_parse(s->rules, rules, &s->base, &r->rules));
    OK(wn__arena_create("weights", 1 << 19, &r->weights));
    OK(wn__arena_create("gradients", 1 << 17, &r->gradients));
    OK(wn__arena_create("activations", 1 << 20, &r->activations));
    build(r, s);
    for (size_t i = 0; i < r->params.count; i++)
        randomize(&r->params.item[i].w, 100 + i);
    randomize(&r->x, 1);
    randomize(&r->dy, 2);
    plan(r, !s->evaluation);
    OK(prepare(r, 0));
}

static inline void close_mlp(rig *r) {
    wn__mlp_free(&r->m);
    wn__params_free(&r->params);
    wn__structure_rules_free(&r->rules);
    wn__arena_free(&r->weights);
    wn__arena_free(&r->gradients);
    wn__arena_free(&r->activations);
    wn__runtime_free(r->rt);
}

static inline matrix gradient_of(const rig *r, const char *name) {
    const wn__param *p = wn__params_find(&r->params, name);
    if (p == NULL) fail_msg("no parameter %s", name);
    return read_matrix(&p->g);
}
static inline matrix weight_of(const rig *r, const char *name) {
    const wn__param *p = wn__params_find(&r->params, name);
    if (p == NULL) fail_msg("no parameter %s", name);
    return read_matrix(&p->w);
}
/* The weight that the forward pass multiplies by. */
static inline matrix merged(rig *r, wn__linear *l) {
    static double block[WIDTH * WIDTH];
    const wn_tensor t = wn__tensor2(block, WN_DTYPE_F64, l->out, l->in);
    OK(wn__linear_merge(l, &r->rt->exec, &t));
    return read_matrix(&t);
}

/* ---- the formulas ---- */

static inline double activation(wn__mlp_kind kind, double v) {
    double positive = v > 0 ? v : 0;
    return kind == WN_MLP_RELU2 ? positive * positive : positive;
}
static inline double slope(wn__mlp_kind kind, double v) {
    if (v <= 0) return 0;
    return kind == WN_MLP_RELU2 ? 2 * v : 1;
}

/* How many of n values go before value i: larger magnitudes, and equal ones with a lower index. */
static inline int before(const double *v, int n, int i) {
    int count = 0;
    for (int j = 0; j < n; j++)
        count += fabs(v[j]) > fabs(v[i]) || (fabs(v[j]) == fabs(v[i]) && j < i);
    return count;
}

/* The two largest of each four columns. */
static inline matrix top2(const matrix *a) {
    matrix out = *a;
    for (int64_t i = 0; i < a->r; i++) {
        for (int64_t g = 0; g < a->c; g += 4) {
            int n = (int)(a->c - g < 4 ? a->c - g : 4);
            for (int j = 0; j < n; j++)
                if (before(&a->v[i][g], n, j) >= 2) out.v[i][g + j] = 0;
        }
    }
    return out;
}

static inline matrix masked(const matrix *a, const matrix *mask) {
    matrix out = *a;
    for (int64_t i = 0; i < a->r; i++)
        for (int64_t j = 0; j < a->c; j++)
            if (mask->v[i][j] == 0) out.v[i][j] = 0;
    return out;
}

static inline int64_t nonzeros(const matrix *a) {
    int64_t n = 0;
    for (int64_t i = 0; i < a->r; i++)
        for (int64_t j = 0; j < a->c; j++)
            n += a->v[i][j] != 0;
    return n;
}

/* Two of each four rows order[4i..4i+3] of every column that is not dense. */
static inline matrix along_tokens(const matrix *a, const int *order, const bool *dense) {
    matrix out = *a;
    for (int64_t j = 0; j < a->c; j++) {
        for (int64_t g = 0; g < a->r && !dense[j]; g += 4) {
            double four[4] = {0};
            int n = (int)(a->r - g < 4 ? a->r - g : 4);
            for (int k = 0; k < n; k++)
                four[k] = a->v[order[g + k]][j];
            for (int k = 0; k < n; k++)
                if (before(four, n, k) >= 2) out.v[order[g + k]][j] = 0;
        }
    }
    return out;
}

/* The `count` columns with the most non-zeros, lower ones first. */
static inline void densest(const matrix *a, int count, bool *dense) {
    double filled[WIDTH] = {0};
    for (int64_t j = 0; j < a->c; j++)
        for (int64_t i = 0; i < a->r; i++)
            filled[j] += a->v[i][j] != 0;
    for (int64_t j = 0; j < a->c; j++)
        dense[j] = before(filled, (int)a->c, (int)j) < count;
}

/* The order of the rows that the saved order of positions means. */
static inline void rows_of(const rig *r, int *order) {
    int64_t rows = r->x.shape[0];
    const int32_t *p = r->m.act.positions.data;
    int n = 0;
    for (int64_t i = 0; p == NULL && i < rows; i++)
        order[i] = (int)i;
    for (int64_t b = 0; p != NULL && b < rows / r->T; b++)
        for (int64_t i = 0; i < r->m.act.positions.shape[0]; i++)
            if (p[i] < r->T) order[n++] = (int)(b * r->T) + p[i];
}

typedef struct expectation {
    matrix y, kept, dx, dw1, dw2, dy1, dy1_t, y2_t;
} expectation;

/* One sparse pass with these weights; dy1_t and y2_t: what weight gradients are made of. */
static inline expectation expect(const rig *r, const shape *s, const matrix *w1, const matrix *w2) {
    const matrix x = read_matrix(&r->x), dy = read_matrix(&r->dy);
    const matrix y1 = product_nt(&x, w1);
    matrix y2 = y1;
    for (int64_t i = 0; i < y1.r; i++)
        for (int64_t j = 0; j < y1.c; j++)
            y2.v[i][j] = activation(s->kind, y1.v[i][j]);
    const matrix kept = top2(&y2);
    expectation e = {.kept = kept, .y = product_nt(&kept, w2)};
    matrix dy1 = product(&dy, w2);
    for (int64_t i = 0; i < y1.r; i++)
        for (int64_t j = 0; j < y1.c; j++)
            dy1.v[i][j] *= slope(s->kind, y1.v[i][j]);
    bool straight = s->base.backward == WN_ACT24_DENSE, dense[WIDTH];
    int order[ROWS];
    if (!straight) dy1 = masked(&dy1, &kept);
    rows_of(r, order);
    densest(&y2, (int)ceil(s->base.act_dense * (double)s->I), dense);
    bool split = s->base.backward == WN_ACT24_SPLIT;
    e.dy1_t = split ? along_tokens(&dy1, order, dense) : dy1;
    e.y2_t = split ? along_tokens(&kept, order, dense) : straight ? y2 : kept;
    e.dy1 = dy1;
    e.dx = product(&dy1, w1);
    e.dw1 = product_tn(&e.dy1_t, &x);
    e.dw2 = product_tn(&dy, &e.y2_t);
    return e;
}

#endif
