// SPDX-License-Identifier: MIT
// Lists of files: what a pattern names, in which order, walked from any place; text and counts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/documents.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"
#include "winnow/data.h"

#define DATA  WN_FIXTURES "/data/"
#define TRAIN DATA "en/c4-train.*.json.gz"

static char *all; // documents.bin: 23 times a size and as many bytes
static const char *document[23];
static size_t document_size[23];

static int load_documents(void **state) {
    (void)state;
    size_t size;
    if (wn__file_read(DATA "documents.bin", 0, &all, &size) != WN_OK) return -1;
    const char *at = all;
    for (size_t i = 0; i < 23; i++) {
        uint32_t n;
        memcpy(&n, at, sizeof n);
        document[i] = at + sizeof n;
        document_size[i] = n;
        at += sizeof n + n;
    }
    return at == all + size ? 0 : -1;
}

static int free_documents(void **state) {
    (void)state;
    free(all);
    return 0;
}

static void assert_error(const char *part) {
    if (strstr(wn_last_error(), part) == NULL)
        fail_msg("'%s' does not say '%s'", wn_last_error(), part);
}

static void expect(wn__documents *d, size_t first, size_t last) {
    const char *text;
    size_t size;
    for (size_t i = first; i <= last; i++) {
        OK(wn__documents_next(d, &text, &size));
        assert_non_null(text);
        assert_int_equal(size, document_size[i]);
        assert_memory_equal(text, document[i], size);
    }
}

static void expect_end(wn__documents *d) {
    const char *text;
    size_t size;
    OK(wn__documents_next(d, &text, &size));
    assert_null(text);
}

static void test_glob(void **state) {
    (void)state;
    wn__documents *d;
    OK(wn__documents_open(TRAIN, &d));
    assert_int_equal(wn__documents_files(d), 3);
    expect(d, 0, 22);
    expect_end(d);
    expect_end(d);
    wn__documents_close(d);
}

static void test_file(void **state) {
    (void)state;
    wn__documents *d;
    OK(wn__documents_open(DATA "plain/a.jsonl", &d));
    assert_int_equal(wn__documents_files(d), 1);
    expect(d, 0, 8);
    expect_end(d);
    wn__documents_close(d);
}

// Of a directory the four endings: not the hidden one, not the text file, an empty one in between.
static void test_directory(void **state) {
    (void)state;
    const char *paths[] = {DATA "plain", DATA "plain/"};
    for (int i = 0; i < 2; i++) {
        wn__documents *d;
        OK(wn__documents_open(paths[i], &d));
        assert_int_equal(wn__documents_files(d), 4);
        expect(d, 0, 8);
        expect(d, 0, 8);
        expect(d, 20, 20);
        expect_end(d);
        wn__documents_close(d);
    }
}

// A file of that name goes before the pattern it could be.
static void test_name_like_a_pattern(void **state) {
    const char *path = scratch_path(state, "a[0].json");
    wn__documents *d;
    OK(wn__file_write(path, "{\"text\":\"a\"}", 12));
    OK(wn__file_write(scratch_path(state, "a0.json"), "{\"text\":\"b\"}", 12));
    OK(wn__documents_open(path, &d));
    assert_int_equal(wn__documents_files(d), 1);
    const char *text;
    size_t size;
    OK(wn__documents_next(d, &text, &size));
    assert_string_equal(text, "a");
    wn__documents_close(d);
}

static void test_every_place(void **state) {
    (void)state;
    wn__documents *d, *other;
    OK(wn__documents_open(TRAIN, &d));
    OK(wn__documents_open(TRAIN, &other));
    for (size_t i = 0; i <= 23; i++) {
        OK(wn__documents_seek(other, wn__documents_tell(d)));
        if (i < 23) expect(other, i, 22);
        expect_end(other);
        OK(wn__documents_seek(other, (wn__place){.document = i})); // all from the first file
        if (i < 23) expect(other, i, 22);
        expect_end(other);
        if (i < 23) expect(d, i, i);
    }
    OK(wn__documents_seek(other, (wn__place){.file = 3}));
    expect_end(other);
    OK(wn__documents_seek(other, (wn__place){.file = 1}));
    expect(other, 9, 22);
    assert_int_equal(wn__documents_seek(other, (wn__place){.file = 4}), WN_INVALID);
    assert_error("place in file 4, there are 3");
    assert_int_equal(wn__documents_seek(other, (wn__place){.document = 24}), WN_INVALID);
    assert_error("1 documents fewer than were read before");
    wn__documents_close(d);
    wn__documents_close(other);
}

static void test_refuses(void **state) {
    wn__documents *d;
    assert_int_equal(wn__documents_open("", &d), WN_INVALID);
    assert_int_equal(wn__documents_open(*state, &d), WN_INVALID);
    assert_error("none of the 0 names in it ends in .json,");
    assert_int_equal(wn__documents_open(scratch_path(state, "*.json"), &d), WN_INVALID);
    assert_error("*.json: no file matches");
    assert_int_equal(wn__documents_open(scratch_path(state, "none.json"), &d), WN_IO);
    assert_error("none.json: cannot stat");
    OK(wn__dir_make(scratch_path(state, "d.json"))); // a directory with the ending of a file
    assert_int_equal(wn__documents_open(*state, &d), WN_IO);
    assert_error("d.json: not a regular file");
    assert_null(d);
}

