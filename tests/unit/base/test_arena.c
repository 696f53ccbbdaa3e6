// SPDX-License-Identifier: MIT
// Arenas: a measuring run and a real one agree, blocks are aligned and zeroed, what does not fit is
// refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include <string.h>

enum { PIECES = 12 };
static const size_t sizes[PIECES] = {1, 0, 63, 64, 65, 4096, 0, 100000, 7, 128, 3000000, 1};

static void take_all(wn__arena *a, void *piece[PIECES]) {
    for (int i = 0; i < PIECES; i++)
        assert_int_equal(wn__arena_alloc(a, sizes[i], &piece[i]), WN_OK);
}

static void test_measure_then_create(void **state) {
    (void)state;
    wn__arena measure, arena;
    void *piece[PIECES];
    wn__arena_measure("weights", &measure);
    assert_true(wn__arena_measuring(&measure));
    take_all(&measure, piece);
    size_t want = 0;
    for (int i = 0; i < PIECES; i++) {
        assert_null(piece[i]);
        want += (sizes[i] + 63) / 64 * 64;
    }
    assert_int_equal(measure.used, want);

    assert_int_equal(wn__arena_create("weights", measure.used, &arena), WN_OK);
    assert_false(wn__arena_measuring(&arena));
    take_all(&arena, piece);
    assert_int_equal(arena.used, arena.size);
    void *more;
    assert_int_equal(wn__arena_alloc(&arena, 1, &more), WN_NOMEM);
    assert_null(more);
    assert_non_null(strstr(wn_last_error(), "weights: 1 bytes asked for, 0 of"));
    assert_int_equal(wn__arena_alloc(&arena, 0, &more), WN_OK);
    wn__arena_free(&arena);
    wn__arena_free(&measure);
    assert_null(arena.base);
}

// Fills every piece with its own byte, then looks whether any other was touched.
static void test_pieces_are_apart_aligned_and_zeroed(void **state) {
    (void)state;
    wn__arena arena;
    void *piece[PIECES];
    assert_int_equal(wn__arena_create("a", (size_t)4 << 20, &arena), WN_OK);
    assert_int_equal((uintptr_t)arena.base % ((size_t)2 << 20), 0);
    take_all(&arena, piece);
    for (int i = 0; i < PIECES; i++) {
        assert_int_equal((uintptr_t)piece[i] % WN_ARENA_ALIGN, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(((char *)piece[i])[k], 0);
        memset(piece[i], i + 1, sizes[i]);
    }
    for (int i = 0; i < PIECES; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            if (((char *)piece[i])[k] != i + 1) fail_msg("piece %d byte %zu", i, k);
    wn__arena_free(&arena);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAVE_ASAN)
#include <sanitizer/asan_interface.h>
// What is not handed out is poisoned: before, after a reset, and not after the block is gone.
static void test_poison(void **state) {
    (void)state;
    wn__arena arena;
    void *p;
    assert_int_equal(wn__arena_create("a", 4096, &arena), WN_OK);
    char *base = arena.base;
    assert_true(__asan_address_is_poisoned(base));
    assert_int_equal(wn__arena_alloc(&arena, 100, &p), WN_OK);
    assert_false(__asan_address_is_poisoned(base + 127));
    assert_true(__asan_address_is_poisoned(base + 128));
    wn__arena_reset(&arena, 64);
    assert_false(__asan_address_is_poisoned(base + 63));
    assert_true(__asan_address_is_poisoned(base + 64));
    wn__arena_free(&arena);
    assert_null(__asan_region_is_poisoned(base, 4096));
}
#define ASAN_TESTS cmocka_unit_test(test_poison),
#else
#define ASAN_TESTS
#endif

static void test_reset(void **state) {
    (void)state;
    wn__arena arena;
    void *a, *b, *c;
    assert_int_equal(wn__arena_create("a", 1024, &arena), WN_OK);
    assert_int_equal(wn__arena_alloc(&arena, 100, &a), WN_OK);
    size_t mark = arena.used;
    assert_int_equal(wn__arena_alloc(&arena, 100, &b), WN_OK);
    memset(b, 7, 100);
    wn__arena_reset(&arena, mark);
    assert_int_equal(arena.used, mark);
    wn__arena_reset(&arena, 1000); // not a mark of the past: nothing to give back
    assert_int_equal(arena.used, mark);
    assert_int_equal(wn__arena_alloc(&arena, 100, &c), WN_OK);
    assert_ptr_equal(b, c);
    assert_int_equal(*(char *)c, 7);
    wn__arena_free(&arena);
}

static void test_odd_sizes_fit(void **state) {
    (void)state;
    const size_t odd[] = {0, 1, 100, 4095, 4097, ((size_t)2 << 20) - 1, ((size_t)2 << 20) + 1};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        wn__arena arena;
        void *p;
        assert_int_equal(wn__arena_create("a", odd[i], &arena), WN_OK);
        assert_non_null(arena.base);
        assert_int_equal(wn__arena_alloc(&arena, odd[i], &p), WN_OK);
        memset(p, 1, odd[i]);
        wn__arena_free(&arena);
    }
}

static void test_overflow_and_too_much(void **state) {
    (void)state;
    wn__arena arena;
    void *p = &arena;
    const size_t huge[] = {SIZE_MAX, SIZE_MAX - 63, SIZE_MAX - 64, SIZE_MAX / 2};
    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        assert_int_equal(wn__arena_create("optimizer state", huge[i], &arena), WN_NOMEM);
        assert_non_null(strstr(wn_last_error(), "optimizer state: cannot reserve"));
        assert_null(arena.base);
        wn__arena_free(&arena);
    }
    wn__arena_measure("m", &arena);
    assert_int_equal(wn__arena_alloc(&arena, SIZE_MAX / 2, &p), WN_OK);
    size_t used = arena.used;
    assert_int_equal(wn__arena_alloc(&arena, SIZE_MAX / 2 + 2, &p), WN_NOMEM);
    assert_int_equal(wn__arena_alloc(&arena, SIZE_MAX, &p), WN_NOMEM);
    assert_int_equal(arena.used, used);
    assert_null(p);
}

static void test_free_of_zeroed(void **state) {
    (void)state;
    wn__arena zero = {0};
    wn__arena_free(&zero);
    assert_null(zero.base);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_measure_then_create),
                                       cmocka_unit_test(test_pieces_are_apart_aligned_and_zeroed),
                                       cmocka_unit_test(test_reset),
                                       cmocka_unit_test(test_odd_sizes_fit),
                                       cmocka_unit_test(test_overflow_and_too_much),
                                       cmocka_unit_test(test_free_of_zeroed),
                                       ASAN_TESTS};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
