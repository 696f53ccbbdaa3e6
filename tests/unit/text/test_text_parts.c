// SPDX-License-Identifier: MIT
// The small parts of tokenizers, each against a plain rule: base64, grapheme clusters, tries, sets
// of characters, replacements.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"
#include "text/base64.h"
#include "text/charset.h"
#include "text/grapheme.h"
#include "text/replace.h"
#include "text/step.h"
#include "text/trie.h"
#include <stdlib.h>
#include <string.h>

static uint32_t draw(uint64_t stream, uint64_t i) {
    uint32_t r[4];
    wn__philox_draw(5, WN_STREAM_TEST + stream, i, r);
    return r[0];
}

static void test_base64(void **state) {
    (void)state;
    static const struct {
        const char *text, *bytes;
        size_t size;
    } good[] = {{"", "", 0},
                {"Zg==", "f", 1},
                {"Zm8=", "fo", 2},
                {"Zm9v", "foo", 3},
                {"Zm9vYg==", "foob", 4},
                {"Zm9vYmE=", "fooba", 5},
                {"Zm9vYmFy", "foobar", 6},
                {"AP+/", "\0\xff\xbf", 3},
                {"////", "\xff\xff\xff", 3}};
    static const struct {
        const char *text;
        size_t bad;
    } wrong[] = {{"Z", 0},        {"Zg", 0},       {"Zg=", 0},     {"Zg===", 2}, {"Zh==", 1},
                 {"Zm9=", 2},     {"Zm9v ", 4},    {"Zm\n9", 2},   {"====", 0},  {"=m9v", 0},
                 {"Zg==Zg==", 2}, {"Zm9vY-==", 5}, {"Zm9vYg=a", 6}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        wn__bytes out = {0};
        size_t n = strlen(good[i].text), bad;
        assert_int_equal(wn__base64_decode(good[i].text, n, &out, &bad), WN_OK);
        assert_int_equal(bad, n);
        assert_int_equal(out.size, good[i].size);
        if (out.size > 0) assert_memory_equal(out.data, good[i].bytes, out.size);
        wn__bytes_free(&out);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        wn__bytes out = {0};
        size_t n = strlen(wrong[i].text), bad;
        assert_int_equal(wn__base64_decode(wrong[i].text, n, &out, &bad), WN_OK);
        if (bad != wrong[i].bad) fail_msg("'%s': %zu", wrong[i].text, bad);
        wn__bytes_free(&out);
    }
}

// Clusters parted by '|', after the examples of UAX #29 and GraphemeBreakTest.
static void test_graphemes(void **state) {
    (void)state;
    static const char *const texts[] = {
        "a|b|c", "\r\n|a|\r|\xcc\x81", "e\xcc\x81|x", "\n|\xcc\x81",
        "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8|\xe1\x84\x80", // L V T | L
        "\xea\xb0\x80\xe1\x86\xa8|\xea\xb0\x81\xe1\x86\xa8\xe1\x86\xa8|\xea\xb0\x81|\xe1\x85\xa1",
        "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa|\xf0\x9f\x87\xab\xf0\x9f\x87\xaa|\xf0\x9f\x87\xab",
        "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x8c\xbe|a", // woman, joiner, ear of rice
        "\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd\xe2\x80\x8d\xf0\x9f\x91\x8d|a\xe2\x80\x8d|"
        "\xf0\x9f\x91\x8d",
        "\xe0\xa4\x95\xe0\xa5\x8d\xe0\xa4\xb7|\xe0\xa4\x95",                // ka virama ssa | ka
        "\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8d\xe0\xa4\xb7|a",               // with a joiner
        "\xe0\xa4\x95\xe0\xa5\x8d\xe2\x80\x8c|\xe0\xa4\xb7",                // with a non-joiner
        "\xe0\xa4\x95\xe0\xa4\xbe|\xe0\xa4\xb7|a\xe0\xa5\x8d|\xe0\xa4\xb7", // no virama; no
                                                                            // consonant
        "\xd8\x80"
        "a|\xd8\x80\xd8\x80"
        "b\xcc\x81",                             // prepended signs
        "\xe0\xb8\x81\xe0\xb8\xb3|\xe0\xb8\x81", // a spacing mark
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char plain[128];
        size_t n = 0, at = 0;
        for (const char *c = texts[i]; *c; c++)
            if (*c != '|') plain[n++] = *c;
        for (const char *c = texts[i]; *c;) {
            size_t want = strcspn(c, "|"), got = wn__grapheme_span(plain + at, n - at);
            if (got != want) fail_msg("text %zu at byte %zu: %zu, not %zu", i, at, got, want);
            at += want;
            c += want + (c[want] == '|');
        }
    }
}

