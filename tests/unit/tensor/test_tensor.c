// SPDX-License-Identifier: MIT
// Views: every element is where the strides say, sizes that overflow are refused, NULL data stays
// NULL.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/tensor.h"
#include <stdio.h>
#include <string.h>

static void test_dtypes(void **state) {
    (void)state;
    static const struct {
        wn_dtype dtype;
        size_t size;
        const char *name;
    } want[] = {
        {WN_DTYPE_F64, 8, "F64"},         {WN_DTYPE_F32, 4, "F32"},
        {WN_DTYPE_BF16, 2, "BF16"},       {WN_DTYPE_F16, 2, "F16"},
        {WN_DTYPE_I64, 8, "I64"},         {WN_DTYPE_I32, 4, "I32"},
        {WN_DTYPE_I16, 2, "I16"},         {WN_DTYPE_I8, 1, "I8"},
        {WN_DTYPE_U8, 1, "U8"},           {WN_DTYPE_BOOL, 1, "BOOL"},
        {WN_DTYPE_U16, 2, "U16"},         {WN_DTYPE_U32, 4, "U32"},
        {WN_DTYPE_U64, 8, "U64"},         {WN_DTYPE_F8_E4M3, 1, "F8_E4M3"},
        {WN_DTYPE_F8_E5M2, 1, "F8_E5M2"},
    };
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_int_equal(want[i].dtype, i + 1);
        assert_int_equal(wn_dtype_size(want[i].dtype), want[i].size);
        assert_string_equal(wn_dtype_name(want[i].dtype), want[i].name);
        assert_int_equal(wn_dtype_parse(want[i].name), want[i].dtype);
    }
    assert_int_equal(wn_dtype_parse("f32"), WN_DTYPE_NONE);
    assert_int_equal(wn_dtype_parse("F3"), WN_DTYPE_NONE);
    assert_int_equal(wn_dtype_parse(""), WN_DTYPE_NONE);
    assert_int_equal(wn_dtype_size(WN_DTYPE_NONE), 0);
    assert_int_equal(wn_dtype_size((wn_dtype)99), 0);
    assert_string_equal(wn_dtype_name((wn_dtype)99), "?");
}

static void test_making(void **state) {
    (void)state;
    float data[24];
    wn_tensor t = wn__tensor4(data, WN_DTYPE_F32, 2, 3, 1, 4);
    const int64_t shape[] = {2, 3, 1, 4}, stride[] = {12, 4, 4, 1};
    assert_int_equal(t.ndim, 4);
    assert_memory_equal(t.shape, shape, sizeof shape);
    assert_memory_equal(t.stride, stride, sizeof stride);
    assert_int_equal(t.device.kind, WN_DEVICE_CPU);
    assert_int_equal(wn__tensor_count(&t), 24);
    assert_int_equal(wn__tensor_bytes(&t), 96);
    assert_true(wn__tensor_packed(&t));
    assert_true(wn__tensor_is(&t, WN_DTYPE_F32, 4, shape));
    assert_false(wn__tensor_is(&t, WN_DTYPE_I32, 4, shape));
    assert_false(wn__tensor_is(&t, WN_DTYPE_F32, 3, shape));
    assert_false(wn__tensor_is(&t, WN_DTYPE_F32, 4, stride));
    wn_tensor u = wn__tensor3(NULL, WN_DTYPE_I8, 2, 3, 4), none = {0},
              v = wn__tensor1(data, WN_DTYPE_F32, 5);
    assert_false(wn__tensor_same_shape(&t, &u));
    wn_tensor w = wn__tensor3(data, WN_DTYPE_F32, 2, 3, 4);
    assert_true(wn__tensor_same_shape(&u, &w)); // whatever the dtype
    assert_false(wn__given(&none));
    assert_true(wn__given(&v));
    assert_ptr_equal(wn__tensor_at(&v, 3, 0), data + 3);
}

static void test_scalar(void **state) {
    (void)state;
    double x;
    wn_tensor t = wn__tensor(&x, WN_DTYPE_F64, 0, NULL);
    char text[32];
    assert_int_equal(wn__tensor_count(&t), 1);
    assert_int_equal(wn__tensor_bytes(&t), 8);
    assert_true(wn__tensor_packed(&t));
    assert_ptr_equal(wn__tensor_at(&t, 0, 0), &x);
    assert_string_equal(wn__tensor_describe(&t, text, sizeof text), "F64 []");
}

static void test_describe(void **state) {
    (void)state;
    char text[64];
    wn_tensor t = wn__tensor2(NULL, WN_DTYPE_F32, 3, 4), none = {0};
    assert_string_equal(wn__tensor_describe(&t, text, sizeof text), "F32 [3, 4]");
    assert_string_equal(wn__tensor_describe(&none, text, sizeof text), "absent");
    for (size_t n = 1; n <= sizeof text; n++) { // cut anywhere, never overrun
        memset(text, '#', sizeof text);
        (void)wn__tensor_describe(&t, text, n);
        assert_int_equal(strlen(text), n - 1 < 10 ? n - 1 : 10);
        if (n < sizeof text) assert_int_equal(text[n], '#');
    }
    assert_ptr_equal(wn__tensor_describe(&t, text, 0), text);
}

