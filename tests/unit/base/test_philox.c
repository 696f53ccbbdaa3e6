// SPDX-License-Identifier: MIT
// Philox against the known answers published with Random123, and the draws against their
// definitions and moments.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void test_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t c[4], k[2], want[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t out[4];
        wn__philox4x32(cases[i].c, cases[i].k, out);
        assert_memory_equal(out, cases[i].want, sizeof out);
    }
    uint32_t in_place[4] = {0, 0, 0, 0};
    wn__philox4x32(in_place, cases[0].k, in_place);
    assert_memory_equal(in_place, cases[0].want, sizeof in_place);
}

// The third known answer again, through the words' places in (seed, stream, index).
static void test_draw_layout(void **state) {
    (void)state;
    const uint32_t want[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    uint32_t out[4];
    wn__philox_draw(0x299f31d0a4093822U, 0x0370734413198a2eU, 0x85a308d3243f6a88U, out);
    assert_memory_equal(out, want, sizeof out);
}

static int compare_draws(const void *a, const void *b) {
    return memcmp(a, b, 16);
}

// A bijection of the counter: no two draws of one seed are equal. Seeds and streams one bit apart
// differ too.
static void test_draws_are_distinct(void **state) {
    (void)state;
    enum { STREAMS = 8, INDICES = 4096, SEEDS = 64 };
    uint32_t(*draw)[4] = malloc((STREAMS * INDICES + SEEDS) * sizeof *draw);
    assert_non_null(draw);
    size_t n = 0;
    for (uint64_t s = 0; s < STREAMS; s++)
        for (uint64_t i = 0; i < INDICES; i++)
            wn__philox_draw(42, (uint64_t)1 << (32 + s), i, draw[n++]);
    for (int bit = 0; bit < SEEDS; bit++)
        wn__philox_draw(42 ^ (uint64_t)1 << bit, (uint64_t)1 << 32, 0, draw[n++]);
    qsort(draw, n, sizeof *draw, compare_draws);
    for (size_t i = 1; i < n; i++)
        assert_int_not_equal(memcmp(draw[i - 1], draw[i], sizeof *draw), 0);
    free(draw);
}

// Correlation of the uniforms of two draw sequences; 1/sqrt(n) is one standard deviation when they
// are independent.
static double correlation(uint64_t seed_a, uint64_t stream_a, uint64_t seed_b, uint64_t stream_b,
                          int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        uint32_t a[4], b[4];
        wn__philox_draw(seed_a, stream_a, (uint64_t)i, a);
        wn__philox_draw(seed_b, stream_b, (uint64_t)i, b);
        for (int k = 0; k < 4; k++)
            sum += ((double)a[k] * 0x1p-32 - 0.5) * ((double)b[k] * 0x1p-32 - 0.5) * 12;
    }
    return sum / (4 * n);
}

static void test_streams_are_independent(void **state) {
    (void)state;
    const int n = 1 << 15;
    const double five_sigma = 5 / sqrt(4.0 * n);
    assert_true(fabs(correlation(1, WN_STREAM_INIT, 1, WN_STREAM_SHUFFLE, n)) < five_sigma);
    assert_true(fabs(correlation(1, WN_STREAM_INIT, 1, WN_STREAM_INIT + 1, n)) < five_sigma);
    assert_true(fabs(correlation(1, WN_STREAM_INIT, 2, WN_STREAM_INIT, n)) < five_sigma);
    assert_true(correlation(1, WN_STREAM_INIT, 1, WN_STREAM_INIT, n) > 0.9);
}

static void test_uniform(void **state) {
    (void)state;
    assert_true(wn__philox_uniform(0) == 0.0F);
    assert_true(wn__philox_uniform(0xffU) == 0.0F);
    assert_true(wn__philox_uniform(0x100U) == 0x1p-24F);
    assert_true(wn__philox_uniform(0x80000000U) == 0.5F);
    assert_true(wn__philox_uniform(0xffffffffU) == 1.0F - 0x1p-24F);
}

