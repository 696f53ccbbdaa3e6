// SPDX-License-Identifier: MIT
// Cases of squared_error, gradient_norms and fit_update. With u that of the arithmetic, u64 that of
// double and M = |y| + |bias_scale bias| + |target|:
//
//   e is off by 3 u M (one product, two sums), gradient by that and one product, dbias by n sums of
//   as much, e^2 by 8 u M^2, their sum in double by n m u64 sum M^2 more.
//   A norm of n numbers in double is off by (n + 4) u64 of itself; a square of 4 u more is granted.
//   fit_update: g' is off by 4 u G, G = |factor g| + decay |w|; m by 8 u of its terms, v by 14 u of
//   its terms with G for g'; w as in case_adamw.c.
#include "kernels/check/harness.h"
#include "kernels/fit.h"

#include <math.h>

static const double u64 = 0x1p-53;

static wn_dtype sums_of(wn_dtype dtype) {
    return dtype == WN_DTYPE_F64 ? WN_DTYPE_F64 : WN_DTYPE_F32;
}

// ---- squared_error

enum { N, M, DTYPE, DATA, PAD, BIAS, GRADIENT, DBIAS, ACCUMULATE, ERROR_FIELDS };

static const char *const gradient_words[] = {"absent", "apart", "y", NULL};

static const wn__field error_fields[ERROR_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1024, 129, 700),
    WN__FIELD_SIZE("m", 0, 4096, 300, 3000),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
    WN__FIELD_FLAG("bias", 1),
    WN__FIELD_WORDS("gradient", 2, 2, gradient_words),
    WN__FIELD_FLAG("dbias", 1),
    WN__FIELD_FLAG("accumulate", 1),
};

static void error_declare(wn__case *c) {
    wn__squared_error *p = c->args;
    const int64_t *v = c->problem.value;
    const wn_dtype dtype = wn__case_dtype(c, DTYPE), s = sums_of(dtype);
    *p = (wn__squared_error){.bias_scale = 0.25,
                             .gradient_scale = 2,
                             .dbias_scale = 0.5,
                             .sum_scale = 1.0 / 3,
                             .accumulate = v[ACCUMULATE] != 0};
    wn__part *y = wn__case_part(c, "y", &p->y, WN__READ, wn__view2(dtype, v[N], v[M], v[PAD]));
    wn__case_part(c, "target", &p->target, WN__READ, wn__view2(s, v[N], v[M], v[PAD]));
    wn__case_part(c, "sum", &p->sum, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE,
                  wn__tensor1(NULL, WN_DTYPE_F64, 1));
    if (v[BIAS]) wn__case_part(c, "bias", &p->bias, WN__READ, wn__tensor1(NULL, s, v[M]));
    if (v[GRADIENT]) {
        wn__part *g = wn__case_part(c, "gradient", &p->gradient, WN__WRITE,
                                    wn__view2(dtype, v[N], v[M], v[PAD]));
        if (v[GRADIENT] == 2) wn__part_share(c, g, y);
    }
    if (v[DBIAS]) wn__case_part(c, "dbias", &p->dbias, WN__WRITE, wn__tensor1(NULL, s, v[M]));
}

static void error_fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
}

// Bounds of the elements of y, of its columns and of the sum, out of the magnitudes M.
static void error_bound(wn__case *c, const wn__round *r) {
    const wn__squared_error *p = c->args;
    const int64_t n = c->problem.value[N], m = c->problem.value[M];
    const wn__part *y = c->part, *target = c->part + 1, *bias = wn__case_find(c, "bias");
    wn__part *sum = c->part + 2, *gradient = wn__case_find(c, "gradient");
    wn__part *dbias = wn__case_find(c, "dbias");
    const wn__round whole = {wn__unit(target->view.dtype), r->acc,
                             wn__smallest(target->view.dtype)};
    const double u = r->acc, flat = (double)(n * m) * u64;
    double squares = 0;
    for (int64_t j = 0; j < m; j++) {
        double column = 0;
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = i * m + j;
            const double size = fabs(y->before[at]) + fabs(target->before[at]) +
                                (bias ? fabs(p->bias_scale * bias->before[j]) : 0);
            column += size;
            squares += size * size;
            if (gradient)
                gradient->bound[at] = wn__stored(r, gradient->want[at]) +
                                      2 * p->gradient_scale * (4 * u * size + 4 * whole.eta);
        }
        if (dbias)
            dbias->bound[j] = wn__stored(&whole, dbias->want[j]) +
                              2 * p->dbias_scale * ((double)n + 8) * (u * column + whole.eta);
    }
    sum->bound[0] = 2 * p->sum_scale * (16 * u + flat) * squares + 4 * u64 * fabs(sum->want[0]) +
                    (double)(n * m + 1) * whole.eta;
}

