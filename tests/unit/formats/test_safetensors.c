// SPDX-License-Identifier: MIT
// safetensors: bytes written against bytes known, files of the reference package read and
// rewritten, every malformed header refused with the message that says why.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/half.h"
#include "formats/safetensors.h"
#include "tensor/tensor.h"
#include "unit/base/scratch.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// A file in memory: length, header text of n bytes, data of zeros.
typedef struct blob {
    uint8_t *bytes;
    size_t size;
} blob;

static blob make_blob(const char *header, size_t n, size_t data) {
    blob b = {.size = 8 + n + data};
    b.bytes = calloc(b.size, 1);
    assert_non_null(b.bytes);
    for (int i = 0; i < 8; i++)
        b.bytes[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(b.bytes + 8, header, n);
    return b;
}

static wn_status parse_text(const char *header, size_t n, size_t data, wn__safetensors *out) {
    blob b = make_blob(header, n, data);
    wn_status status = wn__safetensors_parse(b.bytes, b.size, "f.safetensors", out);
    free(b.bytes); // only names are read below
    return status;
}

static void expect_refused(wn_status expected, const char *header, size_t n, size_t data,
                           const char *fragment) {
    wn__safetensors st;
    wn_status status = parse_text(header, n, data, &st);
    if (status != expected || strstr(wn_last_error(), fragment) == NULL)
        fail_msg("%.*s\n gave %s: %s\n expected %s: ...%s...", (int)(n < 300 ? n : 300), header,
                 wn_status_name(status), status == WN_OK ? "" : wn_last_error(),
                 wn_status_name(expected), fragment);
    assert_non_null(strstr(wn_last_error(), "f.safetensors"));
    assert_null(st.entry);
}

static void expect_file(const char *path, const void *bytes, size_t n) {
    char *found;
    size_t size;
    assert_int_equal(wn__file_read(path, 0, &found, &size), WN_OK);
    assert_int_equal(size, n);
    assert_memory_equal(found, bytes, n);
    free(found);
}

static wn__st_item item_of(const char *name, wn_tensor view) {
    return (wn__st_item){.name = name, .view = view};
}

// ---- writing ----

static void writes_the_known_bytes(void **state) {
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"step\":\"7\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
        "\"h\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[8,10]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[10,13]},"
        "\"e\":{\"dtype\":\"U8\",\"shape\":[0,4],\"data_offsets\":[13,13]}}  ";
    uint8_t expected[8 + sizeof header - 1 + 13] = {(sizeof header - 1) & 0xFF,
                                                    (sizeof header - 1) >> 8};
    assert_int_equal((sizeof header - 1) % 8, 0);
    memcpy(expected + 8, header, sizeof header - 1);
    static const uint8_t data[] = {0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0, 0x40, 0x40, 9, 8, 7};
    memcpy(expected + 8 + sizeof header - 1, data, sizeof data);

    float w[] = {1.0F, -2.0F};
    uint16_t h = 0x4040;
    uint8_t b[] = {9, 8, 7};
    const wn__st_item items[] = {
        item_of("e", wn__tensor2(NULL, WN_DTYPE_U8, 0, 4)),
        item_of("b", wn__tensor1(b, WN_DTYPE_U8, 3)),
        item_of("h", wn__tensor(&h, WN_DTYPE_BF16, 0, NULL)),
        item_of("w", wn__tensor2(w, WN_DTYPE_F32, 2, 1)),
    };
    const wn__st_meta meta[] = {{"step", "7"}};
    const char *path = scratch_path(state, "a.safetensors");
    uint32_t crc = 0;
    uint64_t bytes = 0;
    assert_int_equal(wn__safetensors_write(path, items, COUNT(items), meta, 1, &crc, &bytes),
                     WN_OK);
    expect_file(path, expected, sizeof expected);
    assert_int_equal(bytes, sizeof expected);
    assert_int_equal(crc, wn__crc32(0, expected, sizeof expected));
}

static void writes_no_tensors(void **state) {
    static const char expected[] = "\x20\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"}}";
    const char *path = scratch_path(state, "none.safetensors");
    assert_int_equal(wn__safetensors_write(path, NULL, 0, NULL, 0, NULL, NULL), WN_OK);
    expect_file(path, expected, sizeof expected - 1);
    wn__safetensors st;
    assert_int_equal(wn__safetensors_open(path, &st), WN_OK);
    assert_int_equal(st.count, 0);
    assert_null(wn__safetensors_find(&st, "w"));
    wn__safetensors_close(&st);
}

