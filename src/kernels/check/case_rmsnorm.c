// SPDX-License-Identifier: MIT
// Cases of rmsnorm and rmsnorm_grad. Bounds, to first order and doubled for what that leaves out (u
// is the unit round-off of the arithmetic):
//
//   the mean of C squares, all positive, has relative error (C + 3) u with eps; rstd halves it and
//   adds a root and a division: (C/2 + 4) u; y adds two products: (C/2 + 6) u. Of dx = rstd (h - x
//   rstd^2 s), s = mean(h x): s is off by (C + 4) u mean|h x|, and both terms by at most 8 u more:
//   (C + 12) u rstd (|h| + |x| rstd^2 mean|h x|). dweight sums N products of three factors and the
//   old value.
#include "kernels/check/harness.h"
#include "kernels/rmsnorm.h"

#include <math.h>

enum { N, C, DTYPE, DATA, EPS, SHARED, RSTD, FIELDS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("N", 0, 512, 129, 600),
    WN__FIELD_SIZE("C", 1, 1024, 129, 3000),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_TINY),
    WN__FIELD_CHOICE("eps", 0, 2, 0),
    WN__FIELD_FLAG("shared", 0),
    WN__FIELD_FLAG("rstd", 1),
};

static const double eps[] = {1e-5, 1e-6, 1};

static void declare(wn__case *c) {
    wn__rmsnorm *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    wn_tensor matrix = wn__tensor2(NULL, dtype, v[N], v[C]);
    p->eps = eps[v[EPS]];
    wn__part *x = wn__case_part(c, "x", &p->x, WN__READ, matrix);
    wn__case_part(c, "weight", &p->weight, WN__READ, wn__tensor1(NULL, dtype, v[C]));
    wn__part *y = wn__case_part(c, "y", &p->y, WN__WRITE, matrix);
    if (v[SHARED]) wn__part_share(c, y, x);
    if (v[RSTD]) wn__case_part(c, "rstd", &p->rstd, WN__WRITE, wn__tensor1(NULL, dtype, v[N]));
}

static void fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
}

static void bound(wn__case *c, const wn__round *r) {
    double relative = (double)(c->problem.value[C] + 12) * r->acc;
    wn__part *y = wn__case_find(c, "y"), *rstd = wn__case_find(c, "rstd");
    const double *weight = wn__case_find(c, "weight")->before;
    for (int64_t i = 0; i < y->count; i++)
        y->bound[i] = wn__stored(r, y->want[i]) + relative * fabs(y->want[i]) +
                      2 * r->eta * (1 + fabs(weight[i % y->view.shape[1]]));
    for (int64_t i = 0; rstd && i < rstd->count; i++)
        rstd->bound[i] = wn__stored(r, rstd->want[i]) + relative * rstd->want[i];
}

static double flops(const wn__problem *p) {
    return 4.0 * (double)p->value[N] * (double)p->value[C];
}

const wn__case_type wn__cases_rmsnorm = {.op = WN__OP_rmsnorm,
                                         .args_size = sizeof(wn__rmsnorm),
                                         .fields = fields,
                                         .field_count = FIELDS,
                                         .declare = declare,
                                         .fill = fill,
                                         .bound = bound,
                                         .flops = flops};

enum { GRAD_SHARED = DATA + 1, ACCUMULATE, GRAD_FIELDS };

static const wn__field grad_fields[GRAD_FIELDS] = {
    WN__FIELD_SIZE("N", 0, 512, 129, 3000),
    WN__FIELD_SIZE("C", 1, 1024, 129, 3000),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INTEGERS),
    WN__FIELD_FLAG("shared", 0),
    WN__FIELD_FLAG("accumulate", 0),
};

// dx may be dy, but not when it is added to.
static void grad_settle(wn__problem *p) {
    if (p->value[ACCUMULATE]) p->value[GRAD_SHARED] = 0;
}

