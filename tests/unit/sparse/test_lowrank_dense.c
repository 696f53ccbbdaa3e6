// SPDX-License-Identifier: MIT
// Factors of a dense matrix and GaLore's projectors, against a naive SVD: best approximation,
// balance, shares, signs, deficient ranks, and what is refused.
#include "lowrank_test.h"

static void *scratch_of(size_t bytes) {
    void *p = NULL;
    assert_true(bytes != SIZE_MAX);
    assert_int_equal(posix_memalign(&p, 64, bytes + 64), 0);
    memset(p, 0xFF, bytes);
    return p;
}

static wn_status split(int f, mat w, mat m, mat n, double *kept) {
    wn__exec x = {0};
    wn_tensor tw = view(w), tm = view(m), tn = view(n);
    void *scratch = scratch_of(wn__lowrank_from_dense_scratch(w.rows, w.cols, m.cols));
    wn_status status = wn__lowrank_from_dense(family(f), &x, &tw, &tm, &tn, scratch, kept);
    free(scratch);
    return status;
}

static const int64_t shapes[][3] = {{9, 6, 3}, {6, 9, 3},  {5, 5, 5},  {1, 1, 1},
                                    {8, 3, 5}, {3, 8, 12}, {12, 7, 1}, {20, 20, 10}};

// (W)_r = M N^T with M^T M = N^T N = diag(sigma), zero columns where W has no more values.
static void test_factors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int f = 0; f < 2; f++) {
            int64_t out = shapes[i][0], in = shapes[i][1], r = shapes[i][2],
                    k = out < in ? out : in;
            double *values = calloc((size_t)in + 1, sizeof *values), all = 0, part = 0, kept = -1;
            mat w = mat_normal(out, in, 1, i), m = mat_normal(out, r, 1, 1),
                n = mat_normal(in, r, 1, 2);
            mat want = mat_best(w, r, values), before = mat_copy(w);
            assert_ok(split(f, w, m, n, &kept));
            mat got = mat_mul(1, m, false, n, true);
            mat mm = mat_mul(1, m, true, m, false), nn = mat_mul(1, n, true, n, false);
            assert_near(mat_distance(got, want), 0, 1e-12);
            for (int64_t p = 0; p < r; p++)
                for (int64_t q = 0; q < r; q++) {
                    double gram = p == q && p < k ? values[p] : 0;
                    assert_near(*el(mm, p, q), gram, 1e-12);
                    assert_near(*el(nn, p, q), gram, 1e-12);
                }
            for (int64_t p = 0; p < k; p++) {
                all += values[p] * values[p];
                if (p < r) part = all;
            }
            assert_near(kept, part / all, 1e-13);
            assert_true(mat_distance(w, before) == 0);
            free_mats(8, w, m, n, want, before, got, mm, nn);
            free(values);
        }
}

static void test_zero_matrix(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        mat w = mat_new(4, 6), m = mat_normal(4, 2, 1, 1), n = mat_normal(6, 2, 1, 1);
        double kept = -1;
        assert_ok(split(f, w, m, n, &kept));
        assert_true(kept == 1 && mat_dot(m, m) == 0 && mat_dot(n, n) == 0);
        assert_ok(split(f, w, m, n, NULL));
        free_mats(3, w, m, n);
    }
}

