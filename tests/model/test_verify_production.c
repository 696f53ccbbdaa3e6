// SPDX-License-Identifier: MIT
// The production suite can fail: an operator that is broken in one way fails the check that is
// meant to find it, and only then; on small shapes with tails.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "kernels/spmm24.h"
#include "train/verify.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

// 260 rows are a slab and a tail; 11008 / 4096 scaled down.
static const wn__production_shape shapes[] = {{37, 260, 36}, {1, 4, 4}, {19, 40, 108}};

typedef struct harmed {
    void (*harm)(struct harmed *h, wn__op op, const void *args);
    int threads;  // of the runtime that runs
    int products; // so far, of this shape
    wn_production_result first;
    char detail[1500];
    int64_t results;
} harmed;
typedef void harm_fn(harmed *h, wn__op op, const void *args);

static wn_status run_harmed(void *ctx, wn__runtime *rt, wn__op op, const void *args) {
    harmed *h = ctx;
    WN_TRY(wn__verify_run(NULL, rt, op, args));
    h->threads = wn__pool_threads(rt->pool);
    h->products += op == WN__OP_spmm24;
    if (h->harm != NULL && h->results == 0) h->harm(h, op, args);
    return WN_OK;
}

static void keep_result(void *ctx, const wn_production_result *r) {
    harmed *h = ctx;
    if (h->results++ > 0) return;
    h->first = *r;
    (void)snprintf(h->detail, sizeof h->detail, "%s", r->detail);
    h->first.detail = h->detail;
}

static int64_t run_suite(harmed *h) {
    int64_t passed;
    wn__verify v = {.run = run_harmed, .ctx = h, .threads = 3};
    OK(wn__runtime_create(3, NULL, false, &v.rt));
    OK(wn__verify_production(&v, shapes, COUNT(shapes), INT64_MAX, keep_result, h, &passed));
    wn__runtime_free(v.rt);
    assert_int_equal(h->results, COUNT(shapes));
    return passed;
}

static void sound_operators_pass(void **state) {
    (void)state;
    harmed h = {0};
    assert_int_equal(run_suite(&h), COUNT(shapes));
    const wn_production_result *r = &h.first;
    assert_true(r->passed && r->pattern && r->round_trip && r->repeat && r->threads && r->bound &&
                r->exact && r->guide);
    assert_string_equal(r->detail, "");
    assert_true(r->worst > 0 && r->worst < 1 && r->mean_error > 0 && r->max_error >= r->mean_error);
    assert_true(r->tokens == 37 && r->out == 260 && r->in == 36);
}

static void tokens_can_be_bounded(void **state) {
    (void)state;
    harmed h = {0};
    int64_t passed;
    wn__verify v = {.run = run_harmed, .ctx = &h};
    OK(wn__runtime_create(1, NULL, false, &v.rt));
    OK(wn__verify_production(&v, shapes, 1, 5, keep_result, &h, &passed));
    wn__runtime_free(v.rt);
    assert_int_equal(h.first.tokens, 5);
    assert_int_equal(passed, 1);
}

// ---- one harm for each check ----

// A group with one entry is packed and multiplied like any other.
static void keep_one(harmed *h, wn__op op, const void *args) {
    if (op != WN__OP_mask24) return;
    (void)h;
    const wn__mask24 *p = args;
    uint8_t *bits = p->mask.data;
    if (p->method == WN_MASK24_ROW) bits[7] &= (uint8_t)(bits[7] - 1);
}

static void lose_sign(harmed *h, wn__op op, const void *args) {
    if (op != WN__OP_unpack24) return;
    (void)h;
    const wn__unpack24 *p = args;
    float *w = p->w.data;
    if (p->w.shape[0] == 4) w[3] = w[3] == 0 ? -0.0F : -w[3];
}

static void break_transpose(harmed *h, wn__op op, const void *args) {
    (void)h;
    const wn__pack24 *p = args;
    if (op == WN__OP_pack24 && wn__given(&p->values_t)) ((float *)p->values_t.data)[9] += 1;
}

