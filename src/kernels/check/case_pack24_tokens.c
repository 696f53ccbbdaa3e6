// SPDX-License-Identifier: MIT
// Cases of pack24_tokens: rows of x in any order, groups of none to four entries, columns that keep
// everything, marks that do not fit. Bit for bit.
#include "kernels/check/harness.h"
#include "kernels/contract.h"
#include "kernels/pack24_tokens.h"

enum { R, C, DTYPE, DATA, ORDER, DENSE, PAD, FIELDS };

static const char *const order_words[] = {"none", "shuffled", "bad", NULL};
static const char *const dense_words[] = {"none", "some", "all", "bad", NULL};

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("r", 0, 2048, 129, 600),
    WN__FIELD_SIZE("c", 0, 1024, 129, 600),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_NAN),
    WN__FIELD_WORDS("order", 2, 0, order_words),
    WN__FIELD_WORDS("dense", 3, 0, dense_words),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
};

static int64_t marked(const wn__problem *p) {
    int64_t c = p->value[C];
    return p->value[DENSE] == 2 ? c : (c + 15) / 16;
}

static void declare(wn__case *k) {
    wn__pack24_tokens *p = k->args;
    const int64_t *v = k->problem.value;
    wn_dtype dtype = wn__case_dtype(k, DTYPE);
    int64_t e = marked(&k->problem), groups = wn__ceil_div(v[R], 4);
    int64_t rows = v[C] + (v[DENSE] ? e : 0);
    wn__case_part(k, "x", &p->x, WN__READ, wn__view2(dtype, v[R], v[C], v[PAD]));
    if (v[ORDER])
        wn__case_part(k, "order", &p->order, WN__READ, wn__tensor1(NULL, WN_DTYPE_I32, v[R]));
    if (v[DENSE])
        wn__case_part(k, "dense", &p->dense, WN__READ, wn__tensor1(NULL, WN_DTYPE_U8, v[C]));
    wn__case_part(k, "values", &p->values, WN__WRITE, wn__tensor2(NULL, dtype, rows, 2 * groups));
    wn__case_part(k, "index", &p->index, WN__WRITE,
                  wn__tensor2(NULL, WN_DTYPE_U8, rows, wn__ceil_div(groups, 2)));
    if (v[DENSE])
        wn__case_part(k, "extra", &p->extra, WN__WRITE, wn__tensor1(NULL, WN_DTYPE_I32, e));
}

// A permutation; bad: one place is outside.
static void fill_order(wn__case *k, wn__part *part) {
    int32_t *order = part->image;
    int64_t n = part->count;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = wn__case_draw(k, 0, i);
        order[i] = order[j];
        order[j] = (int32_t)i;
    }
    if (k->problem.value[ORDER] == 2 && n > 0)
        order[wn__case_draw(k, 0, n - 1)] = wn__case_draw(k, 0, 1) ? -1 : (int32_t)n;
}

// bad: one more than there is room for, or one less.
static void fill_dense(wn__case *k, wn__part *part) {
    uint8_t *dense = part->image;
    int64_t c = part->count, want = marked(&k->problem);
    for (int64_t j = 0; j < c; j++) { // of c - j columns `want` are still to be chosen
        bool take = wn__case_draw(k, 0, c - j - 1) < want;
        dense[j] = take ? (uint8_t)wn__case_draw(k, 1, 255) : 0;
        want -= take;
    }
    if (k->problem.value[DENSE] != 3 || c == 0) return;
    int64_t where = wn__case_draw(k, 0, c - 1);
    dense[where] = dense[where] ? 0 : 1;
}

static void fill(wn__case *k) {
    wn__part *x = wn__case_find(k, "x"), *order = wn__case_find(k, "order"),
             *dense = wn__case_find(k, "dense");
    wn__part_fill(k, x, (wn__data)k->problem.value[DATA]);
    for (int64_t i = 0; i < x->count; i++)
        if (wn__case_draw(k, 0, 2) != 0) wn__part_set(x, i, i % 3 ? 0.0 : -0.0);
    if (order) fill_order(k, order);
    if (dense) fill_dense(k, dense);
}

const wn__case_type wn__cases_pack24_tokens = {.op = WN__OP_pack24_tokens,
                                               .args_size = sizeof(wn__pack24_tokens),
                                               .fields = fields,
                                               .field_count = FIELDS,
                                               .compare = WN__SAME_BITS,
                                               .declare = declare,
                                               .fill = fill};
