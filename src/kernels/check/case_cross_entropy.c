// SPDX-License-Identifier: MIT
// Cases of cross_entropy: logits far apart and minus infinite, ignored labels, labels outside.
// Bounds, with an exp that is off by 2 units in the last place (4 u) at most, and z - max rounded:
//
//   exp(z[v] - max) is off by e[v] = u |z[v] - max| + 4 u, and by 6 u more and u (max - first) for
//   a running maximum; the sum of V by its mean, weighted by softmax, E, and V u.   lse = max +
//   log(sum) by E + V u, 4 u |log(sum)| and u |lse|. loss adds three numbers in any order: 2 u
//   (|max| + |target| + |lse|) more. softmax by e[v] + E + (V + 4) u, and by u (|z| + 2 |lse|) when
//   it is exp(z - lse).
// Against a teacher at temperature T the same holds of z/T, whose exponent is rounded three times
// instead of once (3 u |z - max|/T). The divergence is a mean of d = (t - z)/T, each off by 3 u
// (|t| + |z|)/T, weighted by a softmax that is off as above, and two logarithms of sums.
// All of it doubled for second order.
#include "kernels/check/harness.h"
#include "kernels/cross_entropy.h"

#include <math.h>

enum { N, V, DTYPE, DATA, GRAD, SHARED, TARGETS, SCALE, TEACHER, FIELDS };

static const char *const target_words[] = {"good", "ignored", "bad", NULL};

static const struct {
    double share, temperature;
} teachers[] = {{0, 1}, {0.5, 2}, {1, 0.75}, {0.3, 1}}; // the first: none

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("N", 0, 256, 129, 400),
    WN__FIELD_SIZE("V", 1, 8192, 129, 5000),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_FLAG("grad", 1),
    WN__FIELD_FLAG("shared", 0),
    WN__FIELD_WORDS("targets", 2, 0, target_words),
    WN__FIELD_CHOICE("scale", 0, 1, 0),
    WN__FIELD_CHOICE("teacher", 0, 3, 0),
};

static void settle(wn__problem *p) {
    if (!p->value[GRAD]) p->value[SHARED] = 0;
}

static void declare(wn__case *c) {
    wn__cross_entropy *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    wn_tensor matrix = wn__tensor2(NULL, dtype, v[N], v[V]);
    p->scale = v[SCALE] ? -0.37 : 1;
    wn__part *logits = wn__case_part(c, "logits", &p->logits, WN__READ, matrix);
    wn__case_part(c, "target", &p->target, WN__READ, wn__tensor1(NULL, WN_DTYPE_I32, v[N]));
    wn__case_part(c, "loss", &p->loss, WN__WRITE, wn__tensor1(NULL, dtype, v[N]));
    if (v[TEACHER]) {
        p->share = teachers[v[TEACHER]].share;
        p->temperature = teachers[v[TEACHER]].temperature;
        wn__case_part(c, "teacher", &p->teacher, WN__READ, matrix);
    }
    if (!v[GRAD]) return;
    wn__part *dlogits = wn__case_part(c, "dlogits", &p->dlogits, WN__WRITE, matrix);
    if (v[SHARED]) wn__part_share(c, dlogits, logits);
}

static void fill_logits(wn__case *c, wn__part *logits) {
    wn__data kind = (wn__data)c->problem.value[DATA];
    wn__part_fill(c, logits, kind);
    for (int64_t i = 0; i < logits->count; i++) {
        double z = wn__part_get(logits, i);
        if (kind == WN__DATA_NORMAL) wn__part_set(logits, i, 4 * z);
        if (kind == WN__DATA_INFINITE && !isfinite(z)) wn__part_set(logits, i, -INFINITY);
        if (i % c->problem.value[V] == 0 && isinf(z))
            wn__part_set(logits, i, 0.5); // never all of a row
    }
}

static void fill(wn__case *c) {
    wn__part *logits = wn__case_find(c, "logits"), *target = wn__case_find(c, "target");
    int64_t kind = c->problem.value[TARGETS], last = c->problem.value[V] - 1;
    int32_t *id = target->image;
    fill_logits(c, logits);
    if (c->problem.value[TEACHER]) fill_logits(c, wn__case_find(c, "teacher"));
    for (int64_t i = 0; i < target->count; i++) {
        id[i] = (int32_t)wn__case_draw(c, 0, last);
        if (kind == 1 && wn__case_draw(c, 0, 2) == 0) id[i] = i % 2 ? -1 : -100;
    }
    if (kind == 2 && target->count > 0)
        id[wn__case_draw(c, 0, target->count - 1)] = (int32_t)last + 1;
}

// What the bounds of one row need: of z / T.
typedef struct row {
    const double *z;
    double T, max, least, lse, mean; // least: of the finite ones; mean: E
    double sum;                      // what the sum of exponentials is off by
} row;

static double exp_error(const row *a, double z, double u) {
    double times = a->T == 1 ? 1 : 3;
    return times * u * (a->max - z) + 10 * u + u * (a->max - a->least);
}

