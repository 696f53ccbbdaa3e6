// SPDX-License-Identifier: MIT
// Cases of axpby, adam_direction, adafactor and adam8bit. u: the unit round-off of the arithmetic.
//
//   axpby: both scalars, both products and the sum round once each: at most 4 u (|a x| + |b y|).
//   adam_direction: m and v as in case_adamw.c; d = m / (sqrt(v) + eps) is off by what m and v are
//   off by, and 4 u.
//   adafactor: sums of positive terms and products only, so every factor of u is off by a few u
//   relative to itself: row, col and their mean by 1 stored rounding and 8 u each, under a root,
//   rms(u) by no more than its largest term. m and w add their own terms' roundings.
//   adam8bit: the bits of ref.
#include "kernels/check/harness.h"
#include "kernels/update.h"

#include <math.h>

static const double grad_scales[] = {1, 1.0 / 3, 0x1p-16};
static const int64_t steps[] = {1, 2, 1000, 1000000};

static void make_positive(wn__part *p) {
    for (int64_t i = 0; p != NULL && i < p->count; i++)
        wn__part_set(p, i, fabs(wn__part_get(p, i)));
}

// ---- axpby

enum { COUNT, DTYPE, DATA, A, B, AXPBY_FIELDS };

static const double factors[] = {1, -0.3, 1e-3, 0};
static const wn__field axpby_fields[AXPBY_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1 << 20, 129, 200000),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_CHOICE("a", 0, 2, 1),
    WN__FIELD_CHOICE("b", 0, 3, 0),
};

static wn_tensor vector(const wn__case *c) {
    return wn__tensor1(NULL, wn__case_dtype(c, DTYPE), c->problem.value[COUNT]);
}

static void axpby_declare(wn__case *c) {
    wn__axpby *p = c->args;
    p->a = factors[c->problem.value[A]];
    p->b = factors[c->problem.value[B]];
    wn__case_part(c, "x", &p->x, WN__READ, vector(c));
    wn__case_part(c, "y", &p->y, p->b == 0 ? WN__WRITE : WN__UPDATE, vector(c));
}

static void fill_all(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
}

static void axpby_bound(wn__case *c, const wn__round *r) {
    const wn__axpby *p = c->args;
    wn__part *x = c->part, *y = c->part + 1;
    for (int64_t i = 0; i < y->count; i++) {
        double terms = fabs(p->a * x->before[i]);
        if (p->b != 0) terms += fabs(p->b * y->before[i]);
        y->bound[i] = wn__stored(r, y->want[i]) + 4 * r->acc * terms + 2 * r->eta;
    }
}

static double axpby_flops(const wn__problem *p) {
    return 3.0 * (double)p->value[COUNT];
}

const wn__case_type wn__cases_axpby = {.op = WN__OP_axpby,
                                       .args_size = sizeof(wn__axpby),
                                       .fields = axpby_fields,
                                       .field_count = AXPBY_FIELDS,
                                       .declare = axpby_declare,
                                       .fill = fill_all,
                                       .bound = axpby_bound,
                                       .flops = axpby_flops};

// ---- adam_direction

enum { DIRECTION_SCALE = DATA + 1, DIRECTION_SHARED, DIRECTION_FIELDS };

static const wn__field direction_fields[DIRECTION_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1 << 20, 129, 200000),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_CHOICE("scale", 0, 2, 0),
    WN__FIELD_FLAG("shared", 1),
};

static void direction_declare(wn__case *c) {
    wn__adam_direction *p = c->args;
    const int64_t *v = c->problem.value;
    p->beta1 = 0.9;
    p->beta2 = 0.999;
    p->eps = 1e-6;
    p->grad_scale = grad_scales[v[DIRECTION_SCALE]];
    wn__case_part(c, "m", &p->m, WN__UPDATE, vector(c));
    wn__case_part(c, "v", &p->v, WN__UPDATE, vector(c));
    wn__part *g = wn__case_part(c, "g", &p->g, WN__READ, vector(c));
    wn__part *d = wn__case_part(c, "d", &p->d, WN__WRITE, vector(c));
    if (v[DIRECTION_SHARED]) wn__part_share(c, d, g);
}

static void direction_fill(wn__case *c) {
    fill_all(c);
    make_positive(wn__case_find(c, "v"));
}

// Of an error dv in v, what reaches sqrt(v).
static double root_error(double v, double dv) {
    return dv >= v ? sqrt(dv) : dv / sqrt(v);
}

