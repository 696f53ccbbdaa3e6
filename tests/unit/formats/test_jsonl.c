// SPDX-License-Identifier: MIT
// Documents of JSON lines against what Python wrote, and what is refused, by file and line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/jsonl.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"
#include <fcntl.h>
#include <unistd.h>

#define DATA WN_FIXTURES "/data/"

static void assert_error(const char *part) {
    if (strstr(wn_last_error(), part) == NULL)
        fail_msg("'%s' does not say '%s'", wn_last_error(), part);
}

// Document i of documents.bin.
static const char *expected(const char *all, size_t i, size_t *size) {
    uint32_t n;
    for (;; all += n) {
        memcpy(&n, all, sizeof n);
        all += sizeof n;
        if (i-- == 0) break;
    }
    *size = n;
    return all;
}

// The documents of a file are first .. last of documents.bin.
static void check_file(const char *path, size_t first, size_t last) {
    char *all;
    size_t size, want_size;
    const char *text, *want;
    wn__jsonl *r;
    OK(wn__file_read(DATA "documents.bin", 0, &all, &size));
    OK(wn__jsonl_open(path, &r));
    for (size_t i = first; i <= last; i++) {
        OK(wn__jsonl_next(r, &text, &size));
        assert_non_null(text);
        want = expected(all, i, &want_size);
        assert_int_equal(size, want_size);
        assert_memory_equal(text, want, size);
    }
    for (int again = 0; again < 2; again++) {
        OK(wn__jsonl_next(r, &text, &size));
        assert_null(text);
    }
    wn__jsonl_close(r);
    free(all);
}

static void test_documents(void **state) {
    (void)state;
    check_file(DATA "en/c4-train.00000-of-00003.json.gz", 0, 8);
    check_file(DATA "en/c4-train.00001-of-00003.json.gz", 9, 9);
    check_file(DATA "en/c4-train.00002-of-00003.json.gz", 10, 22); // CR LF, blank lines, no last LF
    check_file(DATA "plain/a.jsonl", 0, 8);
    check_file(DATA "plain/b.jsonl.gz", 0, 8);
    check_file(DATA "plain/c.json", 20, 20);
}

static void test_empty(void **state) {
    const char *text;
    size_t size;
    wn__jsonl *r;
    OK(wn__jsonl_open(DATA "plain/empty.jsonl", &r));
    OK(wn__jsonl_next(r, &text, &size));
    assert_null(text);
    wn__jsonl_close(r);
    const char *path = scratch_path(state, "blank.jsonl");
    OK(wn__file_write(path, "\n \t\r\n\n  ", 8));
    OK(wn__jsonl_open(path, &r));
    OK(wn__jsonl_next(r, &text, &size));
    assert_null(text);
    wn__jsonl_close(r);
}

static void test_skip(void **state) {
    (void)state;
    for (uint64_t n = 0; n < 17; n++) {
        const char *text, *want;
        char *all;
        size_t size, want_size;
        uint64_t skipped;
        wn__jsonl *r;
        OK(wn__file_read(DATA "documents.bin", 0, &all, &size));
        OK(wn__jsonl_open(DATA "en/c4-train.00002-of-00003.json.gz", &r));
        OK(wn__jsonl_skip(r, n, &skipped));
        assert_int_equal(skipped, n < 13 ? n : 13);
        OK(wn__jsonl_next(r, &text, &size));
        if (n >= 13) {
            assert_null(text);
        } else {
            want = expected(all, 10 + n, &want_size);
            assert_int_equal(size, want_size);
            assert_memory_equal(text, want, size);
            assert_int_equal(wn__jsonl_line(r), 3 + 2 * n); // two blank ones first, one between
        }
        wn__jsonl_close(r);
        free(all);
    }
}

// A file of good and bad; the third line fails with `message`.
static void refuse(void *const *state, const char *line, size_t size, const char *message) {
    const char *path = scratch_path(state, "bad.jsonl"), *text;
    static const char good[] = "{\"text\": \"good\"}\n\n";
    char bytes[512];
    size_t n = sizeof good - 1, got;
    wn__jsonl *r;
    memcpy(bytes, good, n);
    memcpy(bytes + n, line, size);
    bytes[n + size] = '\n';
    OK(wn__file_write(path, bytes, n + size + 1));
    OK(wn__jsonl_open(path, &r));
    OK(wn__jsonl_next(r, &text, &got));
    assert_string_equal(text, "good");
    assert_int_equal(wn__jsonl_next(r, &text, &got), WN_FORMAT);
    assert_null(text);
    assert_error("bad.jsonl: line 3: ");
    assert_error(message);
    wn__jsonl_close(r);
}

