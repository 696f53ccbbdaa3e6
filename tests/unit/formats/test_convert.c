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
#include "formats/notes.h"
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

static const char *meta_of(const char *path, const char *key, char *out, size_t n) {
    wn__safetensors st;
    assert_ok(wn__safetensors_open(path, &st));
    const char *value = wn__safetensors_meta(&st, key);
    (void)snprintf(out, n, "%s", value != NULL ? value : "(missing)");
    wn__safetensors_close(&st);
    return out;
}

// Puts a byte of 0 behind `at` bytes of a text in a .pth, whose checksums are taken out.
static void zero_after(const char *path, const char *text, ptrdiff_t at) {
    wn__map map;
    assert_ok(wn__map_open(path, &map));
    size_t n = map.size, found = 0;
    char *bytes = malloc(n);
    memcpy(bytes, map.data, n);
    wn__map_close(&map);
    for (size_t i = 0; i + 20 < n; i++) {
        if (memcmp(bytes + i, "PK\1\2", 4) == 0) memset(bytes + i + 16, 0, 4);
        if (memcmp(bytes + i, text, strlen(text)) != 0) continue;
        bytes[(ptrdiff_t)i + at] = 0;
        found++;
    }
    assert_int_equal(found, 1);
    assert_ok(wn__file_write(path, bytes, n));
    free(bytes);
}

// Which layers of a state_dict are chains, and of which patterns, is in its _metadata.
static void test_layers(void **state) {
    static const char tag[] = "kron 1 rightmost-first groups-cb (2,3,2,1) (1,2,3,2)";
    const char *from = scratch_path(state, "from.safetensors"),
               *pth = scratch_path(state, "there.pth"),
               *back = scratch_path(state, "back.safetensors");
    char key[2][16] = {"kron:a.b", "kron:a.c"}, value[2][64] = {"", "two"}, text[128];
    float x[24] = {1, 2};
    const wn__st_item items[] = {
        {.name = "a.b.factor_0", .view = wn__tensor2(x, WN_DTYPE_F32, 4, 3)},
        {.name = "a.c", .view = wn__tensor2(x, WN_DTYPE_F32, 3, 2)}};
    (void)snprintf(value[0], sizeof value[0], "%s", tag);
    const wn__st_meta meta[] = {{key[0], value[0]}, {key[1], value[1]}};
    assert_ok(wn__safetensors_write(from, items, 2, meta, 2, NULL, NULL));
    convert(from, pth, NULL, 2);
    wn__pth p;
    assert_ok(wn__pth_open(pth, &p));
    const wn__pickle_value *layer = wn__pickle_get(p.root->list.metadata, "a.b");
    assert_true(p.root->ordered && wn__pickle_count(p.root) == 2);
    assert_true(wn__pickle_is(wn__pickle_get(layer, "winnow.chain"), tag));
    wn__pth_close(&p);
    convert(pth, back, NULL, 2);
    assert_same_files(from, back);
    convert(from, scratch_path(state, "one.pth"), "a.c", 1);
    convert(from, scratch_path(state, "one.safetensors"), "a.c", 1);
    assert_string_equal(
        meta_of(scratch_path(state, "one.safetensors"), "kron:a.b", text, sizeof text),
        "(missing)");
}

// A checkpoint of a chain comes back with its patterns, factors and head where readers look.
static void check_chain(void **state, const char *from, bool tagged) {
    const char *st = scratch_path(state, "chain.safetensors"),
               *pth = scratch_path(state, "chain.pth"),
               *again = scratch_path(state, "again.safetensors");
    const wn_convert_options o = {.force = true};
    wn_convert_result r, s;
    char text[256];
    wn__pth p, q;
    assert_ok(wn_convert(from, st, &o, &r));
    assert_ok(wn_convert(st, pth, &o, &s));
    assert_int_equal(r.tensors, s.tensors);
    assert_ok(wn_convert(pth, again, &o, &s));
    assert_same_files(st, again);
    same_tensors(from, st);
    assert_ok(wn__pth_open(from, &p));
    assert_ok(wn__pth_open(pth, &q));
    const wn__pickle_value *a = wn__pickle_get(p.root, "patterns"),
                           *b = wn__pickle_get(q.root, "patterns");
    assert_true(wn__pickle_count(a) > 0 && wn__pickle_count(a) == wn__pickle_count(b));
    for (size_t t = 0; t < wn__pickle_count(a); t++)
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(wn__pickle_at(wn__pickle_at(a, t), i)->integer,
                             wn__pickle_at(wn__pickle_at(b, t), i)->integer);
    const wn__pickle_value *tag = wn__pickle_get(wn__pickle_get(q.root, "winnow"), "chain");
    assert_true(tagged == (tag != NULL));
    assert_true(tagged ==
                (strcmp(meta_of(st, "winnow.chain", text, sizeof text), "(missing)") != 0));
    assert_non_null(wn__pickle_get(wn__pickle_get(q.root, "model_state_dict"), "weights.0"));
    wn__pth_close(&p);
    wn__pth_close(&q);
}

