// SPDX-License-Identifier: MIT
// 16-bit floats: all patterns round trip, every rounding decision of both formats is taken, and a
// sweep over the floats is compared with rounding done in real arithmetic. WN_TEST_EXHAUSTIVE=1
// sweeps all 2^32 floats.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/half.h"
#include "base/pool.h"
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct format {
    const char *name;
    int precision, min_exponent, max_exponent;
    uint16_t infinity;
    uint16_t (*from_f32)(float);
    uint16_t (*from_f64)(double);
    float (*to_f32)(uint16_t);
} format;

static float bf16_to_f32(uint16_t h) {
    return wn__bf16_to_f32(h);
}

static const format formats[2] = {
    {"bf16", 8, -126, 127, 0x7f80, wn__bf16_from_f32, wn__bf16_from_f64, bf16_to_f32},
    {"f16", 11, -14, 15, 0x7c00, wn__f16_from_f32, wn__f16_from_f64, wn__f16_to_f32},
};

// The value of a finite pattern without its sign; the infinity pattern stands for the power of two
// past the end.
static double magnitude(const format *f, uint16_t h) {
    int field = h >> (f->precision - 1), fraction = h & ((1 << (f->precision - 1)) - 1);
    if (field == 0) return ldexp(fraction, f->min_exponent - f->precision + 1);
    return ldexp(fraction + (1 << (f->precision - 1)), f->min_exponent + field - f->precision);
}

static void test_decoding(void **state) {
    (void)state;
    for (const format *f = formats; f < formats + 2; f++) {
        for (int h = 0; h < f->infinity; h++) {
            assert_true(f->to_f32((uint16_t)h) == magnitude(f, (uint16_t)h));
            assert_true(f->to_f32((uint16_t)(h | 0x8000)) == -magnitude(f, (uint16_t)h));
        }
        assert_true(f->to_f32(f->infinity) == INFINITY);
        assert_true(f->to_f32(f->infinity | 0x8000) == -INFINITY);
        assert_true(signbit(f->to_f32(0x8000)) && !signbit(f->to_f32(0)));
        for (int h = f->infinity + 1; h < 0x8000; h++) {
            assert_true(isnan(f->to_f32((uint16_t)h)));
            assert_true(isnan(f->to_f32((uint16_t)(h | 0x8000))));
        }
    }
}

static void test_round_trip(void **state) {
    (void)state;
    for (const format *f = formats; f < formats + 2; f++) {
        uint16_t quiet = (uint16_t)(1 << (f->precision - 2));
        for (int i = 0; i < 65536; i++) {
            uint16_t h = (uint16_t)i, want = (h & 0x7fff) > f->infinity ? h | quiet : h;
            float x = f->to_f32(h);
            assert_int_equal(f->from_f32(x), want);
            assert_int_equal(f->from_f64((double)x), want);
        }
    }
}

static void check_both_signs(const format *f, double x, uint16_t want) {
    if (f->from_f64(x) != want || f->from_f64(-x) != (want | 0x8000))
        fail_msg("%s of %a: %04x, expected %04x", f->name, x, f->from_f64(x), want);
    float y = (float)x;
    if ((double)y != x) return;
    if (f->from_f32(y) != want || f->from_f32(-y) != (want | 0x8000))
        fail_msg("%s of float %a: %04x, expected %04x", f->name, x, f->from_f32(y), want);
}

// Between two neighbours: the midpoint goes to the even one, anything to either side of it to the
// nearer one. The next double to a midpoint is the case that rounding through float gets wrong.
static void test_every_rounding_decision(void **state) {
    (void)state;
    for (const format *f = formats; f < formats + 2; f++) {
        for (int i = 0; i < f->infinity; i++) {
            uint16_t h = (uint16_t)i, next = (uint16_t)(i + 1), even = h & 1 ? next : h;
            double mid = (magnitude(f, h) + magnitude(f, next)) / 2;
            check_both_signs(f, mid, even);
            check_both_signs(f, nextafter(mid, 0), h);
            check_both_signs(f, nextafter(mid, INFINITY), next);
            check_both_signs(f, (double)nextafterf((float)mid, 0), h);
            check_both_signs(f, (double)nextafterf((float)mid, INFINITY), next);
        }
    }
}

static void test_extremes(void **state) {
    (void)state;
    for (const format *f = formats; f < formats + 2; f++) {
        check_both_signs(f, INFINITY, f->infinity);
        check_both_signs(f, 1.7976931348623157e308, f->infinity);
        check_both_signs(f, 0x1p-1074, 0);
        check_both_signs(f, 0x1p-1022, 0);
        check_both_signs(f, ldexp(1, f->max_exponent + 1), f->infinity);
        check_both_signs(f, 0, 0);
    }
    check_both_signs(&formats[1], 65504, 0x7bff);
    check_both_signs(&formats[1], 1, 0x3c00);
    check_both_signs(&formats[0], 1, 0x3f80);
}