// Every dtype at ranks 0 and 2 and without elements.
static void round_trips_every_dtype(void **state) {
    static uint8_t pattern[6 * 8];
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(i * 37 + 11);
    wn__st_item items[3 * 15];
    static char names[COUNT(items)][16];
    size_t n = 0;
    for (int d = WN_DTYPE_F64; d <= WN_DTYPE_F8_E5M2; d++) {
        const wn_tensor views[] = {wn__tensor(pattern, (wn_dtype)d, 0, NULL),
                                   wn__tensor2(pattern, (wn_dtype)d, 2, 3),
                                   wn__tensor2(NULL, (wn_dtype)d, 0, 3)};
        for (size_t v = 0; v < COUNT(views); v++, n++) {
            (void)snprintf(names[n], sizeof names[n], "t%02d.%zu", d, v);
            items[n] = item_of(names[n], views[v]);
        }
    }
    assert_int_equal(n, COUNT(items));
    const char *path = scratch_path(state, "all.safetensors");
    assert_int_equal(wn__safetensors_write(path, items, n, NULL, 0, NULL, NULL), WN_OK);
    wn__safetensors st;
    assert_int_equal(wn__safetensors_open(path, &st), WN_OK);
    assert_int_equal(st.count, n);
    for (size_t i = 0; i < n; i++) {
        const wn__st_entry *e = wn__safetensors_find(&st, items[i].name);
        assert_non_null(e);
        assert_int_equal(e->view.dtype, items[i].view.dtype);
        assert_true(wn__tensor_same_shape(&e->view, &items[i].view));
        assert_true(wn__tensor_packed(&e->view));
        assert_int_equal((uintptr_t)e->view.data % wn_dtype_size(e->view.dtype), 0);
        size_t bytes = wn__tensor_bytes(&e->view);
        if (bytes > 0) assert_memory_equal(e->view.data, pattern, bytes);
        assert_true(i == 0 || strcmp(st.entry[i - 1].name, st.entry[i].name) < 0);
    }
    wn__safetensors_close(&st);
}

// Views whose elements do not lie in order, larger than one chunk of the writer.
static void packs_strided_views(void **state) {
    enum { ROWS = 67, COLS = 301 };
    static int32_t source[ROWS][COLS];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++)
            source[i][j] = i * 1000 + j;
    const wn_tensor whole = wn__tensor2(source, WN_DTYPE_I32, ROWS, COLS);
    const wn_tensor part = wn__tensor_slice(&whole, 1, 5, 290);
    wn_tensor repeated = wn__tensor3(source, WN_DTYPE_I32, 2, 3, 4);
    repeated.stride[0] = 0; // the same 3 x 4 twice
    repeated.stride[1] = COLS;
    repeated.stride[2] = 2;
    const wn__st_item items[] = {item_of("transposed", wn__tensor_transpose(&whole)),
                                 item_of("part", part), item_of("repeated", repeated)};
    const char *path = scratch_path(state, "s.safetensors");
    assert_int_equal(wn__safetensors_write(path, items, COUNT(items), NULL, 0, NULL, NULL), WN_OK);
    wn__safetensors st;
    assert_int_equal(wn__safetensors_open(path, &st), WN_OK);
    const int32_t *t = wn__safetensors_find(&st, "transposed")->view.data;
    const int32_t *p = wn__safetensors_find(&st, "part")->view.data;
    const int32_t *r = wn__safetensors_find(&st, "repeated")->view.data;
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < COLS; j++)
            assert_int_equal(t[j * ROWS + i], source[i][j]);
        for (int j = 0; j < 290; j++)
            assert_int_equal(p[i * 290 + j], source[i][j + 5]);
    }
    for (int i = 0; i < 24; i++)
        assert_int_equal(r[i], source[i / 4 % 3][i % 4 * 2]);
    wn__safetensors_close(&st);
}

static void rounds_to_half_types(void **state) {
    enum { N = 9001 };
    static float source[N];
    for (int i = 0; i < N; i++)
        source[i] = wn__f32_from_bits((uint32_t)i * 477218U + 0x33000001U);
    source[1] = wn__f32_from_bits(0x7FC00000U); // NaN
    source[2] = 65520.0F;                       // rounds to infinity in binary16
    source[3] = 1.00390625F;                    // a tie in bfloat16: to even, 1.0
    const wn_tensor view = wn__tensor1(source, WN_DTYPE_F32, N);
    wn_tensor reversed = wn__tensor1(source + N - 1, WN_DTYPE_F32, N);
    reversed.stride[0] = -1;
    wn__st_item items[] = {item_of("b", view), item_of("h", view), item_of("r", reversed)};
    items[0].as = WN_DTYPE_BF16;
    items[1].as = WN_DTYPE_F16;
    items[2].as = WN_DTYPE_F16;
    const char *path = scratch_path(state, "h.safetensors");
    assert_int_equal(wn__safetensors_write(path, items, COUNT(items), NULL, 0, NULL, NULL), WN_OK);
    wn__safetensors st;
    assert_int_equal(wn__safetensors_open(path, &st), WN_OK);
    const wn__st_entry *b = wn__safetensors_find(&st, "b"), *h = wn__safetensors_find(&st, "h");
    const uint16_t *r = wn__safetensors_find(&st, "r")->view.data;
    assert_int_equal(b->view.dtype, WN_DTYPE_BF16);
    assert_int_equal(h->view.dtype, WN_DTYPE_F16);
    for (int i = 0; i < N; i++) {
        assert_int_equal(((const uint16_t *)b->view.data)[i], wn__bf16_from_f32(source[i]));
        assert_int_equal(((const uint16_t *)h->view.data)[i], wn__f16_from_f32(source[i]));
        assert_int_equal(r[i], wn__f16_from_f32(source[N - 1 - i]));
    }
    assert_int_equal(((const uint16_t *)b->view.data)[3], 0x3F80);
    assert_int_equal(((const uint16_t *)h->view.data)[2], 0x7C00);
    wn__safetensors_close(&st);
}

