// SPDX-License-Identifier: MIT
// Kronecker-sparse factors and chains against numbers worked out by hand and by a dense program.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "sparse/kron.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void assert_refused(wn_status status, const char *words) {
    assert_int_equal(status, WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

static void assert_pattern(const wn__kron *p, int64_t a, int64_t b, int64_t c, int64_t d) {
    const wn__kron want = {a, b, c, d};
    char text[WN__KRON_PATTERN_TEXT];
    if (!wn__kron_same(p, &want))
        fail_msg("%s, not (%d,%d,%d,%d)", wn__kron_text(p, text, sizeof text), (int)a, (int)b,
                 (int)c, (int)d);
}

// A factor of numbers first, first + 1, ... in canonical order.
static wn_tensor counting(const wn__kron *p, double *data, double first) {
    for (int64_t i = 0; i < wn__kron_params(p); i++)
        data[i] = first + (double)i;
    return wn__kron_view(p, WN__KRON_CANONICAL, data, WN_DTYPE_F64);
}

static wn_tensor matrix(double *data, int64_t rows, int64_t columns) {
    return wn__tensor2(data, WN_DTYPE_F64, rows, columns);
}

// pattern, the dense matrix of w = 1, 2, 3, ..., and K (1, 2, ...)
typedef struct example {
    wn__kron p;
    double dense[32], y[12];
} example;

static void test_dense(void **state) {
    (void)state;
    static const example examples[] = {
        {{1, 2, 3, 1}, {1, 2, 3, 4, 5, 6}, {14, 32}},
        {{2, 1, 2, 1}, {1, 2, 0, 0, 0, 0, 3, 4}, {5, 25}},
        {{1, 2, 2, 2}, {1, 0, 3, 0, 0, 2, 0, 4, 5, 0, 7, 0, 0, 6, 0, 8}, {10, 20, 26, 44}},
        {{2, 2, 1, 2},
         {1, 0, 0, 0, 0, 2, 0, 0, 3, 0, 0, 0, 0, 4, 0, 0,
          0, 0, 5, 0, 0, 0, 0, 6, 0, 0, 7, 0, 0, 0, 0, 8},
         {1, 4, 3, 8, 15, 24, 21, 32}},
        {{1, 2, 1, 3},
         {1, 0, 0, 0, 2, 0, 0, 0, 3, 4, 0, 0, 0, 5, 0, 0, 0, 6},
         {1, 4, 9, 4, 10, 18}},
    };
    for (int e = 0; e < LENGTH(examples); e++) {
        const wn__kron *p = &examples[e].p;
        double w[16], dense[32];
        int64_t rows = wn__kron_rows(p), columns = wn__kron_columns(p);
        wn_tensor view = counting(p, w, 1), out = matrix(dense, rows, columns);
        assert_ok(wn__kron_dense(&view, &out));
        int64_t nonzero = 0;
        for (int64_t i = 0; i < rows * columns; i++)
            nonzero += dense[i] != 0;
        assert_int_equal(nonzero, p->a * p->b * p->c * p->d);
        for (int64_t r = 0; r < rows; r++) {
            double y = 0;
            for (int64_t c = 0; c < columns; c++) {
                assert_true(dense[r * columns + c] == examples[e].dense[r * columns + c]);
                y += dense[r * columns + c] * (double)(c + 1);
            }
            assert_true(y == examples[e].y[r]);
        }
    }
}

// The same numbers in other layouts; transposed blocks and a forgotten d are other matrices.
static void test_layouts(void **state) {
    (void)state;
    static const double columns_first[8] = {1, 5, 3, 7, 2, 6, 4, 8};
    static const double rows_first[8] = {1, 3, 5, 7, 2, 4, 6, 8};
    static const double transposed[16] = {1, 0, 5, 0, 0, 2, 0, 6, 3, 0, 7, 0, 0, 4, 0, 8};
    static const double no_d[16] = {1, 3, 0, 0, 5, 7, 0, 0, 0, 0, 2, 4, 0, 0, 6, 8};
    const wn__kron p = {1, 2, 2, 2};
    double w[8], moved[8], dense[16];
    wn_tensor view = counting(&p, w, 1), out = matrix(dense, 4, 4);
    wn_tensor to = wn__kron_view(&p, WN__KRON_COLUMNS, moved, WN_DTYPE_F64);
    assert_ok(wn__kron_copy(&view, &to));
    assert_memory_equal(moved, columns_first, sizeof moved);
    assert_ok(wn__kron_dense(&to, &out));
    assert_memory_not_equal(dense, transposed, sizeof dense);
    assert_memory_not_equal(dense, no_d, sizeof dense);
    wn_tensor wrong = wn__kron_view_transpose(&to);
    assert_ok(wn__kron_dense(&wrong, &out));
    assert_memory_equal(dense, transposed, sizeof dense);
    to = wn__kron_view(&p, WN__KRON_ROWS, moved, WN_DTYPE_F64);
    assert_ok(wn__kron_copy(&view, &to));
    assert_memory_equal(moved, rows_first, sizeof moved);
    const wn__kron other = {2, 2, 2, 1};
    to = wn__kron_view(&other, WN__KRON_ROWS, moved, WN_DTYPE_F64);
    assert_refused(wn__kron_copy(&view, &to), "(1,2,2,2) does not fit into (2,2,2,1)");
    wn__kron_layout layout;
    for (int i = 0; i < 3; i++) {
        const char *name = wn__kron_layout_name((wn__kron_layout)i);
        assert_ok(wn__kron_layout_parse(name, strlen(name), &layout));
        assert_int_equal(layout, i);
    }
    assert_refused(wn__kron_layout_parse("bsr", 3, &layout), "no layout 'bsr'");
}

// Two factors by hand: their product, as a chain and as one factor.
static void test_pair(void **state) {
    (void)state;
    static const double product[16] = {1, 2, 15, 18, 6, 8, 28, 32, 5, 10, 35, 42, 18, 24, 56, 64};
    const wn__kron right = {2, 2, 2, 1}, left = {1, 2, 2, 2};
    double w0[8], w1[8], dense[16], merged[16], head[4] = {1, 0, 0, 2}, tail[4] = {1, 1, 0, 3};
    wn_tensor w[2] = {counting(&right, w0, 1), counting(&left, w1, 1)};
    wn_tensor out = matrix(dense, 4, 4);
    assert_ok(wn__kron_chain_dense(w, 2, NULL, NULL, &out));
    assert_memory_equal(dense, product, sizeof dense);
    wn__kron one;
    int64_t rank = 0;
    assert_ok(wn__kron_product(&left, &right, &one, &rank));
    assert_pattern(&one, 1, 4, 4, 1);
    assert_int_equal(rank, 1);
    wn_tensor all = wn__kron_view(&one, WN__KRON_CANONICAL, merged, WN_DTYPE_F64);
    assert_ok(wn__kron_merge(&w[1], &w[0], &all));
    assert_memory_equal(merged, product, sizeof merged);
    wn_tensor u = matrix(head, 4, 1), v = matrix(tail, 1, 4);
    assert_ok(wn__kron_chain_dense(w, 2, &u, &v, &out));
    for (int i = 0; i < 16; i++)
        assert_true(dense[i] == product[i] + head[i / 4] * tail[i % 4]);
    assert_refused(wn__kron_chain_dense(w, 2, &u, NULL, &out), "a head is [4, k] and [k, 4]");
    wn_tensor swapped[2] = {w[1], w[0]};
    assert_ok(wn__kron_chain_dense(swapped, 2, NULL, NULL, &out)); // sizes meet, another matrix
    assert_memory_not_equal(dense, product, sizeof dense);
}

static double draw(uint64_t i) {
    uint32_t word[4];
    wn__philox_draw(5, WN_STREAM_TEST, i, word);
    return (double)word[0] * 0x1p-31 - 1;
}

// Square blocks that are identities make the identity, however many factors.
static void test_identity(void **state) {
    (void)state;
    static const wn__kron chain[] = {{8, 3, 3, 1}, {4, 2, 2, 3}, {1, 4, 4, 6}, {24, 1, 1, 1}};
    double data[4][24 * 4] = {{0}}, dense[24 * 24];
    wn_tensor w[4], out = matrix(dense, 24, 24);
    for (int t = 0; t < 4; t++) {
        const wn__kron *p = &chain[t];
        for (int64_t i = 0; i < wn__kron_params(p); i++)
            data[t][i] = i / (p->c * p->d) % p->b == i / p->d % p->c; // j = k
        w[t] = wn__kron_view(p, WN__KRON_CANONICAL, data[t], WN_DTYPE_F64);
    }
    assert_ok(wn__kron_chain_dense(w, 4, NULL, NULL, &out));
    for (int i = 0; i < 24 * 24; i++)
        assert_true(dense[i] == (i / 24 == i % 24));
}

// Transposes and supports of products, over chainable pairs.
static void test_invariants(void **state) {
    (void)state;
    static const wn__kron pairs[][2] = {
        {{1, 2, 3, 4}, {3, 4, 2, 1}}, {{2, 3, 4, 6}, {4, 4, 5, 3}}, {{1, 6, 16, 10}, {8, 20, 6, 1}},
        {{2, 2, 2, 2}, {4, 2, 3, 1}}, {{1, 5, 2, 1}, {2, 1, 1, 1}},
    };
    for (int e = 0; e < LENGTH(pairs); e++) {
        const wn__kron *l = &pairs[e][0], *r = &pairs[e][1];
        wn__kron p;
        int64_t rank = 0;
        assert_ok(wn__kron_product(l, r, &p, &rank));
        int64_t rows = wn__kron_rows(l), columns = wn__kron_columns(r);
        assert_int_equal(wn__kron_rows(&p), rows);
        assert_int_equal(wn__kron_columns(&p), columns);
        double *wl = calloc((size_t)wn__kron_params(l), sizeof *wl);
        double *wr = calloc((size_t)wn__kron_params(r), sizeof *wr);
        double *wp = calloc((size_t)wn__kron_params(&p), sizeof *wp);
        double *dense = calloc((size_t)(rows * columns), sizeof *dense);
        double *other = calloc((size_t)(rows * columns), sizeof *other);
        wn_tensor w[2] = {wn__kron_view(r, WN__KRON_CANONICAL, wr, WN_DTYPE_F64),
                          wn__kron_view(l, WN__KRON_COLUMNS, wl, WN_DTYPE_F64)};
        wn_tensor one = wn__kron_view(&p, WN__KRON_ROWS, wp, WN_DTYPE_F64);
        wn_tensor a = matrix(dense, rows, columns), b = matrix(other, rows, columns);
        for (int64_t i = 0; i < wn__kron_params(l); i++)
            wl[i] = 1;
        for (int64_t i = 0; i < wn__kron_params(r); i++)
            wr[i] = 1;
        for (int64_t i = 0; i < wn__kron_params(&p); i++)
            wp[i] = (double)rank;
        assert_ok(wn__kron_chain_dense(w, 2, NULL, NULL, &a));
        assert_ok(wn__kron_dense(&one, &b));
        assert_memory_equal(dense, other, (size_t)(rows * columns) * sizeof *dense);
        for (int64_t i = 0; i < wn__kron_params(l); i++)
            wl[i] = draw((uint64_t)i);
        for (int64_t i = 0; i < wn__kron_params(r); i++)
            wr[i] = draw((uint64_t)i + 100000);
        assert_ok(wn__kron_chain_dense(w, 2, NULL, NULL, &a));
        assert_ok(wn__kron_merge(&w[1], &w[0], &one));
        assert_ok(wn__kron_dense(&one, &b));
        for (int64_t i = 0; i < rows * columns; i++)
            assert_true(fabs(dense[i] - other[i]) <= 1e-14 * (double)rank);
        wn_tensor t[2] = {wn__kron_view_transpose(&w[1]), wn__kron_view_transpose(&w[0])};
        wn_tensor bt = matrix(other, columns, rows);
        assert_ok(wn__kron_chain_dense(t, 2, NULL, NULL, &bt));
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++)
                assert_true(fabs(dense[i * columns + j] - other[j * rows + i]) <=
                            1e-14 * (double)rank);
        free(wl), free(wr), free(wp), free(dense), free(other);
    }
}

