// SPDX-License-Identifier: MIT
// Text files to shards, and the fingerprint of a tokenizer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/shard.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"

static const char text[] = "the cat and the hat and the bat<|endoftext|>the end of the text";

static wn_tokenizer *train_tokenizer(int32_t vocab) {
    wn_tokenizer *t;
    const wn_bpe_options o = {.vocab_size = vocab, .pretokenizer = WN_PRETOKENIZER_GPT2};
    OK(wn_tokenizer_train(text, sizeof text - 1, &o, &t));
    return t;
}

static void test_bytes(void **state) {
    const char *file = scratch_path(state, "a.txt"), *shard = scratch_path(state, "a.tokens");
    OK(wn__file_write(file, text, sizeof text - 1));
    wn_tokenizer *t;
    OK(wn_tokenizer_bytes(&t));
    wn_shard_info info;
    OK(wn_tokenize_file(t, file, 4, 11, shard, &info));
    assert_int_equal(info.count, 7);
    assert_int_equal(info.text_bytes, 7);
    assert_int_equal(info.vocab_size, 257);
    assert_true(info.tokenizer == wn_tokenizer_fingerprint(t));
    wn_tokens ids;
    OK(wn_shard_read(shard, &ids));
    for (int i = 0; i < 7; i++)
        assert_int_equal(ids.id[i], "cat and"[i]);
    wn_tokens_free(&ids);
    wn_tokenizer_free(t);
}

// Special tokens written in the text become their ids.
static void test_specials(void **state) {
    const char *file = scratch_path(state, "a.txt"), *shard = scratch_path(state, "a.tokens");
    OK(wn__file_write(file, text, sizeof text - 1));
    wn_tokenizer *t = train_tokenizer(270);
    OK(wn_tokenize_file(t, file, 0, 0, shard, NULL));
    wn_tokens ids;
    OK(wn_shard_read(shard, &ids));
    int ends = 0;
    for (size_t i = 0; i < ids.count; i++)
        ends += ids.id[i] == wn_tokenizer_eos(t);
    assert_int_equal(ends, 1);
    char *back;
    size_t size;
    OK(wn_tokenizer_decode(t, ids.id, ids.count, false, &back, &size));
    assert_int_equal(size, sizeof text - 1);
    assert_memory_equal(back, text, size);
    free(back);
    wn_tokens_free(&ids);
    wn_tokenizer_free(t);
}

static void test_refuses(void **state) {
    const char *file = scratch_path(state, "a.txt"), *shard = scratch_path(state, "a.tokens");
    wn_tokenizer *t;
    OK(wn_tokenizer_bytes(&t));
    OK(wn__file_write(file, "", 0));
    assert_int_equal(wn_tokenize_file(t, file, 0, 0, shard, NULL), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "a.txt: empty"));
    OK(wn__file_write(file, "abc", 3));
    assert_int_equal(wn_tokenize_file(t, file, 0, 4, shard, NULL), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "ends at 4"));
    assert_int_equal(wn_tokenize_file(t, file, 3, 3, shard, NULL), WN_INVALID);
    assert_int_equal(wn_tokenize_file(t, file, 2, 1, shard, NULL), WN_INVALID);
    assert_int_equal(wn_tokenize_file(t, scratch_path(state, "none"), 0, 0, shard, NULL), WN_IO);
    assert_false(wn__file_exists(shard));
    wn_tokenizer_free(t);
}

static void test_fingerprint(void **state) {
    const char *path = scratch_path(state, "tokenizer.json");
    wn_tokenizer *a = train_tokenizer(270), *b = train_tokenizer(270), *c = train_tokenizer(259),
                 *again, *bytes;
    uint64_t of_a = wn_tokenizer_fingerprint(a);
    assert_true(of_a != 0);
    assert_true(of_a == wn_tokenizer_fingerprint(b));
    assert_true(of_a != wn_tokenizer_fingerprint(c));
    OK(wn_tokenizer_save(a, path));
    OK(wn_tokenizer_open(path, &again));
    assert_true(of_a == wn_tokenizer_fingerprint(again));
    wn_tokenizer_free(again);
    OK(wn_tokenizer_bytes(&bytes));
    OK(wn_tokenizer_save(bytes, path));
    OK(wn_tokenizer_open(path, &again));
    assert_true(wn_tokenizer_fingerprint(bytes) == wn_tokenizer_fingerprint(again));
    wn_tokenizer_free(a);
    wn_tokenizer_free(b);
    wn_tokenizer_free(c);
    wn_tokenizer_free(bytes);
    wn_tokenizer_free(again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_specials, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_refuses, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_fingerprint, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
