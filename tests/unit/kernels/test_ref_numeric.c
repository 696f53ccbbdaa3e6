// SPDX-License-Identifier: MIT
// Numbers of fewer bits on every variant: all bfloat16 and all FP8 codes, the middles between
// neighbours, products of FP8 operands worked out by hand, zeros, infinities, extreme scales.
#include "ref_test.h"

#include "kernels/matmul.h"
#include "kernels/numeric.h"
#include "kernels/registry.h"

// Runs every variant of the op that can; `check` sees each result.
typedef void check_fn(void *ctx, const char *variant);
static void each_variant(wn__op op, const void *args, check_fn *check, void *ctx) {
    size_t rows, ran = 0;
    const wn__kernel *table = wn__kernel_table(&rows);
    wn__exec x = one_thread();
    char why[200];
    for (size_t i = 0; i < rows; i++) {
        if (table[i].op != op || !wn__kernel_fits(&x, table + i, args, why, sizeof why)) continue;
        assert_ok(wn__run_kernel(&x, table + i, args));
        check(ctx, table[i].name);
        ran++;
    }
    assert_true(ran >= 1);
}

// ---- round16

typedef struct bits16 {
    wn_tensor x, y;
} bits16;

static void as_converted(void *ctx, const char *variant) {
    const bits16 *b = ctx;
    const uint32_t *x = b->x.data, *y = b->y.data;
    for (int64_t i = 0; i < wn__tensor_count(&b->x); i++) {
        uint32_t want = (uint32_t)wn__bf16_from_f32(wn__f32_from_bits(x[i])) << 16;
        if (y[i] != want) fail_msg("%s: %08x became %08x, not %08x", variant, x[i], y[i], want);
    }
}

static void check_bits(const uint32_t *bits, int64_t count) {
    bits16 b = {make1(WN_DTYPE_F32, count), make1(WN_DTYPE_F32, count)};
    memcpy(b.x.data, bits, (size_t)count * sizeof *bits);
    const wn__round16 args = {b.x, b.y};
    each_variant(WN__OP_round16, &args, as_converted, &b);
    free(b.x.data);
    free(b.y.data);
}

// Every bfloat16, its neighbours above and below, and the tie after it.
static void test_round16(void **state) {
    (void)state;
    static uint32_t bits[4 * 65536];
    for (uint32_t i = 0; i < 65536; i++) {
        bits[4 * i] = i << 16;
        bits[4 * i + 1] = (i << 16) + 0x8000;
        bits[4 * i + 2] = (i << 16) + 0x7FFF;
        bits[4 * i + 3] = (i << 16) + 0x8001;
    }
    check_bits(bits, LENGTH(bits));
    uint64_t word = 1;
    for (int64_t i = 0; i < LENGTH(bits); i++)
        bits[i] = (uint32_t)((word = word * UINT64_C(6364136223846793005) + 1) >> 32);
    check_bits(bits, LENGTH(bits));
    bits16 b = {make1(WN_DTYPE_F64, 4), make1(WN_DTYPE_F64, 4)}; // one rounding, not two
    const double wide[] = {1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-8, -3e38, 3.4e38};
    const double want[] = {1 + 0x1p-7, 1, -0x1.c4p127, INFINITY};
    memcpy(b.x.data, wide, sizeof wide);
    const wn__round16 args = {b.x, b.y};
    wn__exec x = one_thread();
    assert_ok(wn__round16_ref(&args, &x));
    for (int i = 0; i < 4; i++)
        assert_true(wn__get(&b.y, i) == want[i]);
    free(b.x.data);
    free(b.y.data);
}

// ---- round8

