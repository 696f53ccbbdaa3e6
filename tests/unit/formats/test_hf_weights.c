// SPDX-License-Identifier: MIT
// Checkpoint directories: one file, shards with their index, and indices that lie.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "formats/hf_config.h"
#include "formats/safetensors.h"
#include "tensor/tensor.h"
#include "unit/base/scratch.h"
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define INDEX        "model.safetensors.index.json"

// Five tensors of 4, 40, 8, 0 and 16 bytes on disk, names not in order.
static float values[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
enum { ITEMS = 5 };

static void make_items(wn__st_item items[ITEMS]) {
    const wn__st_item made[ITEMS] = {
        {.name = "d", .view = wn__tensor1(values, WN_DTYPE_F32, 1), .as = WN_DTYPE_NONE},
        {.name = "b", .view = wn__tensor2(values + 1, WN_DTYPE_F32, 2, 5), .as = WN_DTYPE_NONE},
        {.name = "a", .view = wn__tensor1(values + 3, WN_DTYPE_F32, 4), .as = WN_DTYPE_BF16},
        {.name = "e", .view = wn__tensor1(NULL, WN_DTYPE_F32, 0), .as = WN_DTYPE_NONE},
        {.name = "c", .view = wn__tensor1(values + 9, WN_DTYPE_F32, 4), .as = WN_DTYPE_NONE},
    };
    memcpy(items, made, sizeof made);
}

static bool exists(void *const *state, const char *name) {
    return wn__file_exists(scratch_path(state, name));
}

static void write_text(void *const *state, const char *name, const char *text) {
    assert_int_equal(wn__file_write(scratch_path(state, name), text, strlen(text)), WN_OK);
}

// A file `name` with one U8 tensor for each letter of `tensors`.
static void write_letters(void *const *state, const char *name, const char *tensors) {
    static uint8_t bytes[8];
    char names[8][2] = {{0}};
    wn__st_item items[8];
    size_t n = strlen(tensors);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)tensors[i];
        names[i][0] = tensors[i];
        items[i] = (wn__st_item){.name = names[i], .view = wn__tensor1(&bytes[i], WN_DTYPE_U8, 1)};
    }
    assert_int_equal(
        wn__safetensors_write(scratch_path(state, name), items, n, NULL, 0, NULL, NULL), WN_OK);
}

static void expect_content(const char *dir) {
    wn__hf_weights *w;
    if (wn__hf_weights_open(dir, &w) != WN_OK) fail_msg("%s", wn_last_error());
    assert_int_equal(wn__hf_weights_count(w), ITEMS);
    for (size_t i = 0; i < ITEMS; i++) {
        const char *name;
        wn__hf_weights_at(w, i, &name, NULL, NULL);
        assert_int_equal(name[0], "abcde"[i]);
    }
    wn_tensor t;
    assert_true(wn__hf_weights_find(w, "b", &t));
    assert_true(wn__tensor_is(&t, WN_DTYPE_F32, 2, (const int64_t[]){2, 5}));
    assert_memory_equal(t.data, values + 1, 40);
    assert_true(wn__hf_weights_find(w, "a", &t));
    assert_true(wn__tensor_is(&t, WN_DTYPE_BF16, 1, (const int64_t[]){4}));
    assert_memory_equal(t.data, ((const uint16_t[]){0x4040, 0x4080, 0x40A0, 0x40C0}), 8);
    assert_true(wn__hf_weights_find(w, "e", &t));
    assert_int_equal(wn__tensor_count(&t), 0);
    assert_false(wn__hf_weights_find(w, "f", &t));
    assert_int_equal(t.dtype, WN_DTYPE_NONE);
    wn__hf_weights_close(w);
}

// ---- writing and reading back ----

static void one_file(void **state) {
    wn__st_item items[ITEMS];
    make_items(items);
    assert_int_equal(wn__hf_weights_write(*state, items, ITEMS, 0), WN_OK);
    assert_true(exists(state, "model.safetensors"));
    assert_false(exists(state, INDEX));
    expect_content(*state);
    wn__hf_weights *w;
    const char *file;
    assert_int_equal(wn__hf_weights_open(*state, &w), WN_OK);
    wn__hf_weights_at(w, 0, NULL, NULL, &file);
    assert_string_equal(file, scratch_path(state, "model.safetensors"));
    wn__hf_weights_close(w);
}