// t[i][j] through the view is data[i*stride0 + j*stride1].
static void check_2d(const wn_tensor *t, const int32_t *first, int64_t si, int64_t sj) {
    for (int64_t i = 0; i < t->shape[0]; i++)
        for (int64_t j = 0; j < t->shape[1]; j++)
            assert_int_equal(*(int32_t *)wn__tensor_at(t, i, j), first[i * si + j * sj]);
}

static void test_views(void **state) {
    (void)state;
    int32_t data[60];
    for (int i = 0; i < 60; i++)
        data[i] = i;
    wn_tensor t = wn__tensor2(data, WN_DTYPE_I32, 6, 10);
    check_2d(&t, data, 10, 1);
    wn_tensor tt = wn__tensor_transpose(&t);
    assert_int_equal(tt.shape[0], 10);
    assert_false(wn__tensor_packed(&tt));
    check_2d(&tt, data, 1, 10);
    wn_tensor rows = wn__tensor_slice(&t, 0, 2, 3);
    assert_int_equal(rows.shape[0], 3);
    assert_true(wn__tensor_packed(&rows));
    check_2d(&rows, data + 20, 10, 1);
    wn_tensor cols = wn__tensor_slice(&t, 1, 4, 5);
    assert_false(wn__tensor_packed(&cols));
    assert_int_equal(wn__tensor_count(&cols), 30);
    assert_int_equal(wn__tensor_bytes(&cols), 120);
    check_2d(&cols, data + 4, 10, 1);
    wn_tensor both = wn__tensor_slice(&tt, 0, 3, 2); // columns 3 and 4, as rows
    check_2d(&both, data + 3, 1, 10);
    wn_tensor r = wn__tensor_view2(&t, 4, 15);
    check_2d(&r, data, 15, 1);
    wn_tensor r3 = wn__tensor_reshape(&t, 3, (const int64_t[]){3, 2, 10});
    assert_int_equal(r3.stride[0], 20);
    assert_ptr_equal(wn__tensor_at(&r3, 2, 1), data + 50);
    wn_tensor one = wn__tensor1(data, WN_DTYPE_I32, 4), same = wn__tensor_transpose(&one);
    assert_memory_equal(&one, &same, sizeof one);
}

// The last two dimensions swap, those before them stay.
static void test_transpose_of_a_batch(void **state) {
    (void)state;
    wn_tensor t = wn__tensor3(NULL, WN_DTYPE_F32, 2, 3, 5), u = wn__tensor_transpose(&t);
    const int64_t shape[] = {2, 5, 3}, stride[] = {15, 1, 5};
    assert_memory_equal(u.shape, shape, sizeof shape);
    assert_memory_equal(u.stride, stride, sizeof stride);
}

static void test_views_keep_device_and_null(void **state) {
    (void)state;
    wn_tensor t = wn__tensor2(NULL, WN_DTYPE_F32, 6, 10);
    t.device = (wn_device){WN_DEVICE_CUDA, 1};
    wn_tensor views[] = {wn__tensor_slice(&t, 0, 2, 2), wn__tensor_transpose(&t),
                         wn__tensor_view2(&t, 10, 6)};
    for (int i = 0; i < 3; i++) {
        assert_null(views[i].data);
        assert_null(wn__tensor_at(&views[i], 1, 1));
        assert_int_equal(views[i].device.kind, WN_DEVICE_CUDA);
        assert_int_equal(views[i].device.index, 1);
    }
}

static void test_packed(void **state) {
    (void)state;
    wn_tensor t = wn__tensor3(NULL, WN_DTYPE_F32, 1, 4, 1);
    t.stride[0] = 77; // of one element: no matter
    t.stride[2] = -5;
    assert_true(wn__tensor_packed(&t));
    t.stride[1] = 2;
    assert_false(wn__tensor_packed(&t));
    t.shape[0] = 0;
    assert_true(wn__tensor_packed(&t));
    wn_tensor wide = wn__tensor2(NULL, WN_DTYPE_F32, 3, 4);
    wide.stride[0] = 8;
    assert_false(wn__tensor_packed(&wide));
    wide.shape[0] = 1;
    assert_true(wn__tensor_packed(&wide));
}

