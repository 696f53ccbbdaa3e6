// SPDX-License-Identifier: MIT
// Atomic writes: the target is the old file or the whole new one, whatever fails between; nothing
// is left behind.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static void assert_holds(const char *path, const void *bytes, size_t n) {
    char *found;
    size_t size;
    assert_int_equal(wn__file_read(path, 0, &found, &size), WN_OK);
    assert_int_equal(size, n);
    assert_memory_equal(found, bytes, n);
    free(found);
}

static void assert_entries(void *const *state, size_t count) {
    wn__names names;
    assert_int_equal(wn__dir_list(*state, &names), WN_OK);
    assert_int_equal(names.count, count);
    wn__names_free(&names);
}

static void test_commit_replaces(void **state) {
    const char *path = scratch_path(state, "f");
    assert_int_equal(wn__file_write(path, "old", 3), WN_OK);
    wn__writer *w;
    assert_int_equal(wn__writer_open(path, &w), WN_OK);
    assert_int_equal(wn__writer_write(w, "new", 3), WN_OK);
    assert_int_equal(wn__writer_printf(w, " %d%s", 12, "!"), WN_OK);
    assert_int_equal(wn__writer_bytes(w), 7);
    assert_holds(path, "old", 3);
    assert_entries(state, 2);
    assert_int_equal(wn__writer_commit(w), WN_OK);
    assert_holds(path, "new 12!", 7);
    assert_entries(state, 1);
}

static void test_abort_leaves_the_target(void **state) {
    const char *path = scratch_path(state, "f");
    assert_int_equal(wn__file_write(path, "old", 3), WN_OK);
    wn__writer *w;
    assert_int_equal(wn__writer_open(path, &w), WN_OK);
    assert_int_equal(wn__writer_write(w, "new", 3), WN_OK);
    wn__writer_abort(w);
    assert_holds(path, "old", 3);
    assert_entries(state, 1);
    wn__writer_abort(NULL);
    assert_int_equal(wn__writer_open(scratch_path(state, "g"), &w), WN_OK);
    wn__writer_abort(w);
    assert_entries(state, 1);
}

static void test_empty_file(void **state) {
    const char *path = scratch_path(state, "f");
    assert_int_equal(wn__file_write(path, NULL, 0), WN_OK);
    assert_holds(path, "", 0);
}

// Pieces of all sizes around the buffer's, against zlib over the whole.
static void test_pieces_and_crc(void **state) {
    const size_t piece[] = {1, 262143, 1, 262144, 262145, 5, 70000, 262139, 0, 1000000, 3};
    size_t total = 0;
    for (size_t i = 0; i < sizeof piece / sizeof piece[0]; i++)
        total += piece[i];
    unsigned char *bytes = malloc(total);
    assert_non_null(bytes);
    for (size_t i = 0; i < total; i++)
        bytes[i] = (unsigned char)(i * 2654435761U >> 13);
    const char *path = scratch_path(state, "f");
    wn__writer *w;
    assert_int_equal(wn__writer_open(path, &w), WN_OK);
    assert_int_equal(wn__writer_crc32(w), 0);
    size_t at = 0;
    for (size_t i = 0; i < sizeof piece / sizeof piece[0]; at += piece[i++]) {
        assert_int_equal(wn__writer_write(w, bytes + at, piece[i]), WN_OK);
        assert_int_equal(wn__writer_bytes(w), at + piece[i]);
        assert_int_equal(wn__writer_crc32(w), crc32(0, bytes, (uInt)(at + piece[i])));
    }
    assert_int_equal(wn__writer_commit(w), WN_OK);
    assert_holds(path, bytes, total);
    free(bytes);
}

static void test_two_writers_of_one_path(void **state) {
    const char *path = scratch_path(state, "f");
    wn__writer *a, *b;
    assert_int_equal(wn__writer_open(path, &a), WN_OK);
    assert_int_equal(wn__writer_open(path, &b), WN_OK);
    assert_int_equal(wn__writer_write(a, "aa", 2), WN_OK);
    assert_int_equal(wn__writer_write(b, "b", 1), WN_OK);
    assert_int_equal(wn__writer_commit(b), WN_OK);
    assert_holds(path, "b", 1);
    assert_int_equal(wn__writer_commit(a), WN_OK);
    assert_holds(path, "aa", 2);
    assert_entries(state, 1);
}

