// SPDX-License-Identifier: MIT
// Statistics of tensors, and which of them are 2:4, against direct computation.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/half.h"
#include "base/philox.h"
#include "formats/safetensors.h"
#include "infer/generate.h"
#include "infer/session.h"
#include "infer/statistics.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"
#include <math.h>

static wn_tensor vector(void *data, wn_dtype dtype, int64_t n) {
    return wn__tensor1(data, dtype, n);
}

static void near(double a, double b) {
    if (!(fabs(a - b) <= 1e-12 * fabs(b) + 1e-300)) fail_msg("%.17g, expected %.17g", a, b);
}

static void test_statistics(void **state) {
    (void)state;
    enum { N = 20001 }; // several blocks and a tail; a large mean
    double *x = malloc(N * sizeof *x), sum = 0, m2 = 0;
    for (uint64_t i = 0; i < N; i++) {
        uint32_t w[4];
        wn__philox_draw(3, WN_STREAM_TEST, i, w);
        x[i] = 1e6 + (double)wn__philox_uniform(w[0]);
        sum += x[i];
    }
    for (int i = 0; i < N; i++)
        m2 += (x[i] - sum / N) * (x[i] - sum / N);
    wn__statistics s;
    const wn_tensor t = vector(x, WN_DTYPE_F64, N);
    wn__statistics_of(&t, &s);
    near(s.mean, sum / N);
    assert_true(fabs(s.std - sqrt(m2 / N)) < 1e-9 * s.std);
    assert_int_equal(s.zeros, 0);
    assert_int_equal(s.count, N);
    free(x);
}

static void test_special_values(void **state) {
    (void)state;
    float x[7] = {0, -0.0f, NAN, INFINITY, -INFINITY, 3, -1};
    wn_tensor t = vector(x, WN_DTYPE_F32, 7);
    wn__statistics s;
    wn__statistics_of(&t, &s);
    assert_int_equal(s.zeros, 2);
    assert_int_equal(s.nonfinite, 3);
    near(s.min, -1);
    near(s.max, 3);
    near(s.mean, 0.5);
    near(s.std, sqrt((0.25 + 0.25 + 6.25 + 2.25) / 4));
    t = vector(x + 2, WN_DTYPE_F32, 1);
    wn__statistics_of(&t, &s);
    assert_true(s.min == 0 && s.max == 0 && s.mean == 0 && s.std == 0 && s.nonfinite == 1);
    t = vector(x, WN_DTYPE_F32, 0);
    wn__statistics_of(&t, &s);
    assert_true(s.count == 0 && s.mean == 0);
}

