// SPDX-License-Identifier: MIT
// Closed-form fits: matrices that are chains are found again, errors are those of a dense program,
// two factors and legacy chains are optimal, deeper ones keep their bounds.
#include "lowrank_test.h"
#include "sparse/kron_fit.h"
#include "sparse/kron_inputs.h"

typedef struct fitted {
    wn__kron_fit report;
    double *factor[WN__KRON_MAX];
    wn_tensor w[WN__KRON_MAX];
    double *product;
} fitted;

static fitted fit(const wn__linalg *f, const wn__kron_chain *c, const double *w) {
    fitted out = {0};
    wn__exec x = {0};
    int64_t rows = wn__kron_chain_rows(c), columns = wn__kron_chain_columns(c);
    for (int t = 0; t < c->count; t++) {
        out.factor[t] = calloc((size_t)wn__kron_params(&c->factor[t]), sizeof(double));
        out.w[t] = wn__kron_view(&c->factor[t], WN__KRON_CANONICAL, out.factor[t], WN_DTYPE_F64);
    }
    assert_ok(wn__kron_fit_dense(f, &x, c, w, out.factor, true, &out.report));
    out.product = calloc((size_t)(rows * columns), sizeof(double));
    wn_tensor dense = wn__tensor2(out.product, WN_DTYPE_F64, rows, columns);
    assert_ok(wn__kron_chain_dense(out.w, c->count, NULL, NULL, &dense));
    double error = 0, norm = 0, stages = out.report.outside * out.report.outside;
    for (int64_t i = 0; i < rows * columns; i++) {
        error += (w[i] - out.product[i]) * (w[i] - out.product[i]);
        norm += w[i] * w[i];
    }
    for (int t = 0; t < c->count - 1; t++)
        stages += out.report.stage[t] * out.report.stage[t];
    // squares of errors are sums of rows x columns numbers of relative error 2^-52, each of which
    // an SVD has moved by a small multiple of the norm times that
    assert_near(out.report.norm, sqrt(norm), 1e-13 * sqrt(norm));
    assert_near(out.report.error * out.report.error, error, 1e-13 * norm);
    assert_near(stages, error, 1e-13 * norm);
    assert_true(out.report.least <= out.report.error + 1e-12 * sqrt(norm));
    return out;
}

static void release(fitted *f, const wn__kron_chain *c) {
    for (int t = 0; t < c->count; t++)
        free(f->factor[t]);
    free(f->product);
}

static void test_hadamard(void **state) {
    (void)state;
    wn__kron_chain c;
    double w[64];
    assert_ok(wn__kron_chain_butterfly(8, &c));
    for (int i = 0; i < 64; i++)
        w[i] = __builtin_parity((unsigned)(i / 8 & i % 8)) ? -1 : 1;
    for (int f = 0; f < 2; f++) {
        fitted r = fit(family(f), &c, w);
        assert_true(r.report.error < 1e-14 * 8);
        for (int i = 0; i < 64; i++)
            assert_near(r.product[i], w[i], 1e-14);
        release(&r, &c);
    }
}

// Errors squared and the product of 1 .. 16 by a program that works with dense matrices.
static void test_sixteen(void **state) {
    (void)state;
    static const double want[16] = {
        1.433568, 1.615184,  3.333828,  3.69914,   5.264862,  5.757814,  7.216837,  7.799358,
        8.930401, 10.061773, 10.897877, 12.092038, 12.891834, 14.098906, 14.894939, 16.097214};
    wn__kron_chain c;
    double w[16];
    assert_ok(wn__kron_chain_butterfly(4, &c));
    for (int f = 0; f < 2; f++) {
        for (int i = 0; i < 16; i++)
            w[i] = i + 1;
        fitted r = fit(family(f), &c, w);
        assert_near(r.report.error * r.report.error, 0.8236341964362591, 1e-12);
        assert_near(r.report.least, r.report.error, 1e-12);
        for (int i = 0; i < 16; i++)
            assert_near(r.product[i], want[i], 5.1e-7);
        release(&r, &c);
        w[0] = 17;
        w[13] = -5;
        r = fit(family(f), &c, w);
        assert_near(r.report.error * r.report.error, 107.84259473016567, 1e-10);
        release(&r, &c);
    }
}

