// SPDX-License-Identifier: MIT
// attention and attention_grad of the reference: a PyTorch vector, a plain oracle with the whole
// T x S matrix, causality, decoding against the whole, strides, and central differences.
#include "kernels/attention.h"
#include "ref_test.h"

typedef struct sizes {
    int64_t B, T, S, H, Hk, D;
    double scale;
} sizes;

typedef struct problem {
    wn__attention fwd;
    wn__attention_grad bwd;
} problem;

static void refresh(problem *p) {
    const wn__attention *f = &p->fwd;
    p->bwd.q = f->q;
    p->bwd.k = f->k;
    p->bwd.v = f->v;
    p->bwd.out = f->out;
    p->bwd.lse = f->lse;
    p->bwd.scale = f->scale;
}

// Random q, k, v and dout; outputs NaN.
static problem make_problem(sizes s, uint64_t seed) {
    const wn_dtype f64 = WN_DTYPE_F64;
    problem p = {0};
    p.fwd = (wn__attention){.q = make4(f64, s.B, s.T, s.H, s.D),
                            .k = make4(f64, s.B, s.S, s.Hk, s.D),
                            .v = make4(f64, s.B, s.S, s.Hk, s.D),
                            .out = make4(f64, s.B, s.T, s.H, s.D),
                            .lse = make(f64, 3, (const int64_t[]){s.B, s.H, s.T}),
                            .scale = s.scale};
    p.bwd.dout = make4(f64, s.B, s.T, s.H, s.D);
    p.bwd.dq = make4(f64, s.B, s.T, s.H, s.D);
    p.bwd.dk = make4(f64, s.B, s.S, s.Hk, s.D);
    p.bwd.dv = make4(f64, s.B, s.S, s.Hk, s.D);
    fill_for_gradient(&p.fwd.q, seed);
    fill_for_gradient(&p.fwd.k, seed + 1);
    fill_for_gradient(&p.fwd.v, seed + 2);
    fill_for_gradient(&p.bwd.dout, seed + 3);
    wn_tensor *outputs[5] = {&p.fwd.out, &p.fwd.lse, &p.bwd.dq, &p.bwd.dk, &p.bwd.dv};
    for (int i = 0; i < 5; i++)
        memset(outputs[i]->data, 0xFF, wn__tensor_bytes(outputs[i]));
    refresh(&p);
    return p;
}

static void each_tensor(problem *p, wn_tensor *list[9]) {
    wn_tensor *all[9] = {&p->fwd.q,    &p->fwd.k,  &p->fwd.v,  &p->fwd.out, &p->fwd.lse,
                         &p->bwd.dout, &p->bwd.dq, &p->bwd.dk, &p->bwd.dv};
    memcpy(list, all, sizeof all);
}

static void free_problem(problem *p) {
    wn_tensor *list[9];
    each_tensor(p, list);
    for (int i = 0; i < 9; i++)
        free(list[i]->data);
}

// The same problem in another type.
static problem problem_in(const problem *from, wn_dtype dtype) {
    problem p = *from;
    wn_tensor *list[9];
    each_tensor(&p, list);
    for (int i = 0; i < 9; i++)
        *list[i] = converted(list[i], dtype);
    refresh(&p);
    return p;
}

static void run_both(const problem *p, wn__pool *pool) {
    wn__exec x = {.pool = pool};
    assert_ok(wn__attention_ref(&p->fwd, &x));
    assert_ok(wn__attention_grad_ref(&p->bwd, &x));
}

static double at4(const wn_tensor *t, int64_t b, int64_t i, int64_t h, int64_t d) {
    return wn__get(t, ((b * t->shape[1] + i) * t->shape[2] + h) * t->shape[3] + d);
}

// The whole matrices P and dS of one (b, h) by the textbook: a masked softmax and its Jacobian.
typedef struct matrices {
    long double *P, *dS, *lse; // [T, S], [T, S], [T]
} matrices;

static long double dot_rows(const wn_tensor *x, int64_t b, int64_t i, int64_t h, const wn_tensor *y,
                            int64_t j, int64_t g) {
    long double sum = 0;
    for (int64_t d = 0; d < x->shape[3]; d++)
        sum += (long double)at4(x, b, i, h, d) * at4(y, b, j, g, d);
    return sum;
}

