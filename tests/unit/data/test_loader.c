// SPDX-License-Identifier: MIT
// The loader's order: as written, complete, and the same from any place it is taken up again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/loader.h"
#include "unit/base/status.h"
#include "winnow/status.h"
#include <stdlib.h>
#include <string.h>

static int32_t numbers[4096]; // id i at position i

static wn__ids first(uint64_t count) {
    for (int32_t i = 0; i < 4096; i++)
        numbers[i] = i;
    return (wn__ids){
        .bytes = (const uint8_t *)numbers, .id_bytes = 4, .count = count, .name = "numbers"};
}

static void test_in_order(void **state) {
    (void)state;
    const wn__ids ids = first(23); // five windows of 4 and two ids too many
    wn__loader *l;
    OK(wn__loader_create(&ids, 4, false, 7, &l));
    assert_int_equal(wn__loader_windows(l), 5);
    int32_t tokens[12], targets[12];
    for (int batch = 0; batch < 7; batch++) {
        wn__loader_next(l, 3, tokens, targets);
        for (int i = 0; i < 12; i++) {
            int expected = ((batch * 3 + i / 4) % 5) * 4 + i % 4;
            assert_int_equal(tokens[i], expected);
            assert_int_equal(targets[i], expected + 1);
        }
    }
    assert_int_equal(wn__loader_tell(l).epoch, 4); // 21 windows: four epochs and one
    assert_int_equal(wn__loader_tell(l).position, 1);
    wn__loader_free(l);
}

// Every window of an epoch once, cut at one offset, in an order that is not the file's.
static void check_epoch(wn__loader *l, uint64_t count, int64_t seq_len, uint64_t *order) {
    bool seen[4096] = {false};
    int32_t tokens[64], targets[64];
    wn__loader_next(l, 1, tokens, targets);
    uint64_t windows = wn__loader_windows(l), offset = (uint64_t)tokens[0] % (uint64_t)seq_len;
    assert_int_equal(windows, (count - 1 - offset) / (uint64_t)seq_len);
    for (uint64_t w = 0; w < windows; w++) {
        if (w > 0) wn__loader_next(l, 1, tokens, targets);
        assert_int_equal((uint64_t)tokens[0] % (uint64_t)seq_len, offset);
        assert_false(seen[tokens[0]]);
        seen[tokens[0]] = true;
        order[w] = (uint64_t)tokens[0];
        for (int64_t i = 0; i < seq_len; i++) {
            assert_int_equal(tokens[i], tokens[0] + i);
            assert_int_equal(targets[i], tokens[i] + 1);
            assert_true((uint64_t)targets[i] < count);
        }
    }
}

static void test_shuffled(void **state) {
    (void)state;
    const wn__ids ids = first(1000);
    uint64_t order[2][4096], repeat[4096];
    wn__loader *l, *again, *other;
    OK(wn__loader_create(&ids, 8, true, 7, &l));
    OK(wn__loader_create(&ids, 8, true, 7, &again));
    OK(wn__loader_create(&ids, 8, true, 8, &other));
    check_epoch(l, 1000, 8, order[0]);
    check_epoch(l, 1000, 8, order[1]);
    check_epoch(again, 1000, 8, repeat);
    assert_memory_equal(order[0], repeat, 124 * sizeof(uint64_t)); // the same seed, the same order
    assert_memory_not_equal(order[0], order[1], 124 * sizeof(uint64_t));
    check_epoch(other, 1000, 8, repeat);
    assert_memory_not_equal(order[0], repeat, 124 * sizeof(uint64_t));
    int ascending = 0;
    for (int i = 1; i < 124; i++)
        ascending += order[0][i] > order[0][i - 1];
    assert_in_range(ascending, 40, 84); // 61.5 expected, standard deviation 3.2
    wn__loader_free(l);
    wn__loader_free(again);
    wn__loader_free(other);
}