static void test_open_failures(void **state) {
    wn__writer *w = (wn__writer *)(uintptr_t)1;
    assert_int_equal(wn__writer_open(scratch_path(state, "none/f"), &w), WN_IO);
    assert_null(w);
    assert_non_null(strstr(wn_last_error(), "none/f"));
    assert_non_null(strstr(wn_last_error(), "No such file or directory"));
    assert_int_equal(wn__writer_open(*state, &w), WN_IO);
    assert_non_null(strstr(wn_last_error(), "a directory"));
    assert_int_equal(wn__writer_open("", &w), WN_INVALID);
    assert_entries(state, 0);
}

// A directory takes the name between open and commit: the rename fails, and the temporary file
// goes.
static void test_rename_failure(void **state) {
    const char *path = scratch_path(state, "f");
    wn__writer *w;
    assert_int_equal(wn__writer_open(path, &w), WN_OK);
    assert_int_equal(wn__writer_write(w, "x", 1), WN_OK);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(wn__writer_commit(w), WN_IO);
    assert_non_null(strstr(wn_last_error(), "cannot rename"));
    assert_entries(state, 1);
}

// A file-size limit stands in for a full disk: writes past it are cut short, then fail.
static void with_size_limit(rlim_t bytes, struct rlimit *before) {
    assert_int_equal(getrlimit(RLIMIT_FSIZE, before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {bytes, before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full_disk_while_writing(void **state) {
    const char *path = scratch_path(state, "f");
    assert_int_equal(wn__file_write(path, "old", 3), WN_OK);
    const size_t n = (size_t)1 << 20;
    char *bytes = calloc(n, 1);
    wn__writer *w;
    struct rlimit before;
    assert_non_null(bytes);
    assert_int_equal(wn__writer_open(path, &w), WN_OK);
    with_size_limit(300000, &before);
    wn_status first = wn__writer_write(w, bytes, n);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(first, WN_IO);
    assert_non_null(strstr(wn_last_error(), "cannot write"));
    assert_non_null(strstr(wn_last_error(), "File too large"));
    // There is room again, but a part is missing: it must not be committed.
    assert_int_equal(wn__writer_write(w, "x", 1), WN_IO);
    assert_int_equal(wn__writer_printf(w, "x"), WN_IO);
    assert_int_equal(wn__writer_commit(w), WN_IO);
    assert_non_null(strstr(wn_last_error(), "an earlier write failed"));
    assert_holds(path, "old", 3);
    assert_entries(state, 1);
    free(bytes);
}

static void test_full_disk_at_commit(void **state) {
    const char *path = scratch_path(state, "f");
    assert_int_equal(wn__file_write(path, "old", 3), WN_OK);
    char bytes[2000] = {0};
    wn__writer *w;
    struct rlimit before;
    assert_int_equal(wn__writer_open(path, &w), WN_OK);
    assert_int_equal(wn__writer_write(w, bytes, sizeof bytes), WN_OK); // buffered
    with_size_limit(1000, &before);
    wn_status status = wn__writer_commit(w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, WN_IO);
    assert_holds(path, "old", 3);
    assert_entries(state, 1);
}

static void test_through_a_link_and_a_relative_path(void **state) {
    assert_int_equal(chdir(*state), 0);
    assert_int_equal(wn__file_write("f", "1", 1), WN_OK);
    assert_int_equal(wn__file_write("./g", "22", 2), WN_OK);
    assert_holds(scratch_path(state, "f"), "1", 1);
    assert_holds(scratch_path(state, "g"), "22", 2);
    assert_int_equal(chdir("/"), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_commit_replaces),
        TEST(test_abort_leaves_the_target),
        TEST(test_empty_file),
        TEST(test_pieces_and_crc),
        TEST(test_two_writers_of_one_path),
        TEST(test_open_failures),
        TEST(test_rename_failure),
        TEST(test_full_disk_while_writing),
        TEST(test_full_disk_at_commit),
        TEST(test_through_a_link_and_a_relative_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
