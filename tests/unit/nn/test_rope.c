// SPDX-License-Identifier: MIT
// Rotary frequencies against closed forms, and the tables made of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/runtime.h"
#include "nn/rope.h"
#include <math.h>

static wn__model_config config(wn__rope_kind kind) {
    return (wn__model_config){.head_dim = 8,
                              .rope_theta = 10000,
                              .rope = kind,
                              .rope_factor = 4,
                              .rope_low_freq = 1,
                              .rope_high_freq = 4,
                              .rope_original_positions = 64};
}

static void default_frequencies(void **state) {
    (void)state;
    const wn__model_config c = config(WN_ROPE_DEFAULT);
    static const double want[] = {1, 0.1, 0.01, 0.001}; // 10000^(-2i/8)
    for (int64_t i = 0; i < 4; i++)
        assert_true(fabs(wn__rope_frequency(&c, i) / want[i] - 1) < 1e-14);
}

static void linear_scaling_divides(void **state) {
    (void)state;
    const wn__model_config c = config(WN_ROPE_LINEAR), d = config(WN_ROPE_DEFAULT);
    for (int64_t i = 0; i < 4; i++)
        assert_true(wn__rope_frequency(&c, i) == wn__rope_frequency(&d, i) / 4);
}

// With an original context of 64, pair i turns 64 f / (2 pi) times in it: 10.2, 1.02, 0.1 and 0.01
// times.
static void llama3_scaling_spares_fast_pairs(void **state) {
    (void)state;
    const wn__model_config c = config(WN_ROPE_LLAMA3);
    double turns = 64 * 0.1 / (2 * acos(-1)), share = (turns - 1) / 3;
    assert_true(wn__rope_frequency(&c, 0) == 1);
    double mixed = (1 - share) * 0.1 / 4 + share * 0.1;
    assert_true(fabs(wn__rope_frequency(&c, 1) / mixed - 1) < 1e-14);
    assert_true(fabs(wn__rope_frequency(&c, 2) / 0.0025 - 1) < 1e-14);
    assert_true(fabs(wn__rope_frequency(&c, 3) / 0.00025 - 1) < 1e-14);
}

static void fills_tables(void **state) {
    (void)state;
    const wn__model_config c = config(WN_ROPE_DEFAULT);
    wn__runtime *rt;
    wn__arena arena;
    wn__rope_tables t;
    assert_int_equal(wn__runtime_create(1, NULL, false, &rt), WN_OK);
    assert_int_equal(wn__arena_create("test", 4096, &arena), WN_OK);
    assert_int_equal(wn__rope_tables_alloc(&c, 11, WN_DTYPE_F64, &arena, &t), WN_OK);
    assert_int_equal(wn__rope_tables_fill(&c, &rt->exec, &t), WN_OK);
    for (int64_t p = 0; p < 11; p++) {
        for (int64_t i = 0; i < 4; i++) {
            double angle = (double)p * wn__rope_frequency(&c, i);
            assert_true(fabs(*(double *)wn__tensor_at(&t.cos, p, i) - cos(angle)) < 1e-15);
            assert_true(fabs(*(double *)wn__tensor_at(&t.sin, p, i) - sin(angle)) < 1e-15);
        }
    }
    wn__arena_free(&arena);
    wn__runtime_free(rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_frequencies), cmocka_unit_test(linear_scaling_divides),
        cmocka_unit_test(llama3_scaling_spares_fast_pairs), cmocka_unit_test(fills_tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
