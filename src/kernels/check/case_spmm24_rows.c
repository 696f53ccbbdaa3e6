// SPDX-License-Identifier: MIT
// Cases of spmm24_rows: b and c along both sides, rows of b in any order, extra packed rows. Bound:
// matmul's with the packed terms of a row and its extra one, and the old c. sums=1: c of F32 where
// b is BF16; 2: values too.
#include "kernels/check/masks24.h"
#include "kernels/contract.h"
#include "kernels/spmm24_rows.h"

#include <stdio.h>

enum {
    N,
    M,
    K,
    DTYPE,
    DATA,
    MASKS,
    ORDER,
    EXTRA,
    BT,
    TRANSPOSED,
    ACCUMULATE,
    BPAD,
    CPAD,
    SUMS,
    FIELDS
};
_Static_assert((int)FIELDS <= (int)WN__MAX_FIELDS, "a problem has room for its fields");

static const char *const order_words[] = {"none", "shuffled", "bad", NULL};
static const char *const extra_words[] = {"none", "some", "all", "bad", NULL};

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("n", 0, 512, 129, 400),
    WN__FIELD_SIZE("m", 0, 512, 129, 400),
    WN__FIELD_SIZE("k", 0, 512, 129, 1100),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("masks", WN__MASKS_SHORT, WN__MASKS_FULL, wn__masks_words),
    WN__FIELD_WORDS("order", 2, 0, order_words),
    WN__FIELD_WORDS("extra", 3, 0, extra_words),
    WN__FIELD_FLAG("bt", 0),
    WN__FIELD_FLAG("transposed", 0),
    WN__FIELD_FLAG("accumulate", 0),
    WN__FIELD_CHOICE("bpad", 0, 9, 0),
    WN__FIELD_CHOICE("cpad", 0, 9, 0),
    WN__FIELD_CHOICE("sums", 0, 2, 0),
};

static int64_t extra_count(const wn__problem *p) {
    int64_t n = p->value[N];
    return p->value[EXTRA] == 0 ? 0 : p->value[EXTRA] == 2 ? n : (n + 3) / 4;
}

// An order asks for rows of b that lie along m.
static void settle(wn__problem *p) {
    if (p->value[DTYPE] != WN_DTYPE_BF16 - 1) p->value[SUMS] = 0;
    p->value[BT] = p->value[BT] && p->value[ORDER] == 0;
}

static void declare(wn__case *c) {
    wn__spmm24_rows *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE), sums = v[SUMS] ? WN_DTYPE_F32 : dtype;
    int64_t groups = wn__ceil_div(v[K], 4), rows = v[N] + extra_count(&c->problem);
    p->accumulate = v[ACCUMULATE];
    wn__case_part(c, "b", &p->b, WN__READ,
                  v[BT] ? wn__view2_transposed(dtype, v[K], v[M], v[BPAD])
                        : wn__view2(dtype, v[K], v[M], v[BPAD]));
    wn__case_part(c, "values", &p->values, WN__READ,
                  wn__tensor2(NULL, v[SUMS] == 2 ? WN_DTYPE_F32 : dtype, rows, 2 * groups));
    wn__case_part(c, "index", &p->index, WN__READ,
                  wn__tensor2(NULL, WN_DTYPE_U8, rows, wn__ceil_div(groups, 2)));
    if (v[ORDER])
        wn__case_part(c, "order", &p->order, WN__READ, wn__tensor1(NULL, WN_DTYPE_I32, v[K]));
    if (v[EXTRA])
        wn__case_part(c, "extra", &p->extra, WN__READ,
                      wn__tensor1(NULL, WN_DTYPE_I32, extra_count(&c->problem)));
    wn__case_part(c, "c", &p->c, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE,
                  v[TRANSPOSED] ? wn__view2_transposed(sums, v[N], v[M], v[CPAD])
                                : wn__view2(sums, v[N], v[M], v[CPAD]));
}

// A permutation; bad: one place is outside.
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
    int64_t what = wn__case_draw(c, 0, 3);
    order[wn__case_draw(c, 0, n - 1)] = what < 3 ? outside[what] : (int32_t)n;
}

// Ascending; bad: one is repeated, or none of the rows.
static void fill_extra(wn__case *c, wn__part *part) {
    int32_t *extra = part->image;
    int64_t n = c->problem.value[N], e = part->count, at = 0;
    for (int64_t i = 0; i < n && at < e; i++) // of n - i rows e - at are still to be chosen
        if (wn__case_draw(c, 0, n - i - 1) < e - at) extra[at++] = (int32_t)i;
    if (c->problem.value[EXTRA] < 3 || e == 0) return;
    int64_t where = wn__case_draw(c, 0, e - 1);
    extra[where] = where > 0 && wn__case_draw(c, 0, 1) ? extra[where - 1] : (int32_t)n;
}

static void fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__part *order = wn__case_find(c, "order"), *extra = wn__case_find(c, "extra");
    wn__case_fill(c, (wn__data)v[DATA]);
    wn__packed_fill(c, wn__case_find(c, "values"), wn__case_find(c, "index"), v[K],
                    v[MASKS] == WN__MASKS_FULL);
    if (order) fill_order(c, order);
    if (extra) fill_extra(c, extra);
}

static void bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    int64_t packed = 2 * wn__ceil_div(v[K], 4);
    double terms = (double)(packed * (v[EXTRA] ? 2 : 1) + v[ACCUMULATE]);
    wn__part *p = wn__case_find(c, "c");
    wn__round stored = wn__round_stored(r, p);
    wn__bound_sum(p, &stored, terms, v[DATA] == WN__DATA_INTEGERS);
}

static double flops(const wn__problem *p) {
    double rows = (double)(p->value[N] + extra_count(p));
    return 4.0 * rows * (double)p->value[M] * (double)wn__ceil_div(p->value[K], 4);
}

// The weight gradient that this one replaces, where a is the transpose of what lies by tokens; or
// the product of activations and the transpose of a weight.
static void baseline(const wn__problem *p, wn__op *op, char *text, size_t n) {
    const int64_t *v = p->value;
    *op = WN__OP_matmul;
    (void)snprintf(text, n, "m=%lld,n=%lld,k=%lld,at=%d,bt=%d,dtype=%s,accumulate=%lld,sums=%d",
                   (long long)v[N], (long long)v[M], (long long)v[K], !v[BT], v[BT] != 0,
                   wn__dtype_words[v[DTYPE]], (long long)v[ACCUMULATE], v[SUMS] != 0);
}

const wn__case_type wn__cases_spmm24_rows = {.op = WN__OP_spmm24_rows,
                                             .args_size = sizeof(wn__spmm24_rows),
                                             .fields = fields,
                                             .field_count = FIELDS,
                                             .multilinear = true,
                                             .settle = settle,
                                             .declare = declare,
                                             .fill = fill,
                                             .bound = bound,
                                             .flops = flops,
                                             .baseline = baseline};