static void test_trie(void **state) {
    (void)state;
    char text[300][8];
    wn__trie_key key[300];
    size_t count = 0;
    for (uint64_t i = 0; i < 300;
         i++) { // distinct strings over few letters, NUL and 0xFF among them
        size_t n = 1 + draw(1, 10 * i) % 6;
        for (size_t k = 0; k < n; k++)
            text[count][k] = "ab\0\xff"[draw(1, 10 * i + k + 1) % 4];
        bool known = false;
        for (size_t k = 0; k < count; k++)
            known |= key[k].size == n && memcmp(key[k].text, text[count], n) == 0;
        if (known) continue;
        key[count] = (wn__trie_key){.text = text[count], .size = n, .value = (int32_t)count};
        count++;
    }
    wn__trie_key sorted[301];
    memcpy(sorted, key, count * sizeof *key);
    sorted[count] = (wn__trie_key){.text = "", .size = 0, .value = 9999}; // left out
    wn__trie t;
    assert_int_equal(wn__trie_build(&t, sorted, count + 1), WN_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(wn__trie_find(&t, key[i].text, key[i].size), (int32_t)i);
        int32_t longer = WN_TRIE_NONE;
        char more[9];
        memcpy(more, key[i].text, key[i].size);
        more[key[i].size] = 'a';
        for (size_t k = 0; k < count; k++)
            if (key[k].size == key[i].size + 1 && memcmp(key[k].text, more, key[k].size) == 0)
                longer = (int32_t)k;
        assert_int_equal(wn__trie_find(&t, more, key[i].size + 1), longer);
    }
    assert_int_equal(wn__trie_find(&t, "", 0), WN_TRIE_NONE);
    assert_int_equal(wn__trie_find(&t, "c", 1), WN_TRIE_NONE);
    wn__trie_free(&t);
    assert_int_equal(wn__trie_build(&t, NULL, 0), WN_OK);
    assert_int_equal(wn__trie_find(&t, "a", 1), WN_TRIE_NONE);
    wn__trie_free(&t);
}

static void test_wide_trie(void **state) {
    (void)state;
    char text[256];
    wn__trie_key key[256];
    for (int i = 0; i < 256; i++) {
        text[i] = (char)i;
        key[i] = (wn__trie_key){.text = &text[i], .size = 1, .value = i};
    }
    wn__trie t;
    assert_int_equal(wn__trie_build(&t, key, 256), WN_OK);
    for (int i = 0; i < 256; i++)
        assert_int_equal(wn__trie_find(&t, &text[i], 1), i);
    wn__trie_free(&t);
}

static void test_chars(void **state) {
    (void)state;
    static const uint32_t cps[] = {0, 'a', 0x7F, 0x80, 0xFF, 0x100, 0x2581, 0xFFFF, 0x10FFFF};
    wn__char_ids ids = {0};
    wn__char_pairs pairs = {0};
    for (int32_t i = 0; i < 9; i += 2)
        assert_int_equal(wn__char_ids_put(&ids, cps[i], i), WN_OK);
    for (int32_t i = 0; i < 9; i++)
        assert_int_equal(wn__char_ids_get(&ids, cps[i]), i % 2 ? WN_CHAR_NONE : i);
    for (uint64_t i = 0; i < 2000; i++)
        assert_int_equal(wn__char_pairs_add(&pairs, draw(2, i) % 300, draw(3, i) % 300), WN_OK);
    for (uint32_t a = 0; a < 300; a += 3) {
        bool in[300] = {false};
        for (uint64_t i = 0; i < 2000; i++)
            if (draw(2, i) % 300 == a) in[draw(3, i) % 300] = true;
        for (uint32_t b = 0; b < 300; b++)
            assert_int_equal(wn__char_pairs_has(&pairs, a, b), in[b]);
    }
    wn__char_ids_free(&ids);
    wn__char_pairs_free(&pairs);
}

