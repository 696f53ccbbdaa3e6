// SPDX-License-Identifier: MIT
// Tokenizers on their own terms: every byte string comes back, training does not depend on chance,
// long runs are no trouble, files that lie are refused with words.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/philox.h"
#include "unit/base/scratch.h"
#include "winnow/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prose[] =
    "The mill stands where the river bends. The miller's daughter counts the sacks: 1, 2, 12, "
    "144.\n"
    "\"We'll be late,\" she said; \"they've gone, I'm sure of it.\"  Na\xc3\xafve caf\xc3\xa9s, "
    "\xe6\xb2\xb3\xe8\xbe\xb9 \xf0\x9f\x99\x82.\r\n\tThe river bends; the mill stands.\n\n"
    "the the the then there their mill miller milling river rivers riverbed bend bends bending\n";

static wn_tokenizer *train(wn_pretokenizer kind, int32_t ids, const char *text, size_t n) {
    wn_bpe_options o = {.vocab_size = ids, .pretokenizer = kind};
    wn_tokenizer *t;
    if (wn_tokenizer_train(text, n, &o, &t) != WN_OK) fail_msg("%s", wn_last_error());
    return t;
}

static void check_round_trip(const wn_tokenizer *t, const char *text, size_t n) {
    for (int special = 0; special < 2; special++) {
        wn_tokens ids;
        char *back;
        size_t size;
        if (wn_tokenizer_encode(t, text, n, special, false, &ids) != WN_OK)
            fail_msg("%s", wn_last_error());
        assert_int_equal(wn_tokenizer_decode(t, ids.id, ids.count, false, &back, &size), WN_OK);
        assert_int_equal(size, n);
        assert_memory_equal(back, text, n);
        free(back);
        wn_tokens_free(&ids);
    }
}

// Words that make up text of every kind of trouble: raw bytes, pieces of UTF-8, pieces of prose.
static size_t scramble(uint64_t stream, char *out, size_t n) {
    static const char *const parts[] = {"\xe2\x82",
                                        "\xf0\x9f\x99\x82",
                                        "\xc3",
                                        "\xa9",
                                        "\xed\xa0\x80",
                                        "<|endoftext|>",
                                        "<|end",
                                        "  ",
                                        "\r\n",
                                        "'s",
                                        "the",
                                        "\xcc\x81",
                                        "\xf5",
                                        "\xc0\x80",
                                        "e"};
    size_t size = 0;
    for (uint64_t i = 0; size + 16 < n; i++) {
        uint32_t r[4];
        wn__philox_draw(7, WN_STREAM_TEST + stream, i, r);
        if (r[0] % 3 == 0) {
            const char *part = parts[r[1] % (sizeof parts / sizeof parts[0])];
            memcpy(out + size, part, strlen(part));
            size += strlen(part);
        } else {
            out[size++] = (char)(r[2] & 0xFF);
        }
    }
    return size;
}

static void test_round_trip(void **state) {
    (void)state;
    char text[4096];
    for (int kind = 0; kind < 4; kind++) {
        wn_tokenizer *t;
        if (kind < 3)
            t = train((wn_pretokenizer)kind, 400, prose, strlen(prose));
        else
            assert_int_equal(wn_tokenizer_bytes(&t), WN_OK);
        for (uint64_t stream = 0; stream < 30; stream++)
            check_round_trip(t, text, scramble(stream, text, 40 + 130 * (size_t)stream));
        check_round_trip(t, "", 0);
        for (int byte = 0; byte < 256; byte++) {
            char c = (char)byte;
            check_round_trip(t, &c, 1);
        }
        wn_tokenizer_free(t);
    }
}

// Merges shorten text: what was learned is used, and the words of the text are single ids.
static void test_trained(void **state) {
    (void)state;
    wn_tokenizer *t = train(WN_PRETOKENIZER_LLAMA3, 400, prose, strlen(prose));
    wn_tokens ids;
    assert_int_equal(wn_tokenizer_encode(t, " the mill", 9, true, false, &ids), WN_OK);
    assert_int_equal(ids.count, 2);
    assert_int_equal(ids.id[0], wn_tokenizer_find(t, "\xc4\xa0the"));
    wn_tokens_free(&ids);
    assert_int_equal(wn_tokenizer_encode(t, prose, strlen(prose), true, false, &ids), WN_OK);
    assert_true(ids.count < strlen(prose) * 3 / 4);
    wn_tokens_free(&ids);
    for (int32_t byte = 33; byte < 127; byte++)
        assert_int_equal(wn_tokenizer_find(t, (char[]){(char)byte, '\0'}), byte);
    assert_int_equal(wn_tokenizer_find(t, "no such token"), -1);
    assert_string_equal(wn_tokenizer_kind(t), "byte-level BPE (llama3)");
    wn_tokenizer_free(t);
}

