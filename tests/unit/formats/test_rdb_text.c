// SPDX-License-Identifier: MIT
// tools/rdb_text.c on files made here: the text comes out, and every lie about a length is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/base/scratch.h"

// The program is one file; its main is called as a function.
int rdb_text_main(int argc, char **argv);
#define main rdb_text_main
#include "../tools/rdb_text.c"
#undef main

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// Bytes under construction.
typedef struct buffer {
    uint8_t bytes[4096];
    size_t n;
} buffer;

static void put(buffer *b, const void *bytes, size_t n) {
    assert_true(n <= sizeof b->bytes - b->n);
    memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
}

static void put_u32(buffer *b, uint32_t v) {
    const uint8_t bytes[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    put(b, bytes, sizeof bytes);
}

static void put_chars(buffer *b, uint32_t flags, const char *text) {
    put_u32(b, flags);
    put_u32(b, (uint32_t)strlen(text));
    put(b, text, strlen(text));
}

static void put_header(buffer *b, uint32_t version) {
    put(b, "X\n", 2);
    put_u32(b, version);
    put_u32(b, 0x030004);
    put_u32(b, 0x020300);
    if (version != 3) return;
    put_u32(b, 5);
    put(b, "UTF-8", 5);
}

// The record of data: its size, then the zlib stream.
static void put_record(buffer *file, const buffer *data, uint32_t size) {
    uLongf n = sizeof file->bytes - file->n - 4;
    put_u32(file, size);
    assert_int_equal(compress(file->bytes + file->n, &n, data->bytes, data->n), Z_OK);
    file->n += n;
}

#define ASCII  0x00040009U
#define UTF8   0x00008009U
#define LATIN1 0x00004009U

// Two vectors: one of version 3, one of version 2 with attributes and every encoding.
static void make_file(buffer *file) {
    buffer data = {.n = 0};
    put_header(&data, 3);
    put_u32(&data, TYPE_STRINGS);
    put_u32(&data, 2);
    put_chars(&data, ASCII, "First");
    put_chars(&data, ASCII, "");
    put_record(file, &data, (uint32_t)data.n);

    data.n = 0;
    put_header(&data, 2);
    put_u32(&data, TYPE_STRINGS | FLAG_ATTRIBUTES);
    put_u32(&data, 2);
    put_chars(&data, UTF8, "caf\xC3\xA9");
    put_chars(&data, LATIN1, "\xE9t\xE9");
    put_u32(&data, TYPE_PAIRLIST | FLAG_TAG); // names, a symbol
    put_u32(&data, TYPE_SYMBOL);
    put_chars(&data, ASCII, "names");
    put_u32(&data, TYPE_STRINGS);
    put_u32(&data, 2);
    put_chars(&data, ASCII, "x");
    put_chars(&data, ASCII, "y");
    put_u32(&data, TYPE_PAIRLIST | FLAG_TAG); // a reference back, integers
    put_u32(&data, 1U << 8 | TYPE_REFERENCE);
    put_u32(&data, TYPE_INTEGER);
    put_u32(&data, 1);
    put_u32(&data, 7);
    put_u32(&data, TYPE_NULL);
    put_record(file, &data, (uint32_t)data.n);
}

// Runs the program on the bytes, its complaints aside; returns its exit code.
static int run(void *const *state, const void *bytes, size_t n, bool option_first) {
    const char *in = scratch_path(state, "in.rdb"), *out = scratch_path(state, "out.txt");
    assert_int_equal(wn__file_write(in, bytes, n), WN_OK);
    char *first[] = {(char *)"rdb-text", (char *)"-o", (char *)(uintptr_t)out,
                     (char *)(uintptr_t)in};
    char *last[] = {(char *)"rdb-text", (char *)(uintptr_t)in, (char *)"-o",
                    (char *)(uintptr_t)out};
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    assert_non_null(freopen(scratch_path(state, "stderr"), "w", stderr));
    int code = rdb_text_main(4, option_first ? first : last);
    fflush(stderr);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    return code;
}

static void expect_text(void *const *state, const char *name, const char *expected) {
    char *text;
    size_t n;
    assert_int_equal(wn__file_read(scratch_path(state, name), 0, &text, &n), WN_OK);
    assert_string_equal(text, expected);
    free(text);
}

static void prints_every_string(void **state) {
    static const char expected[] = "First\n\n\ncaf\xC3\xA9\n\xC3\xA9t\xC3\xA9\n";
    buffer file = {.n = 0};
    make_file(&file);
    assert_int_equal(run(state, file.bytes, file.n, true), 0);
    expect_text(state, "out.txt", expected);
    assert_int_equal(run(state, file.bytes, file.n, false), 0);
    expect_text(state, "out.txt", expected);
    wn__names names;
    assert_int_equal(wn__dir_list(*state, &names), WN_OK);
    assert_int_equal(names.count, 3); // no temporary file is left
    wn__names_free(&names);
}

static void expect_refused(void *const *state, const buffer *file, const char *fragment) {
    (void)unlink(scratch_path(state, "out.txt"));
    assert_int_equal(run(state, file->bytes, file->n, true), 1);
    assert_false(wn__file_exists(scratch_path(state, "out.txt")));
    char *text;
    size_t n;
    assert_int_equal(wn__file_read(scratch_path(state, "stderr"), 0, &text, &n), WN_OK);
    if (strstr(text, fragment) == NULL) fail_msg("'%s' does not say '%s'", text, fragment);
    assert_non_null(strstr(text, "in.rdb"));
    free(text);
}

// One record whose object follows the header of version 2.
static void expect_object_refused(void *const *state, const uint32_t *words, size_t n,
                                  const char *fragment) {
    buffer file = {.n = 0}, data = {.n = 0};
    put_header(&data, 2);
    for (size_t i = 0; i < n; i++)
        put_u32(&data, words[i]);
    put_record(&file, &data, (uint32_t)data.n);
    expect_refused(state, &file, fragment);
}

#define OBJECT(fragment, ...)                                                                      \
    do {                                                                                           \
        const uint32_t words[] = {__VA_ARGS__};                                                    \
        expect_object_refused(state, words, COUNT(words), fragment);                               \
    } while (0)

static void refuses_bad_objects(void **state) {
    enum { S = TYPE_STRINGS, P = TYPE_PAIRLIST | FLAG_TAG, SA = S | FLAG_ATTRIBUTES };
    OBJECT("a length needs 4 bytes, 0 are left", S);
    OBJECT("expected a character vector (type 16), found type 19", 19, 0);
    OBJECT("length 1, but at most 0 elements fit", S, 1);
    OBJECT("length 4294967295", S, UINT32_MAX);
    OBJECT("expected a string (type 9), found type 8", S, 1, 8, 0);
    OBJECT("a missing string (NA)", S, 1, ASCII, UINT32_MAX);
    OBJECT("length 5, but at most 4 elements fit", S, 1, ASCII, 5, 0x61616161);
    OBJECT("byte 0x00, not UTF-8 text", S, 1, ASCII, 4, 0x61006161);
    OBJECT("byte 0xff, not UTF-8 text", S, 1, UTF8, 4, 0x61FF6161);
    OBJECT("a string with byte 0x00", S, 1, LATIN1, 4, 0x61006161);
    OBJECT("4 bytes behind the object", S, 0, 0);
    OBJECT("attributes needs 4 bytes", SA, 0);
    OBJECT("expected a list of attributes, found flags 0x2", SA, 0, TYPE_PAIRLIST);
    OBJECT("expected the name of an attribute, found type 2", SA, 0, P, 2);
    OBJECT("a reference needs 4 bytes", SA, 0, P, TYPE_REFERENCE);
    OBJECT("an attribute of type 19 is not supported", SA, 0, P, TYPE_REFERENCE, 1, 19);
    OBJECT("an attribute that has attributes", SA, 0, P, TYPE_REFERENCE, 1, SA);
    OBJECT("length 2, but at most 1 elements fit", SA, 0, P, TYPE_REFERENCE, 1, TYPE_INTEGER, 2, 0);
    OBJECT("length 1, but at most 0 elements fit", SA, 0, P, TYPE_REFERENCE, 1, TYPE_REAL, 1, 0);
    OBJECT("expected a string (type 9), found type 0", SA, 0, P, TYPE_REFERENCE, 1, S, 1, 0, 0);
}

static void refuses_bad_frames(void **state) {
    buffer file = {.n = 0}, data = {.n = 0};
    put_header(&data, 4);
    put_record(&file, &data, (uint32_t)data.n);
    expect_refused(state, &file, "serialisation version 4, expected 2 or 3");
    file.n = data.n = 0;
    put(&data, "A\nabc", 5);
    put_record(&file, &data, 5);
    expect_refused(state, &file, "expected 'X' and a newline");
    file.n = data.n = 0;
    put(&data, "X", 1);
    put_record(&file, &data, 1);
    expect_refused(state, &file, "the header needs 2 bytes, 1 are left");
    file.n = 0;
    put(&file, "\0\0\0", 3);
    expect_refused(state, &file, "3 bytes at the end of the file");
    file.n = 0;
    put(&file, "\xFF\xFF\xFF\xFFxxxx", 8);
    expect_refused(state, &file, "4294967295 bytes of data cannot come from the 4");
    file.n = 0;
    put(&file, "\0\0\0\x08xxxxxxxx", 12);
    expect_refused(state, &file, "not a zlib stream of 8 bytes");
    file.n = data.n = 0;
    put_header(&data, 2);
    put_u32(&data, TYPE_STRINGS);
    put_u32(&data, 0);
    put_record(&file, &data, (uint32_t)data.n - 1);
    expect_refused(state, &file, "not a zlib stream of 21 bytes");
    file.n = 0;
    put_record(&file, &data, (uint32_t)data.n + 1);
    expect_refused(state, &file, "not a zlib stream of 23 bytes");
}

// Every prefix of a good file but those that end with a record, and every flipped byte: an error or
// a text, never a crash.
static void survives_damage(void **state) {
    buffer file = {.n = 0};
    make_file(&file);
    int good = 0;
    for (size_t n = 0; n < file.n; n++)
        good += run(state, file.bytes, n, true) == 0;
    assert_int_equal(good, 2); // no record, the first record
    for (size_t i = 0; i < file.n; i++) {
        buffer damaged = file;
        damaged.bytes[i] ^= 0x41;
        int code = run(state, damaged.bytes, damaged.n, true);
        assert_true(code == 0 || code == 1);
    }
}

static void explains_its_use(void **state) {
    char *none[] = {(char *)"rdb-text"};
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    assert_non_null(freopen(scratch_path(state, "stderr"), "w", stderr));
    int code = rdb_text_main(1, none);
    fflush(stderr);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    assert_int_equal(code, 2);
    expect_text(state, "stderr",
                "usage: rdb-text FILE.rdb [-o TEXT]\n"
                "Prints the character vectors of an R lazy-load database as text.\n");
}

int main(void) {
#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(prints_every_string), IN_SCRATCH(refuses_bad_objects),
        IN_SCRATCH(refuses_bad_frames),  IN_SCRATCH(survives_damage),
        IN_SCRATCH(explains_its_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