static void check_replace(const char *regex, const char *from, const char *text, size_t origin,
                          const char *want, size_t want_origin) {
    wn__replace r = {0};
    wn__matcher *m = NULL;
    wn__bytes out = {0};
    if (regex != NULL)
        assert_int_equal(wn__pattern_compile(regex, strlen(regex), false, "t", &r.pattern), WN_OK);
    else
        assert_int_equal(wn__bytes_append(&r.from, from, strlen(from)), WN_OK);
    assert_int_equal(wn__bytes_append(&r.to, "<>", 2), WN_OK);
    assert_int_equal(wn__replace_apply(&r, &m, text, strlen(text), &origin, &out), WN_OK);
    assert_int_equal(out.size, strlen(want));
    assert_memory_equal(out.data, want, out.size);
    assert_int_equal(origin, want_origin);
    wn__replace_free(&r);
    wn__matcher_free(m);
    wn__bytes_free(&out);
}

static void test_replace(void **state) {
    (void)state;
    check_replace(NULL, "ab", "ababxab", 1, "<><>x<>", 0); // the first ends beyond the beginning
    check_replace(NULL, "a", "aab", 1, "<><>b", 2);
    check_replace(NULL, "b", "aab", 1, "aa<>", 1);
    check_replace("b*", NULL, "abbc", 1, "<>a<>c<>", 3); // empty matches, none where one ends
    check_replace(" +$", NULL, "a  ", 0, "a<>", 0);
    check_replace("^", NULL, "ab", 1, "<>ab", 3);
}

static wn_status collect(void *ctx, const char *piece, size_t n, size_t origin) {
    wn__bytes *out = ctx;
    char mark = origin > 0 ? '!' : '|';
    return wn__bytes_append(out, piece, n) || wn__bytes_append(out, &mark, 1) ? WN_NOMEM : WN_OK;
}

static void check_cut(wn__step step, const char *pattern, const char *text, const char *want) {
    wn__step_scratch s = {0};
    wn__bytes out = {0};
    if (pattern != NULL)
        assert_int_equal(wn__pattern_compile(pattern, strlen(pattern), false, "t", &step.pattern),
                         WN_OK);
    assert_int_equal(wn__step_cut(&step, &s, text, strlen(text), 1, collect, &out), WN_OK);
    assert_int_equal(wn__bytes_append(&out, "", 1), WN_OK);
    assert_string_equal(out.data, want);
    wn__pattern_free(step.pattern);
    wn__step_scratch_free(&s);
    wn__bytes_free(&out);
}

// '!' ends a piece of the beginning, '|' any other.
static void test_cuts(void **state) {
    (void)state;
    wn__metaspace meta = {.mark = "_", .mark_size = 1, .scheme = WN_FIRST, .split = true};
    wn__step split = {.kind = WN_STEP_PATTERN};
    check_cut((wn__step){.kind = WN_STEP_SPACES}, NULL, " a\tb  c ", "a|b|c|");
    check_cut((wn__step){.kind = WN_STEP_WORDS}, NULL, "a1 ,.x_", "a1!,.|x_|");
    check_cut((wn__step){.kind = WN_STEP_METASPACE, .meta = meta}, NULL, "a b  c", "_a!_b|_|_c|");
    check_cut((wn__step){.kind = WN_STEP_METASPACE, .meta = meta}, NULL, "_a ", "_a!_|");
    meta.split = false;
    check_cut((wn__step){.kind = WN_STEP_METASPACE, .meta = meta}, NULL, " a b", "_a_b!");
    check_cut(split, "b", "abba", "a!b|b|a|");
    split.behavior = WN_REMOVED;
    check_cut(split, "b", "babba", "a|a|");
    split.behavior = WN_CONTIGUOUS;
    check_cut(split, "b", "bbabba", "bb!a|bb|a|");
    split.behavior = WN_MERGED_WITH_PREVIOUS;
    check_cut(split, "b", "babba", "b!ab|b|a|");
    split.behavior = WN_MERGED_WITH_NEXT;
    check_cut(split, "b", "babba", "ba!b|ba|");
    split.invert = true;
    check_cut(split, "b", "aabbab", "aab!b|ab|");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64), cmocka_unit_test(test_graphemes),
        cmocka_unit_test(test_trie),   cmocka_unit_test(test_wide_trie),
        cmocka_unit_test(test_chars),  cmocka_unit_test(test_replace),
        cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
