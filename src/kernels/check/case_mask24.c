// SPDX-License-Identifier: MIT
// Cases of mask24, flips24 and decay24: ties, near-ties below float's precision, both zeros,
// infinities, NaN. Masks and counts agree bit for bit.
#include "kernels/check/masks24.h"
#include "kernels/contract.h"
#include "kernels/mask24.h"

#include <math.h>

enum { R, C, DTYPE, DATA, METHOD, PAD, MASK_FIELDS };

static const char *const method_words[] = {"row", "tile", "greedy", NULL};

static const wn__field mask_fields[MASK_FIELDS] = {
    WN__FIELD_SIZE("r", 0, 1024, 129, 600),
    WN__FIELD_SIZE("c", 0, 1024, 129, 600),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_NAN),
    WN__FIELD_WORDS("method", WN_MASK24_GREEDY, WN_MASK24_ROW, method_words),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
};

static void mask_settle(wn__problem *p) {
    if (p->value[METHOD] == WN_MASK24_ROW) return;
    p->value[R] = wn__ceil_div(p->value[R], 4) * 4;
    p->value[C] = wn__ceil_div(p->value[C], 4) * 4;
}

static void mask_declare(wn__case *c) {
    wn__mask24 *p = c->args;
    const int64_t *v = c->problem.value;
    p->method = (wn__mask24_method)v[METHOD];
    wn__case_part(c, "w", &p->w, WN__READ, wn__view2(wn__case_dtype(c, DTYPE), v[R], v[C], v[PAD]));
    wn__case_part(c, "mask", &p->mask, WN__WRITE,
                  wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4)));
}

// Ties in double differ by less than a float can tell: ROW must see it, TILE must not. Those in
// float differ by units in the last place, which sums of TILE may round away.
static void mask_fill(wn__case *c) {
    wn__data kind = (wn__data)c->problem.value[DATA];
    wn__part *w = wn__case_find(c, "w");
    wn__part_fill(c, w, kind);
    for (int64_t i = 0; i < w->count; i++) {
        double x = wn__part_get(w, i);
        if (kind == WN__DATA_INFINITE && isnan(x)) wn__part_set(w, i, -INFINITY);
        if (kind == WN__DATA_TIES && w->view.dtype == WN_DTYPE_F64)
            wn__part_set(w, i, x * (1 + (double)wn__case_draw(c, 0, 2) * 0x1p-45));
        if (kind == WN__DATA_TIES && w->view.dtype == WN_DTYPE_F32 && i % 128 >= 64)
            wn__part_set(w, i, x * (1 + (double)wn__case_draw(c, 0, 2) * 0x1p-23));
    }
}

const wn__case_type wn__cases_mask24 = {.op = WN__OP_mask24,
                                        .args_size = sizeof(wn__mask24),
                                        .fields = mask_fields,
                                        .field_count = MASK_FIELDS,
                                        .compare = WN__SAME_BITS,
                                        .settle = mask_settle,
                                        .declare = mask_declare,
                                        .fill = mask_fill};

enum { FLIPS_FIELDS = 2 };

static const wn__field flips_fields[FLIPS_FIELDS] = {
    WN__FIELD_SIZE("r", 0, 1024, 129, 2000),
    WN__FIELD_SIZE("c", 0, 1024, 129, 2000),
};

static void flips_declare(wn__case *c) {
    wn__flips24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn_tensor mask = wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4));
    wn__case_part(c, "a", &p->a, WN__READ, mask);
    wn__case_part(c, "b", &p->b, WN__READ, mask);
    wn__case_part(c, "count", &p->count, WN__WRITE, wn__tensor1(NULL, WN_DTYPE_I64, 1));
}

static void flips_fill(wn__case *c) {
    wn__masks_fill(c, wn__case_find(c, "a"), c->problem.value[C], WN__MASKS_FULL);
    wn__masks_fill(c, wn__case_find(c, "b"), c->problem.value[C], WN__MASKS_SHORT);
}

const wn__case_type wn__cases_flips24 = {.op = WN__OP_flips24,
                                         .args_size = sizeof(wn__flips24),
                                         .fields = flips_fields,
                                         .field_count = FLIPS_FIELDS,
                                         .compare = WN__SAME_BITS,
                                         .declare = flips_declare,
                                         .fill = flips_fill};

enum { LAMBDA = DATA + 1, DECAY_FIELDS };

static const wn__field decay_fields[DECAY_FIELDS] = {
    WN__FIELD_SIZE("r", 0, 1024, 129, 600), WN__FIELD_SIZE("c", 0, 1024, 129, 600), WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),      WN__FIELD_CHOICE("lambda", 0, 3, 0),
};

static const double lambdas[] = {6e-5, 0, 1, -0.3};

static void decay_declare(wn__case *c) {
    wn__decay24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    p->lambda = lambdas[v[LAMBDA]];
    wn__case_part(c, "w", &p->w, WN__READ, wn__tensor2(NULL, dtype, v[R], v[C]));
    wn__case_part(c, "mask", &p->mask, WN__READ,
                  wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4)));
    wn__case_part(c, "g", &p->g, WN__UPDATE, wn__tensor2(NULL, dtype, v[R], v[C]));
}

static void decay_fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
    wn__masks_fill(c, wn__case_find(c, "mask"), c->problem.value[C], WN__MASKS_SHORT);
}

// Kept positions do not change. At the others lambda is rounded, then the product, then the sum.
static void decay_bound(wn__case *c, const wn__round *r) {
    wn__part *g = wn__case_find(c, "g"), *mask = wn__case_find(c, "mask");
    const double *w = wn__case_find(c, "w")->before;
    double lambda = fabs(lambdas[c->problem.value[LAMBDA]]);
    int64_t columns = g->view.shape[1], groups = mask->view.shape[1];
    for (int64_t i = 0; i < g->count; i++) {
        int64_t column = i % columns;
        const uint8_t *m = (const uint8_t *)mask->image + i / columns * groups + column / 4;
        bool kept = *m >> (column % 4) & 1;
        double term = lambda * fabs(w[i]);
        g->bound[i] = kept ? 0 : wn__stored(r, g->want[i]) + 4 * r->acc * term + r->eta;
    }
}

const wn__case_type wn__cases_decay24 = {.op = WN__OP_decay24,
                                         .args_size = sizeof(wn__decay24),
                                         .fields = decay_fields,
                                         .field_count = DECAY_FIELDS,
                                         .declare = decay_declare,
                                         .fill = decay_fill,
                                         .bound = decay_bound};
