// SPDX-License-Identifier: MIT
// The list of trained tensors: entries start zeroed, keep their values while the list grows, and
// are found by name.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/param.h"
#include <stdio.h>
#include <string.h>

static void test_append_and_find(void **state) {
    (void)state;
    enum { COUNT = 300 }; // grows more than once
    wn__params p = {0};
    const wn__param zero = {0};
    assert_null(wn__params_find(&p, "w0"));
    for (size_t i = 0; i < COUNT; i++) {
        size_t index = SIZE_MAX;
        assert_int_equal(wn__params_append(&p, &index), WN_OK);
        assert_int_equal(index, i);
        assert_memory_equal(&p.item[i], &zero, sizeof zero);
        (void)snprintf(p.item[i].name, WN_NAME_MAX, "w%zu", i);
        p.item[i].w = wn__tensor1(NULL, WN_DTYPE_F32, (int64_t)i);
    }
    assert_int_equal(p.count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "w%zu", i);
        assert_ptr_equal(wn__params_find(&p, name), &p.item[i]);
        assert_int_equal(p.item[i].w.shape[0], i);
    }
    assert_null(wn__params_find(&p, "w"));
    assert_null(wn__params_find(&p, "w300"));
    wn__params_free(&p);
    assert_null(p.item);
    assert_int_equal(p.count + p.capacity, 0);
    wn__params_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_append_and_find)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
