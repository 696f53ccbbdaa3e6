// SPDX-License-Identifier: MIT
// Shards: what is written is read, and every malformed header is refused with the field and the
// value.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/shard.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"
#include "winnow/status.h"

static void assert_message(const char *part) {
    if (strstr(wn_last_error(), part) == NULL)
        fail_msg("message '%s' does not hold '%s'", wn_last_error(), part);
}

static void round_trip(void **state, uint32_t vocab, int id_bytes) {
    const char *path = scratch_path(state, "a.tokens");
    int32_t ids[10000];
    for (int i = 0; i < 10000; i++)
        ids[i] = (int32_t)((uint32_t)i * 2654435761u % vocab);
    ids[17] = (int32_t)vocab - 1;
    OK(wn_shard_write(path, ids, 10000, vocab, 12345, 0x1122334455667788u));
    wn_shard_info info;
    OK(wn_shard_inspect(path, true, &info));
    assert_int_equal(info.id_bytes, id_bytes);
    assert_int_equal(info.count, 10000);
    assert_int_equal(info.vocab_size, vocab);
    assert_int_equal(info.text_bytes, 12345);
    assert_true(info.tokenizer == 0x1122334455667788u);
    wn_tokens back;
    OK(wn_shard_read(path, &back));
    assert_int_equal(back.count, 10000);
    assert_memory_equal(back.id, ids, sizeof ids);
    wn_tokens_free(&back);
}

static void test_round_trip(void **state) {
    round_trip(state, 2, 2);
    round_trip(state, 65536, 2);
    round_trip(state, 65537, 4);
    round_trip(state, 2000000000, 4);
}

// The bytes of the format, written out by hand.
static void test_bytes(void **state) {
    const char *path = scratch_path(state, "b.tokens");
    const int32_t ids[3] = {1, 258, 300};
    OK(wn_shard_write(path, ids, 3, 301, 7, 9));
    char *bytes;
    size_t size;
    OK(wn__file_read(path, 0, &bytes, &size));
    const uint8_t body[6] = {1, 0, 2, 1, 44, 1};
    uint8_t expected[70] = "WNTOKENS";
    expected[8] = 1;
    expected[12] = 2;
    expected[16] = 3;
    expected[24] = 301 & 255;
    expected[25] = 1;
    uint32_t crc = wn__crc32(0, body, sizeof body);
    for (int i = 0; i < 4; i++)
        expected[28 + i] = (uint8_t)(crc >> (8 * i));
    expected[32] = 7;
    expected[40] = 9;
    memcpy(expected + 64, body, sizeof body);
    assert_int_equal(size, sizeof expected);
    assert_memory_equal(bytes, expected, sizeof expected);
    free(bytes);
}

static void test_empty(void **state) {
    const char *path = scratch_path(state, "c.tokens");
    OK(wn_shard_write(path, NULL, 0, 5, 0, 0));
    wn_tokens back;
    OK(wn_shard_read(path, &back));
    assert_int_equal(back.count, 0);
    wn_tokens_free(&back);
}

static void test_write_refuses(void **state) {
    const char *path = scratch_path(state, "d.tokens");
    const int32_t high[2] = {0, 7}, negative[1] = {-1};
    assert_int_equal(wn_shard_write(path, high, 2, 7, 0, 0), WN_INVALID);
    assert_message("id 7 at position 1");
    assert_int_equal(wn_shard_write(path, negative, 1, 7, 0, 0), WN_INVALID);
    assert_int_equal(wn_shard_write(path, high, 0, 0, 0, 0), WN_INVALID);
    assert_int_equal(wn_shard_write(path, high, 0, 0x80000000u, 0, 0), WN_INVALID);
    assert_false(wn__file_exists(path));
}

// One changed byte (or a changed size) at a time.
typedef struct damage {
    int at;        // byte that is changed; -1: none
    uint8_t value; // to this
    int size;      // bytes of the file, 0: all
    const char *message;
} damage;

static void test_malformed(void **state) {
    const char *path = scratch_path(state, "e.tokens");
    const int32_t ids[4] = {1, 2, 3, 4};
    const damage cases[] = {
        {0, 'X', 0, "WNTOKENS"},
        {8, 2, 0, "version 2"},
        {12, 3, 0, "3 bytes an id"},
        {12, 0, 0, "0 bytes an id"},
        {16, 5, 0, "5 ids"},
        {16, 3, 0, "3 ids"},
        {23, 0x80, 0, "ids of 2 bytes"},
        {24, 0, 0, "vocabulary of 0"},
        {26, 1, 0, "vocabulary of 65541"},
        {28, 0, 0, "checksum"},
        {48, 1, 0, "byte 48 is 1"},
        {63, 255, 0, "byte 63 is 255"},
        {24, 4, 0, "id 4 at position 3"},
        {66, 9, 0, "checksum"},
        {-1, 0, 71, "7 bytes of ids"},
        {-1, 0, 63, "63 bytes"},
        {-1, 0, 1, "1 bytes"},
    };
    OK(wn_shard_write(path, ids, 4, 5, 0, 0));
    char *bytes;
    size_t size;
    OK(wn__file_read(path, 0, &bytes, &size));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const damage *d = &cases[i];
        char copy[128];
        memcpy(copy, bytes, size);
        if (d->at >= 0) copy[d->at] = (char)d->value;
        OK(wn__file_write(path, copy, d->size > 0 ? (size_t)d->size : size));
        wn_shard_info info;
        assert_int_equal(wn_shard_inspect(path, true, &info), WN_FORMAT);
        assert_message(d->message);
        assert_message("e.tokens");
    }
    free(bytes);
    OK(wn__file_write(path, "", 0));
    wn_shard_info info;
    assert_int_equal(wn_shard_inspect(path, true, &info), WN_FORMAT);
    assert_int_equal(wn_shard_inspect(scratch_path(state, "none"), true, &info), WN_IO);
}

// A header alone does not look at the ids.
static void test_inspect_without_verify(void **state) {
    const char *path = scratch_path(state, "f.tokens");
    const int32_t ids[1] = {1};
    OK(wn_shard_write(path, ids, 1, 5, 0, 0));
    char *bytes;
    size_t size;
    OK(wn__file_read(path, 0, &bytes, &size));
    bytes[64] = 3;
    OK(wn__file_write(path, bytes, size));
    free(bytes);
    wn_shard_info info;
    OK(wn_shard_inspect(path, false, &info));
    assert_int_equal(wn_shard_inspect(path, true, &info), WN_FORMAT);
}

static void test_names(void **state) {
    (void)state;
    assert_true(wn__shard_named("a/b.tokens"));
    assert_true(wn__shard_named(".tokens"));
    assert_false(wn__shard_named("tokens"));
    assert_false(wn__shard_named("a.tokens.txt"));
}

static void test_text_boundary(void **state) {
    (void)state;
    const uint8_t text[] = "a\xc3\xa9\xf0\x9f\x99\x82z"; // a, 2-byte, 4-byte, z
    const size_t expected[] = {0, 1, 3, 3, 7, 7, 7, 7, 8};
    for (size_t i = 0; i <= 8; i++)
        assert_int_equal(wn__text_boundary(text, 8, i), expected[i]);
    const uint8_t broken[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
    assert_int_equal(wn__text_boundary(broken, 6, 1), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bytes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_empty, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_write_refuses, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_malformed, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_inspect_without_verify, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_text_boundary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
