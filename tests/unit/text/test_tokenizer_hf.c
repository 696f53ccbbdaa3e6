// SPDX-License-Identifier: MIT
// Replays what Hugging Face tokenizers gave for awkward strings (tools/make_tokenizer_fixtures.py),
// and compares learned merges with a trainer that counts everything again each time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "unit/base/scratch.h"
#include "winnow/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE WN_FIXTURES "/tokenizer/hf.json"

static wn__json *fixture;

static int load(void **state) {
    (void)state;
    if (wn__json_read(FIXTURE, (size_t)1 << 24, &fixture) == WN_OK) return 0;
    print_error("%s\n", wn_last_error());
    return -1;
}

static int unload(void **state) {
    (void)state;
    wn__json_free(fixture);
    return 0;
}

// The base tokenizer with the case's members in place of its own.
static wn_tokenizer *build(const wn__json *c) {
    const wn__json *base = wn__json_get(wn__json_get(fixture, "bases"),
                                        wn__json_string(wn__json_get(c, "base"), NULL));
    wn__json *root = wn__json_new_object(), *value;
    const wn__json *set = wn__json_get(c, "set");
    const char *key;
    size_t n;
    char *text;
    wn_tokenizer *t;
    for (void *iter = NULL; wn__json_next(base, &iter, &key, &n, &value);)
        assert_int_equal(wn__json_set(root, key, wn__json_ref(value)), WN_OK);
    for (void *iter = NULL; wn__json_next(set, &iter, &key, &n, &value);)
        assert_int_equal(wn__json_set(root, key, wn__json_ref(value)), WN_OK);
    assert_int_equal(wn__json_dump(root, 0, &text), WN_OK);
    if (wn_tokenizer_parse(text, strlen(text), "t", &t) != WN_OK) fail_msg("%s", wn_last_error());
    free(text);
    wn__json_free(root);
    return t;
}

static void print_ids(const char *title, const int32_t *id, size_t n) {
    print_error("%s:", title);
    for (size_t i = 0; i < n; i++)
        print_error(" %d", id[i]);
    print_error("\n");
}

static bool same_ids(const wn__json *want, const wn_tokens *got, size_t skip) {
    bool same = got->count == wn__json_count(want) + skip;
    for (size_t i = skip; same && i < got->count; i++)
        same = wn__json_int(wn__json_at(want, i - skip)) == got->id[i];
    if (same) return true;
    print_error("want:");
    for (size_t i = 0; i < wn__json_count(want); i++)
        print_error(" %d", (int)wn__json_int(wn__json_at(want, i)));
    print_ids("\ngot", got->id, got->count);
    return false;
}

static int check_decode(const wn_tokenizer *t, const wn_tokens *ids, bool skip, const char *want,
                        size_t size) {
    char *text;
    size_t n;
    assert_int_equal(wn_tokenizer_decode(t, ids->id, ids->count, skip, &text, &n), WN_OK);
    bool same = n == size && memcmp(text, want, n) == 0 && text[n] == '\0';
    if (!same) print_error("decoded '%s' instead of '%s'\n", text, want);
    free(text);
    return !same;
}

// Number of differences between a row and what t does.
static int replay(const wn_tokenizer *t, const wn__json *row) {
    size_t n, decoded_size, skipped_size;
    size_t number = (size_t)wn__json_int(wn__json_get(row, "text"));
    const char *text = wn__json_string(wn__json_at(wn__json_get(fixture, "texts"), number), &n);
    const wn__json *ids = wn__json_get(row, "ids"), *plain = wn__json_get(row, "plain"),
                   *bos = wn__json_get(row, "bos");
    const char *decoded = wn__json_string(wn__json_get(row, "decoded"), &decoded_size);
    const char *skipped = wn__json_string(wn__json_get(row, "skipped"), &skipped_size);
    if (decoded == NULL) {
        decoded = text;
        decoded_size = n;
    }
    if (skipped == NULL) {
        skipped = decoded;
        skipped_size = decoded_size;
    }
    wn_tokens got;
    assert_int_equal(wn_tokenizer_encode(t, text, n, true, true, &got), WN_OK);
    int bad = !same_ids(ids, &got, bos != NULL) ||
              (bos != NULL && (got.id[0] != wn__json_int(bos) || got.id[0] != wn_tokenizer_bos(t)));
    wn_tokens_free(&got);
    assert_int_equal(wn_tokenizer_encode(t, text, n, true, false, &got), WN_OK);
    bad += !same_ids(ids, &got, 0);
    if (!wn__json_bool(wn__json_get(row, "lossy"))) {
        bad += check_decode(t, &got, false, decoded, decoded_size);
        bad += check_decode(t, &got, true, skipped, skipped_size);
    }
    wn_tokens_free(&got);
    assert_int_equal(wn_tokenizer_encode(t, text, n, false, false, &got), WN_OK);
    bad += !same_ids(plain != NULL ? plain : ids, &got, 0);
    wn_tokens_free(&got);
    if (bad) {
        print_error("text:");
        for (size_t i = 0; i < n; i++)
            print_error(" %02x", (unsigned char)text[i]);
        print_error(" (%s)\n", text);
    }
    return bad;
}