static matrices solve(const problem *p, int64_t b, int64_t h) {
    int64_t T = p->fwd.q.shape[1], S = p->fwd.k.shape[1],
            g = h / (p->fwd.q.shape[2] / p->fwd.k.shape[2]);
    size_t bytes = (size_t)(T * S) * sizeof(long double);
    matrices m = {zeros(bytes), zeros(bytes), zeros((size_t)T * sizeof(long double))};
    for (int64_t t = 0; t < T; t++) {
        long double *P = m.P + t * S, *dS = m.dS + t * S, total = 0, mean = 0;
        for (int64_t j = 0; j <= S - T + t; j++)
            total += P[j] = expl(p->fwd.scale * dot_rows(&p->fwd.q, b, t, h, &p->fwd.k, j, g));
        m.lse[t] = logl(total);
        for (int64_t j = 0; j <= S - T + t; j++) {
            P[j] /= total;
            dS[j] = dot_rows(&p->bwd.dout, b, t, h, &p->fwd.v, j, g);
            mean += P[j] * dS[j];
        }
        for (int64_t j = 0; j <= S - T + t; j++)
            dS[j] = P[j] * (dS[j] - mean);
    }
    return m;
}

// sum_j M[t,j] y[j,d], or (turned) sum_t M[t,j] y[t,d].
static long double apply(const long double *M, int64_t S, bool turned, int64_t row,
                         const wn_tensor *y, int64_t b, int64_t h, int64_t d, int64_t n) {
    long double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += M[turned ? i * S + row : row * S + i] * at4(y, b, i, h, d);
    return sum;
}

// All outputs of one problem against the oracle, sums over the heads of a group included.
static void check_against_oracle(const problem *p, double tolerance) {
    const int64_t *q = p->fwd.q.shape, T = q[1], H = q[2], D = q[3], S = p->fwd.k.shape[1],
                  Hk = p->fwd.k.shape[2];
    for (int64_t b = 0; b < q[0]; b++)
        for (int64_t g = 0; g < Hk; g++) {
            double *dk = zeros((size_t)(S * D) * sizeof *dk),
                   *dv = zeros((size_t)(S * D) * sizeof *dv);
            for (int64_t h = g * (H / Hk); h < (g + 1) * (H / Hk); h++) {
                matrices m = solve(p, b, h);
                for (int64_t t = 0; t < T; t++) {
                    assert_near(wn__get(&p->fwd.lse, (b * H + h) * T + t), (double)m.lse[t],
                                tolerance);
                    for (int64_t d = 0; d < D; d++) {
                        assert_near(at4(&p->fwd.out, b, t, h, d),
                                    (double)apply(m.P, S, false, t, &p->fwd.v, b, g, d, S),
                                    tolerance);
                        assert_near(at4(&p->bwd.dq, b, t, h, d),
                                    p->fwd.scale *
                                        (double)apply(m.dS, S, false, t, &p->fwd.k, b, g, d, S),
                                    tolerance);
                    }
                }
                for (int64_t i = 0; i < S * D; i++) {
                    dk[i] += p->fwd.scale *
                             (double)apply(m.dS, S, true, i / D, &p->fwd.q, b, h, i % D, T);
                    dv[i] += (double)apply(m.P, S, true, i / D, &p->bwd.dout, b, h, i % D, T);
                }
                free(m.P);
                free(m.dS);
                free(m.lse);
            }
            for (int64_t i = 0; i < S * D; i++) {
                assert_near(at4(&p->bwd.dk, b, i / D, g, i % D), dk[i], tolerance);
                assert_near(at4(&p->bwd.dv, b, i / D, g, i % D), dv[i], tolerance);
            }
            free(dk);
            free(dv);
        }
}

// Scores are at most 9 scale D, so weights carry a relative error below 2 u (9 scale D^2 + S);
// values, gradients and their sums over T H/Hk D terms are below 9 in each term.
static double oracle_tolerance(sizes s) {
    double weight = 2 * (9 * s.scale * (double)(s.D * s.D) + (double)s.S + 16);
    return 0x1p-53 * weight * 27 * (double)(s.S + s.T * s.H / s.Hk * s.D);
}

