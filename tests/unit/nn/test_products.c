// SPDX-License-Identifier: MIT
// Every product of every structure, plain, in FP8 and with pruned gradients, against the papers'
// formulas in plain loops; what merge writes is what forward multiplies by.
#include "kernels/registry.h"
#include "kernels/soft24.h"
#include "unit/nn/reference.h"
#include <float.h>

#define SIDE (MOST * MOST)

// What a layer multiplies by, found from its parameters by the formulas.
typedef struct model {
    double w[SIDE], m[SIDE], n[SIDE]; // weight; M [out,r] and N^T [r,in]
    double bias[MOST];
    double share; // of M N^T
    bool factors, weight;
} model;

static void soft_weight(const rig *r, const wn_tensor *w, double *out) {
    static bool keep[SIDE];
    soft_threshold(w, out, keep);
    double scale = soft_scale(w, out, r->l.structure.scale_norm);
    for (int64_t i = 0; i < wn__tensor_count(w); i++)
        out[i] *= scale;
}

// Zeros where the layer's mask has them.
static void masked_weight(const rig *r, const wn_tensor *w, double *out) {
    const wn_tensor *mask = &r->l.state[0].view;
    for (int64_t i = 0; i < w->shape[0]; i++)
        for (int64_t j = 0; j < w->shape[1]; j++) {
            uint8_t bits = *(uint8_t *)wn__tensor_at(mask, i, j / 4);
            out[i * w->shape[1] + j] = bits >> (j % 4) & 1 ? at2(w, i, j) : 0;
        }
}

static void factor(const rig *r, size_t param, bool sparse, double *out) {
    const wn_tensor *w = &r->params.item[param].w;
    if (sparse)
        soft_weight(r, w, out);
    else
        values_of(w, out);
}

static void find_model(const rig *r, model *m) {
    const wn__structure *s = &r->l.structure;
    memset(m, 0, sizeof *m);
    m->factors = s->kind == WN_STRUCTURE_LOWRANK || s->kind == WN_STRUCTURE_ADAPTER;
    m->weight = s->kind != WN_STRUCTURE_LOWRANK;
    m->share = s->kind == WN_STRUCTURE_ADAPTER ? s->alpha / (double)s->rank : 1;
    if (r->l.has_bias) values_of(&r->params.item[r->l.bias].w, m->bias);
    const wn_tensor *w = &wn__linear_weight(&r->l)->w;
    if (s->kind == WN_STRUCTURE_SSTE)
        soft_weight(r, w, m->w);
    else if (s->kind == WN_STRUCTURE_SPARSE24)
        masked_weight(r, w, m->w);
    else if (m->weight)
        values_of(w, m->w);
    if (!m->factors) return;
    factor(r, r->l.factor_in, s->sparse_in, m->n);
    factor(r, r->l.factor_out, s->sparse_out, m->m);
}

static weight_case case_of(const rig *r, int64_t rows, int64_t in, int64_t out, const double *w,
                           uint64_t number) {
    const wn__structure *s = &r->l.structure;
    return (weight_case){.rows = rows,
                         .in = in,
                         .out = out,
                         .w = w,
                         .fp8 = s->fp8,
                         .prune = s->mvue != WN_MVUE_OFF,
                         .approx = s->mvue == WN_MVUE_APPROX,
                         .stream = WN_STREAM_MVUE + 8 * (uint64_t)r->l.number + number,
                         .counter = r->pass.counter};
}

static void scale_by(double *v, int64_t n, double factor) {
    for (int64_t i = 0; i < n; i++)
        v[i] *= factor;
}

static char describe[96]; // the case at hand

static void same(const wn_tensor *got, const double *want, const char *what) {
    for (int64_t i = 0; i < wn__tensor_count(got); i++)
        if (!(fabs(wn__get(got, i) - want[i]) <= 1e-11 * (1 + fabs(want[i]))))
            fail_msg("%s, %s[%lld]: %.17g, expected %.17g", describe, what, (long long)i,
                     wn__get(got, i), want[i]);
}

static void check_forward(rig *r, flow *f, const model *m, double *h) {
    int64_t rows = f->x.shape[0], in = r->l.in, out = r->l.out, rank = r->l.structure.rank;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        double x[ROOM], y[ROOM] = {0};
        values_of(&f->x, x);
        if (accumulate) values_of(&f->y, y);
        for (int64_t i = 0; i < rows * out; i++)
            y[i] += m->bias[i % out];
        const weight_case w = case_of(r, rows, in, out, m->w, 0),
                          first = case_of(r, rows, in, rank, m->n, 1),
                          second = case_of(r, rows, rank, out, m->m, 0);
        if (m->weight) want_forward(&w, x, y);
        if (m->factors) {
            memset(h, 0, sizeof(double) * (size_t)(rows * rank));
            want_forward(&first, x, h);
            scale_by(h, rows * rank, m->share);
            want_forward(&second, h, y);
        }
        OK(wn__linear_forward(&r->l, &r->rt->exec, &f->x, &f->y, accumulate));
        same(&f->y, y, "y");
    }
}

