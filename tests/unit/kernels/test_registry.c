// SPDX-License-Identifier: MIT
// The table, the choice of a variant and its overrides, planning without data, and the messages of
// all refusals.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/pool.h"
#include "kernels/matmul.h"
#include "kernels/op.h"
#include "kernels/registry.h"
#include "kernels/rope.h"
#include "kernels/spmm24.h"

#define assert_ok(expr) assert_status((expr), WN_OK, "")

static void assert_status(wn_status found, wn_status expected, const char *words) {
    if (found != expected) fail_msg("%s: %s", wn_status_name(found), found ? wn_last_error() : "");
    if (*words && !strstr(wn_last_error(), words))
        fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

static const wn__kernel *row(const char *name) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++)
        if (strcmp(table[i].name, name) == 0) return table + i;
    return NULL;
}

static bool here(const wn__kernel *k) {
    return k && wn__kernel_available(k);
}

// A product without data.
static wn__matmul product(wn_dtype dtype, int64_t m, int64_t n, int64_t k) {
    return (wn__matmul){.a = wn__tensor2(NULL, dtype, m, k),
                        .b = wn__tensor2(NULL, dtype, k, n),
                        .c = wn__tensor2(NULL, dtype, m, n)};
}

static void table_is_consistent(void **state) {
    (void)state;
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    assert_int_equal(rows, wn_kernel_count());
    for (size_t i = 0; i < rows; i++) {
        const wn__kernel *k = table + i;
        char name[80];
        (void)snprintf(name, sizeof name, "%s_%s", wn__op_name(k->op), k->variant);
        assert_string_equal(k->name, name);
        assert_ptr_equal(row(name), k); // no name twice
        assert_non_null(k->run);
        wn_kernel_info info;
        wn_kernel_get(i, &info);
        assert_string_equal(info.name, name);
        assert_string_equal(info.op, wn__op_name(k->op));
        assert_string_equal(info.summary, wn__op_summary(k->op));
        assert_int_equal(info.available, here(k));
        bool pairs = !wn__kernel_on_gpu(k) && (k->needs & WN_CPU_AVX512BF16) != 0;
        assert_int_equal(info.rank, wn__kernel_rank(k));
        if (!pairs || wn__cpu_amd()) assert_int_equal(wn__kernel_rank(k), k->rank);
    }
}

static void every_op_has_a_reference_below_all_others(void **state) {
    (void)state;
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (int op = 0; op < WN__OP_COUNT; op++) {
        char name[80];
        (void)snprintf(name, sizeof name, "%s_ref", wn__op_name((wn__op)op));
        const wn__kernel *ref = row(name);
        assert_non_null(ref);
        assert_true(ref->needs == 0 && !ref->accepts);
        assert_non_null(wn__op_check((wn__op)op));
        for (size_t i = 0; i < rows; i++)
            if ((int)table[i].op == op && table + i != ref && table[i].rank != WN__CHECKED_ONLY) {
                assert_true(table[i].rank > ref->rank);
            }
    }
}

static void unknown_rows_and_ops_are_answered(void **state) {
    (void)state;
    wn_kernel_info info;
    wn_kernel_get(wn_kernel_count(), &info);
    assert_null(info.name);
    assert_string_equal(wn__op_name(WN__OP_COUNT), "?");
    assert_null(wn__op_check(WN__OP_COUNT));
    const wn__kernel *k;
    wn__exec x = {0};
    assert_status(wn__plan(&x, WN__OP_COUNT, NULL, &k), WN_BUG, "no op");
}

static void the_highest_rank_that_fits_is_chosen(void **state) {
    (void)state;
    const wn_dtype dtypes[] = {WN_DTYPE_F64, WN_DTYPE_F32, WN_DTYPE_BF16, WN_DTYPE_F16};
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows), *chosen;
    for (int i = 0; i < 4; i++) {
        wn__matmul p = product(dtypes[i], 3, 4, 5);
        wn__exec x = {0};
        assert_ok(wn__plan(&x, WN__OP_matmul, &p, &chosen));
        for (size_t r = 0; r < rows; r++) {
            char why[160];
            bool fits = table[r].op == WN__OP_matmul && here(table + r) &&
                        (!table[r].accepts || table[r].accepts(&p, why, sizeof why));
            if (fits) assert_true(wn__kernel_rank(chosen) >= wn__kernel_rank(&table[r]));
            if (table + r == chosen) assert_true(fits);
        }
    }
}

