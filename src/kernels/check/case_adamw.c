// SPDX-License-Identifier: MIT
// Cases of adamw. Each scalar is rounded to the arithmetic once (u), each product and sum once
// more:
//
//   m: 2 (2 u |beta1 m| + 4 u |(1 - beta1) g'|) = at most 8 u of both.    v, all terms positive: 12
//   u v. w: 4 u |w|, and the step A m / d with d = sqrt(v)/root + eps: sqrt is off by dv / sqrt(v),
//   or by sqrt(dv) where v is smaller than dv; d by that over root and 4 u d; the step by what m
//   and d are off by, and 8 u. m and v may have been rounded to the dtype before they are used, so
//   dm and dv include that.
#include "kernels/adamw.h"
#include "kernels/check/harness.h"

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

static void declare(wn__case *c) {
    static const int64_t steps[] = {1, 2, 1000, 1000000};
    static const double grad_scales[] = {1, 1.0 / 3, 0x1p-16};
    wn__adamw *p = c->args;
    const int64_t *v = c->problem.value;
    wn_tensor vector = wn__tensor1(NULL, wn__case_dtype(c, DTYPE), v[COUNT]);
    *p = (wn__adamw){.lr = 6e-4,
                     .beta1 = 0.9,
                     .beta2 = 0.95,
                     .eps = 1e-8,
                     .weight_decay = v[DECAY] ? 0.1 : 0,
                     .grad_scale = grad_scales[v[SCALE]],
                     .step = steps[v[STEP]]};
    wn__case_part(c, "w", &p->w, WN__UPDATE, vector);
    wn__case_part(c, "m", &p->m, WN__UPDATE, vector);
    wn__case_part(c, "v", &p->v, WN__UPDATE, vector);
    wn__case_part(c, "g", &p->g, WN__READ, vector);
}

static void fill(wn__case *c) {
    wn__part *v = wn__case_find(c, "v");
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
    for (int64_t i = 0; i < v->count; i++)
        wn__part_set(v, i, fabs(wn__part_get(v, i)));
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
