// SPDX-License-Identifier: MIT
// Cases of column_zeros, densest and tokens24: zeros of both signs, ties, NaN, rows with gaps,
// orders that are none. Everything agrees with ref bit for bit, any NaN with any other.
#include "kernels/act24.h"
#include "kernels/check/harness.h"

#include <string.h>

// ---- column_zeros

enum { N, C, MATRIX_DTYPE, MATRIX_DATA, PAD, MATRIX_FIELDS };

#define MATRIX_FIELDS_OF                                                                           \
    WN__FIELD_SIZE("n", 0, 2048, 129, 600), WN__FIELD_SIZE("c", 0, 1024, 129, 600),                \
        WN__FIELD_DTYPE, WN__FIELD_DATA(WN__DATA_NAN), WN__FIELD_CHOICE("pad", 0, 9, 0)

static wn_tensor matrix(const wn__case *c) {
    const int64_t *v = c->problem.value;
    return wn__view2(wn__case_dtype(c, MATRIX_DTYPE), v[N], v[C], v[PAD]);
}

// As after an activation: a share of zeros that differs from column to column.
static void fill_matrix(wn__case *c, wn__part *x) {
    int64_t columns = c->problem.value[C];
    wn__part_fill(c, x, (wn__data)c->problem.value[MATRIX_DATA]);
    for (int64_t i = 0; i < x->count; i++)
        if (wn__case_draw(c, 0, 7) < i % columns % 8) wn__part_set(x, i, i % 3 ? 0.0 : -0.0);
}

static const wn__field zeros_fields[MATRIX_FIELDS] = {MATRIX_FIELDS_OF};

static void zeros_declare(wn__case *c) {
    wn__column_zeros *p = c->args;
    wn__case_part(c, "x", &p->x, WN__READ, matrix(c));
    wn__case_part(c, "zeros", &p->zeros, WN__WRITE,
                  wn__tensor1(NULL, WN_DTYPE_I32, c->problem.value[C]));
    wn__case_part(c, "total", &p->total, WN__WRITE, wn__tensor1(NULL, WN_DTYPE_I64, 1));
}

static void zeros_fill(wn__case *c) {
    fill_matrix(c, wn__case_find(c, "x"));
}

const wn__case_type wn__cases_column_zeros = {.op = WN__OP_column_zeros,
                                              .args_size = sizeof(wn__column_zeros),
                                              .fields = zeros_fields,
                                              .field_count = MATRIX_FIELDS,
                                              .compare = WN__SAME_BITS,
                                              .declare = zeros_declare,
                                              .fill = zeros_fill};

// ---- densest

enum { COLUMNS, SHARE, SPREAD, DENSEST_FIELDS };

static const char *const spread_words[] = {"ties", "wide", NULL};

// share: percent of the columns.
static const wn__field densest_fields[DENSEST_FIELDS] = {
    WN__FIELD_SIZE("c", 0, 4096, 129, 8000),
    WN__FIELD_CHOICE("share", 0, 100, 5),
    WN__FIELD_WORDS("spread", 1, 0, spread_words),
};

static void densest_declare(wn__case *c) {
    wn__densest *p = c->args;
    const int64_t *v = c->problem.value;
    p->count = v[COLUMNS] * v[SHARE] / 100;
    wn__case_part(c, "zeros", &p->zeros, WN__READ, wn__tensor1(NULL, WN_DTYPE_I32, v[COLUMNS]));
    wn__case_part(c, "dense", &p->dense, WN__WRITE, wn__tensor1(NULL, WN_DTYPE_U8, v[COLUMNS]));
}

static void densest_fill(wn__case *c) {
    wn__part *zeros = wn__case_find(c, "zeros");
    int32_t *count = zeros->image;
    int64_t most = c->problem.value[SPREAD] ? INT32_MAX : 7;
    for (int64_t i = 0; i < zeros->count; i++)
        count[i] = (int32_t)wn__case_draw(c, 0, most);
}

const wn__case_type wn__cases_densest = {.op = WN__OP_densest,
                                         .args_size = sizeof(wn__densest),
                                         .fields = densest_fields,
                                         .field_count = DENSEST_FIELDS,
                                         .compare = WN__SAME_BITS,
                                         .declare = densest_declare,
                                         .fill = densest_fill};

// ---- tokens24

enum { ORDER = MATRIX_FIELDS, DENSE, TOKENS_SHARED, TOKENS_FIELDS };

static const char *const order_words[] = {"none", "shuffled", "bad", NULL};

static const wn__field tokens_fields[TOKENS_FIELDS] = {
    MATRIX_FIELDS_OF,
    WN__FIELD_WORDS("order", 2, 1, order_words),
    WN__FIELD_FLAG("dense", 1),
    WN__FIELD_FLAG("shared", 0),
};

static void tokens_declare(wn__case *c) {
    wn__tokens24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn__part *x = wn__case_part(c, "x", &p->x, WN__READ, matrix(c));
    wn__part *y = wn__case_part(c, "y", &p->y, WN__WRITE, matrix(c));
    if (v[TOKENS_SHARED]) wn__part_share(c, y, x);
    if (v[ORDER])
        wn__case_part(c, "order", &p->order, WN__READ, wn__tensor1(NULL, WN_DTYPE_I32, v[N]));
    if (v[DENSE])
        wn__case_part(c, "dense", &p->dense, WN__READ, wn__tensor1(NULL, WN_DTYPE_U8, v[C]));
}

// A permutation; bad: one place is outside, or repeats another.
static void fill_order(wn__case *c, wn__part *part) {
    static const int32_t outside[] = {-1, INT32_MIN, INT32_MAX};
    int32_t *order = part->image;
    int64_t n = part->count;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = wn__case_draw(c, 0, i);
        order[i] = order[j];
        order[j] = (int32_t)i;
    }
    if (c->problem.value[ORDER] < 2 || n == 0) return;
    int64_t where = wn__case_draw(c, 0, n - 1), what = wn__case_draw(c, 0, 4);
    order[where] = what < 3 ? outside[what] : what == 3 ? (int32_t)n : order[n - 1 - where];
}

static void tokens_fill(wn__case *c) {
    wn__part *order = wn__case_find(c, "order"), *dense = wn__case_find(c, "dense");
    fill_matrix(c, wn__case_find(c, "x"));
    if (order) fill_order(c, order);
    for (int64_t i = 0; dense && i < dense->count; i++) {
        int64_t mark = wn__case_draw(c, 0, 4) == 0 ? i % 255 + 1 : 0;
        ((uint8_t *)dense->image)[i] = (uint8_t)mark;
    }
}

const wn__case_type wn__cases_tokens24 = {.op = WN__OP_tokens24,
                                          .args_size = sizeof(wn__tokens24),
                                          .fields = tokens_fields,
                                          .field_count = TOKENS_FIELDS,
                                          .compare = WN__SAME_VALUES,
                                          .declare = tokens_declare,
                                          .fill = tokens_fill};
