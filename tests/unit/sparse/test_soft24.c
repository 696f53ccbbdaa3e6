// SPDX-License-Identifier: MIT
// The scale of S-STE: a worked example through both products, what it is for Gaussian weights, the
// norm-preserving kind, weights whose soft threshold vanishes, planning.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "kernels/matmul.h"
#include "kernels/runtime.h"
#include "kernels/soft24.h"
#include "sparse/soft24.h"

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void assert_near(double found, double expected, double tolerance) {
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("found %.17g, expected %.17g within %.3g", found, expected, tolerance);
}

typedef struct bench {
    wn__runtime *rt;
    double dot[3], beta;
    wn_tensor dots, scale;
} bench;

static void open_bench(bench *b) {
    memset(b, 0, sizeof *b);
    assert_ok(wn__runtime_create(2, NULL, false, &b->rt));
    b->dots = wn__tensor1(b->dot, WN_DTYPE_F64, 3);
    b->scale = wn__tensor1(&b->beta, WN_DTYPE_F64, 1);
}

// Plans, then computes.
static double scale_of(bench *b, const wn_tensor *w, bool norm) {
    wn__runtime_plan_begin(b->rt);
    b->beta = -1;
    assert_ok(wn__soft24_scale(&b->rt->exec, w, norm, &b->dots, &b->scale));
    assert_true(b->beta == -1);
    assert_ok(wn__runtime_plan_end(b->rt));
    assert_ok(wn__soft24_scale(&b->rt->exec, w, norm, &b->dots, &b->scale));
    return b->beta;
}

static void product(bench *b, const wn_tensor *x, const wn_tensor *y, double *out) {
    const wn__matmul args = {
        .a = *x, .b = *y, .c = wn__tensor2(out, WN_DTYPE_F64, x->shape[0], y->shape[1])};
    assert_ok(wn__run(&b->rt->exec, WN__OP_matmul, &args));
}

static void test_example(void **state) {
    (void)state;
    double w_[8] = {1, -3, 2, .5, .1, -.7, .4, -.2}, x_[8] = {1, 1, 1, 1, 1, -1, 2, 0};
    double soft[8], y[4], dx[8], eye_[4] = {1, 0, 0, 1};
    const double beta = 8.43 / 5.29;
    const double want_y[4] = {-1.593572779, -0.478071834, 6.374291115, 1.434215501};
    const double want_dx[8] = {0, -3.187145558, 1.593572779, 0, 0, -0.796786389, 0.318714556, 0};
    bench b;
    open_bench(&b);
    wn_tensor w = wn__tensor2(w_, WN_DTYPE_F64, 2, 4), x = wn__tensor2(x_, WN_DTYPE_F64, 2, 4);
    wn_tensor s = wn__tensor2(soft, WN_DTYPE_F64, 2, 4),
              eye = wn__tensor2(eye_, WN_DTYPE_F64, 2, 2);
    assert_near(scale_of(&b, &w, false), 1.5935727788, 5e-11);
    assert_near(b.dot[0], 8.43, 1e-14);
    assert_near(b.dot[1], 5.29, 1e-14);
    assert_near(b.dot[2], 14.95, 1e-14);
    assert_near(scale_of(&b, &w, true), sqrt(14.95 / 5.29), 1e-15);
    assert_near(scale_of(&b, &w, false), beta, 1e-15);
    const wn__soft24 args = {.w = w, .out = s, .scale = b.scale};
    assert_ok(wn__run(&b.rt->exec, WN__OP_soft24, &args));
    wn_tensor st = wn__tensor_transpose(&s);
    product(&b, &x, &st, y);
    product(&b, &eye, &s, dx);
    for (int i = 0; i < 4; i++)
        assert_near(y[i], want_y[i], 5e-10);
    for (int i = 0; i < 8; i++)
        assert_near(dx[i], want_dx[i], 5e-10);
    wn__runtime_free(b.rt);
}