// One value of each dtype, stored by its bits.
static void test_dtypes(void **state) {
    (void)state;
    const struct {
        wn_dtype dtype;
        uint64_t bits;
        double value;
    } cases[] = {
        {WN_DTYPE_F64, 0xc004000000000000u, -2.5},
        {WN_DTYPE_F32, 0xc0200000u, -2.5},
        {WN_DTYPE_BF16, 0xc020, -2.5},
        {WN_DTYPE_F16, 0xc100, -2.5},
        {WN_DTYPE_I64, (uint64_t)-5, -5},
        {WN_DTYPE_I32, 0xfffffffbu, -5},
        {WN_DTYPE_I16, 0xfffb, -5},
        {WN_DTYPE_I8, 0xfb, -5},
        {WN_DTYPE_U8, 0xfb, 251},
        {WN_DTYPE_BOOL, 1, 1},
        {WN_DTYPE_U16, 0xfffb, 65531},
        {WN_DTYPE_U32, 0xfffffffbu, 4294967291.0},
        {WN_DTYPE_U64, 1u << 20, 1048576},
        {WN_DTYPE_F8_E4M3, 0xc2, -2.5},
        {WN_DTYPE_F8_E4M3, 0x7e, 448},
        {WN_DTYPE_F8_E4M3, 0x01, 0x1p-9},
        {WN_DTYPE_F8_E5M2, 0xc1, -2.5},
        {WN_DTYPE_F8_E5M2, 0x7b, 57344},
        {WN_DTYPE_F8_E5M2, 0x01, 0x1p-16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char bytes[9]; // at an odd address: files promise no alignment
        memcpy(bytes + 1, &cases[i].bits, 8);
        const wn_tensor t = vector(bytes + 1, cases[i].dtype, 1);
        wn__statistics s;
        wn__statistics_of(&t, &s);
        near(s.mean, cases[i].value);
    }
    uint8_t nan8 = 0x7f, inf8 = 0x7c;
    wn__statistics s;
    wn_tensor t = vector(&nan8, WN_DTYPE_F8_E4M3, 1);
    wn__statistics_of(&t, &s);
    assert_int_equal(s.nonfinite, 1);
    t = vector(&inf8, WN_DTYPE_F8_E5M2, 1);
    wn__statistics_of(&t, &s);
    assert_int_equal(s.nonfinite, 1);
}

static bool is24(const float *x, int64_t r, int64_t c, bool transposed) {
    float copy[256];
    memcpy(copy, x, (size_t)(r * c) * sizeof *x);
    const wn_tensor t = wn__tensor2(copy, WN_DTYPE_F32, r, c);
    return wn__weight_is24(&t, transposed);
}

static void test_is24(void **state) {
    (void)state;
    const float rows[12] = {1, 0, 2, 0, 0, -0.0f, 0, 0, 0, 3, 4, 0}; // 3 x 4
    const float three[8] = {0, 0, 1, 1, 1, 1, 1, 0};                 // 2 x 4
    const float tail[10] = {1, 1, 0, 0, 9, 0, 0, 1, 1, 9};           // 2 x 5
    const float tail3[7] = {1, 1, 0, 0, 9, 8, 7};                    // 1 x 7
    const float columns[12] = {1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0};  // 4 x 3
    assert_true(is24(rows, 3, 4, false));
    assert_true(is24(rows, 4, 3, false)); // groups of three
    assert_false(is24(three, 2, 4, false));
    assert_true(is24(three, 2, 4, true)); // two rows hold at most two
    assert_true(is24(tail, 2, 5, false));
    assert_false(is24(tail3, 1, 7, false));
    assert_false(is24(columns, 4, 3, false));
    assert_true(is24(columns, 4, 3, true));
    assert_false(is24(columns, 1, 12, false));
    const uint16_t half[4] = {0x8000, wn__bf16_from_f32(1), 0, wn__bf16_from_f32(2)};
    uint16_t copy[4];
    memcpy(copy, half, sizeof half);
    wn_tensor t = wn__tensor2(copy, WN_DTYPE_BF16, 1, 4);
    assert_true(wn__weight_is24(&t, false));
    t.dtype = WN_DTYPE_I16; // not a weight
    assert_false(wn__weight_is24(&t, false));
    t = wn__tensor1(copy, WN_DTYPE_BF16, 4);
    assert_false(wn__weight_is24(&t, false));
}

typedef struct seen {
    int count;
    bool is24, transposed;
    double zeros;
    char name[64], file[64];
} seen;

static void remember(void *ctx, const wn_tensor_report *t) {
    seen *s = ctx;
    s->count++;
    if (strcmp(t->name, "b") != 0) return;
    s->is24 = t->is24;
    s->transposed = t->is24_transposed;
    s->zeros = t->zeros;
    (void)snprintf(s->name, sizeof s->name, "%s %s %lld", t->name, t->dtype,
                   (long long)t->shape[1]);
    (void)snprintf(s->file, sizeof s->file, "%s", t->file);
}

static void test_inspect_file(void **state) {
    const char *path = scratch_path(state, "x.safetensors");
    float a[4] = {1, 2, 3, 4}, b[8] = {1, 0, 0, 2, 0, 3, 4, 0};
    const wn__st_item items[] = {{.name = "a", .view = vector(a, WN_DTYPE_F32, 4)},
                                 {.name = "b", .view = wn__tensor2(b, WN_DTYPE_F32, 2, 4)}};
    OK(wn__safetensors_write(path, items, 2, NULL, 0, NULL, NULL));
    seen s = {0};
    char *text;
    OK(wn_inspect(path, true, remember, &s, &text));
    assert_null(text);
    assert_int_equal(s.count, 2);
    assert_true(s.is24 && s.transposed);
    near(s.zeros, 0.5);
    assert_string_equal(s.name, "b F32 4");
    assert_string_equal(s.file, "x.safetensors");
    s = (seen){0};
    OK(wn_inspect(path, false, remember, &s, NULL));
    assert_false(s.is24);
    assert_int_equal(wn_inspect(scratch_path(state, "none"), true, remember, &s, NULL), WN_IO);
}

static void remember_last(void *ctx, const wn_tensor_report *t) {
    *(wn_tensor_report *)ctx = *t;
}

// A row that is there 2^34 times is looked at once, and never written out; elements that lie over
// each other are, up to a number.
static void test_repeated(void **state) {
    (void)state;
    wn_tensor_report r = {0};
    OK(wn_inspect(WN_FIXTURES "/formats/pth_views/repeated.pth", true, remember_last, &r, NULL));
    assert_int_equal(r.bytes, (uint64_t)1 << 38);
    assert_true(r.is24 && !r.is24_transposed);
    near(r.zeros, 0.5);
    near(r.mean, 0.75);
    near(r.max, 2);
    const char *over = WN_FIXTURES "/formats/pth_views/overlapping.pth";
    assert_int_equal(wn_inspect(over, true, remember_last, &r, NULL), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "'(bare tensor)' has 456976 elements that overlap"));
    OK(wn_inspect(over, false, remember_last, &r, NULL));
    OK(wn_inspect(WN_FIXTURES "/formats/pth/transposed.pth", true, remember_last, &r, NULL));
    near(r.mean, 2.5);
    near(r.max, 5);
}

static void test_utf8_ready(void **state) {
    (void)state;
    const struct {
        const char *text;
        size_t ready;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"a\xc3", 1},
        {"a\xc3\xa9", 3},
        {"\xe2\x82", 0},
        {"x\xe2", 1},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x99", 0},
        {"\xf0\x9f\x99\x82", 4},
        {"\xf0\x9f\x99\x82\xf0", 4},
        {"a\x80", 2}, // a stray continuation byte waits for nothing
        {"\x80\x80\x80\x80", 4},
        {"\xc3\xc3", 1}, // the first one can no longer be completed
        {"\xff", 1},
        {"\xc0", 1},
        {"\xf5", 1},
        {"\xc3\xa9\xa9", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(wn__utf8_ready(cases[i].text, strlen(cases[i].text)), cases[i].ready);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_is24),
        cmocka_unit_test_setup_teardown(test_inspect_file, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_utf8_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