static void test_refuses(void **state) {
#define REFUSE(line, message) refuse(state, line, sizeof(line) - 1, message)
    REFUSE("text", "column ");
    REFUSE("{\"text\": \"cut", "column ");
    REFUSE("{\"text\": \"a\"} {\"text\": \"b\"}", "column ");
    REFUSE("{\"text\": \"a\xff\"}", "unable to decode byte 0xff");
    REFUSE("{\"text\": \"\xed\xa0\x80\"}", "unable to decode byte 0xed"); // a surrogate
    REFUSE("{\"text\": \"a\", \"text\": \"b\"}", "duplicate");
    REFUSE("{\"text\": \"a\0b\"}", "line 3: ");
    REFUSE("{\"url\": \"a\"}", "\"text\" is missing, expected a string");
    REFUSE("{\"text\": 5}", "\"text\" is an integer, expected a string");
    REFUSE("{\"text\": null}", "\"text\" is null, expected a string");
    REFUSE("[\"text\"]", "an array, expected an object with a \"text\"");
    REFUSE("\"text\"", "a string, expected an object");
    REFUSE("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "nested deeper");
#undef REFUSE
}

// A document of `size` bytes between two small ones, across many refills of the buffer.
static void check_long(void *const *state, size_t size) {
    static const char head[] = "{\"text\":\"a\"}\n{\"text\":\"", tail[] = "\"}\n{\"text\":\"z\"}";
    const char *path = scratch_path(state, "long.jsonl"), *text;
    char *bytes = malloc(size);
    size_t got;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)('a' + i % 23);
    wn__writer *w;
    OK(wn__writer_open(path, &w));
    OK(wn__writer_write(w, head, sizeof head - 1));
    OK(wn__writer_write(w, bytes, size));
    OK(wn__writer_write(w, tail, sizeof tail - 1));
    OK(wn__writer_commit(w));
    wn__jsonl *r;
    OK(wn__jsonl_open(path, &r));
    OK(wn__jsonl_next(r, &text, &got));
    assert_string_equal(text, "a");
    OK(wn__jsonl_next(r, &text, &got));
    assert_int_equal(got, size);
    assert_memory_equal(text, bytes, size);
    OK(wn__jsonl_next(r, &text, &got));
    assert_string_equal(text, "z");
    wn__jsonl_close(r);
    free(bytes);
}

static void test_long_lines(void **state) {
    check_long(state, 262144 - 22); // about the first buffer
    check_long(state, 262144 - 11);
    check_long(state, 262144);
    check_long(state, 3000001);
}

// A line over the limit, as a hole in a file: zeros without a line feed.
static void test_too_long(void **state) {
    const char *path = scratch_path(state, "endless.json"), *text;
    size_t size;
    uint64_t skipped;
    wn__jsonl *r;
    OK(wn__file_write(path, "{\"text\":\"a\"}\n", 13));
    assert_int_equal(truncate(path, 13 + (off_t)WN_JSONL_LINE_MAX + 1), 0);
    OK(wn__jsonl_open(path, &r));
    OK(wn__jsonl_next(r, &text, &size));
    assert_int_equal(wn__jsonl_next(r, &text, &size), WN_FORMAT);
    assert_error("endless.json: line 2: longer than 67108864 bytes");
    wn__jsonl_close(r);
    assert_int_equal(truncate(path, 13 + (off_t)WN_JSONL_LINE_MAX), 0); // just short enough
    OK(wn__jsonl_open(path, &r));
    OK(wn__jsonl_skip(r, 5, &skipped));
    assert_int_equal(skipped, 2);
    wn__jsonl_close(r);
}

static void test_no_file(void **state) {
    wn__jsonl *r;
    assert_int_equal(wn__jsonl_open(scratch_path(state, "none.json"), &r), WN_IO);
    assert_null(r);
    assert_error("none.json: cannot open");
    assert_int_equal(wn__jsonl_open(*state, &r), WN_IO);
    OK(wn__file_write(scratch_path(state, "x.json.gz"), "{}", 2));
    assert_int_equal(wn__jsonl_open(scratch_path(state, "x.json.gz"), &r), WN_FORMAT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test_setup_teardown(test_empty, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_skip),
        cmocka_unit_test_setup_teardown(test_refuses, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_long_lines, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_too_long, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_no_file, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
