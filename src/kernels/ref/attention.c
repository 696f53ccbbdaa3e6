// SPDX-License-Identifier: MIT
// attention and attention_grad, the specification. Nothing is kept: a weight is computed anew from
// q, k and lse wherever it is needed, and outputs are summed BLOCK columns at a time.
#include "kernels/attention.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

#define BLOCK 64

// Where a head's vector begins.
static int64_t vector(const wn_tensor *t, int64_t b, int64_t position, int64_t head) {
    return b * t->stride[0] + position * t->stride[1] + head * t->stride[2];
}

static double dot(const wn_tensor *a, int64_t i, const wn_tensor *b, int64_t j) {
    double sum = 0;
    for (int64_t d = 0; d < a->shape[3]; d++)
        sum += wn__get(a, i + d) * wn__get(b, j + d);
    return sum;
}

static int64_t block_size(int64_t d0, int64_t D) {
    return D - d0 < BLOCK ? D - d0 : BLOCK;
}

// A query: batch, position, head; its key/value head and the number of keys it sees.
typedef struct query {
    int64_t b, t, h, kv, keys;
} query;

// Query number n in the order (b, h, t), the order of lse.
static query query_at(const wn_tensor *q, const wn_tensor *k, int64_t n) {
    int64_t T = q->shape[1], H = q->shape[2], h = n / T % H, t = n % T;
    return (query){n / T / H, t, h, h / (H / k->shape[2]), k->shape[1] - T + t + 1};
}

static double score(const wn__attention *p, const query *a, int64_t j) {
    return p->scale *
           dot(&p->q, vector(&p->q, a->b, a->t, a->h), &p->k, vector(&p->k, a->b, j, a->kv));
}

static double log_sum_exp(const wn__attention *p, const query *a) {
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < a->keys; j++)
        max = fmax(max, score(p, a, j));
    for (int64_t j = 0; j < a->keys; j++)
        sum += exp(score(p, a, j) - max);
    return max + log(sum);
}

static void queries(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__attention *p = ctx;
    int64_t D = p->q.shape[3];
    for (int64_t n = begin; n < end; n++) {
        query a = query_at(&p->q, &p->k, n);
        double lse = log_sum_exp(p, &a);
        if (wn__given(&p->lse)) wn__set(&p->lse, n, lse);
        for (int64_t d0 = 0; d0 < D; d0 += BLOCK) {
            double sum[BLOCK] = {0};
            int64_t size = block_size(d0, D), out = vector(&p->out, a.b, a.t, a.h) + d0;
            for (int64_t j = 0; j < a.keys; j++) {
                double weight = exp(score(p, &a, j) - lse);
                for (int64_t d = 0; d < size; d++)
                    sum[d] += weight * wn__get(&p->v, vector(&p->v, a.b, j, a.kv) + d0 + d);
            }
            for (int64_t d = 0; d < size; d++)
                wn__set(&p->out, out + d, sum[d]);
        }
    }
}

wn_status wn__attention_ref(const void *args, wn__exec *x) {
    const wn__attention *p = args;
    const int64_t *shape = p->q.shape;
    wn__parallel_for(x->pool, shape[0] * shape[1] * shape[2], 1, queries, (void *)args);
    return WN_OK;
}

// p[j] and ds[j] of the contract.
typedef struct weights {
    double p, ds;
} weights;

static weights weights_of(const wn__attention_grad *g, const query *a, int64_t j) {
    int64_t q = vector(&g->q, a->b, a->t, a->h), k = vector(&g->k, a->b, j, a->kv);
    int64_t dout = vector(&g->dout, a->b, a->t, a->h), v = vector(&g->v, a->b, j, a->kv);
    double lse = wn__get(&g->lse, (a->b * g->q.shape[2] + a->h) * g->q.shape[1] + a->t);
    double delta = dot(&g->dout, dout, &g->out, vector(&g->out, a->b, a->t, a->h));
    double p = exp(g->scale * dot(&g->q, q, &g->k, k) - lse);
    return (weights){p, p * (dot(&g->dout, dout, &g->v, v) - delta)};
}

static void grad_queries(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__attention_grad *g = ctx;
    int64_t D = g->q.shape[3];
    for (int64_t n = begin; n < end; n++) {
        query a = query_at(&g->q, &g->k, n);
        for (int64_t d0 = 0; d0 < D; d0 += BLOCK) {
            double sum[BLOCK] = {0};
            int64_t size = block_size(d0, D), dq = vector(&g->dq, a.b, a.t, a.h) + d0;
            for (int64_t j = 0; j < a.keys; j++) {
                double ds = weights_of(g, &a, j).ds;
                for (int64_t d = 0; d < size; d++)
                    sum[d] += ds * wn__get(&g->k, vector(&g->k, a.b, j, a.kv) + d0 + d);
            }
            for (int64_t d = 0; d < size; d++)
                wn__set(&g->dq, dq + d, g->scale * sum[d]);
        }
    }
}

// Columns d0 .. d0+BLOCK of dk and dv at key j of head kv: every query of the group that sees it.
static void grad_key(const wn__attention_grad *g, int64_t b, int64_t j, int64_t kv, int64_t d0) {
    double dk[BLOCK] = {0}, dv[BLOCK] = {0};
    int64_t T = g->q.shape[1], first = j - (g->k.shape[1] - T),
            size = block_size(d0, g->q.shape[3]);
    int64_t group = g->q.shape[2] / g->k.shape[2];
    for (int64_t h = kv * group; h < (kv + 1) * group; h++)
        for (int64_t t = first > 0 ? first : 0; t < T; t++) {
            query a = {b, t, h, kv, 0};
            weights w = weights_of(g, &a, j);
            for (int64_t d = 0; d < size; d++) {
                dk[d] += w.ds * wn__get(&g->q, vector(&g->q, b, t, h) + d0 + d);
                dv[d] += w.p * wn__get(&g->dout, vector(&g->dout, b, t, h) + d0 + d);
            }
        }
    for (int64_t d = 0; d < size; d++) {
        wn__set(&g->dk, vector(&g->dk, b, j, kv) + d0 + d, g->scale * dk[d]);
        wn__set(&g->dv, vector(&g->dv, b, j, kv) + d0 + d, dv[d]);
    }
}

// Keys, numbered (b, j, kv).
static void grad_keys(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__attention_grad *g = ctx;
    int64_t S = g->k.shape[1], heads = g->k.shape[2];
    for (int64_t n = begin; n < end; n++)
        for (int64_t d0 = 0; d0 < g->q.shape[3]; d0 += BLOCK)
            grad_key(g, n / heads / S, n / heads % S, n % heads, d0);
}

wn_status wn__attention_grad_ref(const void *args, wn__exec *x) {
    const wn__attention_grad *g = args;
    const int64_t *q = g->q.shape, *k = g->k.shape;
    wn__parallel_for(x->pool, q[0] * q[1] * q[2], 1, grad_queries, (void *)args);
    wn__parallel_for(x->pool, k[0] * k[1] * k[2], 1, grad_keys, (void *)args);
    return WN_OK;
}
