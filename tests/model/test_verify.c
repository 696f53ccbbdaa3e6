// SPDX-License-Identifier: MIT
// The self-test can fail: operators and a training run that are broken in one way each are found,
// by the check that is meant to find them; unbroken ones pass.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include "kernels/element.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "kernels/soft24.h"
#include "kernels/spmm24.h"
#include "train/verify.h"
#include "unit/base/status.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef void harm_fn(wn__op op, const void *args);

typedef struct outcome {
    harm_fn *harm;
    char failed[2048]; // names of the checks that failed, each between bars
} outcome;

static wn_status run_harmed(void *ctx, wn__runtime *rt, wn__op op, const void *args) {
    const outcome *o = ctx;
    WN_TRY(wn__verify_run(NULL, rt, op, args));
    if (o->harm != NULL) o->harm(op, args);
    return WN_OK;
}

static void note(void *ctx, const wn_verify_result *r) {
    outcome *o = ctx;
    size_t used = strlen(o->failed);
    if (!r->passed) (void)snprintf(o->failed + used, sizeof o->failed - used, "|%s|", r->name);
}

typedef wn_status group_fn(wn__verify *v);

static void run_group(outcome *o, group_fn *group, wn__verify_train_fn *train) {
    wn__verify v = {
        .run = run_harmed, .ctx = o, .train = train, .threads = 1, .fn = note, .fn_ctx = o};
    OK(wn__runtime_create(1, NULL, false, &v.rt));
    OK(wn__arena_create("test", (size_t)96 << 20, &v.arena));
    OK(group(&v));
    wn__arena_free(&v.arena);
    wn__runtime_free(v.rt);
}

static void expect(harm_fn *harm, group_fn *group, const char *check) {
    outcome o = {.harm = harm};
    run_group(&o, group, wn_train);
    if (check == NULL) {
        assert_string_equal(o.failed, "");
    } else if (strstr(o.failed, check) == NULL) {
        fail_msg("'%s' did not fail; failed: %s", check, o.failed);
    }
}

// One more position kept, one fewer, and the pair moved where columns no longer fit.
static void keep_three(wn__op op, const void *args) {
    const wn__mask24 *p = args;
    if (op == WN__OP_mask24) ((uint8_t *)p->mask.data)[100] = 7;
}

static void break_columns(wn__op op, const void *args) {
    const wn__mask24 *p = args;
    if (op != WN__OP_mask24 || p->method != WN_MASK24_TILE) return;
    uint8_t *bits = p->mask.data;
    *bits = *bits == 3 ? 12 : 3;
}

static void lose_value(wn__op op, const void *args) {
    const wn__pack24 *p = args;
    if (op == WN__OP_pack24) ((float *)p->values.data)[1234] = 1;
}

static void stray_value(wn__op op, const void *args) {
    const wn__soft24 *p = args;
    if (op != WN__OP_soft24 || p->out.dtype != WN_DTYPE_F32) return;
    const uint8_t bits = *(const uint8_t *)p->mask.data;
    for (int j = 0; j < 4; j++)
        if (!(bits >> j & 1)) ((float *)p->out.data)[j] = 1;
}

static void wrong_scale(wn__op op, const void *args) {
    const wn__soft24_dots *p = args;
    if (op == WN__OP_soft24_dots) ((double *)p->out.data)[0] *= 1.16; // the norm-preserving one
}

static void later_wins(wn__op op, const void *args) {
    const wn__mask24 *p = args;
    if (op == WN__OP_mask24 && p->w.dtype == WN_DTYPE_BF16)
        ((uint8_t *)p->mask.data)[5] = 12 ^ ((uint8_t *)p->mask.data)[5] ^ 3;
}

static void flush_small(wn__op op, const void *args) {
    const wn__soft24 *p = args;
    if (op != WN__OP_soft24 || p->out.dtype != WN_DTYPE_F16) return;
    for (int64_t i = 0; i < wn__tensor_count(&p->out); i++)
        if (fabs(wn__get(&p->out, i)) < 0.02) wn__set(&p->out, i, 0);
}

