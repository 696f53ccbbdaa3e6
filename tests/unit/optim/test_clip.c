// SPDX-License-Identifier: MIT
// The gradient norm, what spoils it, what has no part in it, and clipping.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/runtime.h"
#include "optim/optim.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROWS    3
#define COLUMNS 5
#define COUNT   (ROWS * COLUMNS)

// A matrix, one without a gradient, and a vector.
typedef struct rig {
    wn__runtime *rt;
    wn__params params;
    double g[3][COUNT];
    double sums[3];
    wn_tensor scratch;
} rig;

static void add_param(rig *r, const char *name, int ndim, const int64_t *shape, bool trained) {
    size_t i;
    assert_int_equal(wn__params_append(&r->params, &i), WN_OK);
    wn__param *p = &r->params.item[i];
    (void)snprintf(p->name, sizeof p->name, "%s", name);
    if (trained) p->g = wn__tensor(r->g[i], WN_DTYPE_F64, ndim, shape);
}

static void open_rig(rig *r) {
    memset(r, 0, sizeof *r);
    assert_int_equal(wn__runtime_create(1, NULL, false, &r->rt), WN_OK);
    add_param(r, "matrix.weight", 2, (const int64_t[]){ROWS, COLUMNS}, true);
    add_param(r, "frozen.weight", 2, (const int64_t[]){ROWS, COLUMNS}, false);
    add_param(r, "norm.weight", 1, (const int64_t[]){COUNT}, true);
    for (int i = 0; i < COUNT; i++) {
        r->g[0][i] = 0.3 * i - 2;
        r->g[1][i] = (double)NAN;
        r->g[2][i] = 1.0 / (i + 1);
    }
    for (int i = 0; i < 3; i++)
        r->sums[i] = (double)NAN;
    r->scratch = wn__tensor1(r->sums, WN_DTYPE_F64, 3);
    double norm; // plan, so that the workspace is there
    wn__runtime_plan_begin(r->rt);
    assert_int_equal(wn__gradient_norm(&r->params, &r->rt->exec, &r->scratch, &norm), WN_OK);
    assert_true(norm == 0);
    assert_int_equal(wn__runtime_plan_end(r->rt), WN_OK);
}

static void close_rig(rig *r) {
    wn__params_free(&r->params);
    wn__runtime_free(r->rt);
}

static void near(double got, double want) {
    if (!(fabs(got - want) <= 1e-14 * (1 + fabs(want)))) fail_msg("%.17g is not %.17g", got, want);
}

static void norm_over_all_tensors(void **state) {
    (void)state;
    rig r;
    double norm, sum = 0;
    open_rig(&r);
    for (int i = 0; i < COUNT; i++)
        sum += r.g[0][i] * r.g[0][i] + r.g[2][i] * r.g[2][i];
    assert_int_equal(wn__gradient_norm(&r.params, &r.rt->exec, &r.scratch, &norm), WN_OK);
    near(norm, sqrt(sum));
    close_rig(&r);
}

static void norm_names_what_is_not_finite(void **state) {
    (void)state;
    rig r;
    double norm;
    open_rig(&r);
    r.g[2][7] = (double)INFINITY;
    assert_int_equal(wn__gradient_norm(&r.params, &r.rt->exec, &r.scratch, &norm), WN_INVALID);
    assert_string_equal(wn_last_error(), "gradient of norm.weight: element 7 is NaN or infinite");
    r.g[0][COLUMNS + 3] = (double)NAN;
    assert_int_equal(wn__gradient_norm(&r.params, &r.rt->exec, &r.scratch, &norm), WN_INVALID);
    assert_string_equal(wn_last_error(),
                        "gradient of matrix.weight: row 1 column 3 is NaN or infinite");
    close_rig(&r);
}

static void norm_that_overflows(void **state) {
    (void)state;
    rig r;
    double norm;
    open_rig(&r);
    r.g[0][0] = 1e300;
    assert_int_equal(wn__gradient_norm(&r.params, &r.rt->exec, &r.scratch, &norm), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "overflows"));
    close_rig(&r);
}

static void clipping(void **state) {
    (void)state;
    near(wn__clip_scale(4, 1), 1 / (4 + 1e-6));
    assert_true(wn__clip_scale(1, 1) == 1);
    assert_true(wn__clip_scale(0.5, 1) == 1);
    assert_true(wn__clip_scale(0, 1) == 1);
    assert_true(wn__clip_scale(100, 0) == 1); // off
    rig r; // (3, 4) clipped to 1: a norm of 5, and (0.6, 0.8) but for torch's millionth
    double norm;
    open_rig(&r);
    memset(r.g[0], 0, sizeof r.g[0]);
    memset(r.g[2], 0, sizeof r.g[2]);
    r.g[0][0] = 3;
    r.g[2][0] = 4;
    assert_int_equal(wn__gradient_norm(&r.params, &r.rt->exec, &r.scratch, &norm), WN_OK);
    assert_true(norm == 5);
    near(3 * wn__clip_scale(norm, 1), 3 / (5 + 1e-6));
    assert_true(fabs(3 * wn__clip_scale(norm, 1) - 0.6) < 0.6e-6);
    assert_true(fabs(4 * wn__clip_scale(norm, 1) - 0.8) < 0.8e-6);
    close_rig(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_over_all_tensors), cmocka_unit_test(norm_names_what_is_not_finite),
        cmocka_unit_test(norm_that_overflows), cmocka_unit_test(clipping)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
