// SPDX-License-Identifier: MIT
// squared_error, gradient_norms and fit_update against finite differences, triangles of whole
// numbers and adamw.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/philox.h"
#include "kernels/adamw.h"
#include "kernels/declare.h"
#include "kernels/fit.h"

enum { N = 5, M = 7 };

static void draw(double *x, int n, uint64_t stream) {
    for (int i = 0; i < n; i++) {
        float z[4];
        wn__philox_normal(11, stream, (uint64_t)i, z);
        x[i] = (double)z[0];
    }
}

static wn_tensor vector(double *x, int64_t n) {
    return wn__tensor1(x, WN_DTYPE_F64, n);
}

static double sum_of(const wn__squared_error *p) {
    wn__exec x = {0};
    wn__squared_error loss = *p;
    loss.gradient = loss.dbias = (wn_tensor){0};
    loss.accumulate = false;
    assert_int_equal(wn__run(&x, WN__OP_squared_error, &loss), WN_OK);
    return *(double *)p->sum.data;
}

// The gradient by y and by the bias is what the sum changes by.
static void test_slope(void **state) {
    (void)state;
    double y[N * M], target[N * M], bias[M], gradient[N * M], dbias[M], sum = 1;
    draw(y, N * M, 1);
    draw(target, N * M, 2);
    draw(bias, M, 3);
    wn__squared_error p = {.y = wn__tensor2(y, WN_DTYPE_F64, N, M),
                           .target = wn__tensor2(target, WN_DTYPE_F64, N, M),
                           .bias = vector(bias, M),
                           .gradient = wn__tensor2(gradient, WN_DTYPE_F64, N, M),
                           .dbias = vector(dbias, M),
                           .sum = vector(&sum, 1),
                           .bias_scale = 4,
                           .sum_scale = 0.5,
                           .gradient_scale = 1,
                           .dbias_scale = 4,
                           .accumulate = true};
    wn__exec x = {0};
    assert_int_equal(wn__run(&x, WN__OP_squared_error, &p), WN_OK);
    const double with_one = sum, step = 1e-5;
    assert_true(fabs(with_one - 1 - sum_of(&p)) < 1e-12 * with_one);
    for (int i = 0; i < N * M + M; i++) {
        double *at = i < N * M ? &y[i] : &bias[i - N * M];
        const double was = *at, found = i < N * M ? gradient[i] : dbias[i - N * M];
        *at = was + step;
        const double above = sum_of(&p);
        *at = was - step;
        const double below = sum_of(&p);
        *at = was;
        assert_true(fabs((above - below) / (2 * step) - found) < 1e-7 * (1 + fabs(found)));
    }
}

// 3-4-5: norms of parts, of all but the first, and clipping by all of them.
static void test_norms(void **state) {
    (void)state;
    double g[6] = {12, 0, 3, 0, 0, 4}, sums[4] = {1, 0, 0, 0}, factor = 0;
    wn__gradient_norms p = {.g = vector(g, 6),
                            .sums = vector(sums, 4),
                            .factor = vector(&factor, 1),
                            .parts = 3,
                            .end = {2, 3, 6},
                            .scale = 0.5,
                            .most = 0};
    wn__exec x = {0};
    assert_int_equal(wn__run(&x, WN__OP_gradient_norms, &p), WN_OK);
    assert_true(sums[0] == 7 && sums[1] == 1.5 && sums[2] == 2 && sums[3] == 2.5);
    assert_true(factor == 0.5);
    p.most = 1.3; // of 6.5
    assert_int_equal(wn__run(&x, WN__OP_gradient_norms, &p), WN_OK);
    assert_true(sums[3] == 5 && fabs(factor - 0.5 * 1.3 / (6.5 + 1e-6)) < 1e-15);
    p.end[1] = 7;
    assert_int_equal(wn__run(&x, WN__OP_gradient_norms, &p), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "part 1 ends at 7"));
}

// AdamW is the op of that name, Adam the same of a gradient with the decay in it, SGD a few lines.
static void test_rules(void **state) {
    (void)state;
    double w[M], m[M], v[M], g[M], step[3], factor = 0.25;
    double w2[M], m2[M], v2[M], g2[M];
    uint16_t rounded[M];
    for (int rule = WN__FIT_ADAMW; rule <= WN__FIT_SGD; rule++) {
        wn__exec x = {0};
        draw(w, M, 1);
        draw(m, M, 2);
        draw(v, M, 3);
        draw(g, M, 4);
        for (int i = 0; i < M; i++) {
            v2[i] = v[i] = fabs(v[i]);
            w2[i] = w[i];
            m2[i] = m[i];
            g2[i] = 0.25 * g[i] + (rule == WN__FIT_ADAMW ? 0 : 0.1 * w[i]);
        }
        const wn__adamw like = {.w = vector(w2, M),
                                .m = vector(m2, M),
                                .v = vector(v2, M),
                                .g = vector(g2, M),
                                .lr = 0.01,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .eps = 1e-8,
                                .weight_decay = rule == WN__FIT_ADAMW ? 0.1 : 0,
                                .grad_scale = 1,
                                .step = 3};
        step[0] = 0.01;
        step[1] = 0.01 / (1 - pow(0.9, 3));
        step[2] = sqrt(1 - pow(0.999, 3));
        const wn__fit_update p = {.w = vector(w, M),
                                  .m = vector(m, M),
                                  .v = vector(v, M),
                                  .g = vector(g, M),
                                  .rounded = wn__tensor1(rounded, WN_DTYPE_BF16, M),
                                  .step = vector(step, 3),
                                  .factor = vector(&factor, 1),
                                  .rule = (wn__fit_rule)rule,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .eps = 1e-8,
                                  .decay = 0.1};
        assert_int_equal(wn__run(&x, WN__OP_fit_update, &p), WN_OK);
        assert_int_equal(wn__adamw_ref(&like, &x), WN_OK);
        for (int i = 0; i < M; i++) {
            if (rule == WN__FIT_SGD) {
                draw(w2, M, 1);
                draw(m2, M, 2);
                m2[i] = 0.9 * m2[i] + g2[i];
                w2[i] -= 0.01 * m2[i];
            }
            assert_true(fabs(w[i] - w2[i]) < 1e-14 && fabs(m[i] - m2[i]) < 1e-14);
            assert_true(rule == WN__FIT_SGD || fabs(v[i] - v2[i]) < 1e-14);
            assert_int_equal(rounded[i], wn__bf16_from_f64(w[i]));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slope),
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