// A million groups: beta, the ratio of norms, the share of energy and the cosine.
static void test_gaussian(void **state) {
    (void)state;
    const int64_t r = 1000, c = 4000;
    float *data = malloc((size_t)(r * c) * sizeof *data);
    assert_non_null(data);
    for (int64_t i = 0; i < r * c; i += 4)
        wn__philox_normal(17, WN_STREAM_TEST, (uint64_t)i / 4, data + i);
    bench b;
    open_bench(&b);
    wn_tensor w = wn__tensor2(data, WN_DTYPE_F32, r, c);
    assert_near(scale_of(&b, &w, false), 1.483, 0.002);
    assert_near(b.dot[1] / b.dot[2], 0.3372, 0.001);
    assert_near(b.dot[0] / sqrt(b.dot[1] * b.dot[2]), 0.8616, 0.001);
    assert_near(1 - b.dot[0] * b.dot[0] / (b.dot[1] * b.dot[2]), 0.2575, 0.001);
    assert_near(scale_of(&b, &w, true), 1.7213, 0.002);
    wn__runtime_free(b.rt);
    free(data);
}

// ||W - beta S||^2 is smallest at beta.
static void test_nearest(void **state) {
    (void)state;
    enum { R = 16, C = 22 };
    double w_[R * C], s_[R * C], error[3];
    for (int i = 0; i < R * C; i++) {
        float z[4];
        wn__philox_normal(19, WN_STREAM_TEST, (uint64_t)i, z);
        w_[i] = (double)z[0];
    }
    bench b;
    open_bench(&b);
    wn_tensor w = wn__tensor2(w_, WN_DTYPE_F64, R, C), s = wn__tensor2(s_, WN_DTYPE_F64, R, C);
    double beta = scale_of(&b, &w, false);
    const wn__soft24 args = {.w = w, .out = s};
    assert_ok(wn__run(&b.rt->exec, WN__OP_soft24, &args));
    for (int k = 0; k < 3; k++) {
        error[k] = 0;
        for (int i = 0; i < R * C; i++) {
            double off = w_[i] - beta * (0.999 + 0.001 * k) * s_[i];
            error[k] += off * off;
        }
    }
    assert_true(error[1] < error[0] && error[1] < error[2]);
    assert_near((error[0] - error[1]) / (error[2] - error[1]), 1, 1e-6); // the bottom of a parabola
    wn__runtime_free(b.rt);
}

static void test_degenerate(void **state) {
    (void)state;
    float constant[8] = {2, -2, 2, 2, -2, 2, 2, 2}, zeros[8] = {0};
    float nearly[4] = {1, 1.00001F, -1, 1}, tiny[4] = {1e-7F, 0, 0, 0}, alone[4] = {5, 0, 0, 0};
    float broken[4] = {1, NAN, 2, 3}, endless[4] = {1, INFINITY, 2, 3};
    bench b;
    open_bench(&b);
    wn_tensor w = wn__tensor2(constant, WN_DTYPE_F32, 2, 4);
    assert_true(scale_of(&b, &w, false) == 1 && scale_of(&b, &w, true) == 1);
    w.data = zeros;
    assert_true(scale_of(&b, &w, false) == 1 && scale_of(&b, &w, true) == 1);
    w = wn__tensor2(nearly, WN_DTYPE_F32, 1, 4);
    assert_true(scale_of(&b, &w, true) == 10); // a norm of 1e-5 of that of w
    assert_true(scale_of(&b, &w, false) > 1e4);
    w.data = tiny;
    assert_true(scale_of(&b, &w, false) == 1);
    w.data = alone;
    assert_true(scale_of(&b, &w, false) == 1 && scale_of(&b, &w, true) == 1);
    w.data = broken;
    assert_int_equal(wn__soft24_scale(&b.rt->exec, &w, false, &b.dots, &b.scale), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "NaN at row 0, column 1"));
    w.data = endless;
    for (int norm = 0; norm < 2; norm++) {
        assert_int_equal(wn__soft24_scale(&b.rt->exec, &w, norm, &b.dots, &b.scale), WN_INVALID);
        assert_non_null(strstr(wn_last_error(), "the weight is not finite"));
    }
    wn__runtime_free(b.rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_gaussian),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_degenerate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