// Instructions for pairs of bfloat16 numbers count above float vectors on AMD's processors, and
// between those of 32 and 64 bytes elsewhere.
static void pairs_count_where_they_are_fast(void **state) {
    (void)state;
    static const char *const ops[] = {"matmul", "spmm24", "spmm24_columns", "spmm24_rows",
                                      "sddmm24"};
    for (int i = 0; i < 5; i++) {
        char name[3][40];
        static const char *const variant[] = {"avx2", "avx512", "avx512bf16"};
        for (int v = 0; v < 3; v++)
            (void)snprintf(name[v], sizeof name[v], "%s_%s", ops[i], variant[v]);
        int narrow = wn__kernel_rank(row(name[0])), wide = wn__kernel_rank(row(name[1])),
            pairs = wn__kernel_rank(row(name[2]));
        assert_true(narrow < wide && narrow < pairs);
        assert_int_equal(pairs > wide, wn__cpu_amd());
    }
}

// Few tokens are no tile: with vectors of 32 bytes they take twice as long.
static void narrow_vectors_take_no_few_tokens(void **state) {
    (void)state;
    char why[160];
    const wn__kernel *narrow = row("spmm24_avx512vl"), *wide = row("spmm24_avx512");
    const wn_dtype dtypes[] = {WN_DTYPE_F32, WN_DTYPE_BF16};
    for (int64_t tokens = 0; tokens <= 64; tokens++)
        for (int i = 0; i < 2; i++) {
            const wn__spmm24 p = {.x = wn__tensor2(NULL, dtypes[i], tokens, 32)};
            assert_true(wide->accepts(&p, why, sizeof why));
            assert_int_equal(narrow->accepts(&p, why, sizeof why), i == 0 && tokens > 8);
        }
}

static void a_plan_checks_the_contract(void **state) {
    (void)state;
    wn__matmul p = product(WN_DTYPE_F32, 3, 6, 4);
    p.b = wn__tensor2(NULL, WN_DTYPE_F32, 5, 6);
    wn__exec x = {.planning = true};
    const wn__kernel *k = row("matmul_ref");
    const char *message = "matmul: a is F32 [3, 4], b is F32 [5, 6]: inner sizes 4 and 5 differ";
    assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_INVALID, message);
    assert_null(k);
    assert_status(wn__run(&x, WN__OP_matmul, &p), WN_INVALID, message);
    assert_status(wn__run_kernel(&x, row("matmul_ref"), &p), WN_INVALID, message);
}

static void a_forced_variant_runs_or_fails(void **state) {
    (void)state;
    wn__matmul p = product(WN_DTYPE_F32, 3, 4, 5);
    const wn__kernel *k;
    wn__exec x = {.force = "matmul:ref"};
    assert_ok(wn__plan(&x, WN__OP_matmul, &p, &k));
    assert_string_equal(k->name, "matmul_ref");
    x.force = "spmm24:ref,matmul:ref,,rope:ref,";
    assert_ok(wn__plan(&x, WN__OP_matmul, &p, &k));
    assert_string_equal(k->name, "matmul_ref");
    p = product(WN_DTYPE_F16, 3, 4, 5);
    x.force = "matmul:ref,matmul:avx2"; // the last one counts
    if (here(row("matmul_avx2")))
        assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_UNSUPPORTED,
                      "matmul_avx2 was asked for, but dtype F16 is not F32");
    else
        assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_UNSUPPORTED, "avx2");
}