// F32 in and out, a transposed view of N: rounded once.
static void test_factors_f32(void **state) {
    (void)state;
    enum { OUT = 10, IN = 8, R = 4 };
    mat w = mat_normal(OUT, IN, 1, 7), m = mat_new(OUT, R), n = mat_new(IN, R);
    float narrow[OUT * IN], fm[OUT * R], fn[R * IN];
    for (int i = 0; i < OUT * IN; i++)
        w.v[i] = (double)(narrow[i] = (float)w.v[i]);
    assert_ok(split(0, w, m, n, NULL));
    wn__exec x = {0};
    wn_tensor tw = wn__tensor2(narrow, WN_DTYPE_F32, OUT, IN),
              tm = wn__tensor2(fm, WN_DTYPE_F32, OUT, R);
    wn_tensor stored = wn__tensor2(fn, WN_DTYPE_F32, R, IN), tn = wn__tensor_transpose(&stored);
    void *scratch = scratch_of(wn__lowrank_from_dense_scratch(OUT, IN, R));
    assert_ok(wn__lowrank_from_dense(family(0), &x, &tw, &tm, &tn, scratch, NULL));
    for (int64_t j = 0; j < R; j++) {
        for (int64_t i = 0; i < OUT; i++)
            assert_true(fm[i * R + j] == (float)*el(m, i, j));
        for (int64_t i = 0; i < IN; i++)
            assert_true(fn[j * IN + i] == (float)*el(n, i, j));
    }
    double huge[1] = {1e300};
    wn_tensor big = wn__tensor2(huge, WN_DTYPE_F64, 1, 1),
              one = wn__tensor2(fm, WN_DTYPE_F32, 1, 1);
    wn_tensor two = wn__tensor2(fn, WN_DTYPE_F32, 1, 1);
    fm[0] = fn[0] = 3;
    assert_refused(wn__lowrank_from_dense(family(0), &x, &big, &one, &two, scratch, NULL),
                   "range of F32");
    assert_true(fm[0] == 3 && fn[0] == 3);
    free(scratch);
    free_mats(3, w, m, n);
}

static wn_status project(int f, mat g, wn__side side, mat p, double *kept) {
    wn__exec x = {0};
    wn_tensor tg = view(g), tp = view(p);
    void *scratch = scratch_of(wn__lowrank_projector_scratch(g.rows, g.cols));
    wn_status status = wn__lowrank_projector(family(f), &x, &tg, side, &tp, scratch, kept);
    free(scratch);
    return status;
}

// The projected gradient, P^T G for LEFT and G P^T for RIGHT, lifted again is the best
// approximation of rank r; P is orthonormal; the largest entry of each vector is positive.
static void test_projectors(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{9, 6, 3}, {6, 9, 3}, {5, 5, 5}, {7, 7, 1}, {16, 12, 5}};
    for (size_t i = 0; i < 5; i++)
        for (int way = 0; way < 4; way++) {
            int64_t rows = sizes[i][0], cols = sizes[i][1], r = sizes[i][2];
            bool right = way & 1;
            double *values = calloc((size_t)cols, sizeof *values), all = 0, part = 0, kept = -1;
            mat g = mat_normal(rows, cols, 1, 40 + i), want = mat_best(g, r, values);
            mat p = right ? mat_new(r, cols) : mat_new(rows, r);
            assert_ok(project(way / 2, g, right ? WN__SIDE_RIGHT : WN__SIDE_LEFT, p, &kept));
            mat small = right ? mat_mul(1, g, false, p, true) : mat_mul(1, p, true, g, false);
            mat got =
                right ? mat_mul(1, small, false, p, false) : mat_mul(1, p, false, small, false);
            assert_near(mat_distance(got, want), 0, 1e-12);
            mat gram = right ? mat_mul(1, p, false, p, true) : mat_mul(1, p, true, p, false);
            for (int64_t a = 0; a < r; a++) {
                double largest = 0;
                for (int64_t b = 0; b < r; b++)
                    assert_near(*el(gram, a, b), a == b ? 1 : 0, 1e-13);
                for (int64_t b = 0; b < (right ? cols : rows); b++) {
                    double e = right ? *el(p, a, b) : *el(p, b, a);
                    if (fabs(e) > fabs(largest)) largest = e;
                }
                assert_true(largest > 0);
            }
            for (int64_t a = 0; a < (rows < cols ? rows : cols); a++) {
                all += values[a] * values[a];
                if (a < r) part = all;
            }
            assert_near(kept, part / all, 1e-13);
            free_mats(6, g, want, p, small, got, gram);
            free(values);
        }
}