static void direction_bound(wn__case *c, const wn__round *r) {
    const wn__adam_direction *p = c->args;
    wn__part *m = c->part, *v = c->part + 1, *d = c->part + 3;
    for (int64_t i = 0; i < m->count; i++) {
        double g = fabs(p->grad_scale * c->part[2].before[i]);
        double terms = p->beta1 * fabs(m->before[i]) + (1 - p->beta1) * g;
        double lost = 2 * r->eta * (2 + g);
        m->bound[i] = wn__stored(r, m->want[i]) + 8 * r->acc * terms + 3 * r->eta;
        v->bound[i] = wn__stored(r, v->want[i]) + 12 * r->acc * v->want[i] + lost;
        double below = sqrt(v->want[i]) + p->eps, rest = root_error(v->want[i], v->bound[i]);
        d->bound[i] = wn__stored(r, d->want[i]) + m->bound[i] / below +
                      2 * fabs(d->want[i]) * (rest / below + 4 * r->acc) + r->eta;
    }
}

static double direction_flops(const wn__problem *p) {
    return 12.0 * (double)p->value[COUNT];
}

const wn__case_type wn__cases_adam_direction = {.op = WN__OP_adam_direction,
                                                .args_size = sizeof(wn__adam_direction),
                                                .fields = direction_fields,
                                                .field_count = DIRECTION_FIELDS,
                                                .declare = direction_declare,
                                                .fill = direction_fill,
                                                .bound = direction_bound,
                                                .flops = direction_flops};

// ---- adafactor

enum {
    ROWS,
    COLUMNS,
    FACTOR_DTYPE,
    FACTOR_DATA,
    WHOLE,
    MOMENTUM,
    STEP,
    DECAY,
    SCALE,
    FACTOR_FIELDS
};

static const wn__field factor_fields[FACTOR_FIELDS] = {
    WN__FIELD_SIZE("a", 0, 1024, 33, 300),
    WN__FIELD_SIZE("b", 0, 1024, 65, 700),
    WN__FIELD_WORDS("dtype", 1, 1, wn__dtype_words),
    WN__FIELD_DATA(WN__DATA_WILD),
    WN__FIELD_FLAG("whole", 0), // one second moment an element
    WN__FIELD_FLAG("momentum", 0),
    WN__FIELD_CHOICE("step", 0, 3, 2),
    WN__FIELD_FLAG("decay", 1),
    WN__FIELD_CHOICE("scale", 0, 2, 0),
};

static void factor_declare(wn__case *c) {
    wn__adafactor *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, FACTOR_DTYPE);
    wn_tensor matrix = wn__tensor2(NULL, dtype, v[ROWS], v[COLUMNS]);
    *p = (wn__adafactor){.lr = 1e-2,
                         .beta1 = v[MOMENTUM] ? 0.9 : 0,
                         .eps1 = 1e-30,
                         .clip = 1,
                         .weight_decay = v[DECAY] ? 0.1 : 0,
                         .grad_scale = grad_scales[v[SCALE]],
                         .step = steps[v[STEP]]};
    wn__case_part(c, "w", &p->w, WN__UPDATE, matrix);
    wn__case_part(c, "g", &p->g, WN__READ, matrix);
    if (v[WHOLE]) {
        wn__case_part(c, "v", &p->v, WN__UPDATE, matrix);
    } else {
        wn__case_part(c, "row", &p->row, WN__UPDATE, wn__tensor1(NULL, dtype, v[ROWS]));
        wn__case_part(c, "col", &p->col, WN__UPDATE, wn__tensor1(NULL, dtype, v[COLUMNS]));
    }
    if (v[MOMENTUM]) wn__case_part(c, "m", &p->m, WN__UPDATE, matrix);
}

static void factor_fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[FACTOR_DATA]);
    make_positive(wn__case_find(c, "v"));
    make_positive(wn__case_find(c, "row"));
    make_positive(wn__case_find(c, "col"));
}

// |u| before clipping, from the moments as ref gives them.
static double magnitude(const wn__case *c, int64_t i, double row_mean) {
    const wn__adafactor *p = c->args;
    const wn__part *second = c->part + 2;
    double g = fabs(p->grad_scale * c->part[1].before[i]);
    int64_t columns = p->w.shape[1];
    if (wn__given(&p->v)) return g / sqrt(second->want[i]);
    return g / sqrt(second->want[i / columns] / row_mean * c->part[3].want[i % columns]);
}

static void bound_moments(wn__part *p, const wn__round *r) {
    for (int64_t i = 0; p != NULL && i < p->count; i++)
        p->bound[i] = wn__stored(r, p->want[i]) + 16 * r->acc * p->want[i];
}