// Each window comes first about as often as any other.
static void test_uniform(void **state) {
    (void)state;
    const wn__ids ids = first(9); // four windows of 2 at offset 0, three at offset 1
    int count[8] = {0};
    for (uint64_t seed = 0; seed < 4000; seed++) {
        wn__loader *l;
        int32_t tokens[2], targets[2];
        OK(wn__loader_create(&ids, 2, true, seed, &l));
        wn__loader_next(l, 1, tokens, targets);
        count[tokens[0]]++;
        wn__loader_free(l);
    }
    double chi = 0;
    for (int i = 0; i < 7; i++) {
        double expected = i % 2 == 0 ? 500 : 2000.0 / 3;
        chi += (count[i] - expected) * (count[i] - expected) / expected;
    }
    assert_int_equal(count[7], 0);
    assert_true(chi < 22.5); // 6 degrees of freedom: exceeded once in a thousand
}

static void resume_everywhere(bool shuffle) {
    const wn__ids ids = first(61);
    wn__loader *l, *later;
    OK(wn__loader_create(&ids, 5, shuffle, 3, &l));
    for (int i = 0; i < 40; i++) {
        wn__loader_state at = wn__loader_tell(l);
        int32_t a[2][15], b[2][15];
        OK(wn__loader_create(&ids, 5, shuffle, 3, &later));
        OK(wn__loader_seek(later, at));
        wn__loader_next(later, 3, b[0], b[1]);
        wn__loader_next(l, 3, a[0], a[1]);
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(wn__loader_tell(l).epoch, wn__loader_tell(later).epoch);
        assert_int_equal(wn__loader_tell(l).position, wn__loader_tell(later).position);
        wn__loader_free(later);
    }
    assert_true(wn__loader_tell(l).epoch >= 9);
    wn__loader_free(l);
}

static void test_resume(void **state) {
    (void)state;
    resume_everywhere(false);
    resume_everywhere(true);
}

static void test_smallest(void **state) {
    (void)state;
    wn__ids ids = first(5);
    wn__loader *l;
    int32_t tokens[4], targets[4];
    OK(wn__loader_create(&ids, 4, true, 1, &l)); // one window: the only offset is 0
    for (int i = 0; i < 10; i++) {
        wn__loader_next(l, 1, tokens, targets);
        assert_int_equal(tokens[0], 0);
    }
    wn__loader_free(l);
    ids = first(6);
    OK(wn__loader_create(&ids, 4, true, 1, &l)); // one window at either of two offsets
    bool seen[2] = {false, false};
    for (int i = 0; i < 40; i++) {
        wn__loader_next(l, 1, tokens, targets);
        assert_in_range(tokens[0], 0, 1);
        seen[tokens[0]] = true;
    }
    assert_true(seen[0] && seen[1]);
    wn__loader_free(l);
}

static void test_refuses(void **state) {
    (void)state;
    wn__loader *l = NULL;
    wn__ids ids = first(4);
    assert_int_equal(wn__loader_create(&ids, 4, true, 1, &l), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "numbers: 4 tokens"));
    assert_non_null(strstr(wn_last_error(), "at least 5"));
    ids = first(1);
    assert_int_equal(wn__loader_create(&ids, 4, false, 1, &l), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "1 token to"));
    ids = first(0);
    assert_int_equal(wn__loader_create(&ids, 1, false, 1, &l), WN_INVALID);
    assert_int_equal(wn__loader_create(&ids, 0, false, 1, &l), WN_INVALID);
    assert_null(l);
    ids = first(61);
    OK(wn__loader_create(&ids, 5, false, 1, &l));
    assert_int_equal(wn__loader_seek(l, (wn__loader_state){.epoch = 2, .position = 13}),
                     WN_INVALID);
    assert_int_equal(wn__loader_tell(l).epoch, 0); // as it was
    wn__loader_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order), cmocka_unit_test(test_shuffled),
        cmocka_unit_test(test_uniform),  cmocka_unit_test(test_resume),
        cmocka_unit_test(test_smallest), cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
