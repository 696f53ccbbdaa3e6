// SPDX-License-Identifier: MIT
// Files of torch.save: every kind of fixture read to the bit, every hostile one refused by name,
// damage of any byte survived, and files written and read back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/pth.h"
#include "formats/safetensors.h"
#include "tensor/tensor.h"
#include "unit/base/scratch.h"

#define FOLDER   WN_FIXTURES "/formats/pth/"
#define COUNT(a) (sizeof(a) / sizeof *(a))

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void open_fixture(const char *name, size_t n, wn__pth *out) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s%.*s", FOLDER, (int)n, name);
    assert_ok(wn__pth_open(path, out));
}

// The packed elements of a view are those of another one.
static void assert_same(const wn_tensor *found, const wn_tensor *want) {
    assert_int_equal(found->dtype, want->dtype);
    assert_true(wn__tensor_same_shape(found, want));
    size_t bytes = wn__tensor_bytes(want);
    void *copy = malloc(bytes + 1);
    assert_non_null(copy);
    wn__pth_copy(found, copy);
    assert_memory_equal(copy, want->data, bytes);
    free(copy);
}

// reference.safetensors holds "FILE/NAME" for every tensor of every legal file.
static void test_fixtures(void **state) {
    (void)state;
    wn__safetensors reference;
    assert_ok(wn__safetensors_open(FOLDER "reference.safetensors", &reference));
    size_t files = 0, legal = 0;
    for (size_t i = 0; i < reference.count; files++) {
        const char *name = reference.entry[i].name, *slash = strchr(name, '/');
        size_t n = (size_t)(slash - name), tensors = 0;
        wn__pth p;
        open_fixture(name, n, &p);
        for (; i < reference.count && strncmp(reference.entry[i].name, name, n + 1) == 0; i++) {
            const wn__pth_entry *e = wn__pth_find(&p, reference.entry[i].name + n + 1);
            if (e == NULL) fail_msg("no '%s'", reference.entry[i].name);
            assert_same(&e->view, &reference.entry[i].view);
            tensors++;
        }
        assert_int_equal(p.count, tensors);
        wn__pth_close(&p);
    }
    wn__names names;
    assert_ok(wn__dir_list(FOLDER, &names));
    for (size_t i = 0; i < names.count; i++)
        legal += strncmp(names.name[i], "no_", 3) != 0 && strstr(names.name[i], ".pth") != NULL;
    assert_int_equal(files, legal);
    wn__names_free(&names);
    wn__safetensors_close(&reference);
}

// Views keep strides and share storages; Parameters are known.
static void test_views(void **state) {
    (void)state;
    wn__pth p;
    open_fixture("transposed.pth", 14, &p);
    assert_int_equal(p.entry[0].view.stride[0], 1);
    assert_int_equal(p.entry[0].view.stride[1], 3);
    wn__pth_close(&p);
    open_fixture("expanded_legacy.pth", 19, &p);
    assert_int_equal(p.entry[0].view.stride[0], 0);
    wn__pth_close(&p);
    open_fixture("shared.pth", 10, &p);
    const float *all = wn__pth_find(&p, "all")->view.data;
    assert_ptr_equal(wn__pth_find(&p, "rows")->view.data, all);
    assert_ptr_equal(wn__pth_find(&p, "tail")->view.data, all + 8);
    assert_ptr_equal(wn__pth_find(&p, "list.0")->view.data, all + 1);
    assert_ptr_equal(wn__pth_find(&p, "list.1.0")->view.data, all);
    assert_int_equal(p.heap.storages, 1);
    wn__pth_close(&p);
    open_fixture("parameter.pth", 13, &p);
    assert_true(p.entry[0].parameter && p.entry[0].requires_grad);
    assert_string_equal(p.entry[0].name, "");
    wn__pth_close(&p);
}

