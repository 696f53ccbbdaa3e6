// SPDX-License-Identifier: MIT
// The gzip reader against files of Python's gzip: any read size, members, padding, every cut and
// every flipped bit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/gzip.h"
#include "scratch.h"
#include "unit/base/status.h"
#include <stdio.h>

#define PLAIN   WN_FIXTURES "/data/plain/a.jsonl"                      // the content
#define SINGLE  WN_FIXTURES "/data/plain/b.jsonl.gz"                   // in one member
#define MEMBERS WN_FIXTURES "/data/en/c4-train.00000-of-00003.json.gz" // in three, then zeros

typedef struct bytes {
    char *data;
    size_t size;
} bytes;

static bytes load(const char *path) {
    bytes b;
    OK(wn__file_read(path, 0, &b.data, &b.size));
    return b;
}

// A new file each time, without the library's fsync and without truncating one, which some file
// systems flush: thousands are damaged here.
static void put(const char *path, const void *data, size_t size) {
    (void)remove(path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void assert_error(const char *part) {
    if (strstr(wn_last_error(), part) == NULL)
        fail_msg("'%s' does not say '%s'", wn_last_error(), part);
}

// Everything in a file, read `step` bytes at a time, or the status of what failed.
static wn_status read_all(const char *path, size_t step, bytes *out) {
    static char content[1 << 16];
    wn__gzip *g;
    size_t got = step;
    *out = (bytes){.data = content};
    wn_status status = wn__gzip_open(path, &g);
    if (status != WN_OK) return status;
    while (status == WN_OK && got == step) {
        assert_true(out->size + step <= sizeof content);
        status = wn__gzip_read(g, content + out->size, step, &got);
        out->size += got;
    }
    if (status == WN_OK) { // the end stays the end
        OK(wn__gzip_read(g, content, 1, &got));
        assert_int_equal(got, 0);
    } else {
        assert_int_equal(wn__gzip_read(g, content, 1, &got), status);
    }
    wn__gzip_close(g);
    return status;
}

static void test_content(void **state) {
    (void)state;
    const char *paths[] = {PLAIN, SINGLE, MEMBERS};
    const size_t steps[] = {1, 7, 100, 1267, 4096};
    bytes plain = load(PLAIN), read;
    for (size_t p = 0; p < 3; p++)
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            OK(read_all(paths[p], steps[i], &read));
            assert_int_equal(read.size, plain.size);
            assert_memory_equal(read.data, plain.data, plain.size);
        }
    free(plain.data);
}

// Larger than any buffer inside: a file of 1 MiB that is not compressed.
static void test_large(void **state) {
    const char *path = scratch_path(state, "large");
    size_t size = (1 << 20) + 3, got;
    char *written = malloc(size), *read = malloc(size + 1);
    for (size_t i = 0; i < size; i++)
        written[i] = (char)(i * i >> 5);
    put(path, written, size);
    wn__gzip *g;
    OK(wn__gzip_open(path, &g));
    assert_false(wn__gzip_compressed(g));
    OK(wn__gzip_read(g, read, size + 1, &got));
    assert_int_equal(got, size);
    assert_memory_equal(read, written, size);
    wn__gzip_close(g);
    free(written);
    free(read);
}

static void test_compressed_whatever_its_name(void **state) {
    bytes gz = load(SINGLE), plain = load(PLAIN), read;
    const char *path = scratch_path(state, "c.json");
    put(path, gz.data, gz.size);
    wn__gzip *g;
    OK(wn__gzip_open(path, &g));
    assert_true(wn__gzip_compressed(g));
    wn__gzip_close(g);
    OK(read_all(path, 100, &read));
    assert_int_equal(read.size, plain.size);
    free(plain.data);
    free(gz.data);
}

static void test_every_cut(void **state) {
    bytes gz = load(SINGLE), read;
    const char *path = scratch_path(state, "cut.gz");
    char message[64];
    for (size_t n = 2; n < gz.size; n++) {
        put(path, gz.data, n);
        assert_int_equal(read_all(path, 100, &read), WN_FORMAT);
        wn__gzip *g;
        size_t got;
        OK(wn__gzip_open(path, &g));
        assert_int_equal(wn__gzip_read(g, read.data, 1 << 16, &got), WN_FORMAT);
        (void)snprintf(message, sizeof message, "cut.gz: ends at byte %zu,", n);
        assert_error(message);
        assert_int_equal(wn__gzip_read(g, read.data, 1, &got), WN_FORMAT);
        assert_error("cut.gz: an earlier read failed");
        wn__gzip_close(g);
    }
    free(gz.data);
}

// A bit that does not matter (of the time, say) leaves the content as it is; any other is found.
static void test_every_bit(void **state) {
    bytes gz = load(SINGLE), plain = load(PLAIN), read;
    const char *path = scratch_path(state, "flipped.gz");
    int found = 0;
    for (size_t bit = 0; bit < 8 * gz.size; bit++) {
        gz.data[bit / 8] = (char)(gz.data[bit / 8] ^ 1 << bit % 8);
        put(path, gz.data, gz.size);
        if (read_all(path, 4096, &read) == WN_OK) {
            assert_int_equal(read.size, plain.size);
            assert_memory_equal(read.data, plain.data, plain.size);
        } else {
            assert_error("flipped.gz: ");
            found++;
        }
        gz.data[bit / 8] = (char)(gz.data[bit / 8] ^ 1 << bit % 8);
    }
    assert_in_range(found, 8 * (gz.size - 10), 8 * gz.size);
    free(gz.data);
    free(plain.data);
}

static void test_not_gzip(void **state) {
    bytes read;
    const char *path = scratch_path(state, "n.gz");
    put(path, "", 0);
    assert_int_equal(read_all(path, 10, &read), WN_FORMAT);
    assert_error("n.gz: 0 bytes, expected gzip");
    put(path, "\x1f", 1);
    assert_int_equal(read_all(path, 10, &read), WN_FORMAT);
    assert_error("n.gz: 1 byte, expected gzip");
    put(path, "{}", 2);
    assert_int_equal(read_all(path, 10, &read), WN_FORMAT);
    assert_error("n.gz: begins with 7b 7d, gzip with 1f 8b");
    assert_int_equal(read_all(*state, 10, &read), WN_IO);
    assert_error("a directory, not a regular file");
    path = scratch_path(state, "empty");
    put(path, "", 0);
    OK(read_all(path, 10, &read));
    assert_int_equal(read.size, 0);
}

static void test_garbage_after(void **state) {
    bytes gz = load(SINGLE), plain = load(PLAIN), read;
    const char *path = scratch_path(state, "more.gz");
    char *longer = calloc(1, gz.size + 10);
    memcpy(longer, gz.data, gz.size);
    put(path, longer, gz.size + 10); // zeros
    OK(read_all(path, 100, &read));
    longer[gz.size + 9] = 'x';
    put(path, longer, gz.size + 10);
    assert_int_equal(read_all(path, 100, &read), WN_FORMAT);
    assert_error("more.gz: ");
    assert_int_equal(read.size, plain.size); // what came before is there
    free(plain.data);
    free(longer);
    free(gz.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content),
        cmocka_unit_test_setup_teardown(test_large, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_compressed_whatever_its_name, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_every_cut, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_every_bit, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_not_gzip, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_garbage_after, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
