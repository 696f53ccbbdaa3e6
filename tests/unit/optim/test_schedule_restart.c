// SPDX-License-Identifier: MIT
// The schedules of run_c4.py against values of its formulas, computed apart, and of a published
// training log.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "optim/optim.h"
#include <math.h>
#include <string.h>

typedef struct point {
    int64_t u;
    double value;
} point;

#define COUNT(a) (sizeof(a) / sizeof *(a))

// Nine digits, as far as the values are written.
static void check(const wn__schedule *s, const point *points, size_t count) {
    for (size_t i = 0; i < count; i++) {
        double got = wn__schedule_lr(s, points[i].u), want = points[i].value;
        if (!(fabs(got - want) <= 1e-9 * fabs(want)))
            fail_msg("update %lld: %.13g is not %.13g", (long long)points[i].u, got, want);
    }
}

static wn__schedule restarts(wn__schedule_kind kind, double lr, int64_t steps, int64_t warmup,
                             int64_t adjust) {
    return (wn__schedule){.kind = kind,
                          .lr = lr,
                          .min_ratio = 0.1,
                          .warmup = warmup,
                          .steps = steps,
                          .restart_every = 500,
                          .restart_warmup = 5,
                          .adjust = adjust};
}

// The learning rates of LORO's published run of 130 M parameters, to all the digits it printed.
static void restarts_of_130m(void **state) {
    (void)state;
    static const point points[] = {
        {0, 0.001},
        {1, 0.001004349232},
        {2, 0.0010086984631},
        {499, 0.0031702665444},
        {500, 1e-8},
        {502, 0.0012698523104},
        {504, 0.002539694621},
        {505, 0.003196361934},
        {506, 0.0032007111653},
        {1499, 0.007519498096},
        {1505, 0.007545593486},
        {1999, 0.009694113872},
        {2000, 0.009728616794}, // the formula's: the log, older than the code, has a restart here
        {2500, 1e-8},
        {2501, 0.001969341244},
        {2505, 0.009847680943},
        {3999, 0.009999999931},
        {10000, 1e-8},
        {10004, 0.0062000020},
        {19999, 0.001271651893},
        {20000, 1e-8},
    };
    const wn__schedule s = restarts(WN_SCHEDULE_COSINE_RESTART, 0.01, 20000, 2000, -2000);
    check(&s, points, COUNT(points));
}

static void restarts_of_350m_and_60m(void **state) {
    (void)state;
    static const point large[] = {
        {2000, 0.976443927},  {2500, 0.9801784642}, // u + adjust is negative: no restart
        {6499, 0.9985135564}, {6500, 1e-6},         {59999, 0.1235638564},
    };
    static const point small[] = {
        {500, 1e-6}, {505, 0.5392723867}, {1000, 0.9728616794}, {1500, 1e-6}, {9999, 0.1271920708},
    };
    const wn__schedule l = restarts(WN_SCHEDULE_COSINE_RESTART, 1, 60000, 2000, -6000);
    const wn__schedule s = restarts(WN_SCHEDULE_COSINE_RESTART, 1, 10000, 1000, -1000);
    check(&l, large, COUNT(large));
    check(&s, small, COUNT(small));
}

static void restarts_without_a_shift(void **state) {
    (void)state;
    static const point points[] = {
        {1999, 0.99955}, {2000, 1e-6},           {2001, 0.2000008},
        {2500, 1e-6},    {2501, 0.199658322828}, {2505, 0.99825321747},
    };
    const wn__schedule s = restarts(WN_SCHEDULE_COSINE_RESTART, 1, 20000, 2000, 0);
    check(&s, points, COUNT(points));
}

static void no_restarts_while_warming_up(void **state) {
    (void)state;
    static const point points[] = {
        {500, 0.317461577598}, {502, 0.318331423909}, {1500, 0.752384732795}, {2500, 1e-6}};
    wn__schedule s = restarts(WN_SCHEDULE_COSINE_RESTART, 1, 20000, 2000, -2000);
    s.restart_after_warmup = true;
    check(&s, points, COUNT(points));
}