static void test_nan_is_quiet(void **state) {
    (void)state;
    const uint32_t nans[] = {0x7f800001, 0xff800001, 0x7fc00000, 0xffffffff, 0x7fa00000};
    for (const format *f = formats; f < formats + 2; f++) {
        uint16_t quiet = (uint16_t)(f->infinity | 1 << (f->precision - 2));
        for (size_t i = 0; i < sizeof nans / sizeof nans[0]; i++) {
            float x = wn__f32_from_bits(nans[i]);
            uint64_t wide = (uint64_t)(nans[i] >> 31) << 63 | 0x7ff0000000000001;
            double d;
            memcpy(&d, &wide, sizeof d);
            assert_int_equal(f->from_f32(x) & quiet, quiet);
            assert_int_equal(f->from_f32(x) >> 15, nans[i] >> 31);
            assert_int_equal(f->from_f64(d) & quiet, quiet);
            assert_int_equal(f->from_f64(d) >> 15, nans[i] >> 31);
        }
    }
}

// Decoding makes quiet, too, and keeps sign and payload.
static void test_signalling_f16(void **state) {
    (void)state;
    assert_int_equal(wn__f32_bits(wn__f16_to_f32(0x7c01)), 0x7fc02000);
    assert_int_equal(wn__f32_bits(wn__f16_to_f32(0xfd55)), 0xffeaa000);
}

// Rounding in real arithmetic: count quanta, round the count to even, write the count down.
static uint16_t oracle(const format *f, double x) {
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    double a = fabs(x);
    if (a == 0) return sign;
    if (isinf(a)) return sign | f->infinity;
    int e = ilogb(a);
    if (e < f->min_exponent) e = f->min_exponent;
    double count = nearbyint(ldexp(a, f->precision - 1 - e)), whole = ldexp(1, f->precision);
    if (count == whole) {
        count /= 2;
        e++;
    }
    if (e > f->max_exponent) return sign | f->infinity;
    if (count < whole / 2) return (uint16_t)(sign | (int)count);
    return (uint16_t)(sign | (e - f->min_exponent + 1) << (f->precision - 1) |
                      (int)(count - whole / 2));
}

static bool agrees(uint32_t bits) {
    float x = wn__f32_from_bits(bits);
    if (isnan(x))
        return isnan(wn__f16_to_f32(wn__f16_from_f32(x))) &&
               isnan(wn__bf16_to_f32(wn__bf16_from_f32(x)));
    for (const format *f = formats; f < formats + 2; f++) {
        uint16_t want = oracle(f, (double)x);
        if (f->from_f32(x) != want || f->from_f64((double)x) != want) return false;
    }
    return true;
}

typedef struct sweep {
    uint32_t step;
    atomic_llong wrong;
} sweep;

static void sweep_block(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    sweep *s = ctx;
    for (int64_t i = begin; i < end; i++)
        if (!agrees((uint32_t)i * s->step)) atomic_fetch_add(&s->wrong, 1);
}

static void test_sweep_of_floats(void **state) {
    (void)state;
    const char *all = getenv("WN_TEST_EXHAUSTIVE");
    bool exhaustive = all != NULL && all[0] == '1';
    wn__pool *pool;
    assert_int_equal(wn__pool_create(0, &pool), WN_OK);
    sweep s = {.step = exhaustive ? 1 : 1021}; // a prime: all exponents and all low bits
    wn__parallel_for(pool, ((int64_t)1 << 32) / s.step, 1 << 16, sweep_block, &s);
    wn__pool_free(pool);
    assert_int_equal(s.wrong, 0);
}

// Doubles of every exponent around both formats, with dense significands.
static void test_doubles(void **state) {
    (void)state;
    uint64_t noise = 0x9e3779b97f4a7c15;
    for (int i = 0; i < 400000; i++) {
        noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
        double x = ldexp((double)(noise >> 11), -53 - 140 + (int)(noise % 280));
        for (const format *f = formats; f < formats + 2; f++)
            if (f->from_f64(x) != oracle(f, x)) fail_msg("%s of %a", f->name, x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoding),     cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_extremes),     cmocka_unit_test(test_every_rounding_decision),
        cmocka_unit_test(test_nan_is_quiet), cmocka_unit_test(test_sweep_of_floats),
        cmocka_unit_test(test_doubles),      cmocka_unit_test(test_signalling_f16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