static double error_flops(const wn__problem *p) {
    return 6.0 * (double)(p->value[N] * p->value[M]);
}

const wn__case_type wn__cases_squared_error = {.op = WN__OP_squared_error,
                                               .args_size = sizeof(wn__squared_error),
                                               .fields = error_fields,
                                               .field_count = ERROR_FIELDS,
                                               .declare = error_declare,
                                               .fill = error_fill,
                                               .bound = error_bound,
                                               .flops = error_flops};

// ---- gradient_norms

enum { COUNT, WIDE, PARTS, NORM_DATA, MOST, NORM_FIELDS };

static const char *const sums_words[] = {"f64", "f32", NULL};

static const wn__field norm_fields[NORM_FIELDS] = {
    WN__FIELD_SIZE("count", 0, 1 << 20, 700, 60000),
    WN__FIELD_WORDS("dtype", 1, 1, sums_words),
    WN__FIELD_CHOICE("parts", 1, WN__FIT_PARTS, 3),
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_CHOICE("most", 0, 2, 1),
};

static void norm_declare(wn__case *c) {
    static const double most[] = {0, 1, 1e9};
    wn__gradient_norms *p = c->args;
    const int64_t *v = c->problem.value;
    *p = (wn__gradient_norms){.scale = 0.375, .most = most[v[MOST]], .parts = (int)v[PARTS]};
    for (int i = 0; i < p->parts; i++) // uneven ones, some empty
        p->end[i] = i + 1 == p->parts ? v[COUNT] : v[COUNT] * i * i / (p->parts * p->parts);
    wn__case_part(c, "g", &p->g, WN__READ, wn__tensor1(NULL, wn__case_dtype(c, WIDE), v[COUNT]));
    wn__case_part(c, "sums", &p->sums, WN__UPDATE, wn__tensor1(NULL, WN_DTYPE_F64, p->parts + 1));
    wn__case_part(c, "factor", &p->factor, WN__WRITE, wn__tensor1(NULL, WN_DTYPE_F64, 1));
}

static void norm_fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[NORM_DATA]);
}

static void norm_bound(wn__case *c, const wn__round *r) {
    wn__part *sums = c->part + 1, *factor = c->part + 2;
    const double off = 2 * (((double)c->part[0].count + 8) * u64 + (r->acc > u64 ? 4 * r->acc : 0));
    for (int64_t i = 0; i < sums->count; i++)
        sums->bound[i] = off * fabs(sums->want[i] - sums->before[i]) +
                         4 * u64 * (fabs(sums->want[i]) + fabs(sums->before[i])) + 0x1p-500;
    factor->bound[0] = off * fabs(factor->want[0]);
}

static double norm_flops(const wn__problem *p) {
    return 2.0 * (double)p->value[COUNT];
}

const wn__case_type wn__cases_gradient_norms = {.op = WN__OP_gradient_norms,
                                                .args_size = sizeof(wn__gradient_norms),
                                                .fields = norm_fields,
                                                .field_count = NORM_FIELDS,
                                                .declare = norm_declare,
                                                .fill = norm_fill,
                                                .bound = norm_bound,
                                                .flops = norm_flops};

// ---- fit_update

enum { SIZE, SUMS, ROUNDED, VALUES, RULE, STEP, DECAY, FACTOR, ALONE, UPDATE_FIELDS };

static const char *const rule_words[] = {"adamw", "adam", "sgd", NULL};

static const wn__field update_fields[UPDATE_FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1 << 20, 129, 9000),
    WN__FIELD_WORDS("sums", 1, 1, sums_words),
    WN__FIELD_WORDS("dtype", 3, 2, wn__dtype_words),
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_WORDS("rule", 2, 0, rule_words),
    WN__FIELD_CHOICE("step", 0, 3, 1),
    WN__FIELD_FLAG("decay", 1),
    WN__FIELD_CHOICE("factor", 0, 2, 0),
    WN__FIELD_FLAG("alone", 0), // nothing is rounded
};