static void check_factor_gradients(rig *r, const flow *f, const model *m, const double *h,
                                   double *dx) {
    int64_t rows = f->x.shape[0], in = r->l.in, out = r->l.out, rank = r->l.structure.rank;
    double x[ROOM], dy[ROOM], dh[ROOM] = {0};
    static double gm[SIDE], gn[SIDE];
    const wn__param *pm = &r->params.item[r->l.factor_out], *pn = &r->params.item[r->l.factor_in];
    const weight_case first = case_of(r, rows, in, rank, m->n, 1),
                      second = case_of(r, rows, rank, out, m->m, 0);
    values_of(&f->x, x);
    values_of(&f->dy, dy);
    values_of(&pm->g, gm);
    values_of(&pn->g, gn);
    want_weight(&second, h, dy, gm);
    want_input(&second, dy, dh);
    scale_by(dh, rows * rank, m->share);
    want_weight(&first, x, dh, gn);
    want_input(&first, dh, dx);
    OK(wn__linear_backward(&r->l, &r->rt->exec, &f->x, &f->dy, &f->dx, true));
    same(&pm->g, gm, "dM");
    same(&pn->g, gn, "dN");
}

static void check_backward(rig *r, flow *f, const model *m, const double *h) {
    int64_t rows = f->x.shape[0], in = r->l.in, out = r->l.out;
    double x[ROOM], dy[ROOM], dx[ROOM], column[MOST] = {0};
    static double g[SIDE];
    const weight_case w = case_of(r, rows, in, out, m->w, 0);
    for (size_t i = 0; i < r->params.count; i++)
        if (wn__given(&r->params.item[i].g)) randomize(&r->params.item[i].g, 60 + i);
    values_of(&f->x, x);
    values_of(&f->dy, dy);
    values_of(&f->dx, dx);
    for (int64_t i = 0; r->l.has_bias && i < rows * out; i++)
        column[i % out] += dy[i] + (i < out ? noise(60 + r->l.bias, i) : 0);
    if (m->weight) want_input(&w, dy, dx);
    if (m->factors) {
        check_factor_gradients(r, f, m, h, dx);
    } else {
        const wn__param *p = wn__linear_weight(&r->l);
        values_of(&p->g, g);
        want_weight(&w, x, dy, g);
        OK(wn__linear_backward(&r->l, &r->rt->exec, &f->x, &f->dy, &f->dx, true));
        same(&p->g, g, "dW");
    }
    same(&f->dx, dx, "dx");
    if (r->l.has_bias) same(&r->params.item[r->l.bias].g, column, "db");
}

// merge against the formulas, and against what forward makes of unit vectors.
static void check_merge(rig *r, const model *m) {
    int64_t in = r->l.in, out = r->l.out;
    static double want[SIDE], got[SIDE];
    double unit[MOST] = {0}, y[MOST];
    const wn_tensor merged = wn__tensor2(got, WN_DTYPE_F64, out, in);
    memcpy(want, m->w, sizeof want);
    if (m->factors) {
        static double scaled[SIDE];
        memcpy(scaled, m->m, sizeof scaled);
        scale_by(scaled, SIDE, m->share);
        int64_t rank = r->l.structure.rank;
        add_product(want, out, in, rank, scaled, rank, 1, m->n, in, 1);
    }
    OK(wn__linear_merge(&r->l, &r->rt->exec, &merged));
    same(&merged, want, "merged");
    const wn_tensor tx = wn__tensor2(unit, WN_DTYPE_F64, 1, in),
                    ty = wn__tensor2(y, WN_DTYPE_F64, 1, out);
    for (int64_t i = 0; i < in && !r->l.structure.fp8; i++) {
        unit[i] = 1;
        OK(wn__linear_forward(&r->l, &r->rt->exec, &tx, &ty, false));
        unit[i] = 0;
        for (int64_t o = 0; o < out; o++)
            NEAR(y[o] - m->bias[o], got[o * in + i]);
    }
    // Also where the model merges: at the start of the shared block.
    int64_t at = 0;
    const wn_tensor shared = wn__scratch_take(&r->scratch, &at, out, in);
    if (r->scratch.elements < at) return;
    OK(wn__linear_merge(&r->l, &r->rt->exec, &shared));
    assert_memory_equal(shared.data, got, sizeof(double) * (size_t)(out * in));
}

