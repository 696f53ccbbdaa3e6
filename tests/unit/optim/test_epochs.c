// SPDX-License-Identifier: MIT
// Learning rates by epoch against traces of torch.optim.lr_scheduler.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "optim/epochs.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

static void assert_near(double a, double b, double bound) {
    if (!(fabs(a - b) <= bound)) fail_msg("%.17g is not within %.3g of %.17g", a, bound, b);
}

static void test_cosine(void **state) {
    (void)state;
    static const double want[] = {.00097555273, .00090460399, .00079409873, .00065485399, .0005005,
                                  .00034614601, .00020690127, 9.6396e-5,    2.5447e-5,    1e-6};
    wn__epochs e = {.kind = WN__EPOCHS_COSINE, .total = 10};
    wn__epochs_start(&e, 1e-3);
    for (int i = 0; i < LENGTH(want); i++) {
        wn__epochs_step(&e, 0);
        assert_near(e.lr, want[i], 5.1e-10);
    }
    wn__epochs_step(&e, 0);
    assert_true(e.lr > 1e-6); // and up again
}

static void test_step(void **state) {
    (void)state;
    static const double want[] = {1e-3, 1e-3, 1e-4, 1e-4, 1e-4, 1e-5}; // after epochs 1 .. 6
    wn__epochs e = {.kind = WN__EPOCHS_STEP, .patience = 3, .factor = 0.1};
    wn__epochs_start(&e, 1e-3);
    for (int i = 0; i < LENGTH(want); i++) {
        wn__epochs_step(&e, 0);
        assert_near(e.lr, want[i], 1e-18);
    }
}

static void test_plateau(void **state) {
    (void)state;
    static const double loss[] = {1, .9, .89995, .9, .9, .9, .8, .8, .8, .8};
    static const double rate[] = {1e-3, 1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 5e-4, 5e-4, 5e-4, 2.5e-4};
    static const int64_t bad[] = {0, 0, 1, 2, 0, 1, 0, 1, 2, 0};
    wn__epochs e = {.kind = WN__EPOCHS_PLATEAU, .patience = 2, .factor = 0.5};
    wn__epochs_start(&e, 1e-3);
    for (int i = 0; i < LENGTH(loss); i++) {
        wn__epochs_step(&e, loss[i]);
        assert_true(e.lr == rate[i]);
        assert_int_equal(e.bad, bad[i]);
    }
    wn__epochs_start(&e, 1e-3);
    for (int i = 0; i < 300; i++)
        wn__epochs_step(&e, i == 7 ? (double)NAN : 1); // which is no improvement either
    assert_true(e.lr == 1.52587890625e-8);             // the last change would be below 1e-8
}

static void test_names(void **state) {
    (void)state;
    wn__epochs_kind kind;
    for (int i = WN__EPOCHS_NONE; i <= WN__EPOCHS_STEP; i++) {
        assert_int_equal(wn__epochs_parse(wn__epochs_name((wn__epochs_kind)i), &kind), WN_OK);
        assert_int_equal(kind, i);
    }
    assert_int_equal(wn__epochs_parse("exponential", &kind), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "plateau, cosine, step or none"));
    wn__epochs e = {.kind = WN__EPOCHS_NONE};
    wn__epochs_start(&e, 0.5);
    wn__epochs_step(&e, 1);
    assert_true(e.lr == 0.5 && e.epoch == 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_cosine),
    cmocka_unit_test(test_step),
    cmocka_unit_test(test_plateau),
    cmocka_unit_test(test_names),
};

int main(void) {
    return cmocka_run_group_tests(tests, NULL, NULL);
}