static void factor_bound(wn__case *c, const wn__round *r) {
    const wn__adafactor *p = c->args;
    wn__part *w = c->part, *m = wn__case_find(c, "m");
    double row_mean = 0, sum = 0;
    bound_moments(wn__case_find(c, "v"), r);
    bound_moments(wn__case_find(c, "row"), r);
    bound_moments(wn__case_find(c, "col"), r);
    for (int64_t i = 0; wn__given(&p->row) && i < c->part[2].count; i++)
        row_mean += c->part[2].want[i] / (double)c->part[2].count;
    for (int64_t i = 0; i < w->count; i++)
        sum += pow(magnitude(c, i, row_mean), 2) / (double)w->count;
    double over = fmax(1, sqrt(sum) / p->clip), off = 4 * r->out + 64 * r->acc;
    for (int64_t i = 0; i < w->count; i++) {
        double u = magnitude(c, i, row_mean) / over, wrong = off * u + r->eta;
        if (m != NULL) {
            double terms = p->beta1 * fabs(m->before[i]) + (1 - p->beta1) * u;
            wrong = m->bound[i] = wn__stored(r, m->want[i]) + 4 * r->acc * terms +
                                  (1 - p->beta1) * wrong + 2 * r->eta;
            u = terms;
        }
        w->bound[i] = wn__stored(r, w->want[i]) + 4 * r->acc * (fabs(w->before[i]) + p->lr * u) +
                      p->lr * wrong + 2 * r->eta;
    }
}

static double factor_flops(const wn__problem *p) {
    return 16.0 * (double)p->value[ROWS] * (double)p->value[COLUMNS];
}

const wn__case_type wn__cases_adafactor = {.op = WN__OP_adafactor,
                                           .args_size = sizeof(wn__adafactor),
                                           .fields = factor_fields,
                                           .field_count = FACTOR_FIELDS,
                                           .declare = factor_declare,
                                           .fill = factor_fill,
                                           .bound = factor_bound,
                                           .flops = factor_flops};

// ---- adam8bit

enum { BITS_STEP = DATA + 1, BITS_DECAY, BITS_SCALE, BITS_FIELDS };

static const wn__field bits_fields[BITS_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1 << 20, 1025, 200000),
    WN__FIELD_WORDS("dtype", 1, 1, wn__dtype_words),
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_CHOICE("step", 0, 3, 1),
    WN__FIELD_FLAG("decay", 1),
    WN__FIELD_CHOICE("scale", 0, 2, 0),
};

static void bits_declare(wn__case *c) {
    wn__adam8bit *p = c->args;
    const int64_t *v = c->problem.value;
    wn_tensor codes = wn__tensor1(NULL, WN_DTYPE_U8, v[COUNT]);
    wn_tensor scales = wn__tensor1(NULL, WN_DTYPE_F32, (v[COUNT] + WN_BLOCK8 - 1) / WN_BLOCK8);
    *p = (wn__adam8bit){.lr = 6e-4,
                        .beta1 = 0.9,
                        .beta2 = 0.95,
                        .eps = 1e-8,
                        .weight_decay = v[BITS_DECAY] ? 0.1 : 0,
                        .grad_scale = grad_scales[v[BITS_SCALE]],
                        .step = steps[v[BITS_STEP]]};
    wn__case_part(c, "w", &p->w, WN__UPDATE, vector(c));
    wn__case_part(c, "g", &p->g, WN__READ, vector(c));
    wn__case_part(c, "m", &p->m, WN__UPDATE, codes);
    wn__case_part(c, "v", &p->v, WN__UPDATE, codes);
    wn__case_part(c, "m_scale", &p->m_scale, WN__UPDATE, scales);
    wn__case_part(c, "v_scale", &p->v_scale, WN__UPDATE, scales);
}

// Any codes; some blocks are zero, and some gradients with them.
static void bits_fill(wn__case *c) {
    fill_all(c);
    for (int k = 2; k < 4; k++)
        for (int64_t i = 0; i < c->part[k].count; i++)
            ((uint8_t *)c->part[k].image)[i] = (uint8_t)wn__case_draw(c, 0, 255);
    make_positive(c->part + 4);
    make_positive(c->part + 5);
    for (int64_t i = 0; i < c->part[4].count; i += 3) {
        wn__part_set(c->part + 4, i, 0);
        wn__part_set(c->part + 5, i, 0);
        for (int64_t k = i * WN_BLOCK8; k < (i + 1) * WN_BLOCK8 && k < c->part[1].count; k++)
            if (i % 2) wn__part_set(c->part + 1, k, 0);
    }
}

static double bits_flops(const wn__problem *p) {
    return 20.0 * (double)p->value[COUNT];
}

const wn__case_type wn__cases_adam8bit = {.op = WN__OP_adam8bit,
                                          .args_size = sizeof(wn__adam8bit),
                                          .fields = bits_fields,
                                          .field_count = BITS_FIELDS,
                                          .compare = WN__SAME_VALUES,
                                          .declare = bits_declare,
                                          .fill = bits_fill,
                                          .flops = bits_flops};