static void check_layer(const layer_spec *spec) {
    static model m;
    static const int64_t rows[] = {ROWS, 8, 1, 5};
    rig r;
    flow f;
    double h[ROOM];
    open_layer(&r, spec);
    OK(wn__linear_prepare(&r.l, &r.rt->exec, 0));
    find_model(&r, &m);
    for (int i = 0; i < 4; i++) {
        r.pass.counter = 5 + (uint64_t)i;
        open_flow(&f, &r, rows[i]);
        check_forward(&r, &f, &m, h);
        if (spec->training) check_backward(&r, &f, &m, h);
    }
    check_merge(&r, &m);
    close_layer(&r);
}

// Sizes that are multiples of 4, and sizes that are padded inside.
static void check_structure(const char *structure, int64_t in, int64_t out) {
    for (int i = 0; i < 8; i++) {
        layer_spec s = {.structure = structure,
                        .base = wn__structure_defaults(),
                        .in = in,
                        .out = out,
                        .bias = i & 1,
                        .training = (i & 2) != 0,
                        .number = 3 * i};
        s.base.fp8 = (i & 4) != 0;
        (void)snprintf(describe, sizeof describe, "%s%s%s%s", structure, s.bias ? ", bias" : "",
                       s.training ? ", training" : "", s.base.fp8 ? ", fp8" : "");
        check_layer(&s);
    }
}

static void dense_weights(void **state) {
    (void)state;
    check_structure("dense", 11, 7);
}

static void masked_weights(void **state) {
    (void)state;
    check_structure("2:4:tile", 12, 20);
    check_structure("2:4:mvue", 12, 20);
    check_structure("2:4:greedy+mvue-approx", 8, 24);
    check_structure("2:4:row+mvue", 13, 9);
}

static void soft_weights(void **state) {
    (void)state;
    check_structure("2:4:sste", 16, 12);
    check_structure("2:4:sste+mvue", 13, 9);
    check_structure("2:4:sste+mvue-approx", 3, 1);
    layer_spec s = {.structure = "2:4:sste",
                    .base = wn__structure_defaults(),
                    .in = 20,
                    .out = 6,
                    .training = true};
    s.base.scale_norm = true;
    check_layer(&s);
}

// In FP8 h is made of ratios of integers, which may fall on a tie that rounding decides: these
// sizes have none.
static void low_rank(void **state) {
    (void)state;
    check_structure("lowrank:5", 12, 9);
    check_structure("lowrank:1+mvue", 12, 9);
    check_structure("lowrank:8+2:4+mvue", 16, 12);
    check_structure("lowrank:6+2:4+mvue-approx", 13, 9); // both factors padded inside
    check_structure("lowrank:8+2:4:in", 16, 12);
    check_structure("lowrank:7+2:4:out+mvue", 16, 12);
    check_structure("lowrank:30+2:4", 11, 9); // more than either size
}

static void adapters(void **state) {
    (void)state;
    check_structure("adapter:4", 12, 9);
    check_structure("adapter:4:10", 12, 9);
    check_structure("adapter:3:0.5", 7, 11);
}

// h made again in the backward pass gives the gradients of a kept one, to the bit.
static void recomputing_changes_nothing(void **state) {
    (void)state;
    static const char *const rules[] = {"lowrank:8+2:4+mvue", "lowrank:5", "adapter:4:10"};
    for (int i = 0; i < 3; i++) {
        rig r[2];
        flow f[2];
        for (int again = 0; again < 2; again++) {
            const layer_spec s = {.structure = rules[i],
                                  .in = 16,
                                  .out = 12,
                                  .training = true,
                                  .recompute = again,
                                  .round16 = i == 1};
            open_layer(&r[again], &s);
            OK(wn__linear_prepare(&r[again].l, &r[again].rt->exec, 0));
            open_flow(&f[again], &r[again], ROWS);
            wn__linear *l = &r[again].l;
            wn__exec *x = &r[again].rt->exec;
            OK(wn__linear_forward(l, x, &f[again].x, &f[again].y, false));
            memset(r[again].scratch.block.data, 0x7f, 8 * (size_t)r[again].scratch.elements);
            OK(wn__linear_backward(l, x, &f[again].x, &f[again].dy, &f[again].dx, false));
        }
        assert_memory_equal(f[0].room, f[1].room, sizeof f[0].room);
        for (size_t p = 0; p < r[0].params.count; p++) {
            const wn_tensor *a = &r[0].params.item[p].g, *b = &r[1].params.item[p].g;
            if (wn__given(a)) assert_memory_equal(a->data, b->data, wn__tensor_bytes(a));
        }
        assert_true(r[0].activations.used > r[1].activations.used);
        close_layer(&r[0]);
        close_layer(&r[1]);
    }
}

