// SPDX-License-Identifier: MIT
// Cases of add, fill, copy and normal. add rounds once; the others agree with ref bit for bit (a
// converted NaN is some NaN).
#include "base/philox.h"
#include "kernels/check/harness.h"
#include "kernels/elementwise.h"

#include <math.h>

enum { COUNT, DTYPE, DATA, SHARED, ADD_FIELDS };

static const wn__field add_fields[ADD_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1 << 20, 129, 200000),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_CHOICE("shared", 0, 2, 0),
};

static wn_tensor vector(const wn__case *c) {
    return wn__tensor1(NULL, wn__case_dtype(c, DTYPE), c->problem.value[COUNT]);
}

static void add_declare(wn__case *c) {
    wn__add *p = c->args;
    int64_t shared = c->problem.value[SHARED];
    wn__case_part(c, "a", &p->a, WN__READ, vector(c));
    wn__case_part(c, "b", &p->b, WN__READ, vector(c));
    wn__part *sum = wn__case_part(c, "c", &p->c, WN__WRITE, vector(c));
    if (shared) wn__part_share(c, sum, c->part + shared - 1);
}

static void add_fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
}

static void add_bound(wn__case *c, const wn__round *r) {
    wn__part *sum = wn__case_find(c, "c");
    for (int64_t i = 0; i < sum->count; i++)
        sum->bound[i] = wn__stored(r, sum->want[i]);
}

static double add_flops(const wn__problem *p) {
    return (double)p->value[COUNT];
}

const wn__case_type wn__cases_add = {.op = WN__OP_add,
                                     .args_size = sizeof(wn__add),
                                     .fields = add_fields,
                                     .field_count = ADD_FIELDS,
                                     .declare = add_declare,
                                     .fill = add_fill,
                                     .bound = add_bound,
                                     .flops = add_flops};

enum { VALUE = DTYPE + 1, FILL_FIELDS };

static const double values[] = {0, -0.0, 1.1, -1e-42, 1e30, INFINITY, NAN};

static const wn__field fill_fields[FILL_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1 << 20, 129, 200000),
    WN__FIELD_DTYPE,
    WN__FIELD_CHOICE("value", 0, 6, 0),
};

static void fill_declare(wn__case *c) {
    wn__fill *p = c->args;
    p->value = values[c->problem.value[VALUE]];
    wn__case_part(c, "x", &p->x, WN__WRITE, vector(c));
}

static void fill_nothing(wn__case *c) {
    (void)c;
}

const wn__case_type wn__cases_fill = {.op = WN__OP_fill,
                                      .args_size = sizeof(wn__fill),
                                      .fields = fill_fields,
                                      .field_count = FILL_FIELDS,
                                      .compare = WN__SAME_VALUES,
                                      .declare = fill_declare,
                                      .fill = fill_nothing};

enum { A, B, C, FROM, TO, COPY_DATA, ORDER, PAD, COPY_FIELDS };

static const char *const type_words[] = {"f64", "f32", "bf16", "f16", "i64",
                                         "i32", "i16", "i8",   "u8",  NULL};

static const wn__field copy_fields[COPY_FIELDS] = {
    WN__FIELD_SIZE("a", 0, 4, 17, 60),       WN__FIELD_SIZE("b", 0, 512, 65, 300),
    WN__FIELD_SIZE("c", 0, 512, 65, 300),    WN__FIELD_WORDS("from", 8, 1, type_words),
    WN__FIELD_WORDS("to", 8, 1, type_words), WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_CHOICE("order", 0, 5, 0),      WN__FIELD_CHOICE("pad", 0, 9, 0),
};

// Integers are copied, not converted.
static void copy_settle(wn__problem *p) {
    if (p->value[FROM] > 3 || p->value[TO] > 3) p->value[TO] = p->value[FROM];
}

// [a,b,c], its dimensions lying in memory in one of the six orders.
static wn_tensor ordered(const wn__case *c, wn_dtype dtype, int64_t order) {
    static const int8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                        {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const int64_t *v = c->problem.value;
    wn_tensor t = wn__tensor3(NULL, dtype, v[A], v[B], v[C]);
    int64_t stride = 1;
    for (int i = 2; i >= 0; i--) {
        int d = orders[order][i];
        t.stride[d] = stride;
        stride = stride * t.shape[d] + v[PAD];
    }
    return t;
}

static void copy_declare(wn__case *c) {
    wn__copy *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype from = wn__case_dtype(c, FROM), to = wn__case_dtype(c, TO);
    if (v[FROM] == v[TO]) c->compare = WN__SAME_BITS;
    wn__case_part(c, "src", &p->src, WN__READ, ordered(c, from, v[ORDER]));
    wn__case_part(c, "dst", &p->dst, WN__WRITE, ordered(c, to, v[PAD] % 2 ? v[ORDER] : 0));
}

static void copy_fill(wn__case *c) {
    wn__part *src = wn__case_find(c, "src");
    uint8_t *byte = src->image;
    wn__case_fill(c, (wn__data)c->problem.value[COPY_DATA]);
    for (int64_t i = 0; !src->before && i < src->count * (int64_t)wn_dtype_size(src->view.dtype);
         i++)
        byte[i] = (uint8_t)wn__case_draw(c, 0, 255);
}

const wn__case_type wn__cases_copy = {.op = WN__OP_copy,
                                      .args_size = sizeof(wn__copy),
                                      .fields = copy_fields,
                                      .field_count = COPY_FIELDS,
                                      .compare = WN__SAME_VALUES,
                                      .settle = copy_settle,
                                      .declare = copy_declare,
                                      .fill = copy_fill};

enum { STREAM = DTYPE + 1, SCALE, NORMAL_FIELDS };

static const wn__field normal_fields[NORMAL_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1 << 20, 129, 200000),
    WN__FIELD_DTYPE,
    WN__FIELD_CHOICE("stream", 0, 1000, 0),
    WN__FIELD_CHOICE("scale", 0, 2, 0),
};

static void normal_declare(wn__case *c) {
    static const struct { double mean, std; } scales[] = {{0, 1}, {0, 0.02}, {-3, 1e-3}};
    wn__normal *p = c->args;
    const int64_t *v = c->problem.value;
    p->seed = c->key;
    p->stream = WN_STREAM_INIT + (uint64_t)v[STREAM];
    p->mean = scales[v[SCALE]].mean;
    p->std = scales[v[SCALE]].std;
    wn__case_part(c, "x", &p->x, WN__WRITE, vector(c));
}

const wn__case_type wn__cases_normal = {.op = WN__OP_normal,
                                        .args_size = sizeof(wn__normal),
                                        .fields = normal_fields,
                                        .field_count = NORMAL_FIELDS,
                                        .compare = WN__SAME_VALUES,
                                        .declare = normal_declare,
                                        .fill = fill_nothing};