static void check_values(const char *file) {
    wn__pth p;
    open_fixture(file, strlen(file), &p);
    const wn__pickle_value *r = p.root;
    assert_int_equal(wn__pickle_count(r), 13);
    assert_int_equal(wn__pickle_get(r, "epoch")->integer, 3);
    assert_int_equal(wn__pickle_get(r, "big")->integer, (int64_t)1 << 40);
    assert_int_equal(wn__pickle_get(r, "minus")->integer, -5);
    assert_int_equal(wn__pickle_get(r, "least")->integer, INT64_MIN);
    assert_true(wn__pickle_get(r, "lr")->real == 1e-3);
    assert_int_equal(wn__pickle_get(r, "none")->type, WN__PICKLE_NONE);
    assert_true(wn__pickle_get(r, "yes")->truth);
    assert_false(wn__pickle_get(r, "no")->truth);
    assert_true(wn__pickle_is(wn__pickle_get(r, "text"), "caf\xc3\xa9"));
    assert_true(wn__pickle_is(wn__pickle_get(r, "device"), "cuda"));
    assert_int_equal(wn__pickle_get(r, "dtype")->type, WN__PICKLE_GLOBAL);
    assert_int_equal(wn__pickle_at(wn__pickle_get(r, "size"), 1)->integer, 3);
    assert_null(wn__pickle_get(r, "missing"));
    assert_null(wn__pickle_at(r, 0));
    wn__pth_close(&p);
}

static void test_values(void **state) {
    (void)state;
    check_values("values.pth");
    check_values("values_legacy.pth");
}

// The checkpoint of the program whose chains are read: its patterns, and its factors by name.
static void test_chain(void **state) {
    (void)state;
    static const int64_t patterns[3][4] = {{4, 2, 2, 1}, {2, 2, 2, 2}, {1, 2, 2, 4}};
    wn__pth p;
    open_fixture("chain.pth", 9, &p);
    const wn__pickle_value *list = wn__pickle_get(p.root, "patterns");
    assert_int_equal(wn__pickle_count(list), 3);
    for (size_t t = 0; t < 3; t++) {
        char name[64];
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(wn__pickle_at(wn__pickle_at(list, t), i)->integer, patterns[t][i]);
        (void)snprintf(name, sizeof name, "model_state_dict.weights.%zu", t);
        const wn__pth_entry *e = wn__pth_find(&p, name);
        assert_non_null(e);
        assert_int_equal(e->view.shape[0], patterns[t][0] * patterns[t][3]);
    }
    assert_true(wn__pickle_get(p.root, "val_loss")->real == 1.25);
    wn__pth_close(&p);
}