static void put_ints(wn__pth_writer *w, const int64_t *v, int n) {
    wn__pth_begin(w, WN__PICKLE_TUPLE);
    for (int i = 0; i < n; i++)
        wn__pth_put_int(w, v[i]);
    wn__pth_end(w);
}

static void test_chain(void **state) {
    static const int64_t patterns[2][4] = {{2, 3, 2, 1}, {1, 2, 3, 2}};
    const char *own = scratch_path(state, "own.pth");
    float x[12] = {1, 2, 3};
    const wn_tensor t = wn__tensor2(x, WN_DTYPE_F32, 4, 3);
    check_chain(state, PTH "chain.pth", false); // of the program that ks fit follows
    check_chain(state, PTH "chain_legacy.pth", false);
    wn__pth_writer *w;
    assert_ok(wn__pth_create(own, &w));
    wn__pth_begin(w, WN__PICKLE_DICT);
    static const char *const parts[] = {"model_state_dict", "head"};
    static const char *const names[] = {"weights.0", "in"};
    for (int i = 0; i < 2; i++) {
        wn__pth_put_text(w, parts[i]);
        wn__pth_begin_ordered(w);
        wn__pth_put_text(w, names[i]);
        wn__pth_put_tensor(w, &t);
        if (i == 0) {
            wn__pth_put_text(w, "weights.1");
            wn__pth_put_tensor(w, &t);
        }
        wn__pth_end(w);
    }
    wn__pth_put_text(w, "patterns");
    wn__pth_begin(w, WN__PICKLE_LIST);
    for (int i = 0; i < 2; i++)
        put_ints(w, patterns[i], 4);
    wn__pth_end(w);
    wn__pth_put_text(w, "winnow");
    wn__pth_begin(w, WN__PICKLE_DICT);
    wn__pth_put_text(w, "chain");
    wn__pth_put_text(w, "kron 1 rightmost-first groups-cb (2,3,2,1) (1,2,3,2)");
    wn__pth_end(w);
    wn__pth_end(w);
    assert_ok(wn__pth_commit(w));
    check_chain(state, own, true);
}

// A field `patterns` that is no chain's, of numbers, texts or a tensor.
static void test_no_chain(void **state) {
    enum { TENSOR, TEXTS, THREE, REAL, EMPTY, ALONE, KINDS };
    const char *pth = scratch_path(state, "other.pth"),
               *st = scratch_path(state, "other.safetensors");
    const int64_t four[4] = {1, 2, 2, 1};
    const wn_convert_options o = {.force = true};
    float x[4] = {1, 2};
    char text[64];
    const wn_tensor t = wn__tensor2(x, WN_DTYPE_F32, 2, 2);
    for (int kind = 0; kind < KINDS; kind++) {
        wn__pth_writer *w;
        wn__pth p;
        wn_convert_result r;
        assert_ok(wn__pth_create(pth, &w));
        wn__pth_begin(w, WN__PICKLE_DICT);
        wn__pth_put_text(w, kind == ALONE ? "weights" : "model_state_dict");
        wn__pth_begin_ordered(w);
        wn__pth_put_text(w, "weights.0");
        wn__pth_put_tensor(w, &t);
        wn__pth_end(w);
        wn__pth_put_text(w, "patterns");
        if (kind == TENSOR) {
            wn__pth_put_tensor(w, &t);
        } else {
            wn__pth_begin(w, WN__PICKLE_LIST);
            if (kind == TEXTS) wn__pth_put_text(w, "*.bias");
            if (kind == REAL) wn__pth_put_real(w, 0.5);
            if (kind == THREE || kind == ALONE) put_ints(w, four, kind == THREE ? 3 : 4);
            wn__pth_end(w);
        }
        wn__pth_end(w);
        assert_ok(wn__pth_commit(w));
        assert_ok(wn_convert(pth, st, &o, &r));
        assert_int_equal(r.tensors, kind == TENSOR ? 2 : 1);
        assert_string_equal(meta_of(st, "patterns", text, sizeof text), "(missing)");
        assert_ok(wn__pth_open(pth, &p));
        assert_null(wn__notes_patterns_of(&p));
        wn__pth_close(&p);
    }
}

