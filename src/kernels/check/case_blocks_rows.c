// SPDX-License-Identifier: MIT
// Cases of spmm24_blocks_rows, relu24_blocks and spmm24_blocks_columns: b along both sides, c of 16
// bits and of float32, added to or not; blocks are packed here from a drawn matrix; b may be rows
// of one 1 each, which shows where every number goes. Bound: as spmm24_blocks, with the old c as a
// term.
#include "kernels/block24.h"
#include "kernels/check/blocks24.h"
#include "kernels/contract.h"
#include "kernels/relu24_blocks.h"
#include "kernels/spmm24_blocks_columns.h"
#include "kernels/spmm24_blocks_rows.h"

#include <math.h>
#include <stdlib.h>

enum { N, M, K, DTYPE, DATA, MASKS, BT, SUMS, ACCUMULATE, BPAD, CPAD, ONEHOT, FIELDS };

static const char *const dtype_words[] = {"bf16", "f16", NULL};

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("n", 0, 512, 129, 400),
    WN__FIELD_SIZE("m", 0, 512, 129, 400),
    WN__FIELD_SIZE("k", 0, 512, 129, 9000), // so deep that sums are cut and rings go round
    WN__FIELD_WORDS("dtype", 1, 0, dtype_words),
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("masks", WN__MASKS_SHORT, WN__MASKS_FULL, wn__masks_words),
    WN__FIELD_FLAG("bt", 0),
    WN__FIELD_FLAG("sums", 0),
    WN__FIELD_FLAG("accumulate", 0),
    WN__FIELD_CHOICE("bpad", 0, 3, 0), // eights of elements, beyond the next multiple of eight
    WN__FIELD_CHOICE("cpad", 0, 3, 0),
    WN__FIELD_FLAG("onehot", 0), // b[l,j] is 1 where l = j mod k
};

// Both ops begin with the same fields.
static wn_dtype dtype_of(const wn__case *c) {
    return c->problem.value[DTYPE] == 0 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
}

// Deep sums of few results: they are slow one by one.
static void settle_depth(int64_t *v, int64_t deep) {
    if (v[K] <= deep) return;
    v[N] %= 48;
    v[M] %= 48;
}

// float32 results go with bfloat16; bulk stores move eights of 16-bit results, so half of the cases
// have whole ones.
static void settle(wn__problem *p) {
    int64_t *v = p->value;
    settle_depth(v, 600);
    v[SUMS] = v[DTYPE] == 0 && (v[SUMS] || v[ACCUMULATE]);
    if (v[MASKS] == WN__MASKS_FULL) v[M] = wn__ceil_div(v[M], 8) * 8;
}

static int64_t pad_of(int64_t columns, int64_t eights) {
    return 8 * (wn__ceil_div(columns, 8) + eights) - columns;
}

static void declare(wn__case *c) {
    wn__spmm24_blocks_rows *p = c->args;
    const int64_t *v = c->problem.value;
    p->values = dtype_of(c);
    p->accumulate = v[ACCUMULATE];
    wn__case_part(c, "b", &p->b, WN__READ,
                  v[BT] ? wn__view2_transposed(p->values, v[K], v[M], pad_of(v[K], v[BPAD]))
                        : wn__view2(p->values, v[K], v[M], pad_of(v[M], v[BPAD])));
    wn__case_part(c, "blocks", &p->blocks, WN__READ, wn__block24_tensor(v[N], v[K]));
    wn__case_part(c, "c", &p->c, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE,
                  wn__view2(v[SUMS] ? WN_DTYPE_F32 : p->values, v[N], v[M], pad_of(v[M], v[CPAD])));
}

// The blocks of n x k numbers, as drawn.
static void fill_blocks(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__blocks24_fill(c, wn__case_find(c, "blocks"), v[N], v[K], dtype_of(c), (wn__data)v[DATA],
                      v[MASKS] == WN__MASKS_FULL);
}

static void fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__part *b = wn__case_find(c, "b");
    wn__case_fill(c, (wn__data)v[DATA]);
    fill_blocks(c);
    for (int64_t i = 0; v[ONEHOT] && i < b->count; i++)
        wn__part_set(b, i, i / v[M] == i % v[M] % v[K] ? 1 : 0);
}

