// SPDX-License-Identifier: MIT
// Cases of adamw and adamw24. Each scalar is rounded to the arithmetic once (u), each product and
// sum once more:
//
//   m: 2 (2 u |beta1 m| + 4 u |(1 - beta1) g'|) = at most 8 u of both.    v, all terms positive: 12
//   u v. w: 4 u |w|, and the step A m / d with d = sqrt(v)/root + eps: sqrt is off by dv / sqrt(v),
//   or by sqrt(dv) where v is smaller than dv; d by that over root and 4 u d; the step by what m
//   and d are off by, and 8 u. m and v may have been rounded to the dtype before they are used, so
//   dm and dv include that.
//
// A packed value is as far off as the element that it is a copy of.
#include "kernels/adamw24.h"
#include "kernels/check/masks24.h"
#include "kernels/contract.h"

#include <math.h>

enum { COUNT, DTYPE, DATA, STEP, DECAY, SCALE, FIELDS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("n", 0, 1 << 20, 129, 200000),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_CHOICE("step", 0, 3, 1),
    WN__FIELD_FLAG("decay", 1),
    WN__FIELD_CHOICE("scale", 0, 2, 0),
};

// The parts w, m, v and g: numbers 0 to 3.
static void declare_update(wn__case *c, wn__adamw *p, wn_tensor like, int64_t step, bool decay,
                           int64_t scale) {
    static const int64_t steps[] = {1, 2, 1000, 1000000};
    static const double grad_scales[] = {1, 1.0 / 3, 0x1p-16};
    *p = (wn__adamw){.lr = 6e-4,
                     .beta1 = 0.9,
                     .beta2 = 0.95,
                     .eps = 1e-8,
                     .weight_decay = decay ? 0.1 : 0,
                     .grad_scale = grad_scales[scale],
                     .step = steps[step]};
    wn__case_part(c, "w", &p->w, WN__UPDATE, like);
    wn__case_part(c, "m", &p->m, WN__UPDATE, like);
    wn__case_part(c, "v", &p->v, WN__UPDATE, like);
    wn__case_part(c, "g", &p->g, WN__READ, like);
}

static void declare(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn_tensor vector = wn__tensor1(NULL, wn__case_dtype(c, DTYPE), v[COUNT]);
    declare_update(c, c->args, vector, v[STEP], v[DECAY], v[SCALE]);
}

static void fill_update(wn__case *c, wn__data kind) {
    wn__part *v = wn__case_find(c, "v");
    wn__case_fill(c, kind);
    for (int64_t i = 0; i < v->count; i++)
        wn__part_set(v, i, fabs(wn__part_get(v, i)));
}

static void fill(wn__case *c) {
    fill_update(c, (wn__data)c->problem.value[DATA]);
}

// Of an error dv in v, what reaches sqrt(v).
static double root_error(double v, double dv) {
    return dv >= v ? sqrt(dv) : dv / sqrt(v);
}

static void bound(wn__case *c, const wn__round *r) {
    const wn__adamw *p = c->args;
    wn__part *w = c->part, *m = c->part + 1, *v = c->part + 2;
    double rate = p->lr / (1 - pow(p->beta1, (double)p->step));
    double root = sqrt(1 - pow(p->beta2, (double)p->step));
    for (int64_t i = 0; i < w->count; i++) {
        double g = fabs(p->grad_scale * c->part[3].before[i]);
        double terms = p->beta1 * fabs(m->before[i]) + (1 - p->beta1) * g;
        // the square of a gradient that underflows, and the gradient itself
        double lost = 2 * r->eta * (2 + g);
        m->bound[i] = wn__stored(r, m->want[i]) + 8 * r->acc * terms + 3 * r->eta;
        v->bound[i] = wn__stored(r, v->want[i]) + 12 * r->acc * v->want[i] + lost;
        double d = sqrt(v->want[i]) / root + p->eps, step = rate * m->want[i] / d;
        double droot = root_error(v->want[i], v->bound[i]) / root;
        double dstep = (rate * m->bound[i] + r->eta) / d + fabs(step) * (droot / d + 12 * r->acc);
        w->bound[i] =
            wn__stored(r, w->want[i]) + 4 * r->acc * fabs(w->before[i]) + 2 * dstep + 2 * r->eta;
    }
}

static double flops(const wn__problem *p) {
    return 16.0 * (double)p->value[COUNT];
}