static void keeps_strange_names(void **state) {
    static const char *const names[] = {"a\"b\\c/d", "line\nbreak\ttab\x01\x1f\x7f",
                                        "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", " ", "{}[],:"};
    uint8_t value[] = {1, 2, 3, 4, 5};
    wn__st_item items[COUNT(names)];
    for (size_t i = 0; i < COUNT(names); i++)
        items[i] = item_of(names[i], wn__tensor(&value[i], WN_DTYPE_U8, 0, NULL));
    const wn__st_meta meta[] = {{"k\n\"", "v\\\xC3\xA9"}, {"", ""}, {"format", "pt"}};
    const char *path = scratch_path(state, "names.safetensors");
    assert_int_equal(wn__safetensors_write(path, items, COUNT(names), meta, 3, NULL, NULL), WN_OK);
    wn__safetensors st;
    assert_int_equal(wn__safetensors_open(path, &st), WN_OK);
    for (size_t i = 0; i < COUNT(names); i++)
        assert_int_equal(*(const uint8_t *)wn__safetensors_find(&st, names[i])->view.data,
                         value[i]);
    assert_int_equal(st.meta_count, 3);
    assert_string_equal(wn__safetensors_meta(&st, "k\n\""), "v\\\xC3\xA9");
    assert_string_equal(wn__safetensors_meta(&st, ""), "");
    assert_string_equal(wn__safetensors_meta(&st, "format"), "pt");
    assert_null(wn__safetensors_meta(&st, "absent"));
    wn__safetensors_close(&st);
}

// One block in which one tensor after the other is made.
typedef struct maker {
    float block[12];
    wn_dtype dtype;
    size_t made, fails_at;
} maker;

static wn_status make_tensor(void *ctx, size_t which, wn_tensor *out) {
    maker *m = ctx;
    if (which == m->fails_at) return wn__fail(WN_NOMEM, "no room");
    m->made++;
    for (int i = 0; i < 12; i++)
        m->block[i] = (float)(100 * which) + (float)i;
    *out = wn__tensor2(m->block, m->dtype, 3, 4);
    return WN_OK;
}

static wn__st_item item_to_make(const char *name, maker *m, size_t which) {
    return (wn__st_item){.name = name,
                         .view = wn__tensor2(NULL, WN_DTYPE_F32, 3, 4),
                         .make = make_tensor,
                         .ctx = m,
                         .which = which};
}

// Beside one that exists; the second rounds to BF16. Both use the block, one after the other.
static void makes_tensors_as_it_writes(void **state) {
    maker m = {.dtype = WN_DTYPE_F32, .fails_at = 9};
    float here[2] = {5, 6};
    wn__st_item items[] = {item_to_make("z", &m, 1), item_to_make("a", &m, 2),
                           item_of("m", wn__tensor1(here, WN_DTYPE_F32, 2))};
    items[1].as = WN_DTYPE_BF16;
    const char *path = scratch_path(state, "made.safetensors");
    assert_int_equal(wn__safetensors_write(path, items, COUNT(items), NULL, 0, NULL, NULL), WN_OK);
    assert_int_equal(m.made, 2);
    wn__safetensors st;
    assert_int_equal(wn__safetensors_open(path, &st), WN_OK);
    const wn_tensor *a = &wn__safetensors_find(&st, "a")->view,
                    *z = &wn__safetensors_find(&st, "z")->view;
    assert_int_equal(a->dtype, WN_DTYPE_BF16);
    assert_int_equal(z->shape[0], 3);
    for (int i = 0; i < 12; i++) {
        assert_int_equal(((const uint16_t *)a->data)[i], wn__bf16_from_f32((float)(200 + i)));
        assert_float_equal(((const float *)z->data)[i], (float)(100 + i), 0);
    }
    assert_float_equal(((const float *)wn__safetensors_find(&st, "m")->view.data)[1], 6, 0);
    wn__safetensors_close(&st);
}