static double bound_of(const wn__case *c, const wn__round *r, double size, double want) {
    const int64_t *v = c->problem.value;
    const double terms = (double)(2 * wn__ceil_div(v[K], 4) + v[ACCUMULATE]);
    if (v[DATA] == WN__DATA_INTEGERS && size * r->acc <= 0.5) // whole numbers all the way
        return fabs(want) * r->out <= 1 ? 0 : wn__stored(r, want);
    return wn__stored(r, want) + (1 + r->out) * 2 * terms * (r->acc * size + r->eta);
}

static void bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    const wn__part *b = wn__case_find(c, "b"), *blocks = wn__case_find(c, "blocks");
    wn__part *out = wn__case_find(c, "c");
    const wn__round stored = wn__round_stored(r, out);
    wn__kept *row = calloc((size_t)v[K] + 4, sizeof *row);
    bool *finite = calloc((size_t)v[M] + 1, sizeof *finite);
    for (int64_t j = 0; j < v[M] && finite != NULL; j++) {
        finite[j] = true;
        for (int64_t l = 0; l < v[K]; l++)
            finite[j] = finite[j] && isfinite(b->before[l * v[M] + j]);
    }
    for (int64_t i = 0; i < v[N] && row != NULL && finite != NULL; i++) {
        const int64_t count = wn__blocks24_row(blocks, i, v[K], dtype_of(c), row);
        for (int64_t j = 0; j < v[M]; j++) {
            const int64_t at = i * v[M] + j;
            double size = v[ACCUMULATE] ? fabs(out->before[at]) : 0;
            for (int64_t l = 0; l < count; l++)
                size += fabs(b->before[row[l].column * v[M] + j] * row[l].value);
            out->bound[at] = bound_of(c, &stored, size, out->want[at]);
            if (!finite[j]) out->bound[at] = -out->bound[at]; // or a NaN
        }
    }
    free(row);
    free(finite);
}

static double flops(const wn__problem *p) {
    return 4.0 * (double)p->value[N] * (double)p->value[M] * (double)wn__ceil_div(p->value[K], 4);
}

const wn__case_type wn__cases_spmm24_blocks_rows = {.op = WN__OP_spmm24_blocks_rows,
                                                    .args_size = sizeof(wn__spmm24_blocks_rows),
                                                    .fields = fields,
                                                    .field_count = FIELDS,
                                                    .align = 16,
                                                    .settle = settle,
                                                    .declare = declare,
                                                    .fill = fill,
                                                    .bound = bound,
                                                    .flops = flops};

// ---- spmm24_blocks_columns: M is T here; masks and data where they were

enum { COLUMNS_XPAD = MASKS + 1, COLUMNS_YPAD, COLUMNS_FIELDS };

static const wn__field columns_fields[COLUMNS_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 512, 129, 400),
    WN__FIELD_SIZE("T", 0, 512, 129, 400),
    WN__FIELD_SIZE("k", 0, 512, 129, 400),
    WN__FIELD_WORDS("dtype", 1, 0, dtype_words),
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("masks", WN__MASKS_SHORT, WN__MASKS_FULL, wn__masks_words),
    WN__FIELD_CHOICE("xpad", 0, 3, 0), // eights of elements, beyond the next multiple of eight
    WN__FIELD_CHOICE("ypad", 0, 3, 0),
};

static void columns_declare(wn__case *c) {
    wn__spmm24_blocks_columns *p = c->args;
    const int64_t *v = c->problem.value;
    p->values = dtype_of(c);
    wn__case_part(c, "x", &p->x, WN__READ,
                  wn__view2(p->values, v[M], v[N], pad_of(v[N], v[COLUMNS_XPAD])));
    wn__case_part(c, "blocks", &p->blocks, WN__READ, wn__block24_tensor(v[N], v[K]));
    wn__case_part(c, "y", &p->y, WN__WRITE,
                  wn__view2(p->values, v[M], v[K], pad_of(v[K], v[COLUMNS_YPAD])));
}

static void columns_fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__case_fill(c, (wn__data)v[DATA]);
    fill_blocks(c);
}