// 12 bytes a shard: d (4); b (40, too large for any); a (8) with e (0); c (16).
static void shards(void **state) {
    wn__st_item items[ITEMS];
    make_items(items);
    assert_int_equal(wn__hf_weights_write(*state, items, ITEMS, 12), WN_OK);
    expect_content(*state);
    assert_false(exists(state, "model.safetensors"));
    wn__json *j;
    assert_int_equal(wn__json_read(scratch_path(state, INDEX), 0, &j), WN_OK);
    const wn__json *metadata = wn__json_get(j, "metadata"), *map = wn__json_get(j, "weight_map");
    assert_int_equal(wn__json_int(wn__json_get(metadata, "total_size")), 68);
    assert_int_equal(wn__json_int(wn__json_get(metadata, "total_parameters")), 19);
    static const char *const expected[][2] = {{"d", "model-00001-of-00004.safetensors"},
                                              {"b", "model-00002-of-00004.safetensors"},
                                              {"a", "model-00003-of-00004.safetensors"},
                                              {"e", "model-00003-of-00004.safetensors"},
                                              {"c", "model-00004-of-00004.safetensors"}};
    assert_int_equal(wn__json_count(map), COUNT(expected));
    for (size_t i = 0; i < COUNT(expected); i++) {
        const char *file = wn__json_string(wn__json_get(map, expected[i][0]), NULL);
        assert_string_equal(file, expected[i][1]);
        wn__safetensors st;
        assert_int_equal(wn__safetensors_open(scratch_path(state, file), &st), WN_OK);
        assert_non_null(wn__safetensors_find(&st, expected[i][0]));
        assert_string_equal(wn__safetensors_meta(&st, "format"), "pt");
        wn__safetensors_close(&st);
    }
    wn__json_free(j);
    wn__names names;
    assert_int_equal(wn__dir_list(*state, &names), WN_OK);
    assert_int_equal(names.count, 5);
    wn__names_free(&names);
}

// The other kind of checkpoint that was there before may not win over the new one.
static void replaces_the_other_kind(void **state) {
    wn__st_item items[ITEMS];
    make_items(items);
    write_letters(state, "model.safetensors", "xyz");
    assert_int_equal(wn__hf_weights_write(*state, items, ITEMS, 12), WN_OK);
    assert_false(exists(state, "model.safetensors"));
    expect_content(*state);
    assert_int_equal(wn__hf_weights_write(*state, items, ITEMS, 68), WN_OK); // all in one
    assert_true(exists(state, "model.safetensors"));
    assert_false(exists(state, INDEX));
    expect_content(*state);
}

static void refuses_to_write(void **state) {
    wn__st_item items[ITEMS];
    make_items(items);
    items[4].name = "d"; // would be in another shard
    assert_int_equal(wn__hf_weights_write(*state, items, ITEMS, 12), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "two tensors are named 'd'"));
    wn__names names;
    assert_int_equal(wn__dir_list(*state, &names), WN_OK);
    assert_int_equal(names.count, 0);
    wn__names_free(&names);
    assert_int_equal(wn__hf_weights_write("/nonexistent", NULL, 0, 0), WN_IO);
}

static void handles_many_tensors(void **state) {
    enum { MANY = 100000 };
    static char names[MANY][16];
    static uint8_t bytes[MANY];
    wn__st_item *items = calloc(MANY, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%06zu", i * 7919 % MANY);
        bytes[i] = (uint8_t)i;
        items[i] = (wn__st_item){.name = names[i], .view = wn__tensor1(&bytes[i], WN_DTYPE_U8, 1)};
    }
    assert_int_equal(wn__hf_weights_write(*state, items, MANY, MANY / 4), WN_OK);
    wn__hf_weights *w;
    assert_int_equal(wn__hf_weights_open(*state, &w), WN_OK);
    assert_int_equal(wn__hf_weights_count(w), MANY);
    for (size_t i = 0; i < MANY; i += 97) {
        wn_tensor t;
        assert_true(wn__hf_weights_find(w, names[i], &t));
        assert_int_equal(*(const uint8_t *)t.data, bytes[i]);
    }
    wn__hf_weights_close(w);
    assert_int_equal(wn__hf_weights_write(*state, items, MANY, 1), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "1 bytes a shard make 100000 shards, at most 99999"));
    free(items);
}