static void update_declare(wn__case *c) {
    wn__fit_update *p = c->args;
    const int64_t *v = c->problem.value;
    const wn_tensor like = wn__tensor1(NULL, wn__case_dtype(c, SUMS), v[SIZE]);
    *p = (wn__fit_update){.rule = (wn__fit_rule)v[RULE],
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .eps = 1e-8,
                          .decay = v[DECAY] ? 0.1 : 0};
    wn__case_part(c, "w", &p->w, WN__UPDATE, like);
    wn__case_part(c, "m", &p->m, WN__UPDATE, like);
    wn__case_part(c, "g", &p->g, WN__READ, like);
    wn__case_part(c, "step", &p->step, WN__READ, wn__tensor1(NULL, WN_DTYPE_F64, 3));
    wn__case_part(c, "factor", &p->factor, WN__READ, wn__tensor1(NULL, WN_DTYPE_F64, 1));
    if (!v[ALONE])
        wn__case_part(c, "rounded", &p->rounded, WN__WRITE,
                      wn__tensor1(NULL, wn__case_dtype(c, ROUNDED), v[SIZE]));
    if (v[RULE] != WN__FIT_SGD) wn__case_part(c, "v", &p->v, WN__UPDATE, like);
}

static void update_fill(wn__case *c) {
    static const double steps[] = {1, 2, 1000, 1000000}, factors[] = {1, 1.0 / 3, 0x1p-16};
    const int64_t *value = c->problem.value;
    const double t = steps[value[STEP]], lr = 6e-4;
    wn__part *step = wn__case_find(c, "step"), *v = wn__case_find(c, "v");
    wn__case_fill(c, (wn__data)value[VALUES]);
    for (int64_t i = 0; v && i < v->count; i++)
        wn__part_set(v, i, fabs(wn__part_get(v, i)));
    wn__part_set(step, 0, lr);
    wn__part_set(step, 1, lr / (1 - pow(0.9, t)));
    wn__part_set(step, 2, sqrt(1 - pow(0.999, t)));
    wn__part_set(wn__case_find(c, "factor"), 0, factors[value[FACTOR]]);
}

// Of an error dv in v, what reaches sqrt(v).
static double root_error(double v, double dv) {
    return dv >= v ? sqrt(dv) : dv / sqrt(v);
}

static void update_bound(wn__case *c, const wn__round *r) {
    const wn__fit_update *p = c->args;
    wn__part *w = c->part, *m = c->part + 1, *v = wn__case_find(c, "v");
    wn__part *rounded = wn__case_find(c, "rounded");
    const wn__round s = {wn__unit(w->view.dtype), r->acc, wn__smallest(w->view.dtype)};
    const double *step = c->part[3].before, factor = c->part[4].before[0], u = r->acc;
    for (int64_t i = 0; i < w->count; i++) {
        const double decay = p->rule == WN__FIT_ADAMW ? 0 : p->decay * fabs(w->before[i]);
        const double g = fabs(factor * c->part[2].before[i]) + decay, lost = 4 * s.eta * (2 + g);
        const double one = p->rule == WN__FIT_SGD ? 1 : 1 - p->beta1;
        double moved;
        m->bound[i] =
            wn__stored(&s, m->want[i]) + 12 * u * (p->beta1 * fabs(m->before[i]) + one * g) + lost;
        if (v) {
            const double terms = p->beta2 * v->before[i] + (1 - p->beta2) * g * g;
            v->bound[i] = wn__stored(&s, v->want[i]) + 18 * u * terms + lost;
            const double d = sqrt(v->want[i]) / step[2] + p->eps;
            const double gone = step[1] * m->want[i] / d;
            const double off = root_error(v->want[i], v->bound[i]) / step[2];
            moved = (step[1] * m->bound[i] + s.eta) / d + fabs(gone) * (off / d + 12 * u);
        } else {
            moved = step[0] * (m->bound[i] + 4 * u * fabs(m->want[i]));
        }
        w->bound[i] = wn__stored(&s, w->want[i]) + 4 * u * fabs(w->before[i]) + 2 * moved + lost;
        if (rounded)
            rounded->bound[i] = wn__unit(rounded->view.dtype) * (fabs(w->want[i]) + w->bound[i]) +
                                w->bound[i] + wn__smallest(rounded->view.dtype);
    }
}

static double update_flops(const wn__problem *p) {
    return 16.0 * (double)p->value[SIZE];
}

const wn__case_type wn__cases_fit_update = {.op = WN__OP_fit_update,
                                            .args_size = sizeof(wn__fit_update),
                                            .fields = update_fields,
                                            .field_count = UPDATE_FIELDS,
                                            .declare = update_declare,
                                            .fill = update_fill,
                                            .bound = update_bound,
                                            .flops = update_flops};