const wn__case_type wn__cases_adamw = {.op = WN__OP_adamw,
                                       .args_size = sizeof(wn__adamw),
                                       .fields = fields,
                                       .field_count = FIELDS,
                                       .declare = declare,
                                       .fill = fill,
                                       .bound = bound,
                                       .flops = flops};

enum { R, C, DTYPE24, DATA24, MASKS, OUTPUTS, STEP24, DECAY24, SCALE24, FIELDS24 };

static const char *const output_words[] = {"straight", "both", NULL};

static const wn__field fields24[FIELDS24] = {
    WN__FIELD_SIZE("r", 0, 1024, 129, 600),
    WN__FIELD_SIZE("c", 0, 1024, 129, 600),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_WORDS("masks", WN__MASKS_BAD, WN__MASKS_TILE, wn__masks_words),
    WN__FIELD_WORDS("outputs", 1, 1, output_words),
    WN__FIELD_CHOICE("step", 0, 3, 1),
    WN__FIELD_FLAG("decay", 1),
    WN__FIELD_CHOICE("scale", 0, 2, 0),
};

// Transposed outputs want transposable masks; one in some cases is left to be refused.
static void settle24(wn__problem *p) {
    if (p->value[OUTPUTS] > 0 && p->value[MASKS] == WN__MASKS_FULL)
        p->value[MASKS] = WN__MASKS_TILE;
}

static void declare_packed(wn__case *c, const char *const names[2], wn_tensor *values,
                           wn_tensor *index, int64_t rows, int64_t columns) {
    int64_t groups = wn__ceil_div(columns, 4);
    wn_dtype dtype = wn__case_dtype(c, DTYPE24);
    wn__case_part(c, names[0], values, WN__WRITE, wn__tensor2(NULL, dtype, rows, 2 * groups));
    wn__case_part(c, names[1], index, WN__WRITE,
                  wn__tensor2(NULL, WN_DTYPE_U8, rows, wn__ceil_div(groups, 2)));
}

static void declare24(wn__case *c) {
    static const char *const straight[2] = {"values", "index"};
    static const char *const transposed[2] = {"values_t", "index_t"};
    wn__adamw24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn_tensor matrix = wn__tensor2(NULL, wn__case_dtype(c, DTYPE24), v[R], v[C]);
    declare_update(c, &p->update, matrix, v[STEP24], v[DECAY24], v[SCALE24]);
    wn__case_part(c, "mask", &p->mask, WN__READ,
                  wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4)));
    declare_packed(c, straight, &p->values, &p->index, v[R], v[C]);
    if (v[OUTPUTS]) declare_packed(c, transposed, &p->values_t, &p->index_t, v[C], v[R]);
}

static void fill24(wn__case *c) {
    const int64_t *v = c->problem.value;
    fill_update(c, (wn__data)v[DATA24]);
    wn__masks_fill(c, wn__case_find(c, "mask"), v[C], (wn__masks)v[MASKS]);
}

// Values of a pack, by its index; turned: of the transpose. Padding and free slots are exact zeros.
static void bound_packed(const wn__case *c, const wn__part *values, const wn__part *index,
                         bool turned) {
    const wn__part *w = c->part;
    int64_t rows = values->view.shape[0], slots = values->view.shape[1], c0 = c->problem.value[C],
            depth = turned ? c->problem.value[R] : c0;
    for (int64_t i = 0; i < rows * slots; i++) {
        int64_t row = i / slots, s = i % slots, g = s / 2;
        const uint8_t *byte = (const uint8_t *)index->exact + row * index->view.shape[1] + g / 2;
        int64_t at = 4 * g + (*byte >> (g % 2 * 4 + 2 * (s % 2)) & 3);
        values->bound[i] = at >= depth ? 0 : w->bound[turned ? at * c0 + row : row * c0 + at];
    }
}

static void bound24(wn__case *c, const wn__round *r) {
    bound(c, r);
    bound_packed(c, wn__case_find(c, "values"), wn__case_find(c, "index"), false);
    if (c->problem.value[OUTPUTS])
        bound_packed(c, wn__case_find(c, "values_t"), wn__case_find(c, "index_t"), true);
}

const wn__case_type wn__cases_adamw24 = {.op = WN__OP_adamw24,
                                         .args_size = sizeof(wn__adamw24),
                                         .fields = fields24,
                                         .field_count = FIELDS24,
                                         .settle = settle24,
                                         .declare = declare24,
                                         .fill = fill24,
                                         .bound = bound24};