static void draw(double *to, int64_t n, uint64_t seed) {
    for (int64_t i = 0; i < n; i++) {
        float z[4];
        wn__philox_normal(seed, WN_STREAM_TEST, (uint64_t)i, z);
        to[i] = (double)z[0];
    }
}

// A random butterfly is found again; with noise on top the error is at most sqrt(L-1) of it.
static void test_recovery(void **state) {
    (void)state;
    wn__kron_chain c;
    assert_ok(wn__kron_chain_butterfly(64, &c));
    double *data[6], *w = calloc(64 * 64, sizeof *w), *noise = calloc(64 * 64, sizeof *noise);
    wn_tensor factor[6], dense = wn__tensor2(w, WN_DTYPE_F64, 64, 64);
    for (int t = 0; t < 6; t++) {
        data[t] = calloc(128, sizeof(double));
        draw(data[t], 128, (uint64_t)t + 1);
        factor[t] = wn__kron_view(&c.factor[t], WN__KRON_ROWS, data[t], WN_DTYPE_F64);
    }
    assert_ok(wn__kron_chain_dense(factor, 6, NULL, NULL, &dense));
    fitted r = fit(NULL, &c, w);
    assert_true(r.report.error < 1e-13 * r.report.norm);
    release(&r, &c);
    draw(noise, 64 * 64, 99);
    double square = 0;
    for (int i = 0; i < 64 * 64; i++) {
        w[i] += 0.1 * noise[i];
        square += 0.01 * noise[i] * noise[i];
    }
    r = fit(NULL, &c, w);
    assert_true(r.report.error <= sqrt(5 * square));
    assert_true(r.report.least <= sqrt(square));
    release(&r, &c);
    for (int t = 0; t < 6; t++)
        free(data[t]);
    free(w);
    free(noise);
}

// No chain of these patterns is nearer than LB, and the closed form is at most sqrt(L-1) times as
// far as the nearest: E* is not known, but whatever is found stands above it. Here that is what
// least squares and conjugate gradients make of the closed form.
static void test_bound(void **state) {
    (void)state;
    for (int64_t n = 8; n <= 32; n *= 2) {
        wn__kron_chain c;
        assert_ok(wn__kron_chain_butterfly(n, &c));
        double *w = calloc((size_t)(n * n), sizeof *w), *h = calloc((size_t)(n * n), sizeof *h);
        double *factor[WN__KRON_MAX] = {NULL};
        for (int64_t i = 0; i < n; i++)
            h[i * n + i] = 1;
        for (int t = 0; t < c.count; t++)
            factor[t] = calloc((size_t)wn__kron_params(&c.factor[t]), sizeof(double));
        for (uint64_t seed = 1; seed <= 3; seed++) {
            wn__exec x = {0};
            wn__kron_inputs found;
            draw(w, n * n, 1000 * seed + (uint64_t)n);
            fitted r = fit(NULL, &c, w);
            assert_ok(wn__kron_fit_inputs(NULL, &x, &c, w, h, 40, factor, &found));
            const double best = found.outputs * r.report.norm, slack = 1e-12 * r.report.norm;
            assert_true(best < r.report.error); // something was found
            assert_true(r.report.least <= best + slack);
            assert_true(r.report.error <= sqrt((double)(c.count - 1)) * best + slack);
            assert_true(r.report.error <= sqrt((double)(c.count - 1)) * r.report.least + slack);
            release(&r, &c);
        }
        for (int t = 0; t < c.count; t++)
            free(factor[t]);
        free(w);
        free(h);
    }
}

