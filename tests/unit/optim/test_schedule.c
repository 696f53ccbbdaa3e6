// SPDX-License-Identifier: MIT
// Learning rates against their closed forms.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "optim/optim.h"
#include <math.h>
#include <string.h>

static void near(double got, double want) {
    if (!(fabs(got - want) <= 1e-15 + 1e-13 * fabs(want)))
        fail_msg("%.17g is not %.17g", got, want);
}

static wn__schedule make(wn__schedule_kind kind) {
    return (wn__schedule){
        .kind = kind, .lr = 0.02, .min_ratio = 0.1, .warmup = 4, .steps = 105, .decay = 20};
}

static void all_warm_up_alike(void **state) {
    (void)state;
    static const wn__schedule_kind kinds[] = {WN_SCHEDULE_COSINE, WN_SCHEDULE_WSD,
                                              WN_SCHEDULE_LINEAR, WN_SCHEDULE_CONSTANT};
    for (size_t k = 0; k < 4; k++) {
        const wn__schedule s = make(kinds[k]);
        for (int u = 0; u < 4; u++)
            near(wn__schedule_lr(&s, u), 0.02 * (u + 1) / 5);
        near(wn__schedule_lr(&s, 4), 0.02); // the peak comes right after
    }
}

static void cosine(void **state) {
    (void)state;
    const wn__schedule s = make(WN_SCHEDULE_COSINE);
    near(wn__schedule_lr(&s, 29), 0.02 * (0.1 + 0.9 * (1 + sqrt(0.5)) / 2)); // p = 1/4
    near(wn__schedule_lr(&s, 54), 0.02 * 0.55);                              // p = 1/2
    near(wn__schedule_lr(&s, 104), 0.002);                                   // the last update
    near(wn__schedule_lr(&s, 500), 0.002);
}

static void linear(void **state) {
    (void)state;
    const wn__schedule s = make(WN_SCHEDULE_LINEAR);
    for (int u = 4; u < 105; u++)
        near(wn__schedule_lr(&s, u), 0.02 * (1 - 0.9 * (u - 4) / 100.0));
    near(wn__schedule_lr(&s, 500), 0.002);
}

static void warmup_stable_decay(void **state) {
    (void)state;
    wn__schedule s = make(WN_SCHEDULE_WSD);
    for (int u = 4; u < 85; u++)
        near(wn__schedule_lr(&s, u), 0.02);
    for (int u = 85; u < 105; u++)
        near(wn__schedule_lr(&s, u), 0.02 * (1 - 0.9 * (u - 84) / 20.0));
    near(wn__schedule_lr(&s, 104), 0.002);
    s.decay = 0;
    near(wn__schedule_lr(&s, 104), 0.02);
}

static void constant(void **state) {
    (void)state;
    const wn__schedule s = make(WN_SCHEDULE_CONSTANT);
    near(wn__schedule_lr(&s, 4), 0.02);
    near(wn__schedule_lr(&s, 104), 0.02);
}

static void short_runs(void **state) {
    (void)state;
    wn__schedule s = make(WN_SCHEDULE_COSINE);
    s.warmup = 0;
    s.steps = 1;
    near(wn__schedule_lr(&s, 0), 0.02);
    s.warmup = 10; // longer than the run
    s.steps = 3;
    near(wn__schedule_lr(&s, 2), 0.02 * 3 / 11);
}

static void names(void **state) {
    (void)state;
    static const char *const text[] = {"cosine", "wsd", "linear", "constant"};
    static const wn__schedule_kind kinds[] = {WN_SCHEDULE_COSINE, WN_SCHEDULE_WSD,
                                              WN_SCHEDULE_LINEAR, WN_SCHEDULE_CONSTANT};
    wn__schedule_kind kind;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(wn__schedule_parse(text[i], &kind), WN_OK);
        assert_int_equal(kind, kinds[i]);
    }
    assert_int_equal(wn__schedule_parse("Cosine", &kind), WN_INVALID);
    for (size_t i = 0; i < 4; i++)
        assert_non_null(strstr(wn_last_error(), text[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_warm_up_alike),
                                       cmocka_unit_test(cosine),
                                       cmocka_unit_test(linear),
                                       cmocka_unit_test(warmup_stable_decay),
                                       cmocka_unit_test(constant),
                                       cmocka_unit_test(short_runs),
                                       cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