static uint64_t fingerprint(const char *pattern) {
    wn__documents *d;
    OK(wn__documents_open(pattern, &d));
    uint64_t f = wn__documents_fingerprint(d);
    wn__documents_close(d);
    return f;
}

// The names and sizes decide, not where the files are.
static void test_fingerprint(void **state) {
    const char *a = scratch_path(state, "one/a.json"), *b = scratch_path(state, "two/a.json");
    const char *c = scratch_path(state, "one/c.json");
    OK(wn__dir_make(scratch_path(state, "one")));
    OK(wn__dir_make(scratch_path(state, "two")));
    OK(wn__file_write(a, "{\"text\":\"a\"}", 12));
    OK(wn__file_write(b, "{\"text\":\"b\"}", 12));
    uint64_t f = fingerprint(a);
    assert_true(f != 0 && f == fingerprint(b));
    assert_true(f == fingerprint(scratch_path(state, "one")));
    OK(wn__file_write(b, "{\"text\":\"b\"}\n", 13));
    assert_true(f != fingerprint(b));
    OK(wn__file_write(c, "{\"text\":\"a\"}", 12));
    assert_true(f != fingerprint(c));
    assert_true(f != fingerprint(scratch_path(state, "one")));
    // FNV-1a over "a.json", a zero and the eight bytes of 12.
    assert_true(f == UINT64_C(0x33baae21bfce9e4c));
}

static void test_inspect(void **state) {
    (void)state;
    wn_documents_info info;
    uint64_t bytes = 0, text = 0, size;
    const char *names[] = {"0", "1", "2"};
    for (int i = 0; i < 3; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, DATA "en/c4-train.0000%s-of-00003.json.gz", names[i]);
        OK(wn__file_size(path, &size));
        bytes += size;
    }
    for (int i = 0; i < 23; i++)
        text += document_size[i];
    OK(wn_documents_inspect(TRAIN, false, &info));
    assert_int_equal(info.files, 3);
    assert_int_equal(info.file_bytes, bytes);
    assert_int_equal(info.documents, 0);
    assert_true(info.fingerprint == fingerprint(TRAIN));
    OK(wn_documents_inspect(TRAIN, true, &info));
    assert_int_equal(info.documents, 23);
    assert_int_equal(info.text_bytes, text);
    assert_int_equal(wn_documents_inspect(DATA "plain/notes.txt", true, &info), WN_FORMAT);
    assert_error("notes.txt: line 1: ");
    assert_int_equal(info.files, 0);
}

static void test_text(void **state) {
    (void)state;
    char *whole, *text;
    size_t whole_size, size, at = 0;
    OK(wn_documents_text(TRAIN, 0, &whole, &whole_size));
    for (size_t i = 0; i < 23; i++) {
        assert_memory_equal(whole + at, document[i], document_size[i]);
        at += document_size[i];
        assert_int_equal(whole[at++], '\n');
    }
    assert_int_equal(at, whole_size);
    assert_int_equal(whole[at], '\0');
    for (size_t most = 1; most <= whole_size + 1; most++) { // the longest beginning that fits
        size_t want = most < whole_size ? most : whole_size;
        while (((unsigned char)whole[want] & 0xc0) == 0x80)
            want--;
        OK(wn_documents_text(TRAIN, most, &text, &size));
        assert_int_equal(size, want);
        assert_memory_equal(text, whole, size);
        assert_int_equal(text[size], '\0');
        free(text);
    }
    free(whole);
    OK(wn_documents_text(DATA "plain/empty.jsonl", 0, &text, &size));
    assert_int_equal(size, 0);
    assert_string_equal(text, "");
    free(text);
}

static void test_named(void **state) {
    (void)state;
    assert_true(wn_documents_named("x.json") && wn_documents_named("x.jsonl"));
    assert_true(wn_documents_named("x.json.gz") && wn_documents_named("x.jsonl.gz"));
    assert_true(wn_documents_named(TRAIN) && wn_documents_named(DATA "en"));
    assert_false(wn_documents_named("x.txt") || wn_documents_named("x.gz"));
    assert_false(wn_documents_named("x.tokens") || wn_documents_named(DATA "plain/notes.txt"));
}

#define SCRATCH(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_glob),        cmocka_unit_test(test_file),
        cmocka_unit_test(test_directory),   SCRATCH(test_name_like_a_pattern),
        cmocka_unit_test(test_every_place), SCRATCH(test_refuses),
        SCRATCH(test_fingerprint),          cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_text),        cmocka_unit_test(test_named),
    };
    return cmocka_run_group_tests(tests, load_documents, free_documents);
}