static void grad_declare(wn__case *c) {
    wn__rmsnorm_grad *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    wn_tensor matrix = wn__tensor2(NULL, dtype, v[N], v[C]);
    p->accumulate = v[ACCUMULATE];
    wn__case_part(c, "x", &p->x, WN__READ, matrix);
    wn__case_part(c, "weight", &p->weight, WN__READ, wn__tensor1(NULL, dtype, v[C]));
    wn__case_part(c, "rstd", &p->rstd, WN__READ, wn__tensor1(NULL, dtype, v[N]));
    wn__part *dy = wn__case_part(c, "dy", &p->dy, WN__READ, matrix);
    wn__part *dx = wn__case_part(c, "dx", &p->dx, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE, matrix);
    if (v[GRAD_SHARED]) wn__part_share(c, dx, dy);
    wn__case_part(c, "dweight", &p->dweight, WN__UPDATE, wn__tensor1(NULL, dtype, v[C]));
}

static void grad_fill(wn__case *c) {
    wn__part *rstd = wn__case_find(c, "rstd");
    fill(c);
    for (int64_t i = 0; i < rstd->count; i++)
        wn__part_set(rstd, i, 0.25 + fabs(wn__part_get(rstd, i)));
}

static void dx_bound(wn__case *c, const wn__round *r, int64_t n) {
    wn__part *dx = wn__case_find(c, "dx");
    int64_t columns = c->problem.value[C];
    const double *x = wn__case_find(c, "x")->before + n * columns;
    const double *dy = wn__case_find(c, "dy")->before + n * columns;
    const double *weight = wn__case_find(c, "weight")->before;
    double rstd = wn__case_find(c, "rstd")->before[n], mean = 0;
    for (int64_t i = 0; i < columns; i++)
        mean += fabs(dy[i] * weight[i] * x[i]) / (double)columns;
    for (int64_t i = 0; i < columns; i++) {
        int64_t at = n * columns + i;
        double terms = rstd * (fabs(dy[i] * weight[i]) + fabs(x[i]) * rstd * rstd * mean);
        double old = c->problem.value[ACCUMULATE] ? fabs(dx->before[at]) : 0;
        dx->bound[at] = wn__stored(r, dx->want[at]) +
                        2 * r->acc * ((double)(columns + 12) * terms + old) + 8 * r->eta;
    }
}

static void dweight_bound(wn__case *c, const wn__round *r) {
    wn__part *dweight = wn__case_find(c, "dweight");
    const double *x = wn__case_find(c, "x")->before, *dy = wn__case_find(c, "dy")->before;
    const double *rstd = wn__case_find(c, "rstd")->before;
    int64_t rows = c->problem.value[N], columns = c->problem.value[C];
    double terms = (double)(rows + 4);
    for (int64_t i = 0; i < columns; i++) {
        double sum = fabs(dweight->before[i]);
        for (int64_t n = 0; n < rows; n++)
            sum += fabs(dy[n * columns + i] * x[n * columns + i] * rstd[n]);
        dweight->bound[i] =
            wn__stored(r, dweight->want[i]) + 2 * terms * (r->acc * sum + 4 * r->eta);
    }
}

static void grad_bound(wn__case *c, const wn__round *r) {
    for (int64_t n = 0; n < c->problem.value[N]; n++)
        dx_bound(c, r, n);
    dweight_bound(c, r);
}

static double grad_flops(const wn__problem *p) {
    return 10.0 * (double)p->value[N] * (double)p->value[C];
}

const wn__case_type wn__cases_rmsnorm_grad = {.op = WN__OP_rmsnorm_grad,
                                              .args_size = sizeof(wn__rmsnorm_grad),
                                              .fields = grad_fields,
                                              .field_count = GRAD_FIELDS,
                                              .settle = grad_settle,
                                              .declare = grad_declare,
                                              .fill = grad_fill,
                                              .bound = grad_bound,
                                              .flops = grad_flops};