// ---- indices that lie ----

static void expect_refused(void *const *state, wn_status expected, const char *fragment) {
    wn__hf_weights *w;
    wn_status status = wn__hf_weights_open(*state, &w);
    if (status != expected || strstr(wn_last_error(), fragment) == NULL)
        fail_msg("%s: %s\n expected %s: ...%s...", wn_status_name(status), wn_last_error(),
                 wn_status_name(expected), fragment);
    assert_null(w);
}

static void needs_a_file(void **state) {
    expect_refused(state, WN_IO, "neither model.safetensors nor model.safetensors.index.json");
}

#define MAP(lines) "{\"metadata\":{},\"weight_map\":{" lines "}}"

// s1 has a and b, s2 has c, dup has c too; secret has z and lies outside.
static void refuses_lying_indices(void **state) {
    static const struct {
        const char *text;
        wn_status status;
        const char *fragment;
    } cases[] = {
        {"", WN_FORMAT, INDEX},
        {"[]", WN_FORMAT, "'weight_map': expected an object with members, found missing"},
        {"{\"weight_map\":[]}", WN_FORMAT, "found an array"},
        {"{\"weight_map\":null}", WN_FORMAT, "found null"},
        {MAP(""), WN_FORMAT, "found an object, empty"},
        {MAP("\"a\":1"), WN_FORMAT, "'a': expected a file name, found an integer"},
        {MAP("\"a\":null"), WN_FORMAT, "'a': expected a file name, found null"},
        {MAP("\"z\":\"../secret.safetensors\""), WN_FORMAT, "is not the plain name of a file"},
        {MAP("\"z\":\"inner/../../secret.safetensors\""), WN_FORMAT, "not the plain name"},
        {MAP("\"a\":\"./s1\""), WN_FORMAT, "not the plain name"},
        {MAP("\"a\":\"/etc/passwd\""), WN_FORMAT, "'/etc/passwd' is not the plain name"},
        {MAP("\"a\":\"..\\\\s1\""), WN_FORMAT, "not the plain name"},
        {MAP("\"a\":\"\""), WN_FORMAT, "not the plain name"},
        {MAP("\"a\":\".\""), WN_FORMAT, "not the plain name"},
        {MAP("\"a\":\"..\""), WN_FORMAT, "not the plain name"},
        {MAP("\"a\":\"s1\\u0000\""), WN_FORMAT, "not the plain name"},
        {MAP("\"a\\u0000\":\"s1\""), WN_FORMAT, "NUL"},
        {MAP("\"a\":\"s1\",\"a\":\"s2\""), WN_FORMAT, "duplicate"},
        {MAP("\"a\":\"absent\""), WN_IO, "absent"},
        {MAP("\"a\":\"folder\""), WN_IO, "a directory"},
        {MAP("\"a\":\"text\""), WN_FORMAT, "text: 3 bytes, too small"},
        {MAP("\"z\":\"link\""), WN_FORMAT, "a symbolic link that leads out of its directory"},
        {MAP("\"a\":\"dangling\""), WN_IO, "dangling"},
        {MAP("\"a\":\"s1\",\"b\":\"s1\",\"q\":\"s2\",\"c\":\"s2\""), WN_FORMAT,
         "tensor 'q' is not in s2, nor in any other shard"},
        {MAP("\"a\":\"s1\",\"b\":\"s2\",\"c\":\"s2\""), WN_FORMAT,
         "tensor 'b' should be in s2, but is in s1"},
        {MAP("\"a\":\"s1\",\"c\":\"s2\""), WN_FORMAT, "s1 is not in the index"},
        {MAP("\"a\":\"s1\",\"b\":\"s1\",\"c\":\"s2\",\"d\":\"s2\""), WN_FORMAT,
         "tensor 'd' is not in s2"},
        {MAP("\"a\":\"s1\",\"b\":\"s1\",\"c\":\"s2\",\"d\":\"dup\""), WN_FORMAT,
         "tensor 'c' is in two shards"},
    };
    char dir[512];
    (void)snprintf(dir, sizeof dir, "%s", scratch_path(state, "model"));
    void *inner = dir;
    assert_int_equal(wn__dir_make(dir), WN_OK);
    assert_int_equal(wn__dir_make(scratch_path(&inner, "folder")), WN_OK);
    write_letters(state, "secret.safetensors", "z");
    write_letters(&inner, "s1", "ab");
    write_letters(&inner, "s2", "c");
    write_letters(&inner, "dup", "c");
    write_text(&inner, "text", "abc");
    assert_int_equal(symlink("../secret.safetensors", scratch_path(&inner, "link")), 0);
    assert_int_equal(symlink("nowhere", scratch_path(&inner, "dangling")), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        write_text(&inner, INDEX, cases[i].text);
        expect_refused(&inner, cases[i].status, cases[i].fragment);
    }
    write_text(&inner, INDEX, MAP("\"a\":\"s1\",\"c\":\"s2\",\"b\":\"s1\"")); // the truth
    wn__hf_weights *w;
    assert_int_equal(wn__hf_weights_open(inner, &w), WN_OK);
    assert_int_equal(wn__hf_weights_count(w), 3);
    wn__hf_weights_close(w);
}

