// SPDX-License-Identifier: MIT
// Reads, maps, directories, links and paths. The writer has its own test.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scratch.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *path, const char *text) {
    assert_int_equal(wn__file_write(path, text, strlen(text)), WN_OK);
}

static void assert_error(const char *part) {
    if (strstr(wn_last_error(), part) == NULL)
        fail_msg("'%s' does not say '%s'", wn_last_error(), part);
}

static void test_read(void **state) {
    const char *path = scratch_path(state, "f");
    char *bytes;
    size_t size;
    assert_int_equal(wn__file_write(path, "ab\0cd", 5), WN_OK);
    for (size_t limit = 0; limit <= 6; limit += limit == 0 ? 5 : 1) { // none, just enough, more
        assert_int_equal(wn__file_read(path, limit, &bytes, &size), WN_OK);
        assert_int_equal(size, 5);
        assert_memory_equal(bytes, "ab\0cd", 6); // the NUL after them, too
        free(bytes);
    }
    assert_int_equal(wn__file_read(path, 4, &bytes, &size), WN_FORMAT);
    assert_error("f: 5 bytes, at most 4 expected");
    assert_null(bytes);
    put(path, "");
    assert_int_equal(wn__file_read(path, 0, &bytes, &size), WN_OK);
    assert_int_equal(size, 0);
    assert_int_equal(bytes[0], '\0');
    free(bytes);
}

static void test_what_is_no_file(void **state) {
    char *bytes;
    size_t size;
    uint64_t length;
    wn__map map;
    const char *missing = scratch_path(state, "missing"), *fifo = scratch_path(state, "fifo");
    assert_int_equal(wn__file_read(missing, 0, &bytes, &size), WN_IO);
    assert_error("missing: cannot open: No such file or directory");
    assert_int_equal(wn__map_open(missing, &map), WN_IO);
    assert_int_equal(wn__file_size(missing, &length), WN_IO);
    assert_int_equal(wn__file_read(*state, 0, &bytes, &size), WN_IO);
    assert_error("a directory, not a regular file");
    assert_int_equal(wn__map_open(*state, &map), WN_IO);
    assert_null(map.data);
    assert_int_equal(wn__file_size(*state, &length), WN_IO);
    assert_int_equal(mkfifo(fifo, 0666), 0);
    assert_int_equal(wn__file_read(fifo, 0, &bytes, &size), WN_IO); // does not hang
    assert_int_equal(wn__map_open(fifo, &map), WN_IO);
    assert_error("a device or pipe");
    wn__map_close(&map);
}

static void test_map(void **state) {
    const char *path = scratch_path(state, "f");
    wn__map map;
    put(path, "hello");
    assert_int_equal(wn__map_open(path, &map), WN_OK);
    assert_int_equal(map.size, 5);
    put(path, "other"); // a new file under the old name: the map stays
    assert_memory_equal(map.data, "hello", 5);
    wn__map_close(&map);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    wn__map_close(&map);
    put(path, "");
    assert_int_equal(wn__map_open(path, &map), WN_OK);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    wn__map_close(&map);
}

static void test_exists_and_size(void **state) {
    const char *path = scratch_path(state, "f");
    uint64_t size;
    assert_false(wn__file_exists(path));
    put(path, "123");
    assert_true(wn__file_exists(path));
    assert_false(wn__dir_exists(path));
    assert_false(wn__file_exists(*state));
    assert_true(wn__dir_exists(*state));
    assert_int_equal(wn__file_size(path, &size), WN_OK);
    assert_int_equal(size, 3);
}

static void test_dir_make(void **state) {
    const char *deep = scratch_path(state, "a//b/c/"), *file = scratch_path(state, "file");
    assert_int_equal(wn__dir_make(deep), WN_OK);
    assert_true(wn__dir_exists(scratch_path(state, "a/b/c")));
    assert_int_equal(wn__dir_make(deep), WN_OK);
    assert_int_equal(wn__dir_make("/"), WN_OK);
    assert_int_equal(wn__dir_make("."), WN_OK);
    put(file, "x");
    assert_int_equal(wn__dir_make(file), WN_IO);
    assert_error("file: cannot make directory: File exists");
    assert_int_equal(wn__dir_make(scratch_path(state, "file/sub")), WN_IO);
}

static void test_dir_remove(void **state) {
    const char *tree = scratch_path(state, "tree"), *kept = scratch_path(state, "kept");
    assert_int_equal(wn__dir_make(scratch_path(state, "tree/a/b")), WN_OK);
    assert_int_equal(wn__dir_make(kept), WN_OK);
    put(scratch_path(state, "kept/f"), "x");
    put(scratch_path(state, "tree/f"), "x");
    put(scratch_path(state, "tree/a/b/g"), "x");
    assert_int_equal(symlink(kept, scratch_path(state, "tree/a/link")), 0);
    assert_int_equal(symlink("nowhere", scratch_path(state, "tree/dangling")), 0);
    assert_int_equal(wn__dir_remove(tree), WN_OK);
    assert_false(wn__dir_exists(tree));
    assert_true(wn__file_exists(scratch_path(state, "kept/f"))); // links are not followed
    assert_int_equal(wn__dir_remove(tree), WN_OK);               // a missing path is fine
    const char *link = scratch_path(state, "link");
    assert_int_equal(symlink(kept, link), 0);
    assert_int_equal(wn__dir_remove(link), WN_OK);
    assert_true(wn__file_exists(scratch_path(state, "kept/f")));
}