static void drift(harmed *h, wn__op op, const void *args) {
    if (op != WN__OP_spmm24) return;
    const wn__spmm24 *p = args;
    float *y = p->y.data;
    if (h->products == 2) y[4000] = nextafterf(y[4000], 1e9F);
}

static void depend_on_threads(harmed *h, wn__op op, const void *args) {
    if (op != WN__OP_spmm24) return;
    const wn__spmm24 *p = args;
    float *y = p->y.data;
    if (h->threads == 1) y[77] = nextafterf(y[77], 1e9F);
}

// Every product alike, so that only the oracle can see it.
static void sloppy(harmed *h, wn__op op, const void *args) {
    if (op != WN__OP_spmm24) return;
    (void)h;
    const wn__spmm24 *p = args;
    float *y = p->y.data;
    for (int64_t i = 0; i < wn__tensor_count(&p->y); i++)
        y[i] *= 1.0001F;
}

static void not_a_number(harmed *h, wn__op op, const void *args) {
    (void)h;
    const wn__spmm24 *p = args;
    if (op == WN__OP_spmm24) ((float *)p->y.data)[2] = NAN;
}

// Token 1 is not among those that float64 sees.
static void one_off(harmed *h, wn__op op, const void *args) {
    (void)h;
    const wn__spmm24 *p = args;
    if (op == WN__OP_spmm24) ((float *)p->y.data)[260 + 33] += 1;
}

static wn_status run_refusing(void *ctx, wn__runtime *rt, wn__op op, const void *args) {
    if (op == WN__OP_spmm24) return wn__fail(WN_INVALID, "no such product");
    return run_harmed(ctx, rt, op, args);
}

typedef struct expectation {
    harm_fn *harm;
    bool pattern, round_trip, repeat, threads, bound, exact;
    const char *detail;
} expectation;

static void each_check_can_fail(void **state) {
    (void)state;
    static const expectation cases[] = {
        {keep_one, false, true, true, true, true, true,
         "row 0, group 7 (columns 28 to 31) has 1 kept"},
        {lose_sign, true, false, true, true, true, true,
         "pack: weight at row 256, column 3 does not come back"},
        {break_transpose, true, false, true, true, true, true, "transposed pack: weight at row"},
        {drift, true, true, false, true, true, true, "repeated: token 15, output 100 is"},
        {depend_on_threads, true, true, true, false, true, true,
         "by one thread: token 0, output 77 is"},
        {sloppy, true, true, true, true, false, false, "float64: token 0, output 0 is beyond"},
        {not_a_number, true, true, true, true, false, false, "integers: token 0, output 2 is"},
        {one_off, true, true, true, true, true, false, "integers: token 1, output 33 is"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const expectation *e = &cases[i];
        harmed h = {.harm = e->harm};
        assert_int_equal(run_suite(&h), COUNT(shapes) - 1);
        const wn_production_result *r = &h.first;
        bool same = r->round_trip == e->round_trip && r->pattern == e->pattern &&
                    r->repeat == e->repeat && r->threads == e->threads && r->exact == e->exact &&
                    r->bound == e->bound;
        if (!same || r->passed || strstr(r->detail, e->detail) == NULL)
            fail_msg("case %zu: pattern %d, round trip %d, repeat %d, threads %d, bound %d, exact "
                     "%d: %s",
                     i, r->pattern, r->round_trip, r->repeat, r->threads, r->bound, r->exact,
                     r->detail);
    }
}

static void an_operator_that_fails_is_a_failure(void **state) {
    (void)state;
    harmed h = {0};
    int64_t passed;
    wn__verify v = {.run = run_refusing, .ctx = &h};
    OK(wn__runtime_create(2, NULL, false, &v.rt));
    OK(wn__verify_production(&v, shapes, COUNT(shapes), INT64_MAX, keep_result, &h, &passed));
    wn__runtime_free(v.rt);
    assert_int_equal(passed, 0);
    assert_true(h.first.round_trip && !h.first.repeat && !h.first.exact);
    assert_non_null(strstr(h.first.detail, "no such product"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_operators_pass),
        cmocka_unit_test(tokens_can_be_bounded),
        cmocka_unit_test(each_check_can_fail),
        cmocka_unit_test(an_operator_that_fails_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