// The number of a code of 8 bits; NaN where it stands for none, or for an infinity.
static double number_of(int code, wn__fp8 format) {
    int mantissa = format == WN_FP8_E4M3 ? 3 : 2, bias = format == WN_FP8_E4M3 ? 7 : 15;
    int exponent = (code & 0x7F) >> mantissa, ones = (1 << mantissa) - 1, rest = code & ones;
    double sign = code & 0x80 ? -1 : 1;
    if (format == WN_FP8_E4M3 && exponent == 15 && rest == ones) return NAN;
    if (format == WN_FP8_E5M2 && exponent == 31) return NAN;
    if (exponent == 0) return sign * ldexp(rest, 1 - bias - mantissa);
    return sign * ldexp(ones + 1 + rest, exponent - bias - mantissa);
}

typedef struct rounding {
    wn__round8 args;
    const double *want;
    double scale;
} rounding;

static void as_wanted(void *ctx, const char *variant) {
    const rounding *r = ctx;
    double s = *(const double *)r->args.scale.data;
    if (s != r->scale && !(isnan(s) && isnan(r->scale)))
        fail_msg("%s: scale %.17g, not %.17g", variant, s, r->scale);
    for (int64_t i = 0; i < wn__tensor_count(&r->args.y); i++) {
        double got = wn__get(&r->args.y, i), want = r->want[i];
        if (isnan(want) ? !isnan(got) : got != want || signbit(got) != signbit(want))
            fail_msg("%s: %.17g became %.17g, not %.17g", variant, wn__get(&r->args.x, i), got,
                     want);
    }
}

// In every dtype that holds the numbers; scale: what the variants must find.
static void check_round8_in(wn_dtype dtype, wn__fp8 format, int64_t count, const double *x,
                            const double *want, double scale) {
    double found = -1;
    rounding r = {.want = want, .scale = scale};
    r.args = (wn__round8){.x = from1(dtype, count, x),
                          .y = make1(dtype, count),
                          .scale = wn__tensor1(&found, WN_DTYPE_F64, 1),
                          .format = format};
    each_variant(WN__OP_round8, &r.args, as_wanted, &r);
    free(r.args.x.data);
    free(r.args.y.data);
}

static void check_round8(wn__fp8 format, int64_t count, const double *x, const double *want,
                         double scale) {
    check_round8_in(WN_DTYPE_F32, format, count, x, want, scale);
    check_round8_in(WN_DTYPE_F64, format, count, x, want, scale);
}

// Each code is its own rounding, the middle to the next one goes to the even code of the two, and
// what is next to a middle to its own side. The largest is among them, so the scale is 1.
static void test_every_code(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        wn__fp8 format = (wn__fp8)f;
        double x[4 * 256], want[4 * 256];
        int64_t n = 0, codes = 0;
        for (int code = 0; code < 256; code++) {
            double own = number_of(code, format), next = number_of((code + 1) & 0xFF, format);
            if (isnan(own)) continue;
            codes++;
            x[n] = want[n] = own;
            n++;
            if (isnan(next) || (code & 0x7F) == 0x7F) continue;
            x[n] = (own + next) / 2;
            want[n++] = code % 2 ? next : own;
            x[n] = (own + next) / 2 + (next - own) * 0x1p-16;
            want[n++] = next;
            x[n] = (own + next) / 2 - (next - own) * 0x1p-16;
            want[n++] = own;
        }
        assert_int_equal(codes, f == 0 ? 254 : 248);
        check_round8(format, n, x, want, 1);
    }
}

static void test_codes_in_16_bits(void **state) {
    (void)state;
    for (int f = 0; f < 2; f++) {
        double x[256];
        int64_t n = 0;
        for (int code = 0; code < 256; code++)
            if (!isnan(number_of(code, (wn__fp8)f))) x[n++] = number_of(code, (wn__fp8)f);
        check_round8_in(WN_DTYPE_BF16, (wn__fp8)f, n, x, x, 1);
        check_round8_in(WN_DTYPE_F16, (wn__fp8)f, n, x, x, 1);
    }
}

