// SPDX-License-Identifier: MIT
// The Witten-Bell trigram against a brute-force one that counts by scanning the text, and against
// numbers worked by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"
#include "winnow/data.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// c(history w) for each w, by looking at every position.
static void count_after(const char *train, size_t n, const char *history, size_t h,
                        double count[256]) {
    for (int w = 0; w < 256; w++)
        count[w] = 0;
    for (size_t i = h; i < n; i++)
        if (memcmp(train + i - h, history, h) == 0) count[(unsigned char)train[i]]++;
}

static double probability(const char *train, size_t n, const char *history, size_t h,
                          unsigned char w) {
    double count[256], total = 0, kinds = 0;
    double lower = h > 0 ? probability(train, n, history + 1, h - 1, w) : 1.0 / 256;
    count_after(train, n, history, h, count);
    for (int i = 0; i < 256; i++) {
        total += count[i];
        kinds += count[i] > 0;
    }
    return total > 0 ? (count[w] + kinds * lower) / (total + kinds) : lower;
}

static double brute_force(const char *train, size_t n, const char *held, size_t m) {
    double bits = 0;
    for (size_t i = 0; i < m; i++) {
        size_t h = i < 2 ? i : 2;
        bits -= log2(probability(train, n, held + i - h, h, (unsigned char)held[i]));
    }
    return bits / (double)m;
}

static void compare(const char *train, size_t n, const char *held, size_t m) {
    double found;
    assert_int_equal(wn_trigram_bits_per_byte(train, n, held, m, &found), WN_OK);
    double expected = brute_force(train, n, held, m);
    if (!(fabs(found - expected) <= 1e-12 * expected))
        fail_msg("%.17g, expected %.17g", found, expected);
}

static void test_brute_force(void **state) {
    (void)state;
    char train[600], held[150];
    compare("abracadabra", 11, "abracadabra", 11);
    compare("abracadabra", 11, "cab\xff\x01xyz", 8);
    compare("", 0, "abc", 3);
    compare("a", 1, "aa", 2);
    compare("ab", 2, "abab", 4);
    for (uint64_t letters = 2; letters <= 256; letters *= 2) {
        for (uint64_t i = 0; i < sizeof train; i++)
            train[i] = (char)wn__philox_below(letters, WN_STREAM_TEST, i, letters);
        for (uint64_t i = 0; i < sizeof held; i++)
            held[i] = (char)wn__philox_below(letters, WN_STREAM_TEST, 1000 + i, letters);
        compare(train, sizeof train, held, sizeof held);
    }
}

// "aab" trained, "ab" held out. Order 1: c(a)=2, c(b)=1, total 3, two kinds.
// P(a) = (2 + 2/256)/5. P(b) = (1 + 2/256)/5. After a: c(aa)=1, c(ab)=1, total 2, two kinds: P(b|a)
// = (1 + 2 P(b))/4.
static void test_by_hand(void **state) {
    (void)state;
    double pa = (2 + 2 / 256.0) / 5, pb = (1 + 2 / 256.0) / 5, found;
    assert_int_equal(wn_trigram_bits_per_byte("aab", 3, "ab", 2, &found), WN_OK);
    assert_true(fabs(found - -(log2(pa) + log2((1 + 2 * pb) / 4)) / 2) < 1e-14);
    assert_int_equal(wn_trigram_bits_per_byte("", 0, "xyz", 3, &found), WN_OK);
    assert_true(found == 8); // nothing known: uniform
}

static void test_refuses(void **state) {
    (void)state;
    double found;
    assert_int_equal(wn_trigram_bits_per_byte("abc", 3, "", 0, &found), WN_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