static row row_of(const double *z, int64_t count, double T, double u) {
    row a = {z, T, -INFINITY, INFINITY, 0, 0, 0};
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        a.max = fmax(a.max, z[i] / T);
        if (isfinite(z[i])) a.least = fmin(a.least, z[i] / T);
    }
    for (int64_t i = 0; i < count; i++)
        sum += exp(z[i] / T - a.max);
    a.lse = a.max + log(sum);
    for (int64_t i = 0; i < count; i++)
        if (isfinite(z[i])) a.mean += exp(z[i] / T - a.lse) * exp_error(&a, z[i] / T, u);
    a.sum = a.mean + (double)(count + 4) * u;
    return a;
}

static double lse_error(const row *a, double u) {
    return a->sum + u * (4 * fabs(a->lse - a->max) + 3 * fabs(a->lse) + 2 * fabs(a->max));
}

static double loss_error(const row *a, int32_t target, double u) {
    double z = a->z[target];
    return lse_error(a, u) + (isfinite(z) ? 2 * u * fabs(z) : 0);
}

static double softmax_error(const row *a, int64_t v, double u) {
    double z = a->z[v] / a->T;
    if (!isfinite(z)) return 0;
    return exp(z - a->lse) *
           (exp_error(a, z, u) + a->sum + u * ((a->T == 1 ? 1 : 3) * fabs(z) + 2 * fabs(a->lse)));
}

static double divergence_error(const row *own, const row *teacher, int64_t count, double u) {
    double error = lse_error(own, u) + lse_error(teacher, u);
    for (int64_t v = 0; v < count; v++) {
        double z = own->z[v] / own->T, t = teacher->z[v] / own->T;
        if (!isfinite(z) || !isfinite(t)) continue;
        double d = fabs((t - teacher->max) - (z - own->max));
        error += softmax_error(teacher, v, u) * d;
        error += exp(t - teacher->lse) * u *
                 (3 * (fabs(t) + fabs(z) + d + own->max - z + teacher->max - t) +
                  (double)(count + 4) * d);
    }
    return error;
}

static void bound_row(wn__case *c, const wn__round *r, int64_t n, int32_t target) {
    wn__part *loss = wn__case_find(c, "loss"), *dlogits = wn__case_find(c, "dlogits"),
             *other = wn__case_find(c, "teacher");
    int64_t count = c->problem.value[V], kind = c->problem.value[TEACHER];
    double u = r->acc, scale = c->problem.value[SCALE] ? 0.37 : 1;
    double share = kind ? teachers[kind].share : 0, T = kind ? teachers[kind].temperature : 1;
    const double *z = wn__case_find(c, "logits")->before + n * count;
    row a = row_of(z, count, 1, u), own = row_of(z, count, T, u), teacher = own;
    if (other) teacher = row_of(other->before + n * count, count, T, u);
    double error = (1 - share) * loss_error(&a, target, u);
    if (other) error += share * T * T * divergence_error(&own, &teacher, count, u);
    loss->bound[n] = wn__stored(r, loss->want[n]) + 2 * error +
                     (other ? 8 * u * fabs(isfinite(loss->want[n]) ? loss->want[n] : 0) : 0);
    for (int64_t v = 0; dlogits && v < count; v++) {
        int64_t at = n * count + v;
        double p = (1 - share) * softmax_error(&a, v, u);
        if (other) p += share * T * (softmax_error(&own, v, u) + softmax_error(&teacher, v, u));
        if (other) // three terms of any sign, each rounded a few times
            p += 4 * u *
                 ((1 - share) * (exp(a.z[v] - a.lse) + (v == target)) +
                  share * T * (exp(z[v] / T - own.lse) + exp(teacher.z[v] / T - teacher.lse)));
        dlogits->bound[at] = wn__stored(r, dlogits->want[at]) + 2 * scale * p +
                             4 * u * fabs(dlogits->want[at]) + 4 * r->eta +
                             (r->eta < 0x1p-1000 ? 0x1p-1021 : 0x1p-125); // exp may flush
    }
}

// An ignored row is zero, exactly.
static void bound(wn__case *c, const wn__round *r) {
    wn__part *loss = wn__case_find(c, "loss"), *dlogits = wn__case_find(c, "dlogits");
    int64_t count = c->problem.value[V];
    const int32_t *target = wn__case_find(c, "target")->image;
    for (int64_t n = 0; n < c->problem.value[N]; n++) {
        loss->bound[n] = 0;
        for (int64_t v = 0; dlogits && v < count; v++)
            dlogits->bound[n * count + v] = 0;
        if (target[n] >= 0) bound_row(c, r, n, target[n]);
    }
}

static double flops(const wn__problem *p) {
    return (p->value[TEACHER] ? 18.0 : 6.0) * (double)p->value[N] * (double)p->value[V];
}

const wn__case_type wn__cases_cross_entropy = {.op = WN__OP_cross_entropy,
                                               .args_size = sizeof(wn__cross_entropy),
                                               .fields = fields,
                                               .field_count = FIELDS,
                                               .settle = settle,
                                               .declare = declare,
                                               .fill = fill,
                                               .bound = bound,
                                               .flops = flops};