static void test_single_roundings(void **state) {
    (void)state;
    static const double x4[] = {.1,  1.06, 1.0625, 1.1875, 17,      19,
                                250, 300,  447,    0x1p-9, 0x1p-10, 448};
    static const double y4[] = {.1015625, 1, 1, 1.25, 16, 20, 256, 288, 448, 0x1p-9, 0, 448};
    static const double x5[] = {.1, 1.1, 1.125, 1.375, 9, 300, 50000, 0x1p-16, 0x1p-17, 57344};
    static const double y5[] = {.09375, 1, 1, 1.5, 8, 320, 49152, 0x1p-16, 0, 57344};
    check_round8(WN_FP8_E4M3, LENGTH(x4), x4, y4, 1);
    check_round8(WN_FP8_E5M2, LENGTH(x5), x5, y5, 1);
}

static void test_nothing_to_scale(void **state) {
    (void)state;
    static const double zeros_in[] = {0, -0.0, 0}, broken[] = {1, NAN, 2},
                        infinite[] = {1, -INFINITY};
    static const double nans[] = {NAN, NAN, NAN};
    check_round8(WN_FP8_E4M3, 3, zeros_in, zeros_in, 1);
    check_round8(WN_FP8_E5M2, 0, zeros_in, zeros_in, 1);
    check_round8(WN_FP8_E4M3, 3, broken, nans, NAN);
    check_round8(WN_FP8_E5M2, 2, infinite, nans, NAN);
    // a scale that would be infinite is the largest number: 2^-149 times it
    static const double tiny[] = {0x1p-149, -0x1p-149, 0};
    static const double scaled[] = {0, -0.0, 0};
    check_round8_in(WN_DTYPE_F32, WN_FP8_E4M3, 3, tiny, scaled, 0x1.fffffep127);
}

// ---- products of two matrices in FP8

typedef struct fake {
    double a[4], b[4], quantised_a[4], quantised_b[4], c[4];
    double scale_a, scale_b;
} fake;

static void rounded(wn__fp8 format, const wn_tensor *x, double *scale) {
    const wn__round8 args = {
        .x = *x, .y = *x, .scale = wn__tensor1(scale, WN_DTYPE_F64, 1), .format = format};
    wn__exec ex = one_thread();
    assert_ok(wn__run(&ex, WN__OP_round8, &args));
}

static void check_product(const fake *f, wn_dtype dtype) {
    wn_tensor a = from2(dtype, 2, 2, f->a), b = from2(dtype, 2, 2, f->b), c = make2(dtype, 2, 2);
    double sa, sb;
    wn__exec x = one_thread();
    rounded(WN_FP8_E4M3, &a, &sa);
    rounded(WN_FP8_E4M3, &b, &sb);
    assert_near(sa, f->scale_a, 1e-5 * sa);
    assert_near(sb, f->scale_b, 1e-5 * sb);
    for (int i = 0; i < 4 && f->quantised_a[0] != 0; i++) {
        assert_true(wn__get(&a, i) == f->quantised_a[i]);
        assert_true(wn__get(&b, i) == f->quantised_b[i]);
    }
    const wn__matmul product = {.a = a, .b = b, .c = c};
    assert_ok(wn__matmul_ref(&product, &x));
    const wn__rescale back = {.x = c,
                              .y = c,
                              .a = wn__tensor1(&sa, WN_DTYPE_F64, 1),
                              .b = wn__tensor1(&sb, WN_DTYPE_F64, 1)};
    assert_ok(wn__run(&x, WN__OP_rescale, &back));
    for (int i = 0; i < 4; i++)
        assert_near(wn__get(&c, i), f->c[i], 1e-6);
    free(a.data);
    free(b.data);
    free(c.data);
}

static void test_products(void **state) {
    (void)state;
    static const fake fakes[] = {
        {.a = {1, 2, 3, 4},
         .b = {.5, -1, 2, .25},
         .c = {4.5, -.5, 9.428571, -1.857143}, // exactly 4.5, -0.5, 9.5, -2
         .scale_a = 112,
         .scale_b = 224},
        {.a = {.3, -1.7, 2.9, .011},
         .b = {1.3, -.6, .07, .9},
         .quantised_a = {48, -256, 448, 1.75},
         .quantised_b = {448, -208, 24, 320},
         .c = {.28852, -1.726314, 3.770789, -1.739838},
         .scale_a = 448 / 2.9,
         .scale_b = 448 / 1.3},
        {.a = {0}, .b = {1.3, -.6, .07, .9}, .scale_a = 1, .scale_b = 448 / 1.3},
    };
    for (int i = 0; i < LENGTH(fakes); i++) {
        check_product(&fakes[i], WN_DTYPE_F32);
        check_product(&fakes[i], WN_DTYPE_F64);
    }
}

