// SPDX-License-Identifier: MIT
// Weights keep names, shapes, dtypes and bits from one kind of file to another, and what is written
// for torch is byte for byte what torch was seen to load (check_written_pth.py).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "tensor/tensor.h"
#include "unit/base/scratch.h"
#include "winnow/convert.h"

#define PTH     WN_FIXTURES "/formats/pth/"
#define WRITTEN WN_FIXTURES "/formats/pth_written/"

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void convert(const char *from, const char *to, const char *tensor, size_t tensors) {
    const wn_convert_options o = {.tensor = tensor};
    wn_convert_result r;
    assert_ok(wn_convert(from, to, &o, &r));
    assert_int_equal(r.tensors, tensors);
}

// Every tensor of a .pth, packed, is in the safetensors file, and nothing else.
static void same_tensors(const char *pth, const char *safetensors) {
    wn__pth p;
    wn__safetensors st;
    assert_ok(wn__pth_open(pth, &p));
    assert_ok(wn__safetensors_open(safetensors, &st));
    assert_int_equal(p.count, st.count);
    for (size_t i = 0; i < p.count; i++) {
        const wn_tensor *view = &p.entry[i].view;
        const char *name = p.entry[i].name[0] != 0 ? p.entry[i].name : "weight";
        const wn__st_entry *e = wn__safetensors_find(&st, name);
        if (e == NULL) fail_msg("no %s in %s", name, safetensors);
        assert_int_equal(e->view.dtype, view->dtype);
        assert_int_equal(e->view.ndim, view->ndim);
        assert_memory_equal(e->view.shape, view->shape, sizeof(int64_t) * (size_t)view->ndim);
        size_t bytes = wn__tensor_bytes(&e->view);
        void *packed = malloc(bytes + 1);
        wn__pth_copy(view, packed);
        assert_memory_equal(packed, e->view.data, bytes);
        free(packed);
    }
    wn__safetensors_close(&st);
    wn__pth_close(&p);
}

// .pth of every kind, to safetensors, to .pth, and again: nothing is lost.
static void test_round(void **state) {
    static const struct {
        const char *name;
        size_t tensors;
    } kinds[] = {{"module", 4}, {"module_legacy", 4}, {"dtypes", 10}, {"dtypes_v3", 5},
                 {"shared", 5}, {"transposed", 1},    {"scalar", 1},  {"empty", 1}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[512], name[64];
        (void)snprintf(path, sizeof path, PTH "%s.pth", kinds[i].name);
        (void)snprintf(name, sizeof name, "%s.safetensors", kinds[i].name);
        const char *st = scratch_path(state, name);
        convert(path, st, NULL, kinds[i].tensors);
        same_tensors(path, st);
        (void)snprintf(name, sizeof name, "%s.pth", kinds[i].name);
        const char *back = scratch_path(state, name);
        convert(st, back, NULL, kinds[i].tensors);
        (void)snprintf(name, sizeof name, "%s_2.safetensors", kinds[i].name);
        const char *again = scratch_path(state, name);
        convert(back, again, NULL, kinds[i].tensors);
        assert_same_files(st, again);
    }
}

// Of these files torch was asked.
static void test_written(void **state) {
    static const char *const names[] = {"module", "dtypes", "dtypes_v3"};
    static const size_t tensors[] = {4, 10, 5};
    for (size_t i = 0; i < 3; i++) {
        char from[512], seen[512], name[64];
        (void)snprintf(from, sizeof from, PTH "%s.pth", names[i]);
        (void)snprintf(seen, sizeof seen, WRITTEN "%s.pth", names[i]);
        (void)snprintf(name, sizeof name, "%s.pth", names[i]);
        const char *to = scratch_path(state, name);
        convert(from, to, NULL, tensors[i]);
        assert_same_files(to, seen);
    }
    const char *bare = scratch_path(state, "bare.pth");
    convert(PTH "module.pth", bare, "0.weight", 1);
    assert_same_files(bare, WRITTEN "bare.pth");
}

static void test_refusals(void **state) {
    const wn_convert_options o = {0};
    const wn_convert_options absent = {.tensor = "nothing"}, force = {.force = true};
    wn_convert_result r;
    const char *to = scratch_path(state, "a.pth");
    assert_int_equal(wn_convert(PTH "bare.pth", scratch_path(state, "a.pt"), &o, &r), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "ends in .pth or .safetensors"));
    assert_int_equal(wn_convert(PTH "module.pth", to, &absent, &r), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "no tensor 'nothing' among its 4"));
    assert_int_equal(wn_convert(scratch_path(state, "no.pth"), to, &o, &r), WN_IO);
    assert_int_equal(wn_convert(PTH "no_system.pth", to, &o, &r), WN_UNSUPPORTED);
    assert_false(wn__file_exists(to));
    assert_ok(wn_convert(PTH "bare.pth", to, &o, &r));
    assert_int_equal(wn_convert(PTH "bare.pth", to, &o, &r), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "is there"));
    assert_ok(wn_convert(PTH "bare.pth", to, &force, &r));
    assert_int_equal(r.bytes, 24);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

static const struct CMUnitTest tests[] = {TEST(test_round), TEST(test_written),
                                          TEST(test_refusals)};

int main(void) {
    return cmocka_run_group_tests(tests, NULL, NULL);
}
