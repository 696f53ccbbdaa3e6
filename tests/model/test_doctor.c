// SPDX-License-Identifier: MIT
// The doctor's report: one tested kernel for each op, and a verdict that follows from the tests.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "winnow/kernels.h"
#include "winnow/model.h"
#include <stdlib.h>
#include <string.h>

static size_t count_ops(void) {
    size_t ops = 0;
    wn_kernel_info k, before = {.op = ""};
    for (size_t i = 0; i < wn_kernel_count(); i++) {
        wn_kernel_get(i, &k);
        ops += strcmp(k.op, before.op) != 0;
        before = k;
    }
    return ops;
}

static void test_report(void **state) {
    (void)state;
    char *text;
    bool healthy;
    wn__json *j;
    assert_int_equal(wn_doctor(true, false, &text, &healthy), WN_OK);
    assert_int_equal(wn__json_parse(text, strlen(text), "doctor", &j), WN_OK);
    const wn__json *kernels = wn__json_get(j, "kernels"), *machine = wn__json_get(j, "machine");
    bool passed = true;
    size_t ops = 0;
    const char *op_before = "", *kernel_before = "";
    for (size_t i = 0; i < wn__json_count(kernels); i++) {
        const wn__json *row = wn__json_at(kernels, i);
        const char *op = wn__json_string(wn__json_get(row, "op"), NULL);
        const char *kernel = wn__json_string(wn__json_get(row, "kernel"), NULL);
        ops += strcmp(op, op_before) != 0; // two rows of one op: each is chosen for other types
        assert_string_not_equal(kernel, kernel_before);
        op_before = op;
        kernel_before = kernel;
        assert_memory_equal(op, kernel, strlen(op));
        assert_true(wn__json_int(wn__json_get(row, "cases")) > 0);
        passed = passed && wn__json_int(wn__json_get(row, "failed")) == 0;
    }
    assert_int_equal(ops, count_ops());
    assert_int_equal(healthy, passed);
    assert_int_equal(wn__json_bool(wn__json_get(j, "healthy")), passed);
    assert_true(wn__json_int(wn__json_get(machine, "threads")) >= 1);
    assert_true(wn__json_int(wn__json_get(machine, "memory_bytes")) > 0);
    wn__json_free(j);
    free(text);
}

// Of kernels nothing when that is asked for, nor that they passed; tests/cli/kernels.sh sees the
// lines that are.
static void test_text(void **state) {
    (void)state;
    char *text;
    bool healthy;
    assert_int_equal(wn_doctor(false, true, &text, &healthy), WN_OK);
    assert_non_null(strstr(text, "processor "));
    assert_null(strstr(text, "spmm24_"));
    assert_true(healthy == (strstr(text, "SELF-TESTS FAILED") == NULL));
    assert_null(strstr(text, "all self-tests passed"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_report), cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