typedef struct refusal {
    const char *file;
    wn_status status;
    const char *words;
} refusal;
static const refusal refusals[] = {
    {"no_system.pth", WN_UNSUPPORTED, "the name 'posix.system', which is not on the list"},
    {"no_system_legacy.pth", WN_UNSUPPORTED, "the name 'posix.system'"},
    {"no_eval.pth", WN_UNSUPPORTED, "the name '__builtin__.eval'"},
    {"no_whole_module.pth", WN_UNSUPPORTED, "a pickled module; save its state_dict() instead"},
    {"no_sparse.pth", WN_UNSUPPORTED, "the name 'torch._utils._rebuild_sparse_tensor'"},
    {"no_quantized.pth", WN_UNSUPPORTED, "the name 'torch._utils._rebuild_qtensor'"},
    {"no_complex.pth", WN_UNSUPPORTED, "the name 'torch.ComplexFloatStorage'"},
    {"no_meta.pth", WN_UNSUPPORTED, "the name 'torch._utils._rebuild_meta_tensor_no_storage'"},
    {"no_numpy.pth", WN_UNSUPPORTED, "save tensors, not arrays"},
    {"no_set.pth", WN_UNSUPPORTED, "the name '__builtin__.set'"},
    {"no_protocol5.pth", WN_UNSUPPORTED, "pickle protocol 5, 2 to 4 expected"},
    {"no_torchscript.pth", WN_UNSUPPORTED, "a TorchScript archive"},
    {"no_inst.pth", WN_UNSUPPORTED, "operation INST"},
    {"no_newobj.pth", WN_UNSUPPORTED, "operation NEWOBJ"},
    {"no_call_of_a_class.pth", WN_UNSUPPORTED, "a call of torch.FloatStorage"},
    {"no_state.pth", WN_UNSUPPORTED, "a state for a dictionary"},
    {"no_room.pth", WN_FORMAT, "beyond its storage of 6 elements"},
    {"no_far_stride.pth", WN_FORMAT, "beyond its storage of 6 elements"},
    {"no_overflow.pth", WN_FORMAT, "beyond its storage of 6 elements"},
    {"no_negative.pth", WN_UNSUPPORTED, "a size or stride of -3"},
    {"no_negative_offset.pth", WN_FORMAT, "the offset -1"},
    {"no_short_storage.pth", WN_FORMAT, "'data/0' has 24 bytes, its storage needs 28"},
    {"no_huge_storage.pth", WN_FORMAT, "a storage of 4611686018427387904 elements"},
    {"no_dimensions.pth", WN_UNSUPPORTED, "7 dimensions, at most 6"},
    {"no_storage.pth", WN_FORMAT, "no entry 'data/0' for a storage"},
    {"no_memo.pth", WN_FORMAT, "memo 5 was never set"},
    {"no_huge_memo.pth", WN_UNSUPPORTED, "memo 4294967295"},
    {"no_long_text.pth", WN_FORMAT, "a string of 2147483647 bytes"},
    {"no_end.pth", WN_FORMAT, "ends in the middle"},
    {"no_two_values.pth", WN_FORMAT, "2 values and 0 marks at the end"},
    {"no_cycle.pth", WN_UNSUPPORTED, "nest deeper than 32"},
    {"no_bomb.pth", WN_UNSUPPORTED, "are more than 262144"},
    {"no_big_endian.pth", WN_UNSUPPORTED, "'big'-endian"},
    {"no_two_programs.pth", WN_FORMAT, "two entries end in /data.pkl"},
    {"no_deflate.pth", WN_UNSUPPORTED, "is compressed; torch.save stores"},
    {"no_dots.pth", WN_FORMAT, "an entry is named '../data.pkl'"},
    {"no_program.pth", WN_FORMAT, "without data.pkl"},
    {"no_tar.pth", WN_UNSUPPORTED, "a tar archive of torch before 0.1.10"},
    {"no_pickle.pth", WN_FORMAT, "neither a zip archive nor a legacy file"},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        char path[512];
        wn__pth p;
        (void)snprintf(path, sizeof path, "%s%s", FOLDER, refusals[i].file);
        wn_status status = wn__pth_open(path, &p);
        if (status != refusals[i].status || !strstr(wn_last_error(), refusals[i].words) ||
            !strstr(wn_last_error(), refusals[i].file))
            fail_msg("%s: %s: %s", refusals[i].file, wn_status_name(status),
                     status == WN_OK ? "" : wn_last_error());
        assert_null(p.entry);
    }
    wn__names names;
    size_t hostile = 0;
    assert_ok(wn__dir_list(FOLDER, &names));
    for (size_t i = 0; i < names.count; i++)
        hostile += strncmp(names.name[i], "no_", 3) == 0;
    assert_int_equal(hostile, COUNT(refusals));
    wn__names_free(&names);
}

// Reads every element that a file of these bytes claims to have, if it is taken at all.
static wn_status parse_all(const uint8_t *bytes, size_t size) {
    wn__pth p;
    wn_status status = wn__pth_parse(bytes, size, "f.pth", &p);
    for (size_t i = 0; status == WN_OK && i < p.count; i++) {
        size_t n = wn__tensor_bytes(&p.entry[i].view);
        void *copy = n < 1 << 20 ? malloc(n + 1) : NULL;
        if (copy != NULL) wn__pth_copy(&p.entry[i].view, copy);
        free(copy);
    }
    if (status == WN_OK) wn__pth_close(&p);
    return status;
}

