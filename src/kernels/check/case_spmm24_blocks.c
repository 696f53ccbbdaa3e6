// SPDX-License-Identifier: MIT
// Cases of spmm24_blocks: weights are packed here, group by group; x may be rows of one 1 each,
// which shows where every number goes. The bound follows a result through its epilogue: the sum of
// the packed terms and the bias, relu^2, the residual, and storing.
#include "kernels/block24.h"
#include "kernels/check/blocks24.h"
#include "kernels/spmm24_blocks.h"

#include <math.h>
#include <stdlib.h>

enum {
    T,
    N,
    K,
    DTYPE,
    DATA,
    MASKS,
    BIAS,
    RESIDUAL,
    RELU2,
    XPAD,
    YPAD,
    ONEHOT,
    ODD,
    GATE,
    DENSE,
    FIELDS
};

static const char *const dtype_words[] = {"bf16", "f16", NULL};
static const char *const residual_words[] = {"none", "other", "y", NULL};
enum { NONE, OTHER, SAME };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("T", 0, 512, 129, 400),
    WN__FIELD_SIZE("n", 0, 512, 129, 400),
    WN__FIELD_SIZE("k", 0, 512, 129, 20480), // so deep that sums are cut and rings go round
    WN__FIELD_WORDS("dtype", 1, 0, dtype_words),
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("masks", WN__MASKS_SHORT, WN__MASKS_FULL, wn__masks_words),
    WN__FIELD_FLAG("bias", 0),
    WN__FIELD_WORDS("residual", SAME, NONE, residual_words),
    WN__FIELD_FLAG("relu2", 0),
    WN__FIELD_CHOICE("xpad", 0, 3, 0), // eights of elements, beyond the next multiple of eight
    WN__FIELD_CHOICE("ypad", 0, 3, 0),
    WN__FIELD_FLAG("onehot", 0), // x[t,i] is 1 where i = t mod k
    WN__FIELD_FLAG("odd", 0),    // row strides that are no multiples of eight
    WN__FIELD_FLAG("gate", 0),
    WN__FIELD_WORDS("dense", WN__DENSE_GAPS, WN__DENSE_NONE, wn__dense_words),
};

static wn_dtype dtype_of(const wn__case *c) {
    return c->problem.value[DTYPE] == 0 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
}

// Odd strides are for the reference alone, so only a few cases have them; bulk stores move eights
// of results, so half of the cases have whole ones.
static void settle(wn__problem *p) {
    if (p->value[MASKS] == WN__MASKS_FULL) p->value[N] = wn__ceil_div(p->value[N], 8) * 8;
    p->value[ODD] = p->value[ODD] && p->value[XPAD] == 3;
    p->value[GATE] = p->value[GATE] && p->value[RESIDUAL] != NONE && !p->value[RELU2];
}

static int64_t pad_of(const int64_t *v, int64_t columns, int64_t eights) {
    return 8 * (wn__ceil_div(columns, 8) + eights) - columns + v[ODD];
}

static void declare(wn__case *c) {
    wn__spmm24_blocks *p = c->args;
    const int64_t *v = c->problem.value;
    const wn_dtype dtype = dtype_of(c);
    const wn_tensor y = wn__view2(dtype, v[T], v[N], pad_of(v, v[N], v[YPAD]));
    p->values = dtype;
    p->relu2 = v[RELU2];
    p->gate = v[GATE];
    wn__case_part(c, "x", &p->x, WN__READ, wn__view2(dtype, v[T], v[K], pad_of(v, v[K], v[XPAD])));
    wn__case_part(c, "blocks", &p->blocks, WN__READ, wn__block24_tensor(v[N], v[K]));
    if (v[BIAS]) wn__case_part(c, "bias", &p->bias, WN__READ, wn__tensor1(NULL, dtype, v[N]));
    if (v[DENSE] != WN__DENSE_NONE)
        wn__case_part(
            c, "dense", &p->dense, WN__READ,
            wn__view2(dtype, v[N], v[K], pad_of(v, v[K], v[DENSE] == WN__DENSE_GAPS ? 3 : 0)))
            ->instead = true;
    wn__part *residual = NULL;
    if (v[RESIDUAL] == OTHER)
        wn__case_part(c, "residual", &p->residual, WN__READ,
                      wn__view2(dtype, v[T], v[N], pad_of(v, v[N], 0)));
    if (v[RESIDUAL] == SAME) residual = wn__case_part(c, "residual", &p->residual, WN__READ, y);
    wn__part *out = wn__case_part(c, "y", &p->y, WN__WRITE, y);
    if (residual != NULL) wn__part_share(c, out, residual);
}