// dW and dx may be made of other tensors: activation 2:4 prunes the former's along tokens.
static void gradients_of_other_operands(void **state) {
    (void)state;
    static const char *const rules[] = {"dense", "2:4:sste", "lowrank:6"};
    for (int i = 0; i < 3; i++) {
        static model m;
        static double g[SIDE], gm[SIDE];
        double h[ROOM] = {0}, dh[ROOM] = {0}, dx[ROOM] = {0}, v[4][ROOM], other[2][ROOM];
        rig r;
        flow f;
        const layer_spec s = {.structure = rules[i], .in = 12, .out = 8, .training = true};
        open_layer(&r, &s);
        OK(wn__linear_prepare(&r.l, &r.rt->exec, 0));
        find_model(&r, &m);
        open_flow(&f, &r, ROWS);
        const wn_tensor x2 = wn__tensor2(other[0], WN_DTYPE_F64, ROWS, 12),
                        dy2 = wn__tensor2(other[1], WN_DTYPE_F64, ROWS, 8);
        randomize(&x2, 80);
        randomize(&dy2, 81);
        values_of(&f.x, v[0]);
        values_of(&f.dy, v[1]);
        values_of(&x2, v[2]);
        values_of(&dy2, v[3]);
        OK(wn__linear_forward(&r.l, &r.rt->exec, &f.x, &f.y, false));
        OK(wn__linear_backward_split(&r.l, &r.rt->exec, &f.x, &f.dy, &f.dx, false, &x2, &dy2));
        memset(g, 0, sizeof g);
        memset(gm, 0, sizeof gm);
        if (m.factors) {
            const weight_case first = case_of(&r, ROWS, 12, 6, m.n, 1),
                              second = case_of(&r, ROWS, 6, 8, m.m, 0);
            want_forward(&first, v[0], h);
            want_weight(&second, h, v[3], gm); // dM of dy_for_weight and h
            want_input(&second, v[1], dh);
            want_weight(&first, v[2], dh, g); // dN of in_for_weight and dy M
            want_input(&first, dh, dx);
            same(&r.params.item[r.l.factor_out].g, gm, "dM");
            same(&r.params.item[r.l.factor_in].g, g, "dN");
        } else {
            const weight_case w = case_of(&r, ROWS, 12, 8, m.w, 0);
            want_weight(&w, v[2], v[3], g);
            want_input(&w, v[1], dx);
            same(&wn__linear_weight(&r.l)->g, g, "dW");
        }
        same(&f.dx, dx, "dx");
        assert_false(wn__given(&r.l.in_for_weight));
        close_layer(&r);
    }
}

// ---- draws of a layer that rounds to bfloat16 ----

#define TOKENS 9 // three groups, the last one short

static double rounded16(double v) {
    return nearest8(v, 7, -126, FLT_MAX);
}

static void round_values(const wn_tensor *t) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        wn__set(t, i, rounded16(wn__get(t, i)));
}

// T(dy) as floats, by the specification of mvue24.
static void draw_floats(rig *r, const wn_tensor *dy, double *out) {
    float room[ROOM];
    const wn__kernel *ref;
    const wn__mvue24 draw = {.x = *dy,
                             .y = wn__tensor2(room, WN_DTYPE_F32, dy->shape[0], dy->shape[1]),
                             .axis = 0,
                             .group = 4,
                             .method = r->l.structure.mvue == WN_MVUE_EXACT ? WN_MVUE24_EXACT
                                                                            : WN_MVUE24_APPROX,
                             .seed = r->pass.seed,
                             .stream = WN_STREAM_MVUE + 8 * (uint64_t)r->l.number,
                             .counter = r->pass.counter};
    OK(wn__force_find("mvue24:ref", WN__OP_mvue24, &ref));
    OK(wn__run_kernel(&r->rt->exec, ref, &draw));
    values_of(&draw.y, out);
}