// Cut anywhere: refused. Any byte changed: no harm.
static void test_damage(void **state) {
    (void)state;
    static const char *const files[] = {"bare.pth", "bare_legacy.pth", "shared.pth",
                                        "module_legacy.pth"};
    for (size_t f = 0; f < COUNT(files); f++) {
        char path[512], *bytes;
        size_t size;
        (void)snprintf(path, sizeof path, "%s%s", FOLDER, files[f]);
        assert_ok(wn__file_read(path, 0, &bytes, &size));
        for (size_t n = 0; n < size; n++) {
            uint8_t *cut = malloc(n + 1); // so that reading beyond is seen
            memcpy(cut, bytes, n);
            assert_int_not_equal(parse_all(cut, n), WN_OK);
            free(cut);
        }
        for (size_t i = 0; i < size; i++)
            for (int bit = 0; bit < 8; bit++) {
                bytes[i] = (char)(bytes[i] ^ 1 << bit);
                (void)parse_all((const uint8_t *)bytes, size);
                bytes[i] = (char)(bytes[i] ^ 1 << bit);
            }
        assert_ok(parse_all((const uint8_t *)bytes, size));
        free(bytes);
    }
}

static void test_select(void **state) {
    (void)state;
    const wn__pth_entry *e;
    wn__pth p;
    open_fixture("bare.pth", 8, &p);
    assert_ok(wn__pth_select(&p, NULL, &e));
    assert_int_equal(e->view.shape[1], 3);
    wn__pth_close(&p);
    open_fixture("module.pth", 10, &p); // one matrix among vectors
    assert_ok(wn__pth_select(&p, NULL, &e));
    assert_string_equal(e->name, "0.weight");
    assert_ok(wn__pth_select(&p, "1.bias", &e));
    assert_int_equal(wn__pth_select(&p, "2.bias", &e), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "no tensor '2.bias'; there are '0.bias' F32 [2]"));
    wn__pth_close(&p);
    open_fixture("dtypes.pth", 10, &p);
    assert_int_equal(wn__pth_select(&p, NULL, &e), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "4 matrices of floats; --tensor NAME says which of '"));
    wn__pth_close(&p);
}

static void put_sample(wn__pth_writer *w, const wn_tensor *strided, const wn_tensor *ids) {
    wn__pth_begin(w, WN__PICKLE_DICT);
    wn__pth_put_text(w, "epoch");
    wn__pth_put_int(w, 3);
    wn__pth_put_text(w, "big");
    wn__pth_put_int(w, -((int64_t)1 << 40));
    wn__pth_put_int(w, -70000);
    wn__pth_put_none(w);
    wn__pth_put_text(w, "lr");
    wn__pth_put_real(w, 0.1);
    wn__pth_put_text(w, "state");
    wn__pth_begin_ordered(w);
    wn__pth_put_text(w, "weight");
    wn__pth_put_tensor(w, strided);
    wn__pth_end(w);
    wn__pth_put_text(w, "list");
    wn__pth_begin(w, WN__PICKLE_LIST);
    wn__pth_begin(w, WN__PICKLE_TUPLE);
    wn__pth_put_bool(w, true);
    wn__pth_put_tensor(w, ids);
    wn__pth_end(w);
    wn__pth_begin(w, WN__PICKLE_LIST);
    wn__pth_end(w);
    wn__pth_end(w);
    wn__pth_end(w);
}