typedef struct rescaling {
    wn__rescale args;
    double want[3], start[3];
} rescaling;

static void as_rescaled(void *ctx, const char *variant) {
    const rescaling *r = ctx;
    for (int i = 0; i < 3; i++) {
        double got = wn__get(&r->args.y, i);
        if (fabs(got - r->want[i]) > 0x1p-22 * fabs(r->want[i]))
            fail_msg("%s: %.17g, not %.17g", variant, got, r->want[i]);
        wn__set(&r->args.y, i, r->start[i]);
    }
}

// Scales whose product no float holds, and sums.
static void test_rescale(void **state) {
    (void)state;
    double a = 0x1p-100, b = 0x1p-100;
    const double x[] = {0, 0x1p-100, -3e-30};
    rescaling r = {.want = {0, 0x1p100, -3e-30 * 0x1p200}};
    r.args = (wn__rescale){.x = from1(WN_DTYPE_F32, 3, x),
                           .y = make1(WN_DTYPE_F32, 3),
                           .a = wn__tensor1(&a, WN_DTYPE_F64, 1),
                           .b = wn__tensor1(&b, WN_DTYPE_F64, 1)};
    each_variant(WN__OP_rescale, &r.args, as_rescaled, &r);
    a = 0x1p127;
    b = 0x1p120;
    wn__set(&r.args.x, 1, 0x1p125);
    r.want[1] = 0x1p-122;
    r.want[2] = 0;
    wn__set(&r.args.x, 2, 1e-3);
    each_variant(WN__OP_rescale, &r.args, as_rescaled, &r);
    a = 4;
    b = 0.5;
    wn__set(&r.args.x, 1, 8);
    wn__set(&r.args.x, 2, -3);
    r.args.accumulate = true;
    const double before[] = {1, 10, 0.5}, sum[] = {1, 14, -1};
    for (int i = 0; i < 3; i++) {
        r.start[i] = before[i];
        r.want[i] = sum[i];
        wn__set(&r.args.y, i, before[i]);
    }
    each_variant(WN__OP_rescale, &r.args, as_rescaled, &r);
    free(r.args.x.data);
    free(r.args.y.data);
}

static void test_refusals(void **state) {
    (void)state;
    double s;
    wn_tensor a = make2(WN_DTYPE_F32, 4, 6), b = make2(WN_DTYPE_F32, 6, 4);
    wn__round8 round = {
        .x = a, .y = a, .scale = wn__tensor1(&s, WN_DTYPE_F64, 1), .format = (wn__fp8)2};
    assert_refused(wn__check_round8(&round), "format 2");
    round.format = WN_FP8_E5M2;
    assert_ok(wn__check_round8(&round));
    round.y = b;
    assert_refused(wn__check_round8(&round), "shapes differ");
    round.y = a;
    round.scale = wn__tensor1(&s, WN_DTYPE_F64, 2);
    assert_refused(wn__check_round8(&round), "one scale");
    wn__round16 half = {.x = a, .y = wn__tensor_slice(&a, 1, 0, 6)};
    assert_ok(wn__check_round16(&half));
    half.x = wn__tensor_transpose(&b);
    assert_refused(wn__check_round16(&half), "must be 1");
    free(a.data);
    free(b.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round16),          cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_codes_in_16_bits), cmocka_unit_test(test_single_roundings),
        cmocka_unit_test(test_nothing_to_scale), cmocka_unit_test(test_products),
        cmocka_unit_test(test_rescale),          cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
