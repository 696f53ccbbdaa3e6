// SPDX-License-Identifier: MIT
// Cases of attention and attention_grad: grouped heads, a past, padded views, sharp and flat
// scores. Bounds, with an exp that is off by 2 units in the last place (4 u) at most:
//
//   s[j] is off by E[j] = 2 (D + 2) u scale |q|.|k[j]|; exp(s[j] - max) relatively by e[j] = E[j] +
//   u |s[j] - max| + 4 u, and a running maximum over blocks of keys by 6 u a block and u (max -
//   least) more; the sum of S by the mean of e, weighted by p, M, and S u. out: sum p[j] |v[j]|
//   (e[j] + M + (2 S + 4) u). lse: M + (S + 4) u + 4 u |log sum| + u (|max| + |lse|).
//   attention_grad, where p[j] = exp(s[j] - lse): e[j] = E[j] + u (|s[j]| + |lse|) + 4 u; products
//   along D are off by 2 (D + 1) u of their magnitudes. ds[j] = p[j] (dp[j] - delta) by p[j]
//   (|dp[j] - delta| (e[j] + 4 u) + their errors + 2 u of both); the sums over keys or queries by
//   the errors of their terms and 2 (count + 3) u of the magnitudes.
// An exp that is subnormal is off by 2 of the smallest subnormals instead.
// All of it doubled for second order; errors of an exponent go through expm1, so large ones count
// in full.
#include "kernels/attention.h"
#include "kernels/check/harness.h"

#include <math.h>

enum { B, T, PAST, HK, GROUP, D, DTYPE, DATA, SCALE, PAD, LSE, FIELDS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("B", 0, 1, 2, 3),
    WN__FIELD_SIZE("T", 1, 128, 33, 90),
    WN__FIELD_SIZE("past", 0, 0, 33, 150),
    WN__FIELD_SIZE("Hk", 1, 4, 3, 5),
    WN__FIELD_CHOICE("group", 1, 3, 1),
    WN__FIELD_SIZE("D", 1, 64, 129, 200),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INTEGERS),
    WN__FIELD_CHOICE("scale", 0, 2, 0),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
    WN__FIELD_FLAG("lse", 1),
};

// 1/sqrt(D); eight times that, so that one key takes nearly all; and scores that are nearly equal.
static double scale_of(const wn__case *c) {
    static const double factors[] = {1, 8, 0.01};
    return factors[c->problem.value[SCALE]] / sqrt((double)c->problem.value[D]);
}

static wn_tensor query_view(const wn__case *c) {
    const int64_t *v = c->problem.value, shape[4] = {v[B], v[T], v[HK] * v[GROUP], v[D]};
    return wn__view4(wn__case_dtype(c, DTYPE), shape, v[PAD]);
}

static wn_tensor key_view(const wn__case *c) {
    const int64_t *v = c->problem.value, shape[4] = {v[B], v[T] + v[PAST], v[HK], v[D]};
    return wn__view4(wn__case_dtype(c, DTYPE), shape, v[PAD]);
}

static wn_tensor lse_view(const wn__case *c) {
    const int64_t *v = c->problem.value;
    return wn__tensor3(NULL, wn__case_dtype(c, DTYPE), v[B], v[HK] * v[GROUP], v[T]);
}

static void declare(wn__case *c) {
    wn__attention *p = c->args;
    p->scale = scale_of(c);
    wn__case_part(c, "q", &p->q, WN__READ, query_view(c));
    wn__case_part(c, "k", &p->k, WN__READ, key_view(c));
    wn__case_part(c, "v", &p->v, WN__READ, key_view(c));
    wn__case_part(c, "out", &p->out, WN__WRITE, query_view(c));
    if (c->problem.value[LSE]) wn__case_part(c, "lse", &p->lse, WN__WRITE, lse_view(c));
}

static void fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
}

// One query, its head and the keys it sees; offsets are in packed arrays.
typedef struct query {
    int64_t keys, q, lse; // the number of keys; where its vector and its lse are
    int64_t first, step;  // where key 0 is, and from one key to the next
} query;

// Query n in the order (b, h, t).
static query query_at(const wn__case *c, int64_t n) {
    const int64_t *v = c->problem.value;
    int64_t heads = v[HK] * v[GROUP], S = v[T] + v[PAST];
    int64_t t = n % v[T], h = n / v[T] % heads, b = n / v[T] / heads;
    return (query){v[PAST] + t + 1, ((b * v[T] + t) * heads + h) * v[D], n,
                   (b * S * v[HK] + h / v[GROUP]) * v[D], v[HK] * v[D]};
}

