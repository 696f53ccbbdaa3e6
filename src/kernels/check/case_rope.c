// SPDX-License-Identifier: MIT
// Cases of rope_table and rope. The table is computed in double and rounded once, so a variant is
// off by that rounding and by cos and sin themselves (one unit in the last place of a double each,
// and the product with scale). rope adds two products: two terms of a sum.
#include "kernels/check/harness.h"
#include "kernels/rope.h"

#include <math.h>

enum { P, HALF, DTYPE, SCALE, TABLE_FIELDS };

static const wn__field table_fields[TABLE_FIELDS] = {
    WN__FIELD_SIZE("P", 0, 2048, 129, 3000),
    WN__FIELD_SIZE("half", 0, 64, 129, 300),
    WN__FIELD_DTYPE,
    WN__FIELD_CHOICE("scale", 0, 1, 0),
};

static const double scales[] = {1, 1.2079441541679836};

static void table_declare(wn__case *c) {
    wn__rope_table *p = c->args;
    const int64_t *v = c->problem.value;
    wn_tensor table = wn__tensor2(NULL, wn__case_dtype(c, DTYPE), v[P], v[HALF]);
    p->scale = scales[v[SCALE]];
    wn__case_part(c, "inv_freq", &p->inv_freq, WN__READ, wn__tensor1(NULL, WN_DTYPE_F64, v[HALF]));
    wn__case_part(c, "cos", &p->cos, WN__WRITE, table);
    wn__case_part(c, "sin", &p->sin, WN__WRITE, table);
}

static void table_fill(wn__case *c) {
    wn__part *inv_freq = wn__case_find(c, "inv_freq");
    for (int64_t i = 0; i < inv_freq->count; i++)
        wn__part_set(inv_freq, i, pow(1e4, -(double)i / (double)inv_freq->count));
}

static void table_bound(wn__case *c, const wn__round *r) {
    for (int i = 1; i < 3; i++)
        for (int64_t j = 0; j < c->part[i].count; j++)
            c->part[i].bound[j] = wn__stored(r, c->part[i].want[j]) + 0x1p-51;
}

const wn__case_type wn__cases_rope_table = {.op = WN__OP_rope_table,
                                            .args_size = sizeof(wn__rope_table),
                                            .fields = table_fields,
                                            .field_count = TABLE_FIELDS,
                                            .declare = table_declare,
                                            .fill = table_fill,
                                            .bound = table_bound};

enum { B, T, H, HALF_D, ROPE_DTYPE, DATA, POS0, SPARE, INVERSE, PAD, FIELDS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("B", 0, 4, 3, 5),
    WN__FIELD_SIZE("T", 0, 512, 33, 300),
    WN__FIELD_SIZE("H", 0, 8, 9, 40),
    WN__FIELD_SIZE("half", 0, 32, 129, 200),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_CHOICE("pos0", 0, 40, 0),
    WN__FIELD_CHOICE("spare", 0, 7, 0),
    WN__FIELD_FLAG("inverse", 0),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
};

static void declare(wn__case *c) {
    wn__rope *p = c->args;
    const int64_t *v = c->problem.value, shape[4] = {v[B], v[T], v[H], 2 * v[HALF_D]};
    wn_dtype dtype = wn__case_dtype(c, ROPE_DTYPE);
    wn_tensor table = wn__tensor2(NULL, dtype, v[POS0] + v[T] + v[SPARE], v[HALF_D]);
    p->pos0 = v[POS0];
    p->inverse = v[INVERSE];
    wn__case_part(c, "x", &p->x, WN__UPDATE, wn__view4(dtype, shape, v[PAD]));
    wn__case_part(c, "cos", &p->cos, WN__READ, table);
    wn__case_part(c, "sin", &p->sin, WN__READ, table);
}

static void fill(wn__case *c) {
    wn__part *cosine = wn__case_find(c, "cos"), *sine = wn__case_find(c, "sin");
    wn__part_fill(c, wn__case_find(c, "x"), (wn__data)c->problem.value[DATA]);
    for (int64_t i = 0; i < cosine->count; i++) {
        double angle = 7 * wn__case_draw_normal(c);
        wn__part_set(cosine, i, cos(angle));
        wn__part_set(sine, i, sin(angle));
    }
}

static void bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    wn__part *x = wn__case_find(c, "x");
    const double *cosine = wn__case_find(c, "cos")->before, *sine = wn__case_find(c, "sin")->before;
    int64_t half = v[HALF_D];
    for (int64_t i = 0; i < x->count; i++) {
        int64_t d = i % (2 * half), t = i / (2 * half) / v[H] % v[T];
        int64_t at = (v[POS0] + t) * half + d % half, other = d < half ? i + half : i - half;
        double sum = fabs(x->before[i] * cosine[at]) + fabs(x->before[other] * sine[at]);
        x->bound[i] = wn__stored(r, x->want[i]) + 4 * r->acc * sum + 3 * r->eta;
    }
}

static double flops(const wn__problem *p) {
    const int64_t *v = p->value;
    return 6.0 * (double)(v[B] * v[T] * v[H] * v[HALF_D]);
}

const wn__case_type wn__cases_rope = {.op = WN__OP_rope,
                                      .args_size = sizeof(wn__rope),
                                      .fields = fields,
                                      .field_count = FIELDS,
                                      .declare = declare,
                                      .fill = fill,
                                      .bound = bound,
                                      .flops = flops};