// Gaussian numbers: two factors lose exactly what the SVDs of the blocks drop, and no pair that is
// moved away from the optimum is nearer; factors are of one norm.
static void test_pair(void **state) {
    (void)state;
    wn__kron_chain c;
    double *w = calloc(60 * 48, sizeof *w);
    draw(w, 60 * 48, 5);
    assert_ok(wn__kron_chain_monarch(60, 48, 6, 8, 2, &c));
    fitted r = fit(NULL, &c, w);
    assert_near(r.report.least, r.report.error, 1e-12);
    double norm[2] = {0, 0};
    for (int t = 0; t < 2; t++)
        for (int64_t i = 0; i < wn__kron_params(&c.factor[t]); i++)
            norm[t] += r.factor[t][i] * r.factor[t][i];
    assert_near(norm[0], norm[1], 1e-12 * norm[0]);
    double *moved = calloc(60 * 48, sizeof *moved);
    wn_tensor dense = wn__tensor2(moved, WN_DTYPE_F64, 60, 48);
    for (int64_t i = 0; i < wn__kron_params(&c.factor[0]); i += 37) {
        double error = 0, kept = r.factor[0][i];
        r.factor[0][i] += 1e-3;
        assert_ok(wn__kron_chain_dense(r.w, 2, NULL, NULL, &dense));
        for (int j = 0; j < 60 * 48; j++)
            error += (w[j] - moved[j]) * (w[j] - moved[j]);
        assert_true(error > r.report.error * r.report.error);
        r.factor[0][i] = kept;
    }
    release(&r, &c);
    assert_ok(wn__kron_chain_monarch(60, 48, 6, 8, 6, &c)); // all of them
    r = fit(NULL, &c, w);
    assert_true(r.report.error < 1e-13 * r.report.norm);
    release(&r, &c);
    free(moved);
    free(w);
}

// Entries outside the support of a product are lost, and counted.
static void test_outside(void **state) {
    (void)state;
    const wn__kron_chain c = {.factor = {{2, 2, 2, 1}}, .count = 1};
    double w[16];
    for (int i = 0; i < 16; i++)
        w[i] = 1;
    fitted r = fit(NULL, &c, w);
    assert_near(r.report.error, sqrt(8), 1e-14);
    assert_near(r.report.outside, sqrt(8), 1e-14);
    release(&r, &c);
}

// The original's rectangular chains: the truncated SVD, whatever the rank.
static void test_legacy(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {
        {96, 48, 4}, {64, 32, 4}, {32, 64, 4}, {20, 20, 30}, {2, 1, 4}};
    for (int e = 0; e < 5; e++) {
        int64_t m = shapes[e][0], n = shapes[e][1], rank = shapes[e][2], k = m < n ? m : n;
        wn__kron_chain c;
        wn__exec x = {0};
        double *w = calloc((size_t)(m * n), sizeof *w), *s = calloc((size_t)k, sizeof *s), tail = 0;
        size_t scratch = (wn__linalg_svd_scratch(NULL, m, n) + 127) / 64 * 64;
        void *own = aligned_alloc(64, scratch);
        draw(w, m * n, 8);
        assert_ok(wn__kron_chain_legacy(m, n, rank, &c));
        assert_int_equal(wn__kron_chain_legacy_rank(&c), rank);
        assert_ok(wn__linalg_svd(NULL, &x, m, n, w, NULL, s, NULL, own));
        for (int64_t q = rank; q < k; q++)
            tail += s[q] * s[q];
        fitted r = fit(NULL, &c, w);
        assert_near(r.report.error, sqrt(tail), 1e-13 * r.report.norm);
        release(&r, &c);
        free(w), free(s), free(own);
    }
}

static void test_refusals(void **state) {
    (void)state;
    wn__exec x = {0};
    wn__kron_fit report;
    double w[36] = {0}, a[64], b[64], *factor[2] = {a, b};
    wn__kron_chain c = {.factor = {{2, 2, 2, 1}, {4, 1, 1, 1}}, .count = 2};
    assert_refused(wn__kron_fit_dense(NULL, &x, &c, w, factor, false, &report), "not chainable");
    c = (wn__kron_chain){.factor = {{1, 2, 2, 1}}, .count = 1};
    w[3] = NAN;
    assert_refused(wn__kron_fit_dense(NULL, &x, &c, w, factor, false, &report), "row 1, column 1");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_hadamard), cmocka_unit_test(test_sixteen),
    cmocka_unit_test(test_recovery), cmocka_unit_test(test_bound),
    cmocka_unit_test(test_pair),     cmocka_unit_test(test_outside),
    cmocka_unit_test(test_legacy),   cmocka_unit_test(test_refusals),
};

int main(void) {
    return cmocka_run_group_tests(tests, NULL, NULL);
}