// A maker's failure keeps its status and message, leaves no file and no temporary one.
static void passes_on_what_cannot_be_made(void **state) {
    maker m = {.dtype = WN_DTYPE_F32, .fails_at = 1};
    const wn__st_item item = item_to_make("lost", &m, 1);
    const char *path = scratch_path(state, "made.safetensors");
    assert_int_equal(wn__safetensors_write(path, &item, 1, NULL, 0, NULL, NULL), WN_NOMEM);
    assert_non_null(strstr(wn_last_error(), "tensor 'lost': no room"));
    m = (maker){.dtype = WN_DTYPE_I32, .fails_at = 9};
    assert_int_equal(wn__safetensors_write(path, &item, 1, NULL, 0, NULL, NULL), WN_BUG);
    assert_non_null(strstr(wn_last_error(), "made as I32 [3, 4], announced as F32 [3, 4]"));
    wn__names names;
    assert_int_equal(wn__dir_list(*state, &names), WN_OK);
    assert_int_equal(names.count, 0);
    wn__names_free(&names);
}

static void expect_write_refused(void *const *state, const wn__st_item *items, size_t count,
                                 const wn__st_meta *meta, size_t meta_count, const char *fragment) {
    const char *path = scratch_path(state, "kept.safetensors");
    assert_int_equal(wn__file_write(path, "old", 3), WN_OK);
    wn_status status = wn__safetensors_write(path, items, count, meta, meta_count, NULL, NULL);
    if (status != WN_INVALID || strstr(wn_last_error(), fragment) == NULL)
        fail_msg("%s: %s, expected ...%s...", wn_status_name(status), wn_last_error(), fragment);
    assert_non_null(strstr(wn_last_error(), "kept.safetensors"));
    expect_file(path, "old", 3);
    wn__names names;
    assert_int_equal(wn__dir_list(*state, &names), WN_OK);
    assert_int_equal(names.count, 1); // no temporary file is left
    wn__names_free(&names);
}