static const sizes shapes[] = {
    {1, 1, 1, 1, 1, 1, 1},    {2, 3, 3, 2, 2, 4, 0.5},   {1, 5, 9, 4, 2, 3, 0.6},
    {2, 1, 7, 6, 2, 8, 0.35}, {1, 4, 4, 3, 1, 70, 0.12}, {1, 2, 5, 2, 1, 130, 0.09},
};

static void test_oracle(void **state) {
    (void)state;
    for (int64_t n = 0; n < LENGTH(shapes); n++) {
        problem p = make_problem(shapes[n], 10 * (uint64_t)n + 1);
        run_both(&p, NULL);
        check_against_oracle(&p, oracle_tolerance(shapes[n]));
        free_problem(&p);
    }
}

static void fill_sine(const wn_tensor *t, double a, double b) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        wn__set(t, i, sin(a * (double)i + b));
}

// PyTorch: scaled_dot_product_attention in float64 with q = sin(.7 i + .1), k = sin(1.3 i + .2),
// v = sin(.9 i + .3), dout = sin(.5 i + .4), the key/value head repeated; 15 digits, so 5e-15 are
// lost to printing.
static void test_torch(void **state) {
    (void)state;
    static const double out[] = {0.451939491963826, 0.714111731319328, 0.448301292294033,
                                 0.719180564284429, 0.310223856859293, 0.0455805991263235,
                                 0.155654701695414, -0.21338316370528};
    static const double lse[] = {0.873869093735497, 1.06423297020016, 1.06699910548276,
                                 1.14029641829312};
    static const double dq[] = {-0.00813240863961975, 0.108324006647765, -0.00380119145998473,
                                0.050632021486819,    0.196113009208202, -0.151714445927697,
                                -0.243072770946334,   0.128382482881686};
    static const double dk[] = {0.120110731975087,  0.12873569160212,   0.133903284175338,
                                0.0111388386100398, -0.254014016150425, -0.13987453021216};
    static const double dv[] = {1.14099860022707,  1.22692289270424,   0.580285169423058,
                                0.270860752508538, 0.0735063811712987, -0.216673477867876};
    problem p = make_problem((sizes){1, 2, 3, 2, 1, 2, 0.75}, 1);
    fill_sine(&p.fwd.q, 0.7, 0.1);
    fill_sine(&p.fwd.k, 1.3, 0.2);
    fill_sine(&p.fwd.v, 0.9, 0.3);
    fill_sine(&p.bwd.dout, 0.5, 0.4);
    run_both(&p, NULL);
    assert_all_near(&p.fwd.out, out, 6e-15);
    assert_all_near(&p.fwd.lse, lse, 6e-15);
    assert_all_near(&p.bwd.dq, dq, 6e-15);
    assert_all_near(&p.bwd.dk, dk, 6e-15);
    assert_all_near(&p.bwd.dv, dv, 6e-15);
    free_problem(&p);
}

static double attention_loss(void *ctx) {
    const problem *p = ctx;
    wn__exec x = one_thread();
    assert_ok(wn__attention_ref(&p->fwd, &x));
    return inner(&p->fwd.out, &p->bwd.dout);
}

// Grouped heads, fewer queries than keys. `wrong` as in oracle_tolerance, once for each of the B T
// H D terms of the loss.
static void test_gradient(void **state) {
    (void)state;
    const sizes s = {2, 3, 5, 4, 2, 3, 0.6};
    problem p = make_problem(s, 77);
    run_both(&p, NULL);
    double weight = 2 * (9 * s.scale * (double)(s.D * s.D) + (double)s.S + 16);
    double terms = (double)(s.B * s.T * s.H * s.D), wrong = 0x1p-53 * 9 * terms * (weight + terms);
    check_gradient("attention q", attention_loss, &p, &p.fwd.q, &p.bwd.dq, wrong);
    check_gradient("attention k", attention_loss, &p, &p.fwd.k, &p.bwd.dk, wrong);
    check_gradient("attention v", attention_loss, &p, &p.fwd.v, &p.bwd.dv, wrong);
    free_problem(&p);
}