// dW against x^T times the rounded draws: sums of floats with two terms a group, within
// u |dW| + 2 terms u sum|draw x|, u = 2^-24, and, for pairs of bfloat16 numbers, a further
// f (sum|draw| + sum|x| + 2 terms), f = 2^-126 (kernels/matmul.h). The product of the draws
// themselves is further away.
static void check_rounded_draws(rig *r, const flow *f) {
    int64_t in = r->l.in, out = r->l.out, terms = 2 * ((TOKENS + 3) / 4), apart = 0;
    const wn_tensor *g = &wn__linear_weight(&r->l)->g;
    double draws[ROOM];
    draw_floats(r, &f->dy, draws);
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++) {
            double want = 0, unrounded = 0, size = 0, sums = 0, got = at2(g, o, i);
            for (int64_t n = 0; n < TOKENS; n++) {
                double x = at2(&f->x, n, i), t = draws[n * out + o], t16 = rounded16(t);
                want += t16 * x;
                unrounded += t * x;
                size += fabs(t16 * x);
                sums += fabs(t16) + fabs(x);
            }
            double bound = 0x1p-24 * (fabs(got) + 2 * (double)terms * size) +
                           0x1p-126 * (sums + 2 * (double)terms);
            if (!(fabs(got - want) <= bound))
                fail_msg("%s: dW[%lld,%lld] is %.9g, %.9g expected, %.9g of draws not rounded",
                         describe, (long long)o, (long long)i, got, want, unrounded);
            apart += fabs(got - unrounded) > bound;
        }
    assert_true(apart > 0);
}

// dW by one variant; false where it cannot multiply what the layer stores.
static bool run_rounded(rig *r, const layer_spec *s, const wn__kernel *k, flow *f) {
    char force[64];
    bool store16 = s->packs24 == 0;
    (void)snprintf(force, sizeof force, "spmm24_rows:%s", k->variant);
    (void)snprintf(describe, sizeof describe, "%s %lld x %lld as %s by %s", s->structure,
                   (long long)s->out, (long long)s->in, store16 ? "BF16" : "floats", k->variant);
    open_layer(r, s);
    assert_true(r->l.round16 && r->l.store16 == store16);
    assert_int_equal(wn__linear_weight(&r->l)->w.dtype, store16 ? WN_DTYPE_BF16 : WN_DTYPE_F32);
    r->pass.counter = 6;
    open_flow(f, r, TOKENS);
    round_values(&f->x);
    round_values(&f->dy);
    OK(wn__linear_prepare(&r->l, &r->rt->exec, 0));
    wn__linear_weight(&r->l)->fresh = true;
    r->rt->exec.force = force;
    wn_status status = wn__linear_backward(&r->l, &r->rt->exec, &f->x, &f->dy, NULL, false);
    r->rt->exec.force = NULL;
    if (status == WN_UNSUPPORTED) return false;
    OK(status);
    check_rounded_draws(r, f);
    return true;
}

// Whether both ways to store were multiplied: then no bit of dW tells which it was.
static bool check_variant(const char *structure, int64_t in, int64_t out, const wn__kernel *k) {
    rig r[2];
    flow f;
    bool ran[2];
    for (int floats = 0; floats < 2; floats++) {
        const layer_spec s = {.structure = structure,
                              .in = in,
                              .out = out,
                              .training = true,
                              .round16 = true,
                              .single = true,
                              .number = 3,
                              .packs24 = floats}; // a layer whose operands may be packed
        ran[floats] = run_rounded(&r[floats], &s, k, &f);
    }
    const wn_tensor *a = &wn__linear_weight(&r[0].l)->g, *b = &wn__linear_weight(&r[1].l)->g;
    if (ran[0] && ran[1]) assert_memory_equal(a->data, b->data, wn__tensor_bytes(a));
    close_layer(&r[0]);
    close_layer(&r[1]);
    return ran[0] && ran[1];
}

// By every variant here that multiplies draws. ref takes both ways to store.
static void rounds_draws_to_bfloat16(void **state) {
    (void)state;
    static const char *const rules[] = {"2:4:row+mvue", "2:4:row+mvue-approx"};
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (int which = 0; which < 2; which++) {
        int both = 0;
        for (size_t i = 0; i < rows; i++) {
            const wn__kernel *k = &table[i];
            if (k->op != WN__OP_spmm24_rows || wn__kernel_on_gpu(k) || !wn__kernel_available(k))
                continue;
            both += check_variant(rules[which], 12, 20, k);
            both += check_variant(rules[which], 13, 9, k); // padded inside
        }
        assert_true(both >= 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_weights),
        cmocka_unit_test(masked_weights),
        cmocka_unit_test(soft_weights),
        cmocka_unit_test(low_rank),
        cmocka_unit_test(adapters),
        cmocka_unit_test(recomputing_changes_nothing),
        cmocka_unit_test(gradients_of_other_operands),
        cmocka_unit_test(rounds_draws_to_bfloat16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