// The directories the hub's cache makes are all links.
static void follows_links_of_the_hub_cache(void **state) {
    assert_int_equal(wn__dir_make(scratch_path(state, "blobs")), WN_OK);
    assert_int_equal(wn__dir_make(scratch_path(state, "snapshots/abc")), WN_OK);
    assert_int_equal(wn__dir_make(scratch_path(state, "other/abc")), WN_OK);
    write_letters(state, "blobs/1234", "ab");
    static const char *const dirs[] = {"snapshots/abc", "other/abc"};
    for (size_t i = 0; i < COUNT(dirs); i++) {
        char dir[512];
        (void)snprintf(dir, sizeof dir, "%s", scratch_path(state, dirs[i]));
        void *inner = dir;
        write_text(&inner, INDEX, MAP("\"a\":\"s1\",\"b\":\"s1\""));
        assert_int_equal(symlink("../../blobs/1234", scratch_path(&inner, "s1")), 0);
        if (i > 0) {
            expect_refused(&inner, WN_FORMAT, "a symbolic link that leads out");
            continue;
        }
        wn__hf_weights *w;
        assert_int_equal(wn__hf_weights_open(dir, &w), WN_OK);
        wn__hf_weights_close(w);
    }
    // Inside the directory, and model.safetensors itself, links are fine.
    write_letters(state, "real", "a");
    assert_int_equal(symlink("real", scratch_path(state, "alias")), 0);
    write_text(state, INDEX, MAP("\"a\":\"alias\""));
    wn__hf_weights *w;
    assert_int_equal(wn__hf_weights_open(*state, &w), WN_OK);
    wn__hf_weights_close(w);
    assert_int_equal(symlink("blobs/1234", scratch_path(state, "model.safetensors")), 0);
    assert_int_equal(wn__hf_weights_open(*state, &w), WN_OK);
    assert_int_equal(wn__hf_weights_count(w), 2); // model.safetensors wins over the index
    wn__hf_weights_close(w);
}

int main(void) {
#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(one_file),
        IN_SCRATCH(shards),
        IN_SCRATCH(replaces_the_other_kind),
        IN_SCRATCH(refuses_to_write),
        IN_SCRATCH(handles_many_tensors),
        IN_SCRATCH(needs_a_file),
        IN_SCRATCH(refuses_lying_indices),
        IN_SCRATCH(follows_links_of_the_hub_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