static void a_wrong_force_list_names_the_nearest(void **state) {
    (void)state;
    wn__matmul p = product(WN_DTYPE_F32, 3, 4, 5);
    const wn__kernel *k;
    wn__exec x = {.force = "matmull:ref"};
    assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_INVALID,
                  "'matmull'; the nearest is 'matmul'");
    x.force = "spmm24:avx522";
    assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_INVALID,
                  "spmm24 has no variant 'avx522'; the nearest is 'avx512'");
    x.force = "matmul";
    assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_INVALID,
                  "'matmul' is neither op:variant nor a kernel's name; the nearest is 'matmul_");
    x.force = ":";
    assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_INVALID, "there is no op ''");
    // behind the first sixteen variants of an op too
    if (row("spmm24_blocks_sm90a_few_64x128") == NULL) return;
    x.force = "spmm24_blocks:sm90a_few_64x129";
    assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_INVALID,
                  "has no variant 'sm90a_few_64x129'; the nearest is 'sm90a_few_64x128'");
}

static void a_kernel_is_forced_by_its_name(void **state) {
    (void)state;
    wn__matmul p = product(WN_DTYPE_F32, 3, 4, 5);
    const wn__kernel *k;
    wn__exec x = {.force = "spmm24_avx2,matmul_ref"};
    assert_ok(wn__plan(&x, WN__OP_matmul, &p, &k));
    assert_string_equal(k->name, "matmul_ref");
}

static void strict_refuses_to_fall_back(void **state) {
    (void)state;
    wn__matmul p = product(WN_DTYPE_F16, 3, 4, 5);
    const wn__kernel *k;
    wn__exec x = {.strict = true};
    assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_UNSUPPORTED,
                  "matmul would fall back to ref: ");
    if (here(row("matmul_avx2")))
        assert_status(WN_UNSUPPORTED, WN_UNSUPPORTED, "avx2: dtype F16 is not F32");
    x.force = "matmul:ref"; // asked for: no fall-back
    assert_ok(wn__plan(&x, WN__OP_matmul, &p, &k));
    wn__rope_table table = {.inv_freq = wn__tensor1(NULL, WN_DTYPE_F64, 4),
                            .cos = wn__tensor2(NULL, WN_DTYPE_F32, 9, 4),
                            .sin = wn__tensor2(NULL, WN_DTYPE_F32, 9, 4),
                            .scale = 1};
    assert_null(row("rope_table_avx2")); // ref is all there is
    assert_ok(wn__plan(&x, WN__OP_rope_table, &table, &k));
}

static void nothing_runs_on_another_device(void **state) {
    (void)state;
    wn__matmul p = product(WN_DTYPE_F32, 3, 4, 5);
    const wn__kernel *k;
    wn__exec x = {.device = {WN_DEVICE_CUDA, 0}};
    assert_status(wn__plan(&x, WN__OP_matmul, &p, &k), WN_UNSUPPORTED,
                  "no variant of matmul can run: ref: runs on the cpu only");
}

static void planning_counts_and_touches_nothing(void **state) {
    (void)state;
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows), *k;
    uint8_t *used = calloc(rows, 1);
    wn__exec x = {.planning = true, .used = used};
    wn__matmul large = product(WN_DTYPE_F32, 300, 400, 500), small = product(WN_DTYPE_F32, 3, 4, 5);
    assert_non_null(used);
    assert_ok(wn__run(&x, WN__OP_matmul, &large));
    assert_ok(wn__plan(&x, WN__OP_matmul, &large, &k));
    assert_int_equal(x.need, k->workspace ? k->workspace(&large, 1) : 0);
    for (size_t i = 0; i < rows; i++)
        assert_int_equal(used[i], table + i == k);
    size_t need = x.need;
    assert_ok(wn__run(&x, WN__OP_matmul, &small));
    assert_int_equal(x.need, need); // the largest so far
    free(used);
}

static size_t asks_for_bytes(const void *args, int threads) {
    (void)args;
    return 1000 * (size_t)threads;
}

static wn_status runs_never(const void *args, wn__exec *x) {
    (void)args;
    (void)x;
    return WN_COMM;
}