static char *saved(const wn_tokenizer *t, const char *path) {
    char *text;
    size_t n;
    assert_int_equal(wn_tokenizer_save(t, path), WN_OK);
    assert_int_equal(wn__file_read(path, 0, &text, &n), WN_OK);
    return text;
}

static void test_deterministic(void **state) {
    for (int kind = 0; kind < 3; kind++) {
        char *text[2];
        for (int i = 0; i < 2; i++) {
            wn_tokenizer *t = train((wn_pretokenizer)kind, 380, prose, strlen(prose));
            text[i] = saved(t, scratch_path(state, "t.json"));
            wn_tokenizer_free(t);
        }
        assert_string_equal(text[0], text[1]);
        free(text[0]);
        free(text[1]);
    }
}

static void same_encoding(const wn_tokenizer *a, const wn_tokenizer *b, const char *text,
                          size_t n) {
    wn_tokens x, y;
    assert_int_equal(wn_tokenizer_encode(a, text, n, true, false, &x), WN_OK);
    assert_int_equal(wn_tokenizer_encode(b, text, n, true, false, &y), WN_OK);
    assert_int_equal(x.count, y.count);
    if (x.count > 0) assert_memory_equal(x.id, y.id, x.count * sizeof *x.id);
    wn_tokens_free(&x);
    wn_tokens_free(&y);
}

static void test_saved(void **state) {
    char text[3000];
    for (int kind = 0; kind < 4; kind++) {
        wn_tokenizer *t, *back;
        if (kind < 3)
            t = train((wn_pretokenizer)kind, 380, prose, strlen(prose));
        else
            assert_int_equal(wn_tokenizer_bytes(&t), WN_OK);
        const char *path = scratch_path(state, "tokenizer.json");
        char *first = saved(t, path);
        assert_int_equal(
            wn_tokenizer_save_config(t, scratch_path(state, "tokenizer_config.json"), 512), WN_OK);
        if (wn_tokenizer_open(path, &back) != WN_OK) fail_msg("%s", wn_last_error());
        assert_string_equal(wn_tokenizer_kind(back), wn_tokenizer_kind(t));
        assert_int_equal(wn_tokenizer_vocab_size(back), wn_tokenizer_vocab_size(t));
        assert_int_equal(wn_tokenizer_eos(back), wn_tokenizer_eos(t));
        assert_int_equal(wn_tokenizer_bos(back), wn_tokenizer_bos(t));
        assert_int_equal(wn_tokenizer_eos(back), wn_tokenizer_vocab_size(t) - 1);
        same_encoding(t, back, prose, strlen(prose));
        for (uint64_t stream = 50; stream < 60; stream++)
            same_encoding(t, back, text, scramble(stream, text, sizeof text));
        char *second = saved(back, scratch_path(state, "again.json"));
        assert_string_equal(first, second);
        free(first);
        free(second);
        wn_tokenizer_free(t);
        wn_tokenizer_free(back);
    }
}