// Metadata of that name: a chain's only if its factors are there, and never instead of layers'.
static void test_metadata(void **state) {
    static const struct {
        const char *patterns, *factor;
        bool chain;
    } cases[] = {{"[[2,3,2,1],[1,2,3,2]]", "model_state_dict.weights.1", true},
                 {"[[2,3,2,1],[1,2,3,2]]", "model_state_dict.weights.2", false},
                 {"[[2,3,2,1],[1,2,3]]", "model_state_dict.weights.1", false},
                 {"[[2,3,2,1],[1,2,3,2.5]]", "model_state_dict.weights.1", false},
                 {"[[\"x\",\"y\"],3]", "model_state_dict.weights.1", false},
                 {"{\"a\":[1,2]}", "model_state_dict.weights.1", false},
                 {"[]", "model_state_dict.weights.1", false},
                 {"7", "model_state_dict.weights.1", false},
                 {"any text", "model_state_dict.weights.1", false}};
    const char *from = scratch_path(state, "from.safetensors"),
               *pth = scratch_path(state, "meta.pth"),
               *back = scratch_path(state, "back.safetensors");
    const wn_convert_options o = {.force = true};
    float x[12] = {1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char key[2][16] = {"kron:a.b", "patterns"}, tag[] = "a tag", value[64];
        const wn__st_meta meta[] = {{key[1], value}, {key[0], tag}};
        const wn__st_item items[] = {
            {.name = "model_state_dict.weights.0", .view = wn__tensor2(x, WN_DTYPE_F32, 4, 3)},
            {.name = cases[i].factor, .view = wn__tensor2(x, WN_DTYPE_F32, 6, 2)}};
        wn_convert_result r;
        wn__pth p;
        (void)snprintf(value, sizeof value, "%s", cases[i].patterns);
        assert_ok(wn__safetensors_write(from, items, 2, meta, 2, NULL, NULL));
        assert_ok(wn_convert(from, pth, &o, &r));
        assert_ok(wn__pth_open(pth, &p));
        assert_true(cases[i].chain == (wn__pickle_get(p.root, "patterns") != NULL));
        assert_true(cases[i].chain == (wn__notes_patterns_of(&p) != NULL));
        const wn__pickle_value *layer = wn__pickle_get(p.root->list.metadata, "a.b");
        assert_true(wn__pickle_is(wn__pickle_get(layer, "winnow.chain"), tag));
        wn__pth_close(&p);
        if (!cases[i].chain) continue;
        assert_ok(wn_convert(pth, back, &o, &r));
        assert_same_files(from, back);
    }
}

// Names of layers and texts with a byte of 0 would be cut, and two be one.
static void test_zero_byte(void **state) {
    static const char *const words[] = {"a.b#c", "a#tag"};
    char key[] = "kron:a.b#c", tag[] = "a#tag";
    const char *from = scratch_path(state, "from.safetensors"),
               *pth = scratch_path(state, "zero.pth"), *to = scratch_path(state, "to.safetensors");
    float x[12] = {1};
    const wn__st_meta meta = {key, tag};
    const wn__st_item item = {.name = "a", .view = wn__tensor2(x, WN_DTYPE_F32, 4, 3)};
    const wn_convert_options o = {.force = true};
    wn_convert_result r;
    for (int i = 0; i < 2; i++) {
        assert_ok(wn__safetensors_write(from, &item, 1, &meta, 1, NULL, NULL));
        assert_ok(wn_convert(from, pth, &o, &r));
        zero_after(pth, words[i], strchr(words[i], '#') - words[i]);
        assert_int_equal(wn_convert(pth, to, &o, &r), WN_FORMAT);
        assert_non_null(strstr(wn_last_error(), "zero.pth: a byte of 0 in the note 'kron:a.b"));
        assert_false(wn__file_exists(to));
    }
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

static const struct CMUnitTest tests[] = {
    TEST(test_round),    TEST(test_written),  TEST(test_layers),    TEST(test_chain),
    TEST(test_no_chain), TEST(test_metadata), TEST(test_zero_byte), TEST(test_refusals)};

int main(void) {
    return cmocka_run_group_tests(tests, NULL, NULL);
}