static void bias(wn__op op, const void *args) {
    const wn__mvue24 *p = args;
    if (op != WN__OP_mvue24 || p->x.shape[0] != 64) return;
    for (int64_t i = 0; i < wn__tensor_count(&p->y); i++)
        ((float *)p->y.data)[i] *= 0.9F;
}

static void crowd(wn__op op, const void *args) {
    const wn__mvue24 *p = args;
    if (op == WN__OP_mvue24 && p->counter == 7)
        for (int i = 0; i < 4; i++)
            ((float *)p->y.data)[i] = 1;
}

static void poison(wn__op op, const void *args) {
    const wn__mvue24 *p = args;
    if (op == WN__OP_mvue24 && p->x.shape[0] == 5) ((float *)p->y.data)[8] = NAN;
}

static void wrong_product(wn__op op, const void *args) {
    const wn__spmm24 *p = args;
    if (op == WN__OP_spmm24) ((float *)p->y.data)[77] *= 1.001F;
}

static void test_sound(void **state) {
    (void)state;
    expect(NULL, wn__verify_masks, NULL);
    expect(NULL, wn__verify_formats, NULL);
    expect(NULL, wn__verify_mvue, NULL);
    expect(NULL, wn__verify_product, NULL);
    expect(NULL, wn__verify_training, NULL);
}

static void test_masks(void **state) {
    (void)state;
    expect(keep_three, wn__verify_masks, "|rows: sparsity|");
    expect(keep_three, wn__verify_masks, "|rows: pattern|");
    expect(break_columns, wn__verify_masks, "|tiles: pattern|");
    expect(lose_value, wn__verify_masks, "|rows: packing|");
    expect(stray_value, wn__verify_masks, "|soft threshold: values|");
    expect(wrong_scale, wn__verify_masks, "|soft threshold: scale|");
}

static void test_formats(void **state) {
    (void)state;
    expect(later_wins, wn__verify_formats, "|formats: masks of rows|");
    expect(later_wins, wn__verify_formats, "|formats: masks of tiles|");
    expect(flush_small, wn__verify_formats, "|formats: positions of the non-zeros|");
}

static void test_samplers(void **state) {
    (void)state;
    expect(bias, wn__verify_mvue, "|mvue exact: unbiased|");
    expect(bias, wn__verify_mvue, "|mvue approximate: unbiased|");
    expect(crowd, wn__verify_mvue, "|mvue exact: pattern|");
    expect(poison, wn__verify_mvue, "|mvue: dominated groups|");
}

static void test_product(void **state) {
    (void)state;
    expect(wrong_product, wn__verify_product, "|sparse product|");
}

static wn_status train_nothing(const wn_train_options *o, wn_train_fn *fn, wn_stop_fn *stop,
                               void *ctx) {
    (void)o;
    (void)stop;
    for (int64_t step = 1; step <= 10; step++) {
        const wn_train_event e = {.kind = WN_EVENT_STEP, .step = step, .loss = 5.5};
        fn(ctx, &e);
    }
    return WN_OK;
}

static wn_status train_dense(const wn_train_options *o, wn_train_fn *fn, wn_stop_fn *stop,
                             void *ctx) {
    wn_train_options dense = *o;
    dense.sparsity_count = 0;
    return wn_train(&dense, fn, stop, ctx);
}

static wn_status train_fails(const wn_train_options *o, wn_train_fn *fn, wn_stop_fn *stop,
                             void *ctx) {
    (void)o;
    (void)fn;
    (void)stop;
    (void)ctx;
    return wn__fail(WN_INVALID, "loss: nan");
}

static void expect_training(wn__verify_train_fn *train, const char *check) {
    outcome o = {0};
    run_group(&o, wn__verify_training, train);
    if (strstr(o.failed, check) == NULL) fail_msg("'%s' did not fail; failed: %s", check, o.failed);
}

static void test_training(void **state) {
    (void)state;
    expect_training(train_nothing, "|training: ten updates|");
    expect_training(train_fails, "|training: ten updates|");
    expect_training(train_dense, "|training: saved weights|");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),   cmocka_unit_test(test_masks),
        cmocka_unit_test(test_formats), cmocka_unit_test(test_samplers),
        cmocka_unit_test(test_product), cmocka_unit_test(test_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