static void test_dir_publish(void **state) {
    const char *from = scratch_path(state, "step.tmp"), *to = scratch_path(state, "step");
    assert_int_equal(wn__dir_make(scratch_path(state, "step.tmp/sub")), WN_OK);
    put(scratch_path(state, "step.tmp/f"), "x");
    assert_int_equal(symlink("nowhere", scratch_path(state, "step.tmp/link")), 0);
    assert_int_equal(wn__dir_publish(from, to), WN_OK);
    assert_false(wn__dir_exists(from));
    assert_true(wn__file_exists(scratch_path(state, "step/f")));
    // An existing target is refused, an empty one included, and both stay.
    assert_int_equal(wn__dir_make(from), WN_OK);
    assert_int_equal(wn__dir_publish(from, to), WN_IO);
    assert_error("File exists");
    const char *empty = scratch_path(state, "empty");
    assert_int_equal(wn__dir_make(empty), WN_OK);
    assert_int_equal(wn__dir_publish(from, empty), WN_IO);
    assert_true(wn__dir_exists(from) && wn__dir_exists(empty));
    assert_int_equal(wn__dir_publish(scratch_path(state, "none"), to), WN_IO);
}

static void assert_link(const char *link, const char *target) {
    char found[100];
    ssize_t n = readlink(link, found, sizeof found);
    assert_int_equal(n, strlen(target));
    assert_memory_equal(found, target, strlen(target));
}

static void test_link_replace(void **state) {
    const char *link = scratch_path(state, "latest");
    wn__names names;
    assert_int_equal(wn__link_replace("step-1", link), WN_OK);
    assert_link(link, "step-1");
    assert_int_equal(wn__link_replace("step-2", link), WN_OK);
    assert_link(link, "step-2");
    const char *dir = scratch_path(state, "dir");
    assert_int_equal(wn__dir_make(dir), WN_OK);
    assert_int_equal(wn__link_replace("step-3", dir), WN_IO);
    assert_true(wn__dir_exists(dir));
    assert_int_equal(wn__dir_list(*state, &names), WN_OK);
    assert_int_equal(names.count, 2); // no temporary link stays
    wn__names_free(&names);
}

static void test_dir_list(void **state) {
    const char *want[] = {".hidden", "B", "a", "a-", "a.b", "b", "\xc3\xa9"};
    const int order[] = {4, 2, 6, 0, 5, 3, 1};
    for (int i = 0; i < 7; i++)
        put(scratch_path(state, want[order[i]]), "x");
    wn__names names;
    assert_int_equal(wn__dir_list(*state, &names), WN_OK);
    assert_int_equal(names.count, 7);
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(names.name[i], want[i]);
    wn__names_free(&names);
    assert_int_equal(names.count, 0);
    wn__names_free(&names);
    assert_int_equal(wn__dir_list(scratch_path(state, "none"), &names), WN_IO);
    assert_int_equal(names.count, 0);
    assert_int_equal(wn__dir_list(scratch_path(state, "a"), &names), WN_IO);
}

static void test_glob(void **state) {
    wn__names names;
    const char *made[] = {"b.json", "a.json", "a2.json", "B.json", "c.txt"};
    const char *sorted[] = {"B.json", "a.json", "a2.json", "b.json"};
    for (size_t i = 0; i < 5; i++)
        put(scratch_path(state, made[i]), "");
    assert_int_equal(wn__dir_make(scratch_path(state, "d.json")), WN_OK); // no regular file
    assert_int_equal(wn__glob(scratch_path(state, "*.json"), &names), WN_OK);
    assert_int_equal(names.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(names.name[i], scratch_path(state, sorted[i]));
    wn__names_free(&names);
    assert_int_equal(wn__glob(scratch_path(state, "[ab].js?n"), &names), WN_OK);
    assert_int_equal(names.count, 2);
    wn__names_free(&names);
    assert_int_equal(wn__glob(scratch_path(state, "*.gz"), &names), WN_OK);
    assert_int_equal(names.count, 0);
    assert_null(names.name);
}

static void test_path_join(void **state) {
    (void)state;
    char out[8];
    assert_int_equal(wn__path_join(out, sizeof out, "ab", "cd"), WN_OK);
    assert_string_equal(out, "ab/cd");
    assert_int_equal(wn__path_join(out, sizeof out, "ab/", "cd"), WN_OK);
    assert_string_equal(out, "ab/cd");
    assert_int_equal(wn__path_join(out, sizeof out, "", "cd"), WN_OK);
    assert_string_equal(out, "cd");
    assert_int_equal(wn__path_join(out, sizeof out, "/", "cd"), WN_OK);
    assert_string_equal(out, "/cd");
    assert_int_equal(wn__path_join(out, sizeof out, "abc", "def"), WN_OK); // 7 bytes fit in 8
    assert_int_equal(wn__path_join(out, sizeof out, "abcd", "def"), WN_INVALID);
    assert_string_equal(out, "");
    assert_error("abcd/def: path of 8 bytes, at most 7");
}

static void test_crc32(void **state) {
    (void)state;
    assert_int_equal(wn__crc32(0, "123456789", 9), 0xcbf43926); // the check value of CRC-32
    assert_int_equal(wn__crc32(wn__crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
    assert_int_equal(wn__crc32(0, NULL, 0), 0);
    assert_int_equal(wn__crc32(77, NULL, 0), 77);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_read),        TEST(test_what_is_no_file),
        TEST(test_map),         TEST(test_exists_and_size),
        TEST(test_dir_make),    TEST(test_dir_remove),
        TEST(test_dir_publish), TEST(test_link_replace),
        TEST(test_dir_list),    TEST(test_glob),
        TEST(test_path_join),   TEST(test_crc32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