static void refuses_to_write(void **state) {
    float x[4] = {0};
    const wn_tensor view = wn__tensor1(x, WN_DTYPE_F32, 4);
    const struct {
        wn__st_item item[2];
        size_t count;
        const char *fragment;
    } cases[] = {
        {{item_of("a", view), item_of("a", view)}, 2, "two tensors are named 'a'"},
        {{item_of("", view)}, 1, "without a name"},
        {{item_of(NULL, view)}, 1, "without a name"},
        {{item_of("__metadata__", view)}, 1, "cannot be named '__metadata__'"},
        {{item_of("\xFF", view)}, 1, "not UTF-8"},
        {{item_of("\xED\xA0\x80", view)}, 1, "not UTF-8"}, // a surrogate
        {{item_of("a", wn__tensor1(NULL, WN_DTYPE_F32, 4))}, 1, "no data"},
        {{item_of("a", wn__tensor1(x, WN_DTYPE_NONE, 4))}, 1, "no tensor can be"},
        {{item_of("a", wn__tensor1(x, WN_DTYPE_F32, -1))}, 1, "no tensor can be"},
        {{item_of("a", wn__tensor2(x, WN_DTYPE_F32, INT64_MAX, 2))}, 1, "no tensor can be"},
        {{{.name = "a", .view = wn__tensor1(x, WN_DTYPE_F64, 2), .as = WN_DTYPE_BF16}},
         1,
         "F64 cannot be written as BF16"},
        {{{.name = "a", .view = view, .as = WN_DTYPE_I32}}, 1, "F32 cannot be written as I32"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_write_refused(state, cases[i].item, cases[i].count, NULL, 0, cases[i].fragment);
    wn__st_item gpu = item_of("a", view);
    gpu.view.device.kind = WN_DEVICE_CUDA;
    expect_write_refused(state, &gpu, 1, NULL, 0, "not in CPU memory");
    wn__st_item deep = item_of("a", view);
    deep.view.ndim = 7;
    expect_write_refused(state, &deep, 1, NULL, 0, "7 dimensions");
    expect_write_refused(state, NULL, 0, (const wn__st_meta[]){{"format", "np"}}, 1, "'format'");
    expect_write_refused(state, NULL, 0, (const wn__st_meta[]){{"a", "1"}, {"a", "1"}}, 2,
                         "two metadata keys 'a'");
    expect_write_refused(state, NULL, 0, (const wn__st_meta[]){{"a", "\xC0\x80"}}, 1, "not UTF-8");
    expect_write_refused(state, NULL, 0, (const wn__st_meta[]){{"a", NULL}}, 1, "without a key");
}

// ---- reading ----

#define INFO(dtype, shape, begin, end)                                                             \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"
#define ONE(dtype, shape, begin, end) "{\"a\":" INFO(dtype, shape, begin, end) "}"

// Headers with their bytes of data, and what the message must hold.
static const struct {
    const char *header;
    size_t data;
    wn_status status;
    const char *fragment;
} malformed[] = {
    // the frame
    {"", 0, WN_FORMAT, "expected '{'"},
    {" {}", 0, WN_FORMAT, "byte 8: expected '{'"},
    {"[]", 0, WN_FORMAT, "byte 8: expected '{'"},
    {"{\"\xFF\":1}", 0, WN_FORMAT, "byte 10: the header is not UTF-8"},
    {"{\"\xC0\x80\":1}", 0, WN_FORMAT, "byte 10: the header is not UTF-8"},
    {"{\"\xE0\x80\x80\":1}", 0, WN_FORMAT, "not UTF-8"},
    {"{\"\xED\xA0\x80\":1}", 0, WN_FORMAT, "not UTF-8"},
    {"{\"\xF4\x90\x80\x80\":1}", 0, WN_FORMAT, "not UTF-8"},
    {"{}\xC3", 0, WN_FORMAT, "not UTF-8"},
    // JSON
    {"{", 0, WN_FORMAT, "byte 9: expected a tensor name, found the end of the header"},
    {"{}x", 0, WN_FORMAT, "expected padding to the end of the header, found 'x'"},
    {"{}{}", 0, WN_FORMAT, "expected padding"},
    {"{1:2}", 0, WN_FORMAT, "expected a tensor name, found '1'"},
    {"{\"a\"}", 0, WN_FORMAT, "expected ':', found '}'"},
    {"{\"a\":1}", 0, WN_FORMAT, "expected '{', found '1'"},
    {"{\"a\":null}", 0, WN_FORMAT, "expected '{', found 'null'"},
    {"{\"a", 0, WN_FORMAT, "'\"' at the end of a string"},
    {"{\"a\\", 0, WN_FORMAT, "expected an escape, found the end"},
    {"{\"a\\x\":1}", 0, WN_FORMAT, "after '\\', found 'x'"},
    {"{\"a\nb\":1}", 0, WN_FORMAT, "control character 0x0a"},
    {"{\"\\u0000\":1}", 0, WN_FORMAT, "\\u0000 in a string"},
    {"{\"\\u00g0\":1}", 0, WN_FORMAT, "four hexadecimal digits"},
    {"{\"\\u00", 0, WN_FORMAT, "four hexadecimal digits"},
    {"{\"\\ud83d\":1}", 0, WN_FORMAT, "lone surrogate \\ud83d"},
    {"{\"\\ude00\\ud83d\":1}", 0, WN_FORMAT, "lone surrogate \\ude00"},
    {"{\"\\ud83d\\u0041\":1}", 0, WN_FORMAT, "lone surrogate \\ud83d"},
    {"{\"\\ud83d\\ud83d\":1}", 0, WN_FORMAT, "lone surrogate \\ud83d"},
    {"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0, WN_FORMAT, "expected '{', found '['"},
    {"{\"a\":" INFO("U8", "[1]", "0", "1") ",}", 1, WN_FORMAT, "expected a tensor name"},
    {"{\"a\":" INFO("U8", "[1]", "0", "1") " \"b\":1}", 1, WN_FORMAT, "expected '}', found '\"'"},
    // members
    {"{\"a\":{}}", 0, WN_FORMAT, "tensor 'a': 'dtype' is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", 1, WN_FORMAT, "'data_offsets' is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, WN_FORMAT, "'shape' is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"x\":1}}", 1, WN_FORMAT, "unknown key 'x'"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1,
     WN_FORMAT, "two keys 'dtype'"},
    {"{\"a\":{\"dtype\":8}}", 0, WN_FORMAT, "expected a dtype string, found '8'"},
    {ONE("f32", "[1]", "0", "4"), 4, WN_FORMAT, "unknown dtype 'f32'"},
    {ONE("-", "[1]", "0", "4"), 4, WN_FORMAT, "unknown dtype '-'"},
    {ONE("", "[1]", "0", "4"), 4, WN_FORMAT, "unknown dtype ''"},
    {ONE("F4", "[2]", "0", "1"), 1, WN_UNSUPPORTED, "dtype F4 is not supported"},
    {ONE("F6_E2M3", "[4]", "0", "3"), 3, WN_UNSUPPORTED, "F6_E2M3"},
    {ONE("F6_E3M2", "[4]", "0", "3"), 3, WN_UNSUPPORTED, "F6_E3M2"},
    {ONE("F8_E8M0", "[1]", "0", "1"), 1, WN_UNSUPPORTED, "F8_E8M0"},
    {ONE("F8_E4M3FNUZ", "[1]", "0", "1"), 1, WN_UNSUPPORTED, "F8_E4M3FNUZ"},
    {ONE("F8_E5M2FNUZ", "[1]", "0", "1"), 1, WN_UNSUPPORTED, "F8_E5M2FNUZ"},
    {ONE("C64", "[1]", "0", "8"), 8, WN_UNSUPPORTED, "C64"},
    // numbers
    {ONE("U8", "[-1]", "0", "1"), 1, WN_FORMAT, "non-negative integer below 2^63, found '-1'"},
    {ONE("U8", "[1.0]", "0", "1"), 1, WN_FORMAT, "found '1.0'"},
    {ONE("U8", "[1e0]", "0", "1"), 1, WN_FORMAT, "found '1e0'"},
    {ONE("U8", "[01]", "0", "1"), 1, WN_FORMAT, "found '01'"},
    {ONE("U8", "[\"1\"]", "0", "1"), 1, WN_FORMAT, "found '\"'"},
    {ONE("U8", "[null]", "0", "1"), 1, WN_FORMAT, "found 'null'"},
    {ONE("U8", "[[1]]", "0", "1"), 1, WN_FORMAT, "found '['"},
    {ONE("U8", "[1,]", "0", "1"), 1, WN_FORMAT, "found ']'"},
    {ONE("U8", "1", "0", "1"), 1, WN_FORMAT, "expected '[', found '1'"},
    {ONE("U8", "[9223372036854775808]", "0", "1"), 1, WN_FORMAT, "found '9223372036854775808'"},
    {ONE("U8", "[1]", "0", "18446744073709551617"), 1, WN_FORMAT, "found '18446744073709551617'"},
    {ONE("U8", "[1]", "0.0", "1"), 1, WN_FORMAT, "found '0.0'"},
    {ONE("U8", "[1]", "-0", "1"), 1, WN_FORMAT, "found '-0'"},
    {"{\"a\":{\"data_offsets\":[0]}}", 1, WN_FORMAT, "expected ',', found ']'"},
    {"{\"a\":{\"data_offsets\":[0,1,2]}}", 1, WN_FORMAT, "expected ']', found ','"},
    {ONE("U8", "[1,1,1,1,1,1,1]", "0", "1"), 1, WN_UNSUPPORTED, "more than 6 dimensions"},
    // sizes
    {ONE("U8", "[9223372036854775807,2]", "0", "1"), 1, WN_FORMAT, "overflows 64 bits"},
    {ONE("F64", "[4611686018427387904]", "0", "1"), 1, WN_FORMAT, "overflows 64 bits"},
    {ONE("U8", "[4294967296,4294967296]", "0", "0"), 0, WN_FORMAT, "overflows 64 bits"},
    {ONE("U8", "[0,9223372036854775807,9]", "0", "0"), 0, WN_FORMAT, "overflows 64 bits"},
    {ONE("F32", "[2]", "0", "7"), 7, WN_FORMAT, "7 bytes of data, but F32 [2] needs 8"},
    {ONE("F32", "[2]", "0", "9"), 9, WN_FORMAT, "9 bytes of data, but F32 [2] needs 8"},
    {ONE("F32", "[]", "0", "0"), 0, WN_FORMAT, "0 bytes of data, but F32 [] needs 4"},
    {ONE("F32", "[0]", "0", "4"), 4, WN_FORMAT, "4 bytes of data, but F32 [0] needs 0"},
    // places
    {ONE("U8", "[1]", "1", "2"), 2, WN_FORMAT, "begins at byte 1 of the data, expected 0 (hole)"},
    {ONE("U8", "[1]", "1", "0"), 1, WN_FORMAT, "begins at byte 1"},
    {"{\"a\":" INFO("U8", "[2]", "0", "2") ",\"b\":" INFO("U8", "[2]", "2", "1") "}", 2, WN_FORMAT,
     "ends at byte 1, before its begin 2"},
    {"{\"a\":" INFO("U8", "[2]", "0", "2") ",\"b\":" INFO("U8", "[2]", "1", "3") "}", 3, WN_FORMAT,
     "tensor 'b': begins at byte 1 of the data, expected 2 (overlap)"},
    {"{\"a\":" INFO("U8", "[2]", "0", "2") ",\"b\":" INFO("U8", "[2]", "0", "2") "}", 2, WN_FORMAT,
     "(overlap)"},
    {"{\"a\":" INFO("U8", "[2]", "3", "5") ",\"b\":" INFO("U8", "[2]", "0", "2") "}", 5, WN_FORMAT,
     "tensor 'a': begins at byte 3 of the data, expected 2 (hole)"},
    {ONE("U8", "[2]", "0", "2"), 3, WN_FORMAT, "3 bytes of data, but the tensors take 2"},
    {ONE("U8", "[2]", "0", "2"), 1, WN_FORMAT, "1 bytes of data, but the tensors take 2"},
    {"{}", 1, WN_FORMAT, "1 bytes of data, but the tensors take 0"},
    // names
    {"{\"a\":" INFO("U8", "[2]", "0", "2") ",\"\\u0061\":" INFO("U8", "[2]", "2", "4") "}", 4,
     WN_FORMAT, "two tensors 'a'"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, WN_FORMAT, "two keys '__metadata__'"},
    {"{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}", 0, WN_FORMAT,
     "two metadata keys 'a'"},
    {"{\"__metadata__\":{\"a\":1}}", 0, WN_FORMAT, "expected a metadata string, found '1'"},
    {"{\"__metadata__\":{\"a\":{}}}", 0, WN_FORMAT, "expected a metadata string, found '{'"},
    {"{\"__metadata__\":[]}", 0, WN_FORMAT, "expected '{', found '['"},
};

static void refuses_malformed_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(malformed); i++)
        expect_refused(malformed[i].status, malformed[i].header, strlen(malformed[i].header),
                       malformed[i].data, malformed[i].fragment);
    static const char nul[] = "{\"a\0b\":1}";
    expect_refused(WN_FORMAT, nul, sizeof nul - 1, 0, "control character 0x00");
    static const char padding[] = "{}\0";
    expect_refused(WN_FORMAT, padding, sizeof padding - 1, 0, "expected padding");
}

static void refuses_bad_lengths(void **state) {
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t size;
        const char *fragment;
    } cases[] = {
        {{0}, 0, "0 bytes, too small"},
        {{2, 0, 0, 0, 0, 0, 0}, 7, "7 bytes, too small"},
        {{0}, 8, "expected '{'"},
        {{2, 0, 0, 0, 0, 0, 0, 0, '{'}, 9, "header of 2 bytes in a file of 9"},
        {{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, '{', '}'},
         10,
         "header of 18446744073709551615 bytes, at most 100000000"},
        {{0, 0, 0, 0, 0, 0, 0, 0x80, '{', '}'}, 10, "at most 100000000"},
        {{0x01, 0xE1, 0xF5, 0x05, 0, 0, 0, 0, '{', '}'},
         10,
         "header of 100000001 bytes, at most 100000000"},
        {{0x00, 0xE1, 0xF5, 0x05, 0, 0, 0, 0, '{', '}'},
         10,
         "header of 100000000 bytes in a file of 10"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        wn__safetensors st;
        assert_int_equal(wn__safetensors_parse(cases[i].bytes, cases[i].size, "f", &st), WN_FORMAT);
        if (strstr(wn_last_error(), cases[i].fragment) == NULL)
            fail_msg("'%s' does not say '%s'", wn_last_error(), cases[i].fragment);
    }
}

// What other writers may do: any order of members and tensors, white space, escapes, no metadata,
// data that is not aligned.
static void reads_foreign_spellings(void **state) {
    (void)state;
    static const char header[] =
        "{ \"z\\u00E9\\u20ac\\ud83d\\uDE00\\/\" :\t{\"data_offsets\" : [ 3 , 11 ],\n\"shape\":[ 1, "
        "2 ],"
        "\r\"dtype\":\"F\\u00332\"} , \"\":{\"shape\":[3],\"dtype\":\"U8\",\"data_offsets\":[0,3]},"
        "\"s\":{\"dtype\":\"BOOL\",\"shape\":[],\"data_offsets\":[11,12]},"
        "\"e\":{\"dtype\":\"I64\",\"shape\":[5,0],\"data_offsets\":[3,3]}}\n\t ";
    blob b = make_blob(header, sizeof header - 1, 12);
    uint8_t *data = b.bytes + 8 + sizeof header - 1;
    const float values[] = {1.5F, -2.5F};
    memcpy(data + 3, values, sizeof values);
    wn__safetensors st;
    assert_int_equal(wn__safetensors_parse(b.bytes, b.size, "f", &st), WN_OK);
    assert_int_equal(st.count, 4);
    assert_int_equal(st.meta_count, 0);
    const wn__st_entry *z = wn__safetensors_find(&st, "z\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80/");
    assert_non_null(z);
    assert_true(wn__tensor_is(&z->view, WN_DTYPE_F32, 2, (const int64_t[]){1, 2}));
    assert_ptr_equal(z->view.data, data + 3);
    assert_memory_equal(z->view.data, values, sizeof values);
    assert_ptr_equal(wn__safetensors_find(&st, "")->view.data, data);
    assert_int_equal(wn__safetensors_find(&st, "s")->view.ndim, 0);
    assert_int_equal(wn__tensor_count(&wn__safetensors_find(&st, "e")->view), 0);
    wn__safetensors_close(&st);
    free(b.bytes);
}

// Written by the safetensors package; the writer must give the same bytes back.
static void agrees_with_the_reference_package(void **state) {
    const char *path = WN_FIXTURES "/formats/reference.safetensors";
    wn__safetensors st;
    assert_int_equal(wn__safetensors_open(path, &st), WN_OK);
    assert_int_equal(st.count, 6);
    const wn__st_entry *w = wn__safetensors_find(&st, "model.weight");
    assert_true(wn__tensor_is(&w->view, WN_DTYPE_F32, 2, (const int64_t[]){2, 3}));
    static const float expected[] = {0.5F, -1.0F, 1.5F, -2.0F, 2.5F, -3.0F};
    assert_memory_equal(w->view.data, expected, sizeof expected);
    assert_string_equal(wn__safetensors_meta(&st, "format"), "pt");
    wn__st_item items[6];
    for (size_t i = 0; i < st.count; i++)
        items[i] = item_of(st.entry[i].name, st.entry[i].view);
    const char *copy = scratch_path(state, "copy.safetensors");
    assert_int_equal(
        wn__safetensors_write(copy, items, st.count, st.meta, st.meta_count, NULL, NULL), WN_OK);
    expect_file(copy, st.map.data, st.map.size);
    wn__safetensors_close(&st);
}

static void names_a_missing_file(void **state) {
    wn__safetensors st;
    assert_int_equal(wn__safetensors_open(scratch_path(state, "absent"), &st), WN_IO);
    assert_non_null(strstr(wn_last_error(), "absent"));
    wn__safetensors_close(&st);
    wn__safetensors_close(&st);
}

// ---- size ----

#define MANY 120000

// Enough that anything quadratic would not end; the names come in an unsorted order.
static void handles_many_tensors(void **state) {
    static char names[MANY][16];
    static uint8_t values[MANY];
    wn__st_item *items = calloc(MANY, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%06zu", i * 7919 % MANY);
        values[i] = (uint8_t)(i % 251);
        items[i] = item_of(names[i], wn__tensor1(&values[i], WN_DTYPE_U8, i % 3 == 0 ? 0 : 1));
    }
    const char *path = scratch_path(state, "many.safetensors");
    assert_int_equal(wn__safetensors_write(path, items, MANY, NULL, 0, NULL, NULL), WN_OK);
    wn__safetensors st;
    assert_int_equal(wn__safetensors_open(path, &st), WN_OK);
    assert_int_equal(st.count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        const wn__st_entry *e = wn__safetensors_find(&st, names[i]);
        assert_non_null(e);
        if (i % 3 != 0) assert_int_equal(*(const uint8_t *)e->view.data, values[i]);
    }
    wn__safetensors_close(&st);
    items[MANY - 1].name = names[5];
    assert_int_equal(wn__safetensors_write(path, items, MANY, NULL, 0, NULL, NULL), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), names[5]));
    free(items);
}