// Keys after a query change nothing of it, not one bit; its own key does.
static void test_causal(void **state) {
    (void)state;
    const sizes s = {1, 6, 6, 2, 1, 4, 0.5};
    problem p = make_problem(s, 5);
    wn_tensor before = make4(WN_DTYPE_F64, 1, 6, 2, 4);
    run_both(&p, NULL);
    memcpy(before.data, p.fwd.out.data, wn__tensor_bytes(&before));
    for (int64_t d = 0; d < 4; d++) {
        wn__set(&p.fwd.k, 3 * 4 + d, 50);
        wn__set(&p.fwd.v, 3 * 4 + d, -40);
    }
    run_both(&p, NULL);
    assert_memory_equal(before.data, p.fwd.out.data, 3 * 8 * sizeof(double));
    for (int64_t t = 3; t < 6; t++)
        assert_true(at4(&before, 0, t, 0, 0) != at4(&p.fwd.out, 0, t, 0, 0));
    free(before.data);
    free_problem(&p);
}

// The last T of S queries alone give the same bits as all S at once.
static void test_decoding(void **state) {
    (void)state;
    problem all = make_problem((sizes){1, 7, 7, 4, 2, 5, 0.45}, 9);
    run_both(&all, NULL);
    for (int64_t T = 1; T < 7; T++) {
        wn__attention f = all.fwd;
        f.q = wn__tensor_slice(&all.fwd.q, 1, 7 - T, T);
        f.out = make4(WN_DTYPE_F64, 1, T, 4, 5);
        f.lse = (wn_tensor){0};
        wn__exec x = one_thread();
        assert_ok(wn__attention_ref(&f, &x));
        const double *tail = (const double *)all.fwd.out.data + (7 - T) * 20;
        assert_memory_equal(f.out.data, tail, (size_t)(T * 20) * sizeof *tail);
        free(f.out.data);
    }
    free_problem(&all);
}

// Columns from..from+heads of [B, T, H, D], as an output of one product over q, k and v would be.
static wn_tensor heads_of(const wn_tensor *block, int64_t from, int64_t heads) {
    return wn__tensor_slice(block, 2, from, heads);
}

static void copy_into(const wn_tensor *view, const wn_tensor *packed) {
    for (int64_t i = 0; i < wn__tensor_count(packed); i++) {
        int64_t d = i % packed->shape[3], h = i / packed->shape[3] % packed->shape[2];
        int64_t t = i / packed->shape[3] / packed->shape[2] % packed->shape[1];
        int64_t b = i / packed->shape[3] / packed->shape[2] / packed->shape[1];
        wn__set(view, b * view->stride[0] + t * view->stride[1] + h * view->stride[2] + d,
                wn__get(packed, i));
    }
}

static void assert_view(const wn_tensor *view, const wn_tensor *packed) {
    wn_tensor again = make(packed->dtype, packed->ndim, packed->shape);
    for (int64_t b = 0; b < view->shape[0]; b++)
        for (int64_t t = 0; t < view->shape[1]; t++)
            for (int64_t h = 0; h < view->shape[2]; h++)
                for (int64_t d = 0; d < view->shape[3]; d++)
                    wn__set(&again,
                            ((b * view->shape[1] + t) * view->shape[2] + h) * view->shape[3] + d,
                            wn__get(view, b * view->stride[0] + t * view->stride[1] +
                                              h * view->stride[2] + d));
    assert_bits(&again, packed);
    free(again.data);
}