static void test_writer(void **state) {
    const char *path = scratch_path(state, "sample.pth");
    float matrix[6] = {0, 1, 2, 3, 4, 5};
    int64_t one = 7;
    wn_tensor packed = wn__tensor2(matrix, WN_DTYPE_F32, 2, 3);
    wn_tensor turned = wn__tensor_transpose(&packed);
    wn_tensor ids = wn__tensor(&one, WN_DTYPE_I64, 0, NULL);
    wn__pth_writer *w;
    assert_ok(wn__pth_create(path, &w));
    put_sample(w, &turned, &ids);
    assert_ok(wn__pth_commit(w));
    wn__pth p;
    assert_ok(wn__pth_open(path, &p));
    assert_int_equal(p.count, 2);
    assert_int_equal(wn__pickle_get(p.root, "epoch")->integer, 3);
    assert_int_equal(wn__pickle_get(p.root, "big")->integer, -((int64_t)1 << 40));
    assert_true(wn__pickle_get(p.root, "lr")->real == 0.1);
    assert_true(wn__pickle_get(p.root, "state")->ordered);
    const wn__pth_entry *e = wn__pth_find(&p, "state.weight");
    assert_int_equal((uintptr_t)((const uint8_t *)e->view.data - p.map.data) % 64, 0);
    assert_int_equal(e->view.stride[0], 2); // packed
    const float want[6] = {0, 3, 1, 4, 2, 5};
    assert_memory_equal(e->view.data, want, sizeof want);
    e = wn__pth_find(&p, "list.0.1");
    assert_int_equal(e->view.ndim, 0);
    assert_int_equal(*(const int64_t *)e->view.data, 7);
    wn__pth_close(&p);
}

static void refuse_file(const char *path, void (*put)(wn__pth_writer *), const char *words) {
    wn__pth_writer *w;
    assert_ok(wn__pth_create(path, &w));
    put(w);
    assert_int_equal(wn__pth_commit(w), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), words));
    assert_false(wn__file_exists(path));
}

static void put_nothing(wn__pth_writer *w) {
    (void)w;
}
static void put_two(wn__pth_writer *w) {
    wn__pth_put_none(w);
    wn__pth_put_none(w);
}
static void put_unended(wn__pth_writer *w) {
    wn__pth_begin(w, WN__PICKLE_LIST);
}
static void put_half(wn__pth_writer *w) {
    wn__pth_begin(w, WN__PICKLE_DICT);
    wn__pth_put_int(w, 1);
    wn__pth_end(w);
}
static void put_key(wn__pth_writer *w) {
    wn__pth_begin(w, WN__PICKLE_DICT);
    wn__pth_put_real(w, 1);
}
static void put_no_dtype(wn__pth_writer *w) {
    wn_tensor t = {0};
    wn__pth_put_tensor(w, &t);
}
static void put_deep(wn__pth_writer *w) {
    for (int i = 0; i < 40; i++)
        wn__pth_begin(w, WN__PICKLE_LIST);
    for (int i = 0; i < 41; i++)
        wn__pth_end(w);
}

static void test_writer_refuses(void **state) {
    const char *path = scratch_path(state, "bad.pth");
    refuse_file(path, put_nothing, "an unfinished value, or none");
    refuse_file(path, put_two, "two values at the top");
    refuse_file(path, put_unended, "an unfinished value, or none");
    refuse_file(path, put_half, "a key without a value");
    refuse_file(path, put_key, "a key that is neither");
    refuse_file(path, put_no_dtype, "no such dtype");
    refuse_file(path, put_deep, "nest deeper");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_fixtures),
    cmocka_unit_test(test_views),
    cmocka_unit_test(test_values),
    cmocka_unit_test(test_chain),
    cmocka_unit_test(test_refusals),
    cmocka_unit_test(test_damage),
    cmocka_unit_test(test_select),
    cmocka_unit_test_setup_teardown(test_writer, scratch_setup, scratch_teardown),
    cmocka_unit_test_setup_teardown(test_writer_refuses, scratch_setup, scratch_teardown),
};

int main(void) {
    return cmocka_run_group_tests(tests, NULL, NULL);
}