// With their signs fixed the families give the same vectors.
static void test_families_agree(void **state) {
    (void)state;
    mat g = mat_normal(14, 9, 1, 51), a = mat_new(4, 9), b = mat_new(4, 9);
    assert_ok(project(0, g, WN__SIDE_RIGHT, a, NULL));
    assert_ok(project(1, g, WN__SIDE_RIGHT, b, NULL));
    assert_near(mat_distance(a, b), 0, 1e-12);
    free_mats(3, g, a, b);
}

// No gradient, or one of rank 1, still gives orthonormal vectors.
static void test_deficient(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++)
        for (int rank = 0; rank < 2; rank++) {
            mat g = mat_new(8, 6), p = mat_new(8, 5);
            for (int64_t i = 0; rank == 1 && i < 48; i++)
                g.v[i] = (double)(i / 6 + 1) * (double)(i % 6 - 2);
            assert_ok(project(f, g, WN__SIDE_LEFT, p, NULL));
            mat gram = mat_mul(1, p, true, p, false);
            for (int64_t i = 0; i < 25; i++)
                assert_near(gram.v[i], i % 6 == 0 ? 1 : 0, 1e-13);
            free_mats(3, g, p, gram);
        }
}

static void test_sides(void **state) {
    (void)state;
    assert_int_equal(wn__lowrank_side(8, 4), WN__SIDE_RIGHT);
    assert_int_equal(wn__lowrank_side(4, 4), WN__SIDE_RIGHT);
    assert_int_equal(wn__lowrank_side(3, 4), WN__SIDE_LEFT);
}

static void test_refused(void **state) {
    (void)state;
    mat g = mat_normal(5, 4, 1, 1), wide = mat_new(5, 4), many = mat_new(5, 5), n = mat_new(4, 5);
    assert_refused(project(0, g, WN__SIDE_LEFT, many, NULL),
                   "5 singular vectors of G, which has 4");
    assert_refused(project(0, g, WN__SIDE_RIGHT, n, NULL), "P is F64 [4, 5]; [4, 4] is needed");
    assert_refused(split(0, g, many, wide, NULL), "N is F64 [5, 4]; [4, 5] is needed");
    assert_refused(split(0, g, n, n, NULL), "M is F64 [4, 5]; [5, 5] is needed");
    *el(g, 2, 3) = NAN;
    assert_refused(project(0, g, WN__SIDE_LEFT, wide, NULL), "G[2,3] is nan");
    assert_refused(split(0, g, many, n, NULL), "W[2,3] is nan");
    assert_true(mat_dot(wide, wide) == 0 && mat_dot(many, many) == 0 && mat_dot(n, n) == 0);
    assert_true(wn__lowrank_from_dense_scratch(-3, 4, 1) == SIZE_MAX);
    assert_true(wn__lowrank_projector_scratch(3, INT64_MAX) == SIZE_MAX);
    free_mats(4, g, wide, many, n);
}

static void test_planning(void **state) {
    (void)state;
    wn__exec x = {.planning = true};
    wn_tensor w = wn__tensor2(NULL, WN_DTYPE_F32, 30, 20),
              m = wn__tensor2(NULL, WN_DTYPE_F32, 30, 4);
    wn_tensor n = wn__tensor2(NULL, WN_DTYPE_F32, 20, 4);
    assert_ok(wn__lowrank_from_dense(NULL, &x, &w, &m, &n, NULL, NULL));
    assert_ok(wn__lowrank_projector(NULL, &x, &w, WN__SIDE_LEFT, &m, NULL, NULL));
    assert_refused(wn__lowrank_projector(NULL, &x, &w, WN__SIDE_LEFT, &n, NULL, NULL), "P is F32");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factors),        cmocka_unit_test(test_zero_matrix),
        cmocka_unit_test(test_factors_f32),    cmocka_unit_test(test_projectors),
        cmocka_unit_test(test_families_agree), cmocka_unit_test(test_deficient),
        cmocka_unit_test(test_sides),          cmocka_unit_test(test_refused),
        cmocka_unit_test(test_planning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