static void test_config(void **state) {
    wn_tokenizer *t, *back;
    const char *path = scratch_path(state, "tokenizer.json"),
               *config = scratch_path(state, "tokenizer_config.json");
    assert_int_equal(wn_tokenizer_bytes(&t), WN_OK);
    assert_int_equal(wn_tokenizer_save(t, path), WN_OK);
    assert_int_equal(wn_tokenizer_save_config(t, config, 77), WN_OK);
    wn__json *j;
    assert_int_equal(wn__json_read(config, 0, &j), WN_OK);
    assert_string_equal(wn__json_string(wn__json_get(j, "tokenizer_class"), NULL),
                        "PreTrainedTokenizerFast");
    assert_string_equal(wn__json_string(wn__json_get(j, "eos_token"), NULL), "<|endoftext|>");
    assert_int_equal(wn__json_int(wn__json_get(j, "model_max_length")), 77);
    wn__json_free(j);
    wn_tokenizer_free(t);

    // What the file beside it says: names, objects, a template that is not ours and stays.
    static const char text[] =
        "{\"bos_token\":{\"content\":\"A\"},\"eos_token\":\"B\",\"add_bos_token\":true,"
        "\"chat_template\":\"{{ x }}\",\"pad_token\":null}";
    assert_int_equal(wn__file_write(config, text, strlen(text)), WN_OK);
    assert_int_equal(wn_tokenizer_open(path, &back), WN_OK);
    assert_int_equal(wn_tokenizer_bos(back), 'A');
    assert_int_equal(wn_tokenizer_eos(back), 'B');
    wn_tokens ids;
    assert_int_equal(wn_tokenizer_encode(back, "x", 1, true, true, &ids), WN_OK);
    assert_int_equal(ids.count, 2);
    assert_int_equal(ids.id[0], 'A');
    wn_tokens_free(&ids);
    assert_int_equal(wn_tokenizer_save_config(back, config, 0), WN_OK);
    wn_tokenizer_free(back);
    assert_int_equal(wn__json_read(config, 0, &j), WN_OK);
    assert_string_equal(wn__json_string(wn__json_get(j, "chat_template"), NULL), "{{ x }}");
    assert_null(wn__json_get(j, "model_max_length"));
    wn__json_free(j);

    assert_int_equal(wn__file_write(config, "[]", 2), WN_OK);
    assert_int_equal(wn_tokenizer_open(path, &back), WN_FORMAT);
    assert_non_null(strstr(wn_last_error(), "tokenizer_config.json"));
    assert_int_equal(wn_tokenizer_open(scratch_path(state, "absent.json"), &back), WN_IO);
    assert_null(back);
}

static void test_special(void **state) {
    (void)state;
    wn_tokenizer *t;
    wn_tokens ids;
    char *text;
    size_t n;
    assert_int_equal(wn_tokenizer_bytes(&t), WN_OK);
    assert_int_equal(wn_tokenizer_vocab_size(t), 257);
    assert_string_equal(wn_tokenizer_kind(t), "bytes");
    assert_int_equal(wn_tokenizer_find(t, "<|endoftext|>"), 256);
    assert_int_equal(wn_tokenizer_encode(t, "a<|endoftext|>b", 15, true, true, &ids), WN_OK);
    assert_int_equal(ids.count, 3);
    assert_memory_equal(ids.id, ((int32_t[]){'a', 256, 'b'}), 12);
    assert_int_equal(wn_tokenizer_decode(t, ids.id, 3, true, &text, &n), WN_OK);
    assert_string_equal(text, "ab");
    free(text);
    assert_int_equal(wn_tokenizer_decode(t, ids.id, 3, false, &text, &n), WN_OK);
    assert_string_equal(text, "a<|endoftext|>b");
    free(text);
    wn_tokens_free(&ids);
    assert_int_equal(wn_tokenizer_encode(t, "a<|endoftext|>b", 15, false, false, &ids), WN_OK);
    assert_int_equal(ids.count, 15);
    wn_tokens_free(&ids);
    assert_int_equal(wn_tokenizer_decode(t, (int32_t[]){1, 257}, 2, false, &text, &n), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "id 257 (number 1) is outside 0..256"));
    assert_null(text);
    assert_int_equal(wn_tokenizer_decode(t, (int32_t[]){-1}, 1, false, &text, &n), WN_INVALID);
    assert_int_equal(wn_tokenizer_decode(t, NULL, 0, false, &text, &n), WN_OK);
    assert_int_equal(n, 0);
    free(text);
    wn_tokenizer_free(t);
}

// A megabyte of one thing; a merge that looks at everything again for each pair never ends.
static void test_long_runs(void **state) {
    (void)state;
    static const char *const runs[] = {
        "a", " ", "ab", "\n", " \n\r", "\xcc\x81\xcc\x96", "<", "\xff", "'", "\xf0\x9f\x99\x82"};
    size_t n = (size_t)1 << 20;
    char *text = malloc(n);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        size_t period = strlen(runs[i]);
        for (size_t k = 0; k < n; k++)
            text[k] = runs[i][k % period];
        wn_tokenizer *t = train((wn_pretokenizer)(i % 3), 300, text, n / 2);
        check_round_trip(t, text, n);
        wn_tokenizer_free(t);
    }
    for (size_t k = 0; k < n; k++) { // one word, no two places alike
        uint32_t r[4];
        wn__philox_draw(1, WN_STREAM_TEST, k, r);
        text[k] = (char)('a' + r[0] % 20);
    }
    wn_tokenizer *t = train(WN_PRETOKENIZER_GPT2, 1000, text, n);
    check_round_trip(t, text, n);
    wn_tokenizer_free(t);
    free(text);
}