// n times `middle` between head and tail, malloc'ed.
static char *repeat(const char *head, const char *middle, size_t n, const char *tail,
                    size_t *size) {
    size_t h = strlen(head), m = strlen(middle), t = strlen(tail);
    char *text = malloc(h + m * n + t + 1);
    assert_non_null(text);
    memcpy(text, head, h);
    for (size_t i = 0; i < n; i++)
        memcpy(text + h + m * i, middle, m);
    memcpy(text + h + m * n, tail, t + 1);
    *size = h + m * n + t;
    return text;
}

static void survives_large_hostile_headers(void **state) {
    (void)state;
    static const struct {
        const char *head, *middle, *tail, *fragment;
    } cases[] = {
        {"{\"a\":{\"shape\":[", "[", "", "found '['"},
        {"{\"a\":", "{\"a\":", "", "unknown key 'a'"},
        {"{\"__metadata__\":{", "\"k\":\"\",", "\"k\":\"\"}}", "two metadata keys 'k'"},
        {"{", "\"a\":" INFO("U8", "[0]", "0", "0") ",", "\"b\":" INFO("U8", "[0]", "0", "0") "}",
         "two tensors 'a'"},
        {"{\"", "\\u00e9", "\":1}", "expected '{', found '1'"},
        {"{\"a\":{\"shape\":[", "9", "]}}", "below 2^63"},
        {"{\"a\":{\"dtype\":\"", "F", "\"}}", "unknown dtype 'FFFF"},
        {"{}", " ", "x", "expected padding"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t n;
        char *text = repeat(cases[i].head, cases[i].middle, 200000, cases[i].tail, &n);
        expect_refused(WN_FORMAT, text, n, 0, cases[i].fragment);
        free(text);
    }
}

int main(void) {
#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        IN_SCRATCH(writes_the_known_bytes),
        IN_SCRATCH(writes_no_tensors),
        IN_SCRATCH(round_trips_every_dtype),
        IN_SCRATCH(packs_strided_views),
        IN_SCRATCH(rounds_to_half_types),
        IN_SCRATCH(keeps_strange_names),
        IN_SCRATCH(makes_tensors_as_it_writes),
        IN_SCRATCH(passes_on_what_cannot_be_made),
        IN_SCRATCH(refuses_to_write),
        cmocka_unit_test(refuses_malformed_headers),
        cmocka_unit_test(refuses_bad_lengths),
        cmocka_unit_test(reads_foreign_spellings),
        IN_SCRATCH(agrees_with_the_reference_package),
        IN_SCRATCH(names_a_missing_file),
        IN_SCRATCH(handles_many_tensors),
        cmocka_unit_test(survives_large_hostile_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