// The definition, with the words taken from a draw.
static void test_normal_definition(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        uint32_t w[4];
        float z[4];
        wn__philox_draw(7, WN_STREAM_TEST, i, w);
        wn__philox_normal(7, WN_STREAM_TEST, i, z);
        for (int k = 0; k < 4; k += 2) {
            double u = ((double)w[k] + 1) / 4294967296.0, v = ((double)w[k + 1] + 1) / 4294967296.0;
            double r = sqrt(-2 * log(u));
            assert_true(fabs(z[k] - r * cos(2 * acos(-1.0) * v)) <= 1e-6 * r);
            assert_true(fabs(z[k + 1] - r * sin(2 * acos(-1.0) * v)) <= 1e-6 * r);
        }
    }
}

// A draw whose third word is zero: the largest radius there is, and finite.
static void test_normal_of_a_zero_word(void **state) {
    (void)state;
    uint32_t w[4];
    float z[4];
    wn__philox_draw(0, WN_STREAM_TEST, 9804590077, w);
    assert_int_equal(w[2], 0);
    wn__philox_normal(0, WN_STREAM_TEST, 9804590077, z);
    assert_true(fabs(hypot(z[2], z[3]) - sqrt(64 * log(2.0))) < 1e-6);
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Kolmogorov-Smirnov against the normal distribution: the seed is fixed, so this passes always or
// never.
static void test_normal_distribution(void **state) {
    (void)state;
    enum { DRAWS = 1 << 14, N = 4 * DRAWS };
    float *z = malloc(N * sizeof *z);
    assert_non_null(z);
    for (int i = 0; i < DRAWS; i++)
        wn__philox_normal(3, WN_STREAM_TEST, (uint64_t)i, z + 4 * i);
    qsort(z, N, sizeof *z, compare_floats);
    double worst = 0;
    for (int i = 0; i < N; i++) {
        double p = 0.5 * erfc(-(double)z[i] / sqrt(2.0));
        worst = fmax(worst, fmax(fabs(p - (double)i / N), fabs(p - (i + 1.0) / N)));
    }
    free(z);
    assert_true(worst * sqrt(N) < 1.95); // p = 0.001
}

static void test_below(void **state) {
    (void)state;
    const uint64_t limits[] = {1, 2, 3, 10, 1000003, (uint64_t)1 << 32, UINT64_MAX};
    for (size_t k = 0; k < sizeof limits / sizeof limits[0]; k++) {
        uint64_t n = limits[k], low = UINT64_MAX, high = 0;
        for (uint64_t i = 0; i < 2000; i++) {
            uint64_t x = wn__philox_below(11, WN_STREAM_TEST, i, n);
            assert_true(x < n);
            low = x < low ? x : low;
            high = x > high ? x : high;
        }
        assert_true(low <= n / 100 && high >= n - 1 - n / 100);
    }
}

// The definition in 32-bit limbs: floor(x * n / 2^128), x little-endian in the draw's words.
static void test_below_definition(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 500; i++) {
        uint64_t n = i % 2 ? UINT64_MAX - i * i : 3 * i + 1;
        uint32_t w[4], product[6] = {0}, limb[2] = {(uint32_t)n, (uint32_t)(n >> 32)};
        wn__philox_draw(i, WN_STREAM_TEST, i, w);
        for (int j = 0; j < 2; j++) {
            uint64_t carry = 0;
            for (int k = 0; k < 4; k++) {
                carry += (uint64_t)w[k] * limb[j] + product[j + k];
                product[j + k] = (uint32_t)carry;
                carry >>= 32;
            }
            product[j + 4] = (uint32_t)carry;
        }
        uint64_t want = product[4] | (uint64_t)product[5] << 32;
        assert_true(wn__philox_below(i, WN_STREAM_TEST, i, n) == want);
    }
}

static void test_below_is_even(void **state) {
    (void)state;
    enum { SIDES = 6, N = 60000 };
    int count[SIDES] = {0};
    for (uint64_t i = 0; i < N; i++)
        count[wn__philox_below(5, WN_STREAM_TEST, i, SIDES)]++;
    double chi2 = 0, want = (double)N / SIDES;
    for (int i = 0; i < SIDES; i++)
        chi2 += (count[i] - want) * (count[i] - want) / want;
    assert_true(chi2 < 20.5); // p = 0.001 with 5 degrees of freedom
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_draw_layout),
        cmocka_unit_test(test_draws_are_distinct),
        cmocka_unit_test(test_streams_are_independent),
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_normal_definition),
        cmocka_unit_test(test_normal_of_a_zero_word),
        cmocka_unit_test(test_normal_distribution),
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_below_definition),
        cmocka_unit_test(test_below_is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