static void test_strides_and_threads(void **state) {
    (void)state;
    const sizes s = {2, 5, 5, 4, 2, 3, 0.6};
    problem p = make_problem(s, 31);
    run_both(&p, NULL);
    wn_tensor block = make4(WN_DTYPE_F64, 2, 5, 8, 3), grads = make4(WN_DTYPE_F64, 2, 5, 8, 3),
              outs = make4(WN_DTYPE_F64, 2, 5, 9, 3);
    problem v = p;
    v.fwd.q = heads_of(&block, 0, 4);
    v.fwd.k = heads_of(&block, 4, 2);
    v.fwd.v = heads_of(&block, 6, 2);
    v.fwd.out = heads_of(&outs, 0, 4);
    v.fwd.lse = make(WN_DTYPE_F64, 3, p.fwd.lse.shape);
    v.bwd.dout = heads_of(&outs, 5, 4);
    v.bwd.dq = heads_of(&grads, 0, 4);
    v.bwd.dk = heads_of(&grads, 4, 2);
    v.bwd.dv = heads_of(&grads, 6, 2);
    refresh(&v);
    copy_into(&v.fwd.q, &p.fwd.q);
    copy_into(&v.fwd.k, &p.fwd.k);
    copy_into(&v.fwd.v, &p.fwd.v);
    copy_into(&v.bwd.dout, &p.bwd.dout);
    wn__pool *pool = NULL;
    assert_ok(wn__pool_create(3, &pool));
    run_both(&v, pool);
    wn__pool_free(pool);
    assert_view(&v.fwd.out, &p.fwd.out);
    assert_bits(&v.fwd.lse, &p.fwd.lse);
    assert_view(&v.bwd.dq, &p.bwd.dq);
    assert_view(&v.bwd.dk, &p.bwd.dk);
    assert_view(&v.bwd.dv, &p.bwd.dv);
    for (int64_t n = 0; n < 10; n++)
        for (int64_t d = 0; d < 3; d++)
            assert_true(wn__get(&outs, (n * 9 + 4) * 3 + d) == 0); // between the views
    free(block.data);
    free(grads.data);
    free(outs.data);
    free(v.fwd.lse.data);
    free_problem(&p);
}

// Scores of several thousand: no overflow, and the largest takes all.
static void test_large_scores(void **state) {
    (void)state;
    problem p = make_problem((sizes){1, 3, 3, 1, 1, 2, 1}, 3);
    for (int64_t i = 0; i < 6; i++) {
        wn__set(&p.fwd.q, i, 100);
        wn__set(&p.fwd.k, i, (double)(20 * (i / 2) - 20) + 60);
    }
    run_both(&p, NULL);
    for (int64_t i = 0; i < 6; i++)
        assert_true(wn__get(&p.fwd.out, i) == wn__get(&p.fwd.v, i));
    for (int64_t t = 0; t < 3; t++)
        assert_true(wn__get(&p.fwd.lse, t) == 200.0 * (double)(20 * t + 40));
    free_problem(&p);
}

// Each type against F64 on the same numbers: one rounding of each output.
static void test_types(void **state) {
    (void)state;
    const sizes s = {1, 4, 6, 2, 1, 5, 0.5};
    for (int d = 1; d < 4; d++) {
        problem wide = make_problem(s, 41), p = problem_in(&wide, all_floats[d]);
        wn__exec x = one_thread();
        assert_ok(wn__attention_ref(&p.fwd, &x));
        problem same = problem_in(&p, WN_DTYPE_F64), f64 = problem_in(&p, WN_DTYPE_F64);
        assert_ok(wn__attention_ref(&same.fwd, &x));
        assert_rounded(&p.fwd.out, &same.fwd.out);
        assert_rounded(&p.fwd.lse, &same.fwd.lse);
        assert_ok(wn__attention_grad_ref(&p.bwd, &x));
        assert_ok(wn__attention_grad_ref(&f64.bwd, &x)); // from the rounded out and lse
        assert_rounded(&p.bwd.dq, &f64.bwd.dq);
        assert_rounded(&p.bwd.dk, &f64.bwd.dk);
        assert_rounded(&p.bwd.dv, &f64.bwd.dv);
        problem *all[4] = {&wide, &p, &same, &f64};
        for (int i = 0; i < 4; i++)
            free_problem(all[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oracle),       cmocka_unit_test(test_torch),
        cmocka_unit_test(test_gradient),     cmocka_unit_test(test_causal),
        cmocka_unit_test(test_decoding),     cmocka_unit_test(test_strides_and_threads),
        cmocka_unit_test(test_large_scores), cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
