// SPDX-License-Identifier: MIT
// A chain with a low-rank head: never above the head alone, each turn nearer, exact where the head
// suffices, better than a chain alone where a few directions stand out; errors as the dense
// matrices have them; the same on any number of threads; refusals.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "base/pool.h"
#include "sparse/kron_head.h"

enum { OUT = 24, IN = 32, RANK = 3 };

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void normal(double *p, int64_t n, uint64_t seed) {
    float z[4] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0) wn__philox_normal(seed, WN_STREAM_TEST, (uint64_t)i / 4, z);
        p[i] = (double)z[i % 4];
    }
}

// H = A A^T with columns that fall, damped.
static void moments(double *h) {
    static double a[IN * IN];
    normal(a, IN * IN, 11);
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < IN; j++) {
            h[i * IN + j] = i == j ? 0.1 : 0;
            for (int q = 0; q < IN; q++)
                h[i * IN + j] += a[i * IN + q] * a[j * IN + q] / (1 + q) / (1 + q);
        }
}

typedef struct fitted {
    wn__kron_chain chain;
    double factor[2][OUT * IN], head[2][OUT * IN];
    wn__kron_inputs report;
} fitted;

static fitted fit(const double *w, const double *h, int turns, wn__pool *pool) {
    fitted f;
    memset(&f, 0, sizeof f);
    wn__exec x = {.pool = pool};
    double *const factor[2] = {f.factor[0], f.factor[1]}, *const head[2] = {f.head[0], f.head[1]};
    assert_ok(wn__kron_chain_monarch(OUT, IN, 6, 8, 1, &f.chain));
    assert_ok(wn__kron_fit_head(NULL, &x, &f.chain, RANK, w, h, turns, 4, factor, head, &f.report));
    return f;
}

// sqrt(tr(D H D^T) / tr(W H W^T)), D = W - U V - P, by dense matrices.
static double error_of(const fitted *f, const double *w, const double *h) {
    static double p[OUT * IN];
    double part = 0, whole = 0;
    wn_tensor view[2], dense = wn__tensor2(p, WN_DTYPE_F64, OUT, IN);
    for (int t = 0; t < 2; t++)
        view[t] = wn__kron_view(&f->chain.factor[t], WN__KRON_CANONICAL, (void *)f->factor[t],
                                WN_DTYPE_F64);
    assert_ok(wn__kron_chain_dense(view, 2, NULL, NULL, &dense));
    for (int i = 0; i < OUT; i++)
        for (int j = 0; j < IN; j++)
            for (int q = 0; q < RANK; q++)
                p[i * IN + j] += f->head[1][i * RANK + q] * f->head[0][q * IN + j];
    for (int r = 0; r < OUT; r++)
        for (int i = 0; i < IN; i++)
            for (int j = 0; j < IN; j++) {
                double weight = h != NULL ? h[i * IN + j] : i == j;
                part += (w[r * IN + i] - p[r * IN + i]) * weight * (w[r * IN + j] - p[r * IN + j]);
                whole += w[r * IN + i] * weight * w[r * IN + j];
            }
    return sqrt(part / whole);
}

static double w[OUT * IN], h[IN * IN];

static void nearer_with_each_turn(void **state) {
    (void)state;
    wn__exec x = {0};
    double last = 1, lowrank;
    normal(w, OUT * IN, 5);
    for (int i = 0; i < IN; i++) // the best of that rank alone
        for (int j = 0; j < IN; j++)
            h[i * IN + j] = i == j;
    assert_ok(wn__kron_lowrank_inputs(NULL, &x, OUT, IN, w, h, RANK, &lowrank));
    for (int turns = 1; turns <= 8; turns *= 2) {
        const fitted f = fit(w, NULL, turns, NULL);
        assert_true(f.report.weight < lowrank && f.report.weight <= last);
        assert_true(fabs(error_of(&f, w, NULL) - f.report.weight) < 1e-12);
        assert_true(f.report.outputs == f.report.weight);
        last = f.report.weight;
    }
    moments(h);
    const fitted one = fit(w, h, 1, NULL), more = fit(w, h, 4, NULL);
    assert_true(one.report.outputs < one.report.plain_outputs);
    assert_true(more.report.outputs <= one.report.outputs);
    assert_true(more.report.plain_outputs == one.report.plain_outputs);
    assert_true(fabs(error_of(&more, w, h) - more.report.outputs) < 1e-9);
    assert_true(fabs(error_of(&more, w, NULL) - more.report.weight) < 1e-9);
}

// A few directions that no block holds, over a chain's own weight.
static void stands_out(void **state) {
    (void)state;
    static double u[OUT * RANK], v[RANK * IN], both[2][OUT * IN];
    double *const factor[2] = {both[0], both[1]};
    wn__kron_chain chain;
    wn__exec x = {0};
    wn__kron_fit alone;
    normal(u, OUT * RANK, 1);
    normal(v, RANK * IN, 2);
    for (int i = 0; i < OUT; i++)
        for (int j = 0; j < IN; j++) {
            w[i * IN + j] = 0;
            for (int q = 0; q < RANK; q++)
                w[i * IN + j] += u[i * RANK + q] * v[q * IN + j];
        }
    const fitted exact = fit(w, NULL, 8, NULL);
    assert_true(exact.report.weight < 1e-14 && error_of(&exact, w, NULL) < 1e-14);
    normal(both[0], OUT * IN, 3);
    for (int i = 0; i < OUT * IN; i++)
        w[i] += 0.1 * both[0][i];
    const fitted f = fit(w, NULL, 8, NULL);
    assert_ok(wn__kron_chain_monarch(OUT, IN, 6, 8, 2, &chain)); // with more numbers, and no head
    assert_ok(wn__kron_fit_dense(NULL, &x, &chain, w, factor, false, &alone));
    assert_true(224 + (OUT + IN) * RANK < 448); // numbers of both
    assert_true(f.report.weight < 0.2 * alone.error / alone.norm);
}

static void same_on_threads(void **state) {
    (void)state;
    wn__pool *pool;
    normal(w, OUT * IN, 7);
    moments(h);
    const fitted one = fit(w, h, 3, NULL);
    assert_ok(wn__pool_create(3, &pool));
    const fitted three = fit(w, h, 3, pool);
    wn__pool_free(pool);
    assert_memory_equal(&one, &three, sizeof one);
}

static void zeros_and_refusals(void **state) {
    (void)state;
    wn__kron_chain chain;
    memset(w, 0, sizeof w);
    moments(h);
    const fitted none = fit(w, h, 4, NULL);
    assert_true(none.report.weight == 0 && none.report.outputs == 0);
    for (int i = 0; i < OUT * IN; i++)
        assert_true(none.head[0][i] * none.head[1][i % (OUT * RANK)] == 0);
    static const int64_t bad[] = {0, -1, 25};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wn__kron_head_chain(OUT, IN, bad[i], &chain), WN_INVALID);
        assert_non_null(strstr(wn_last_error(), "beside 24 x 32: from 1 to 24"));
    }
    assert_ok(wn__kron_head_chain(OUT, IN, 24, &chain));
    assert_int_equal(wn__kron_chain_columns(&chain), IN);
    assert_int_equal(wn__kron_chain_rows(&chain), OUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearer_with_each_turn), cmocka_unit_test(stands_out),
        cmocka_unit_test(same_on_threads), cmocka_unit_test(zeros_and_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