// Marks heaped on a letter are put in order in one pass.
static void test_long_marks(void **state) {
    wn_tokenizer *t, *nfc;
    const char *path = scratch_path(state, "t.json");
    wn__json *root;
    char *text;
    assert_int_equal(wn_tokenizer_bytes(&t), WN_OK);
    assert_int_equal(wn_tokenizer_save(t, path), WN_OK);
    assert_int_equal(wn__json_read(path, 0, &root), WN_OK);
    wn__json *form = wn__json_new_object();
    assert_int_equal(wn__json_set(form, "type", wn__json_new_string("NFC")), WN_OK);
    assert_int_equal(wn__json_set(root, "normalizer", form), WN_OK);
    assert_int_equal(wn__json_dump(root, 0, &text), WN_OK);
    assert_int_equal(wn_tokenizer_parse(text, strlen(text), "nfc", &nfc), WN_OK);
    free(text);
    wn__json_free(root);
    wn_tokenizer_free(t);

    size_t marks = 100000;
    char *long_text = malloc(4 * marks + 1);
    assert_non_null(long_text);
    long_text[0] = 'x';
    for (size_t i = 0; i < marks; i++) // above (class 230), below (class 220)
        memcpy(long_text + 1 + 4 * i, "\xcc\x81\xcc\x96", 4);
    wn_tokens ids;
    char *back;
    size_t n;
    assert_int_equal(wn_tokenizer_encode(nfc, long_text, 4 * marks + 1, true, false, &ids), WN_OK);
    assert_int_equal(wn_tokenizer_decode(nfc, ids.id, ids.count, false, &back, &n), WN_OK);
    assert_int_equal(n, 4 * marks + 1);
    for (size_t i = 0; i < 2 * marks; i++)
        assert_memory_equal(back + 1 + 2 * i, i < marks ? "\xcc\x96" : "\xcc\x81", 2);
    free(back);
    free(long_text);
    wn_tokens_free(&ids);
    wn_tokenizer_free(nfc);
}

static void test_train_options(void **state) {
    (void)state;
    wn_tokenizer *t = (wn_tokenizer *)(uintptr_t)1;
    wn_bpe_options o = {.vocab_size = 256};
    assert_int_equal(wn_tokenizer_train("abc", 3, &o, &t), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "256 is outside 257.."));
    assert_null(t);
    o = (wn_bpe_options){.vocab_size = 300, .min_frequency = -1};
    assert_int_equal(wn_tokenizer_train("abc", 3, &o, &t), WN_INVALID);
    o = (wn_bpe_options){.vocab_size = 300, .pretokenizer = (wn_pretokenizer)9};
    assert_int_equal(wn_tokenizer_train("abc", 3, &o, &t), WN_INVALID);
    o = (wn_bpe_options){.vocab_size = 300};
    assert_int_equal(wn_tokenizer_train("", 0, &o, &t), WN_INVALID);
    assert_int_equal(wn_tokenizer_train("abc", 3, &o, &t), WN_OK); // nothing comes twice
    assert_int_equal(wn_tokenizer_vocab_size(t), 257);
    wn_tokenizer_free(t);
    o.min_frequency = 1;
    assert_int_equal(wn_tokenizer_train("abc", 3, &o, &t), WN_OK);
    assert_int_equal(wn_tokenizer_vocab_size(t), 259);
    assert_int_equal(wn_tokenizer_find(t, "abc"), 257);
    wn_tokenizer_free(t);
    // The end-of-text token parts documents: it is not learned, nor does a pair reach across it.
    static const char documents[] = "ab<|endoftext|>ab<|endoftext|>ab<|endoftext|>";
    o = (wn_bpe_options){.vocab_size = 300};
    assert_int_equal(wn_tokenizer_train(documents, strlen(documents), &o, &t), WN_OK);
    assert_int_equal(wn_tokenizer_vocab_size(t), 258);
    wn_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_trained),
        cmocka_unit_test_setup_teardown(test_deterministic, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_saved, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_config, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test_setup_teardown(test_long_marks, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_train_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