// The sums of magnitudes grow in the bound itself: row by row of W, all tokens.
static void columns_bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    const wn__part *x = wn__case_find(c, "x"), *blocks = wn__case_find(c, "blocks");
    wn__part *y = wn__case_find(c, "y");
    wn__kept *row = calloc((size_t)v[K] + 4, sizeof *row);
    for (int64_t i = 0; i < y->count; i++)
        y->bound[i] = 0;
    for (int64_t o = 0; o < v[N] && row != NULL; o++) {
        const int64_t count = wn__blocks24_row(blocks, o, v[K], dtype_of(c), row);
        for (int64_t t = 0; t < v[M]; t++)
            for (int64_t l = 0; l < count; l++)
                y->bound[t * v[K] + row[l].column] += fabs(x->before[t * v[N] + o] * row[l].value);
    }
    for (int64_t i = 0; i < y->count; i++) {
        const double size = y->bound[i];
        const bool whole = v[DATA] == WN__DATA_INTEGERS && size * r->acc <= 0.5;
        bool finite = true;
        for (int64_t o = 0; o < v[N]; o++)
            finite = finite && isfinite(x->before[i / v[K] * v[N] + o]);
        y->bound[i] = wn__stored(r, y->want[i]) +
                      (whole ? 0 : (1 + r->out) * 2 * (double)v[N] * (r->acc * size + r->eta));
        if (whole && fabs(y->want[i]) * r->out <= 1) y->bound[i] = 0;
        if (!finite) y->bound[i] = -y->bound[i]; // or a NaN
    }
    free(row);
}

static double columns_flops(const wn__problem *p) {
    return 4.0 * (double)p->value[N] * (double)p->value[M] * (double)wn__ceil_div(p->value[K], 4);
}

const wn__case_type wn__cases_spmm24_blocks_columns = {.op = WN__OP_spmm24_blocks_columns,
                                                       .args_size =
                                                           sizeof(wn__spmm24_blocks_columns),
                                                       .fields = columns_fields,
                                                       .field_count = COLUMNS_FIELDS,
                                                       .align = 16,
                                                       .declare = columns_declare,
                                                       .fill = columns_fill,
                                                       .bound = columns_bound,
                                                       .flops = columns_flops};

// ---- relu24_blocks: M is T; whole numbers, for which two are chosen does not hang on rounding

enum { RELU_XPAD = MASKS + 1, RELU_ONEHOT, RELU_FIELDS };

static const wn__field relu_fields[RELU_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 512, 129, 400),
    WN__FIELD_SIZE("T", 0, 512, 129, 400),
    WN__FIELD_SIZE("k", 0, 512, 129, 2000),
    WN__FIELD_WORDS("dtype", 1, 0, dtype_words),
    {"data", WN__DATA_INTEGERS, WN__DATA_INTEGERS, WN__DATA_INTEGERS, 0, 0, wn__data_words},
    WN__FIELD_WORDS("masks", WN__MASKS_SHORT, WN__MASKS_FULL, wn__masks_words),
    WN__FIELD_CHOICE("xpad", 0, 3, 0),
    WN__FIELD_FLAG("onehot", 0), // x[t,i] is 1 where i = t mod k
};

static void relu_settle(wn__problem *p) {
    settle_depth(p->value, 400);
}

static void relu_declare(wn__case *c) {
    wn__relu24_blocks *p = c->args;
    const int64_t *v = c->problem.value;
    p->values = dtype_of(c);
    p->n = v[N];
    wn__case_part(c, "x", &p->x, WN__READ,
                  wn__view2(p->values, v[M], v[K], pad_of(v[K], v[RELU_XPAD])));
    wn__case_part(c, "blocks", &p->blocks, WN__READ, wn__block24_tensor(v[N], v[K]));
    wn__case_part(c, "out", &p->out, WN__WRITE, wn__block24_tensor(v[M], v[N]));
}

static void relu_fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__part *x = wn__case_find(c, "x");
    wn__case_fill(c, (wn__data)v[DATA]);
    fill_blocks(c);
    for (int64_t i = 0; v[RELU_ONEHOT] && i < x->count; i++)
        wn__part_set(x, i, i % v[K] == i / v[K] % v[K] ? 1 : 0);
}

static double relu_flops(const wn__problem *p) {
    return 4.0 * (double)p->value[N] * (double)p->value[M] * (double)wn__ceil_div(p->value[K], 4);
}

const wn__case_type wn__cases_relu24_blocks = {.op = WN__OP_relu24_blocks,
                                               .args_size = sizeof(wn__relu24_blocks),
                                               .fields = relu_fields,
                                               .field_count = RELU_FIELDS,
                                               .compare = WN__SAME_BITS,
                                               .align = 16,
                                               .settle = relu_settle,
                                               .declare = relu_declare,
                                               .fill = relu_fill,
                                               .flops = relu_flops};