// The variant that begins at 0 and restarts from a tenth; a negative quotient counts as a restart.
static void restarts_from_zero(void **state) {
    (void)state;
    static const point middle[] = {
        {1, 0.000484923155196},  {499, 0.241976654443},  {500, 0.0242461577598},
        {502, 0.111532325695},   {505, 0.244886193374},  {1500, 0.0727384732795},
        {1999, 0.969361387238},  {2000, 0.972861679354}, {2004, 0.972969025093},
        {2500, 0.098466662183},  {2503, 0.630186637971}, {10000, 0.0775},
        {19999, 0.127165189286},
    };
    static const point large[] = {
        {2000, 0.0976443927032}, {2001, 0.273404299569}, {2004, 0.800684020166},
        {2005, 0.97648282535},   {2499, 0.980171309127}, {2500, 0.0980178464202},
        {2502, 0.450882093533},
    };
    const wn__schedule s = restarts(WN_SCHEDULE_COSINE_RESTART_ZERO, 1, 20000, 2000, -2000);
    const wn__schedule l = restarts(WN_SCHEDULE_COSINE_RESTART_ZERO, 1, 60000, 2000, -6000);
    assert_true(wn__schedule_lr(&s, 0) == 0);
    check(&s, middle, COUNT(middle));
    check(&l, large, COUNT(large));
}

static void cycles(void **state) {
    (void)state;
    wn__schedule s = {.kind = WN_SCHEDULE_COSINE_CYCLE,
                      .lr = 2,
                      .min_ratio = 0.1,
                      .warmup = 10,
                      .steps = 150,
                      .restart_every = 50};
    const double quarter = 0.1 + 0.9 * (1 + sqrt(0.5)) / 2;
    const point points[] = {
        {1, 0.2},  {9, 1.8},  {10, 2}, {20, 2 * quarter}, {30, 1.1},   {50, 2e-7},  {51, 2e-7},
        {52, 0.4}, {59, 1.8}, {60, 2}, {70, 2 * quarter}, {100, 2e-7}, {101, 2e-7}, {130, 1.1},
    };
    assert_true(wn__schedule_lr(&s, 0) == 0);
    check(&s, points, COUNT(points));
    s.restart_every = 0; // one cycle of all steps
    s.warmup = 30;
    const point whole[] = {{15, 1}, {30, 2}, {60, 2 * quarter}, {90, 1.1}};
    check(&s, whole, COUNT(whole));
}

static void linear_to_zero(void **state) {
    (void)state;
    const wn__schedule s = {
        .kind = WN_SCHEDULE_LINEAR_ZERO, .lr = 0.5, .min_ratio = 0.1, .warmup = 10, .steps = 110};
    for (int64_t u = 0; u < 110; u++) {
        const point p = {u, u < 10 ? 0.05 * (double)u : 0.005 * (double)(110 - u)};
        check(&s, &p, 1);
    }
    assert_true(wn__schedule_lr(&s, 110) == 0);
    assert_true(wn__schedule_lr(&s, 1000) == 0);
}

static void degenerate(void **state) {
    (void)state;
    static const wn__schedule_kind kinds[] = {WN_SCHEDULE_COSINE_RESTART,
                                              WN_SCHEDULE_COSINE_RESTART_ZERO,
                                              WN_SCHEDULE_COSINE_CYCLE, WN_SCHEDULE_LINEAR_ZERO};
    for (size_t k = 0; k < COUNT(kinds); k++) // no restarts, no warm-up, more warm-up than steps
        for (int64_t warmup = 0; warmup < 4; warmup++) {
            const wn__schedule s = {
                .kind = kinds[k], .lr = 1, .min_ratio = 0.1, .warmup = warmup, .steps = 2};
            for (int64_t u = 0; u < 4; u++) {
                double lr = wn__schedule_lr(&s, u);
                assert_true(lr >= 0 && lr <= 1);
            }
        }
}

static void names(void **state) {
    (void)state;
    static const struct {
        const char *text;
        wn__schedule_kind kind;
    } all[] = {{"cosine_restart", WN_SCHEDULE_COSINE_RESTART},
               {"cosine_restart_zero", WN_SCHEDULE_COSINE_RESTART_ZERO},
               {"cosine_cycle", WN_SCHEDULE_COSINE_CYCLE},
               {"linear_zero", WN_SCHEDULE_LINEAR_ZERO}};
    wn__schedule_kind kind;
    for (size_t i = 0; i < COUNT(all); i++) {
        assert_int_equal(wn__schedule_parse(all[i].text, &kind), WN_OK);
        assert_int_equal(kind, all[i].kind);
    }
    assert_int_equal(wn__schedule_parse("cosine_restarts", &kind), WN_INVALID);
    for (size_t i = 0; i < COUNT(all); i++)
        assert_non_null(strstr(wn_last_error(), all[i].text));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(restarts_of_130m),
                                       cmocka_unit_test(restarts_of_350m_and_60m),
                                       cmocka_unit_test(restarts_without_a_shift),
                                       cmocka_unit_test(no_restarts_while_warming_up),
                                       cmocka_unit_test(restarts_from_zero),
                                       cmocka_unit_test(cycles),
                                       cmocka_unit_test(linear_to_zero),
                                       cmocka_unit_test(degenerate),
                                       cmocka_unit_test(names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