// For how many threads a product of that many tokens is planned on a pool of two.
static int planned_threads(const wn__kernel *k, int64_t tokens) {
    wn__pool *pool;
    assert_ok(wn__pool_create(2, &pool));
    wn__exec x = {.planning = true, .pool = pool, .force = k->name};
    wn__spmm24 p = {.x = wn__tensor2(NULL, WN_DTYPE_F32, tokens, 64),
                    .values = wn__tensor2(NULL, WN_DTYPE_F32, 64, 32),
                    .index = wn__tensor2(NULL, WN_DTYPE_U8, 64, 8),
                    .y = wn__tensor2(NULL, WN_DTYPE_F32, tokens, 64)};
    assert_ok(wn__run(&x, WN__OP_spmm24, &p));
    wn__pool_free(pool);
    assert_int_not_equal(k->workspace(&p, 1), k->workspace(&p, 2));
    return x.need == k->workspace(&p, 1) ? 1 : x.need == k->workspace(&p, 2) ? 2 : 0;
}

// A small product wakes no one.
static void small_products_run_alone(void **state) {
    (void)state;
    const wn__kernel *k = row("spmm24_avx2");
    if (!here(k)) skip();
    assert_int_equal(planned_threads(k, 16), 1);
    assert_int_equal(planned_threads(k, 512), 2);
}

static void a_workspace_that_was_not_planned_is_a_bug(void **state) {
    (void)state;
    const wn__kernel k = {.op = WN__OP_matmul,
                          .name = "matmul_test",
                          .variant = "test",
                          .run = runs_never,
                          .workspace = asks_for_bytes};
    wn__matmul p = product(WN_DTYPE_F32, 3, 4, 5);
    wn__exec x = {.scratch_size = 999};
    assert_status(wn__run_kernel(&x, &k, &p), WN_BUG,
                  "matmul_test needs a workspace of 1000 bytes, 999 were planned");
    x.scratch_size = 1000;
    assert_int_equal(wn__run_kernel(&x, &k, &p), WN_COMM); // now it runs
}

static void a_run_computes(void **state) {
    (void)state;
    float a[2] = {2, 3}, b[2] = {5, 7}, c = 0;
    wn__matmul p = product(WN_DTYPE_F32, 1, 1, 2);
    p.a.data = a;
    p.b.data = b;
    p.c.data = &c;
    wn__exec x = {.force = "matmul:ref"};
    assert_ok(wn__run(&x, WN__OP_matmul, &p));
    assert_true(c == 31);
}

static void features_have_names(void **state) {
    (void)state;
    char text[80];
    assert_string_equal(wn__needs_text(0, text, sizeof text), "-");
    assert_string_equal(wn__needs_text(WN_CPU_AVX2, text, sizeof text), "avx2");
    assert_string_equal(wn__needs_text(WN_CPU_AVX512 | WN_CPU_AVX2, text, sizeof text),
                        "avx2+avx512");
    assert_string_equal(wn__needs_text(WN_CPU_AVX512 | WN_CPU_AVX2, text, 4), "avx");
}

static void nearest_counts_edits(void **state) {
    (void)state;
    const char *const names[] = {"avx2", "ref", "cblas"};
    assert_string_equal(wn__nearest("re", 2, names, 3), "ref");
    assert_string_equal(wn__nearest("blas", 4, names, 3), "cblas");
    assert_string_equal(wn__nearest("axv2", 4, names, 3), "avx2");
    assert_null(wn__nearest("x", 1, names, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_consistent),
        cmocka_unit_test(every_op_has_a_reference_below_all_others),
        cmocka_unit_test(unknown_rows_and_ops_are_answered),
        cmocka_unit_test(the_highest_rank_that_fits_is_chosen),
        cmocka_unit_test(pairs_count_where_they_are_fast),
        cmocka_unit_test(narrow_vectors_take_no_few_tokens),
        cmocka_unit_test(a_plan_checks_the_contract),
        cmocka_unit_test(a_forced_variant_runs_or_fails),
        cmocka_unit_test(a_wrong_force_list_names_the_nearest),
        cmocka_unit_test(a_kernel_is_forced_by_its_name),
        cmocka_unit_test(strict_refuses_to_fall_back),
        cmocka_unit_test(nothing_runs_on_another_device),
        cmocka_unit_test(planning_counts_and_touches_nothing),
        cmocka_unit_test(small_products_run_alone),
        cmocka_unit_test(a_workspace_that_was_not_planned_is_a_bug),
        cmocka_unit_test(a_run_computes),
        cmocka_unit_test(features_have_names),
        cmocka_unit_test(nearest_counts_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