// What the blocks hold.
static void write_dense(wn__case *c, wn__part *dense) {
    const int64_t *v = c->problem.value;
    const wn__part *blocks = wn__case_find(c, "blocks");
    wn__kept *row = calloc((size_t)v[K] + 4, sizeof *row);
    for (int64_t i = 0; i < dense->count; i++)
        wn__part_set(dense, i, 0);
    for (int64_t o = 0; o < v[N] && row != NULL; o++) {
        const int64_t count = wn__blocks24_row(blocks, o, v[K], dtype_of(c), row);
        for (int64_t i = 0; i < count; i++)
            if (row[i].value != 0) wn__part_set(dense, o * v[K] + row[i].column, row[i].value);
    }
    free(row);
}

static void fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__part *x = wn__case_find(c, "x");
    wn__case_fill(c, (wn__data)v[DATA]);
    wn__blocks24_fill(c, wn__case_find(c, "blocks"), v[N], v[K], dtype_of(c), (wn__data)v[DATA],
                      v[MASKS] == WN__MASKS_FULL);
    if (v[DENSE] != WN__DENSE_NONE) write_dense(c, wn__case_find(c, "dense"));
    wn__part *residual = wn__case_find(c, "residual");
    for (int64_t i = 0; v[GATE] && i < residual->count; i++) // squares
        wn__part_set(residual, i, fabs(wn__part_get(residual, i)));
    for (int64_t i = 0; v[ONEHOT] && i < x->count; i++)
        wn__part_set(x, i, i % v[K] == i / v[K] % v[K] ? 1 : 0);
}

// The sum before the epilogue, and that of its magnitudes.
typedef struct sums {
    double z, size;
} sums;

static sums sums_of(const double *x, const wn__kept *row, int64_t count, double bias) {
    sums s = {bias, fabs(bias)};
    for (int64_t i = 0; i < count; i++) {
        const double term = x[row[i].column] * row[i].value;
        s.z += term;
        s.size += fabs(term);
    }
    return s;
}

// What the epilogue makes of a sum and its error.
static double bound_of(const wn__case *c, const wn__round *r, sums s, double residual,
                       double want) {
    const int64_t *v = c->problem.value;
    const bool integers = v[DATA] == WN__DATA_INTEGERS && !v[GATE] && s.size * r->acc <= 0.5;
    const double terms = (double)(2 * wn__ceil_div(v[K], 4) + v[BIAS]);
    if (integers && fabs(want) * r->out <= 1) return 0; // whole numbers all the way
    double error = integers ? 0 : 2 * terms * (r->acc * s.size + r->eta), a = s.z;
    if (v[RELU2]) {
        const double positive = s.z > 0 ? s.z : 0;
        a = positive * positive;
        error = (2 * positive + error) * error + r->acc * a + r->eta;
    }
    if (v[GATE]) // a root, two products, each a rounding; the root may be off by one more
        error = 2 * sqrt(residual) * error + 4 * (r->acc * fabs(want) + r->eta);
    else if (v[RESIDUAL] != NONE)
        error += r->acc * (fabs(a) + fabs(residual)) + r->eta;
    return wn__stored(r, want) + (1 + r->out) * error;
}

static void bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    const wn__part *x = wn__case_find(c, "x"), *blocks = wn__case_find(c, "blocks");
    const wn__part *bias = wn__case_find(c, "bias"), *residual = wn__case_find(c, "residual");
    wn__part *y = wn__case_find(c, "y");
    wn__kept *row = calloc((size_t)v[K] + 4, sizeof *row);
    bool *finite = calloc((size_t)v[T] + 1, sizeof *finite);
    for (int64_t t = 0; t < v[T] && finite != NULL; t++) {
        finite[t] = true;
        for (int64_t k = 0; k < v[K]; k++)
            finite[t] = finite[t] && isfinite(x->before[t * v[K] + k]);
    }
    for (int64_t o = 0; o < v[N] && row != NULL && finite != NULL; o++) {
        const int64_t count = wn__blocks24_row(blocks, o, v[K], dtype_of(c), row);
        for (int64_t t = 0; t < v[T]; t++) {
            const int64_t i = t * v[N] + o;
            const sums s =
                sums_of(x->before + t * v[K], row, count, bias != NULL ? bias->before[o] : 0);
            y->bound[i] = bound_of(c, r, s, residual != NULL ? residual->before[i] : 0, y->want[i]);
            if (!finite[t]) y->bound[i] = -y->bound[i]; // or a NaN
        }
    }
    free(row);
    free(finite);
}

static double flops(const wn__problem *p) {
    return 4.0 * (double)p->value[T] * (double)p->value[N] * (double)wn__ceil_div(p->value[K], 4);
}

const wn__case_type wn__cases_spmm24_blocks = {.op = WN__OP_spmm24_blocks,
                                               .args_size = sizeof(wn__spmm24_blocks),
                                               .fields = fields,
                                               .field_count = FIELDS,
                                               .align = 16,
                                               .settle = settle,
                                               .declare = declare,
                                               .fill = fill,
                                               .bound = bound,
                                               .flops = flops,
                                               .alone = "T"};