static void test_refusals(void **state) {
    (void)state;
    wn__kron out;
    const wn__kron zero = {1, 0, 1, 1}, huge = {1 << 20, 1 << 20, 1 << 20, 1};
    assert_refused(wn__kron_check(&zero), "(1,0,1,1): every number is at least 1");
    assert_refused(wn__kron_check(&huge), "more than 2^53");
    const wn__kron p = {2, 2, 3, 1}, q = {3, 2, 2, 1}, s = {1, 3, 1, 2}, t = {1, 6, 4, 1};
    assert_refused(wn__kron_product(&p, &q, &out, NULL), "does not divide");
    assert_refused(wn__kron_product(&q, &s, &out, NULL), "are not chainable");
    assert_refused(wn__kron_product(&p, &t, &out, NULL), "are not chainable");
    assert_refused(wn__kron_product(&q, &p, &out, NULL), "takes 6 numbers, but (2,2,3,1)");
    assert_false(wn__kron_redundant(&q, &p));
    const wn__kron l = {1, 8, 8, 1}, r = {1, 8, 8, 1}, m = {1, 8, 4, 1}, n = {1, 4, 8, 1};
    assert_true(wn__kron_redundant(&l, &r));
    assert_false(wn__kron_redundant(&m, &n));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_dense),      cmocka_unit_test(test_layouts),
    cmocka_unit_test(test_pair),       cmocka_unit_test(test_identity),
    cmocka_unit_test(test_invariants), cmocka_unit_test(test_refusals),
};

int main(void) {
    return cmocka_run_group_tests(tests, NULL, NULL);
}