static int64_t queries_of(const wn__case *c) {
    const int64_t *v = c->problem.value;
    return v[B] * v[HK] * v[GROUP] * v[T];
}

typedef struct product {
    double value, magnitude; // sum a b, sum |a b|
} product;

static product dot(const double *a, const double *b, int64_t n) {
    product p = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        p.value += a[i] * b[i];
        p.magnitude += fabs(a[i] * b[i]);
    }
    return p;
}

static product score(wn__case *c, const query *a, int64_t j) {
    int64_t size = c->problem.value[D];
    product p = dot(wn__case_find(c, "q")->before + a->q,
                    wn__case_find(c, "k")->before + a->first + j * a->step, size);
    return (product){p.value * scale_of(c), p.magnitude * scale_of(c)};
}

// The extremes of a query's scores, and its exact lse.
typedef struct softmax {
    double max, least, lse;
} softmax;

static softmax softmax_of(wn__case *c, const query *a) {
    softmax s = {-INFINITY, INFINITY, 0};
    double sum = 0;
    for (int64_t j = 0; j < a->keys; j++) {
        double value = score(c, a, j).value;
        s.max = fmax(s.max, value);
        s.least = fmin(s.least, value);
    }
    for (int64_t j = 0; j < a->keys; j++)
        sum += exp(score(c, a, j).value - s.max);
    s.lse = s.max + log(sum);
    return s;
}

// e[j]: what p[j] is off by before it is divided by the sum.
static double weight_error(const wn__case *c, const softmax *s, product at, double u) {
    double dimension = (double)c->problem.value[D],
           blocks = (double)(c->problem.value[T] + c->problem.value[PAST]);
    double error = 2 * (dimension + 2) * u * at.magnitude + u * fabs(at.value - s->max) + 4 * u +
                   6 * blocks * u + u * (s->max - s->least);
    return expm1(error);
}

static void bound_query(wn__case *c, const wn__round *r, int64_t n) {
    query a = query_at(c, n);
    softmax s = softmax_of(c, &a);
    wn__part *out = wn__case_find(c, "out"), *lse = wn__case_find(c, "lse");
    const double *v = wn__case_find(c, "v")->before;
    int64_t size = c->problem.value[D];
    double u = r->acc, count = (double)a.keys, mean = 0;
    for (int64_t j = 0; j < a.keys; j++) {
        product at = score(c, &a, j);
        mean += exp(at.value - s.lse) * weight_error(c, &s, at, u);
    }
    for (int64_t d = 0; d < size; d++)
        out->bound[a.q + d] = wn__stored(r, out->want[a.q + d]) + 4 * count * r->eta;
    for (int64_t j = 0; j < a.keys; j++) {
        product at = score(c, &a, j);
        double error =
            exp(at.value - s.lse) * (weight_error(c, &s, at, u) + mean + (2 * count + 4) * u) +
            2 * r->eta;
        for (int64_t d = 0; d < size; d++)
            out->bound[a.q + d] += 2 * error * fabs(v[a.first + j * a.step + d]);
    }
    if (lse)
        lse->bound[n] =
            wn__stored(r, s.lse) + 2 * (mean + (count + 4) * u +
                                        u * (4 * fabs(s.lse - s.max) + fabs(s.max) + fabs(s.lse)));
}

static void bound(wn__case *c, const wn__round *r) {
    for (int64_t n = 0; n < queries_of(c); n++)
        bound_query(c, r, n);
}

// Pairs of a query and a key it sees, times D.
static double pairs(const wn__problem *p) {
    const int64_t *v = p->value;
    double per_head = (double)v[T] * ((double)v[PAST] + ((double)v[T] + 1) / 2);
    return (double)(v[B] * v[HK] * v[GROUP] * v[D]) * per_head;
}

static double flops(const wn__problem *p) {
    return 4 * pairs(p);
}

const wn__case_type wn__cases_attention = {.op = WN__OP_attention,
                                           .args_size = sizeof(wn__attention),
                                           .fields = fields,
                                           .field_count = FIELDS,
                                           .declare = declare,
                                           .fill = fill,
                                           .bound = bound,
                                           .flops = flops};

