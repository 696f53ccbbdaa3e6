// SPDX-License-Identifier: MIT
// Replays what Hugging Face tokenizers gave for awkward strings (tools/make_tokenizer_fixtures.py),
// and compares learned merges with a trainer that counts everything again each time. With a file as
// argument, that file alone is replayed.
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

static const char *path = WN_FIXTURES "/tokenizer/hf.json";
static wn__json *fixture;

static int load(void **state) {
    (void)state;
    if (wn__json_read(path, (size_t)1 << 30, &fixture) == WN_OK) return 0;
    print_error("%s\n", wn_last_error());
    return -1;
}

static int load_kinds(void **state) {
    path = WN_FIXTURES "/tokenizer/spm.json";
    return load(state);
}

static int unload(void **state) {
    (void)state;
    wn__json_free(fixture);
    return 0;
}

static void set_all(wn__json *o, const wn__json *members) {
    const char *key;
    size_t n;
    wn__json *value;
    for (void *iter = NULL; wn__json_next(members, &iter, &key, &n, &value);)
        assert_int_equal(wn__json_set(o, key, wn__json_ref(value)), WN_OK);
}

// The base tokenizer with the case's members in place of its own, and of its model's.
static wn_tokenizer *build(const wn__json *c) {
    const wn__json *base = wn__json_get(wn__json_get(fixture, "bases"),
                                        wn__json_string(wn__json_get(c, "base"), NULL)),
                   *set = wn__json_get(c, "set");
    wn__json *root = wn__json_new_object(), *model = wn__json_new_object();
    char *text;
    wn_tokenizer *t;
    set_all(root, base);
    set_all(root, set);
    set_all(model, wn__json_get(base, "model"));
    set_all(model, wn__json_get(set, "model"));
    assert_int_equal(wn__json_set(root, "model", model), WN_OK);
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

// A string member, or the one that stands for it where it is the same.
static const char *text_or(const wn__json *row, const char *key, const char *other, size_t other_n,
                           size_t *n) {
    const char *text = wn__json_string(wn__json_get(row, key), n);
    if (text == NULL) *n = other_n;
    return text != NULL ? text : other;
}

static int check_decode(const wn_tokenizer *t, const int32_t *id, size_t count, bool skip,
                        const char *want, size_t size) {
    char *text;
    size_t n;
    if (wn_tokenizer_decode(t, id, count, skip, &text, &n) != WN_OK)
        fail_msg("%s", wn_last_error());
    bool same = n == size && memcmp(text, want, n) == 0 && text[n] == '\0';
    if (!same) print_error("decoded '%s' instead of '%s'\n", text, want);
    free(text);
    return !same;
}

// Both decodings of the ids; text: what they are where the row does not say.
static int check_decodes(const wn_tokenizer *t, const wn__json *row, const int32_t *id,
                         size_t count, const char *text, size_t n) {
    size_t size, skipped_size;
    const char *decoded = text_or(row, "decoded", text, n, &size),
               *skipped = text_or(row, "skipped", decoded, size, &skipped_size);
    return check_decode(t, id, count, false, decoded, size) +
           check_decode(t, id, count, true, skipped, skipped_size);
}

typedef wn_status encode_fn(const wn_tokenizer *t, const char *text, size_t n, wn_tokens *out);
static wn_status encode_ids(const wn_tokenizer *t, const char *text, size_t n, wn_tokens *out) {
    return wn_tokenizer_encode(t, text, n, true, false, out);
}
static wn_status encode_bos(const wn_tokenizer *t, const char *text, size_t n, wn_tokens *out) {
    return wn_tokenizer_encode(t, text, n, true, true, out);
}
static wn_status encode_framed(const wn_tokenizer *t, const char *text, size_t n, wn_tokens *out) {
    return wn_tokenizer_encode_framed(t, text, n, true, out);
}
static wn_status encode_plain(const wn_tokenizer *t, const char *text, size_t n, wn_tokens *out) {
    return wn_tokenizer_encode(t, text, n, false, false, out);
}

static int check_ids(const wn_tokenizer *t, encode_fn *fn, const char *text, size_t n,
                     const wn__json *want, size_t skip) {
    wn_tokens got;
    wn_status status = fn(t, text, n, &got);
    if (wn__json_typeof(want) == WN_JSON_NULL) { // it fails there too
        wn_tokens_free(&got);
        return status != WN_INVALID;
    }
    if (status != WN_OK) fail_msg("%s", wn_last_error());
    int bad = !same_ids(want, &got, skip);
    if (skip > 0 && got.count > 0) bad += got.id[0] != wn_tokenizer_bos(t);
    wn_tokens_free(&got);
    return bad;
}

static int replay_ids(const wn_tokenizer *t, const wn__json *row, const char *text, size_t n) {
    const wn__json *ids = wn__json_get(row, "ids"), *plain = wn__json_get(row, "plain"),
                   *framed = wn__json_get(row, "framed"), *bos = wn__json_get(row, "bos");
    wn_tokens got;
    int bad = check_ids(t, encode_ids, text, n, ids, 0);
    bad += check_ids(t, encode_plain, text, n, plain != NULL ? plain : ids, 0);
    if (framed != NULL) bad += check_ids(t, encode_framed, text, n, framed, 0);
    if (bos != NULL) {
        bad += check_ids(t, encode_bos, text, n, ids, 1);
        bad += wn__json_int(bos) != wn_tokenizer_bos(t);
    }
    if (wn__json_bool(wn__json_get(row, "lossy")) || wn__json_typeof(ids) == WN_JSON_NULL)
        return bad;
    assert_int_equal(encode_ids(t, text, n, &got), WN_OK);
    bad += check_decodes(t, row, got.id, got.count, text, n);
    wn_tokens_free(&got);
    return bad;
}

static int replay_list(const wn_tokenizer *t, const wn__json *row, const wn__json *list) {
    size_t count = wn__json_count(list);
    int32_t *id = malloc((count + 1) * sizeof *id);
    assert_non_null(id);
    for (size_t i = 0; i < count; i++)
        id[i] = (int32_t)wn__json_int(wn__json_at(list, i));
    int bad = check_decodes(t, row, id, count, "", 0);
    if (bad > 0) print_ids("ids", id, count);
    free(id);
    return bad;
}

// Number of differences between a row and what t does.
static int replay(const wn_tokenizer *t, const wn__json *row) {
    const wn__json *list = wn__json_get(row, "decode");
    if (list != NULL) return replay_list(t, row, list);
    size_t n, number = (size_t)wn__json_int(wn__json_get(row, "text"));
    const char *text = wn__json_string(wn__json_at(wn__json_get(fixture, "texts"), number), &n);
    int bad = replay_ids(t, row, text, n);
    if (bad > 0) {
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
    assert_true(wn__json_count(cases) > 0);
    int bad = 0;
    size_t rows_done = 0;
    for (size_t i = 0; i < wn__json_count(cases); i++) {
        const wn__json *c = wn__json_at(cases, i), *rows = wn__json_get(c, "rows");
        wn_tokenizer *t = build(c);
        assert_true(wn__json_count(rows) > 10);
        rows_done += wn__json_count(rows);
        int here = 0;
        for (size_t k = 0; k < wn__json_count(rows); k++)
            here += replay(t, wn__json_at(rows, k));
        if (here > 0)
            print_error("%d differences in %s\n", here,
                        wn__json_string(wn__json_get(c, "name"), NULL));
        bad += here;
        wn_tokenizer_free(t);
    }
    print_message("%s: %zu tokenizers, %zu rows, %d differences\n", path, wn__json_count(cases),
                  rows_done, bad);
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

static void check_learned(const wn__json *want, const char *file) {
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
    assert_int_equal(wn_tokenizer_save(t, file), WN_OK);
    wn_tokenizer_free(t);
    wn__json *root;
    assert_int_equal(wn__json_read(file, 0, &root), WN_OK);
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

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test_setup_teardown(test_learned, scratch_setup, scratch_teardown),
    };
    const struct CMUnitTest kinds[] = {
        cmocka_unit_test(test_replay),
    };
    if (argc > 1) {
        path = argv[1];
        return cmocka_run_group_tests_name("file", kinds, load, unload);
    }
    int failed = cmocka_run_group_tests(tests, load, unload);
    return failed + cmocka_run_group_tests(kinds, load_kinds, unload);
}