static void test_shape_bytes(void **state) {
    (void)state;
    const int64_t big = (int64_t)1 << 31;
    size_t bytes;
    assert_true(wn__shape_bytes(WN_DTYPE_F32, 2, (const int64_t[]){3, 5}, &bytes));
    assert_int_equal(bytes, 60);
    assert_true(wn__shape_bytes(WN_DTYPE_F32, 0, NULL, &bytes));
    assert_int_equal(bytes, 4);
    assert_true(wn__shape_bytes(WN_DTYPE_F32, 3, (const int64_t[]){3, 0, 5}, &bytes));
    assert_int_equal(bytes, 0);
    assert_true(wn__shape_bytes(WN_DTYPE_I8, 2, (const int64_t[]){big, big}, &bytes)); // 2^62
    assert_int_equal(bytes, (size_t)1 << 62);
    assert_false(wn__shape_bytes(WN_DTYPE_I16, 2, (const int64_t[]){big, big}, &bytes)); // 2^63
    assert_int_equal(bytes, 0);
    assert_false(wn__shape_bytes(WN_DTYPE_I8, 3, (const int64_t[]){big, big, 4}, &bytes));
    assert_false(wn__shape_bytes(WN_DTYPE_I8, 4, (const int64_t[]){0, big, big, big}, &bytes));
    assert_false(wn__shape_bytes(WN_DTYPE_F32, 2, (const int64_t[]){-1, 4}, &bytes));
    assert_false(wn__shape_bytes(WN_DTYPE_F32, 2, (const int64_t[]){0, -4}, &bytes));
    assert_false(wn__shape_bytes(WN_DTYPE_NONE, 1, (const int64_t[]){1}, &bytes));
    assert_false(wn__shape_bytes(WN_DTYPE_F32, 7, (const int64_t[]){1, 1, 1, 1, 1, 1, 1}, &bytes));
    assert_false(wn__shape_bytes(WN_DTYPE_F32, -1, NULL, &bytes));
    // Where nothing can be refused, sizes saturate.
    wn_tensor t = wn__tensor3(NULL, WN_DTYPE_F32, big, big, 4);
    assert_true(wn__tensor_count(&t) == INT64_MAX);
    assert_true(wn__tensor_bytes(&t) == (size_t)INT64_MAX);
    t.shape[2] = 0;
    assert_int_equal(wn__tensor_count(&t), 0);
    assert_int_equal(wn__tensor_bytes(&t), 0);
}

static void build(wn__arena *a, wn_tensor t[3]) {
    assert_int_equal(wn__tensor_alloc1(a, WN_DTYPE_BF16, 33, &t[0]), WN_OK);
    assert_int_equal(wn__tensor_alloc2(a, WN_DTYPE_F32, 5, 7, &t[1]), WN_OK);
    assert_int_equal(wn__tensor_alloc(a, WN_DTYPE_I8, 3, (const int64_t[]){2, 0, 3}, &t[2]), WN_OK);
}

static void test_alloc(void **state) {
    (void)state;
    wn__arena measure, arena;
    wn_tensor t[3];
    wn__arena_measure("w", &measure);
    build(&measure, t);
    assert_int_equal(measure.used, 128 + 192);
    assert_null(t[0].data);
    assert_int_equal(t[1].shape[1], 7);
    assert_int_equal(wn__arena_create("w", measure.used, &arena), WN_OK);
    build(&arena, t);
    assert_int_equal(arena.used, measure.used);
    assert_ptr_equal(t[0].data, arena.base);
    assert_ptr_equal(t[1].data, arena.base + 128);
    assert_true(wn__tensor_packed(&t[1]));
    wn_tensor more;
    assert_int_equal(wn__tensor_alloc1(&arena, WN_DTYPE_F32, 1, &more), WN_NOMEM);
    assert_false(wn__given(&more));
    wn__arena_free(&arena);
}

static void test_alloc_refuses(void **state) {
    (void)state;
    wn__arena a;
    wn_tensor t;
    wn__arena_measure("kv cache", &a);
    assert_int_equal(wn__tensor_alloc2(&a, WN_DTYPE_F32, INT64_MAX, 2, &t), WN_INVALID);
    assert_string_equal(wn_last_error(), "kv cache: no tensor can be F32 [9223372036854775807, 2]");
    assert_int_equal(wn__tensor_alloc1(&a, WN_DTYPE_F32, -3, &t), WN_INVALID);
    assert_string_equal(wn_last_error(), "kv cache: no tensor can be F32 [-3]");
    assert_int_equal(wn__tensor_alloc(&a, WN_DTYPE_F32, 7, (const int64_t[7]){0}, &t), WN_INVALID);
    assert_string_equal(wn_last_error(), "kv cache: a tensor of 7 dimensions, at most 6");
    assert_int_equal(wn__tensor_alloc1(&a, WN_DTYPE_NONE, 1, &t), WN_INVALID);
    assert_false(wn__given(&t));
    assert_int_equal(a.used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_making),
        cmocka_unit_test(test_scalar),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_transpose_of_a_batch),
        cmocka_unit_test(test_views_keep_device_and_null),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_shape_bytes),
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_alloc_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