static void grad_declare(wn__case *c) {
    wn__attention_grad *p = c->args;
    p->scale = scale_of(c);
    wn__case_part(c, "q", &p->q, WN__READ, query_view(c));
    wn__case_part(c, "k", &p->k, WN__READ, key_view(c));
    wn__case_part(c, "v", &p->v, WN__READ, key_view(c));
    wn__case_part(c, "out", &p->out, WN__READ, query_view(c));
    wn__case_part(c, "lse", &p->lse, WN__READ, lse_view(c));
    wn__case_part(c, "dout", &p->dout, WN__READ, query_view(c));
    wn__case_part(c, "dq", &p->dq, WN__WRITE, query_view(c));
    wn__case_part(c, "dk", &p->dk, WN__WRITE, key_view(c));
    wn__case_part(c, "dv", &p->dv, WN__WRITE, key_view(c));
}

static double *doubles(wn__case *c, const char *name) {
    return wn__case_find(c, name)->before;
}

// lse is that of the scores; out is any, so that delta is no special number.
static void grad_fill(wn__case *c) {
    fill(c);
    wn__part *q = wn__case_find(c, "q"), *k = wn__case_find(c, "k"), *lse = wn__case_find(c, "lse");
    for (int64_t i = 0; i < q->count; i++)
        q->before[i] = wn__part_get(q, i);
    for (int64_t i = 0; i < k->count; i++)
        k->before[i] = wn__part_get(k, i);
    for (int64_t n = 0; n < lse->count; n++) {
        query a = query_at(c, n);
        wn__part_set(lse, n, softmax_of(c, &a).lse);
    }
}

// One pair's p and ds with what each is off by.
typedef struct pair {
    double p, dp, ds, dds;
} pair;

static pair pair_of(wn__case *c, const wn__round *r, const query *a, int64_t j) {
    int64_t size = c->problem.value[D], key = a->first + j * a->step;
    double u = r->acc, along = 2 * (double)(size + 2) * u, lse = doubles(c, "lse")[a->lse];
    const double *dout = doubles(c, "dout") + a->q;
    product s = score(c, a, j), dp = dot(dout, doubles(c, "v") + key, size);
    product delta = dot(dout, doubles(c, "out") + a->q, size);
    double p = exp(s.value - lse), difference = dp.value - delta.value;
    double e = expm1(along * s.magnitude + u * (fabs(s.value) + fabs(lse)) + 4 * u);
    double off =
        along * (dp.magnitude + delta.magnitude) + 2 * u * (fabs(dp.value) + fabs(delta.value));
    double lost = p * e + 2 * r->eta, ds_error = fabs(difference) * (lost + 4 * u * p);
    return (pair){p, lost, p * difference, ds_error + off * (p + lost) + r->eta};
}

// What one pair adds to the bounds of its query's dq and its key's dk and dv.
static void add_pair(wn__case *c, const wn__round *r, const query *a, int64_t j) {
    int64_t size = c->problem.value[D], key = a->first + j * a->step;
    double u = r->acc, scale = scale_of(c), *dq = wn__case_find(c, "dq")->bound + a->q;
    double *dk = wn__case_find(c, "dk")->bound + key, *dv = wn__case_find(c, "dv")->bound + key;
    const double *q = doubles(c, "q") + a->q, *k = doubles(c, "k") + key,
                 *dout = doubles(c, "dout") + a->q;
    pair w = pair_of(c, r, a, j);
    double over_keys = 2 * (double)(a->keys + 3) * u;
    double over_queries = 2 * (double)(c->problem.value[T] * c->problem.value[GROUP] + 3) * u;
    for (int64_t d = 0; d < size; d++) {
        dq[d] += 2 * scale * fabs(k[d]) * (w.dds + over_keys * fabs(w.ds)) + 4 * r->eta;
        dk[d] += 2 * scale * fabs(q[d]) * (w.dds + over_queries * fabs(w.ds)) + 4 * r->eta;
        dv[d] += 2 * fabs(dout[d]) * (w.dp + over_queries * w.p) + 4 * r->eta;
    }
}

static void grad_bound(wn__case *c, const wn__round *r) {
    for (int i = 0; i < c->parts; i++)
        for (int64_t j = 0; c->part[i].bound && j < c->part[i].count; j++)
            c->part[i].bound[j] = wn__stored(r, c->part[i].want[j]);
    for (int64_t n = 0; n < queries_of(c); n++) {
        query a = query_at(c, n);
        for (int64_t j = 0; j < a.keys; j++)
            add_pair(c, r, &a, j);
    }
}

static double grad_flops(const wn__problem *p) {
    return 10 * pairs(p);
}

const wn__case_type wn__cases_attention_grad = {.op = WN__OP_attention_grad,
                                                .args_size = sizeof(wn__attention_grad),
                                                .fields = fields,
                                                .field_count = LSE,
                                                .declare = grad_declare,
                                                .fill = grad_fill,
                                                .bound = grad_bound,
                                                .flops = grad_flops};