static void test_replay(void **state) {
    (void)state;
    const wn__json *cases = wn__json_get(fixture, "cases");
    assert_true(wn__json_count(cases) > 10);
    int bad = 0;
    for (size_t i = 0; i < wn__json_count(cases); i++) {
        const wn__json *c = wn__json_at(cases, i), *rows = wn__json_get(c, "rows");
        wn_tokenizer *t = build(c);
        assert_true(wn__json_count(rows) > 10);
        int here = 0;
        for (size_t k = 0; k < wn__json_count(rows); k++)
            here += replay(t, wn__json_at(rows, k));
        if (here > 0)
            print_error("%d differences in %s\n", here,
                        wn__json_string(wn__json_get(c, "name"), NULL));
        bad += here;
        wn_tokenizer_free(t);
    }
    assert_int_equal(bad, 0);
}

static void test_kinds(void **state) {
    (void)state;
    static const char *const kinds[] = {"byte-level BPE (gpt2)", "byte-level BPE (llama3)",
                                        "byte-level BPE (qwen2)"};
    static const char *const eos[] = {"<|endoftext|>", "<|end_of_text|>", "<|endoftext|>"};
    for (size_t i = 0; i < 3; i++) {
        wn_tokenizer *t = build(wn__json_at(wn__json_get(fixture, "cases"), i));
        assert_string_equal(wn_tokenizer_kind(t), kinds[i]);
        assert_true(wn_tokenizer_eos(t) >= 0);
        assert_int_equal(wn_tokenizer_eos(t), wn_tokenizer_find(t, eos[i]));
        assert_int_equal(wn_tokenizer_bos(t), wn_tokenizer_find(t, "<|begin_of_text|>"));
        wn_tokenizer_free(t);
    }
}

// "Ġa" for " a", as tokenizer.json spells bytes given in hexadecimal.
static void spell(const char *hex, char *out) {
    for (; hex[0] != '\0'; hex += 2) {
        char digits[3] = {hex[0], hex[1], '\0'};
        unsigned b = (unsigned)strtoul(digits, NULL, 16);
        unsigned c = b <= 32 ? 256 + b : b >= 127 && b <= 160 ? 289 + b - 127 : b == 173 ? 323 : b;
        if (c >= 0x80) *out++ = (char)(0xC0 | c >> 6);
        *out++ = (char)(c >= 0x80 ? 0x80 | (c & 0x3F) : c);
    }
    *out = '\0';
}

static void check_learned(const wn__json *want, const char *path) {
    static const char *const kinds[] = {"gpt2", "llama3", "qwen2"};
    const char *kind = wn__json_string(wn__json_get(want, "pretokenizer"), NULL);
    wn_bpe_options o = {.vocab_size = (int32_t)wn__json_int(wn__json_get(want, "vocab_size")),
                        .min_frequency = wn__json_int(wn__json_get(want, "min_frequency"))};
    while (strcmp(kinds[o.pretokenizer], kind) != 0)
        o.pretokenizer++;
    size_t n;
    const char *text = wn__json_string(wn__json_get(want, "text"), &n);
    wn_tokenizer *t;
    assert_int_equal(wn_tokenizer_train(text, n, &o, &t), WN_OK);
    assert_int_equal(wn_tokenizer_vocab_size(t), wn__json_int(wn__json_get(want, "ids")));
    assert_int_equal(wn_tokenizer_eos(t), wn_tokenizer_vocab_size(t) - 1);
    assert_int_equal(wn_tokenizer_save(t, path), WN_OK);
    wn_tokenizer_free(t);
    wn__json *root;
    assert_int_equal(wn__json_read(path, 0, &root), WN_OK);
    const wn__json *got = wn__json_get(wn__json_get(root, "model"), "merges"),
                   *merges = wn__json_get(want, "merges");
    assert_int_equal(wn__json_count(got), wn__json_count(merges));
    for (size_t i = 0; i < wn__json_count(got); i++) {
        char line[2048], *p = line;
        spell(wn__json_string(wn__json_at(wn__json_at(merges, i), 0), NULL), p);
        p += strlen(p);
        *p++ = ' ';
        spell(wn__json_string(wn__json_at(wn__json_at(merges, i), 1), NULL), p);
        assert_string_equal(wn__json_string(wn__json_at(got, i), NULL), line);
    }
    wn__json_free(root);
}

static void test_learned(void **state) {
    const wn__json *list = wn__json_get(fixture, "learned");
    assert_true(wn__json_count(list) >= 5);
    for (size_t i = 0; i < wn__json_count(list); i++)
        check_learned(wn__json_at(list, i), scratch_path(state, "tokenizer.json"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test_setup_teardown(test_learned, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
