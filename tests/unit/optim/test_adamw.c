// SPDX-License-Identifier: MIT
// The gradient norm, what spoils it, clipping, and AdamW over a list of parameters against the
// formulas written out.
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

// A matrix that decays and a vector that does not.
typedef struct rig {
    wn__runtime *rt;
    wn__params params;
    double w[2][COUNT], g[2][COUNT], m[2][COUNT], v[2][COUNT];
    double sums[2];
    wn_tensor scratch;
} rig;

static void add_param(rig *r, const char *name, int ndim, const int64_t *shape, bool decay) {
    size_t i;
    assert_int_equal(wn__params_append(&r->params, &i), WN_OK);
    wn__param *p = &r->params.item[i];
    (void)snprintf(p->name, sizeof p->name, "%s", name);
    p->decay = decay;
    p->w = wn__tensor(r->w[i], WN_DTYPE_F64, ndim, shape);
    p->g = wn__tensor(r->g[i], WN_DTYPE_F64, ndim, shape);
    p->m = wn__tensor(r->m[i], WN_DTYPE_F64, ndim, shape);
    p->v = wn__tensor(r->v[i], WN_DTYPE_F64, ndim, shape);
}

static void open_rig(rig *r) {
    memset(r, 0, sizeof *r);
    assert_int_equal(wn__runtime_create(1, NULL, false, &r->rt), WN_OK);
    add_param(r, "matrix.weight", 2, (const int64_t[]){ROWS, COLUMNS}, true);
    add_param(r, "norm.weight", 1, (const int64_t[]){COUNT}, false);
    for (int i = 0; i < COUNT; i++) {
        r->w[0][i] = 0.5 - 0.1 * i;
        r->w[1][i] = 1 + 0.01 * i;
        r->g[0][i] = 0.3 * i - 2;
        r->g[1][i] = 1.0 / (i + 1);
    }
    r->scratch = wn__tensor1(r->sums, WN_DTYPE_F64, 2);
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
        sum += r.g[0][i] * r.g[0][i] + r.g[1][i] * r.g[1][i];
    assert_int_equal(wn__gradient_norm(&r.params, &r.rt->exec, &r.scratch, &norm), WN_OK);
    near(norm, sqrt(sum));
    close_rig(&r);
}

static void norm_names_what_is_not_finite(void **state) {
    (void)state;
    rig r;
    double norm;
    open_rig(&r);
    r.g[1][7] = (double)INFINITY;
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
}

static void update_follows_the_formulas(void **state) {
    (void)state;
    const wn__adamw_options o = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .weight_decay = 0.1};
    rig r;
    double w[2][COUNT], m[2][COUNT] = {{0}}, v[2][COUNT] = {{0}};
    open_rig(&r);
    memcpy(w, r.w, sizeof w);
    for (int64_t step = 1; step <= 3; step++) {
        double lr = 0.01 * (double)step, scale = 0.5;
        assert_int_equal(wn__adamw_update(&r.params, &r.rt->exec, &o, lr, scale, step), WN_OK);
        double c1 = 1 - pow(0.9, (double)step), c2 = 1 - pow(0.99, (double)step);
        for (int t = 0; t < 2; t++) {
            for (int i = 0; i < COUNT; i++) {
                double g = scale * r.g[t][i];
                m[t][i] = 0.9 * m[t][i] + 0.1 * g;
                v[t][i] = 0.99 * v[t][i] + 0.01 * g * g;
                w[t][i] *= t == 0 ? 1 - lr * 0.1 : 1;
                w[t][i] -= lr * (m[t][i] / c1) / (sqrt(v[t][i] / c2) + 1e-3);
                near(r.w[t][i], w[t][i]);
                near(r.m[t][i], m[t][i]);
                near(r.v[t][i], v[t][i]);
            }
        }
    }
    close_rig(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norm_over_all_tensors), cmocka_unit_test(norm_names_what_is_not_finite),
        cmocka_unit_test(norm_that_overflows), cmocka_unit_test(clipping),
        cmocka_unit_test(update_follows_the_formulas)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
