// SPDX-License-Identifier: MIT
/* attention_grad: each weight is computed anew from q, k and lse, a block of queries and a block of
 * keys at a time. Sums run over blocks in ascending order and nothing is shared between workers, so
 * there is nothing to add up at the end. dk and dv are sums over all query heads of a group.
 *
 * Error, u = 2^-24, c and n as in attention, N queries of the group that see a key, and m =
 * sum_d |dout_d v_jd| + sum_d |dout_d out_d|: from its q, k and lse a weight is wrong by a
 * factor 1 + w, |w| <= ((D + 4) c + |lse| + 3) u, and ds by e = p m (w + (D + 4) u):
 *   |dq error| <= scale sum_j |k_j| (e_j + (n + 4) u p_j m_j), |dk error| the like with q and N
 *   |dv error| <= sum p |dout| (w + (N + 4) u)
 * to first order in w. */
#include "kernels/op.h"
#include "kernels/simd/attention_tile.inc.h"
#include "kernels/simd/vexp.h"

#include <math.h>

typedef struct grad_job {
    const wn__attention_grad *p;
    wn__attention_grad_plan plan;
    float *scratch;
} grad_job;

/* What a worker holds. _across: [d][query], _along: [query][d]. */
typedef struct grad_block {
    float *q_across, *q_along, *dout_across, *dout_along; /* q times the scale */
    float *lse, *delta;
    float *weights, *ds; /* [key][query] */
    float *dq;           /* across; NULL: not wanted */
    float *dk, *dv;      /* [key from first_key on][d]; NULL: not wanted */
    int64_t first_key;
} grad_block;

static grad_block grad_scratch(const grad_job *job, int worker) {
    const wn__attention_sizes *z = &job->plan.z;
    int64_t block = z->depth * z->queries, scores = WN_ATTENTION_KEYS * z->queries;
    float *at = job->scratch + (size_t)worker * job->plan.worker_floats;
    grad_block w = {.q_across = at, .q_along = at + block};
    w.dout_across = w.q_along + block;
    w.dout_along = w.dout_across + block;
    w.dq = w.dout_along + block;
    w.lse = w.dq + block;
    w.delta = w.lse + z->queries;
    w.weights = w.delta + z->queries;
    w.ds = w.weights + scores;
    w.dk = w.ds + scores;
    w.dv = w.dk + job->plan.kept_keys * z->depth;
    return w;
}

static float dot(const float *a, const float *b, int64_t D) {
    vf sum = vf_zero();
    for (int64_t d = 0; d < D; d += VF) {
        int64_t n = least(D - d, VF);
        sum = vf_fma(vf_load_n(a + d, n), vf_load_n(b + d, n), sum);
    }
    return vf_sum(sum);
}

/* Brings the block of queries from t0 on of one head into scratch. Lanes without a query get no
 * weight. */
static void grad_load(const grad_job *job, grad_block *w, int64_t b, int64_t h, int64_t t0,
                      int64_t count) {
    const wn__attention_grad *p = job->p;
    const wn__attention_sizes *z = &job->plan.z;
    const float *dout = head_at(&p->dout, b, t0, h), *out = head_at(&p->out, b, t0, h);
    const float *lse = (const float *)p->lse.data + (b * z->H + h) * z->T + t0;
    pack_queries(head_at(&p->q, b, t0, h), p->q.stride[1], count, (float)p->scale, z, w->q_across,
                 w->q_along);
    pack_queries(dout, p->dout.stride[1], count, 1, z, w->dout_across, w->dout_along);
    for (int64_t i = 0; i < z->queries; i++) {
        w->lse[i] = i < count ? lse[i] : INFINITY;
        w->delta[i] =
            i < count ? dot(dout + i * p->dout.stride[1], out + i * p->out.stride[1], z->D) : 0;
    }
    if (w->dq) clear(w->dq, z->depth * z->queries);
}

/* Scores become weights, and gradients of weights become those of scores. */
static void grad_weigh(const grad_block *w, const stairs *s, int64_t v, int64_t queries) {
    vf lse = vf_load(w->lse + v * VF), delta = vf_load(w->delta + v * VF);
    int64_t all = seen_by_all(s, v), some = seen_by_some(s, v);
    for (int64_t i = 0; i < some; i++) {
        float *weight = w->weights + i * queries + v * VF, *ds = w->ds + i * queries + v * VF;
        vf p = vf_exp(vf_sub(vf_load(weight), lse));
        vf g = vf_mul(p, vf_sub(vf_load(ds), delta));
        if (i >= all) {
            vm blind = blind_lanes(s, v, i);
            p = vf_select(blind, vf_zero(), p);
            g = vf_select(blind, vf_zero(), g);
        }
        vf_store(weight, p);
        vf_store(ds, g);
    }
}

/* Queries begin .. end, for one key alone. */
static void grad_gather_one(const float *weights, const float *rows, int64_t begin, int64_t end,
                            int64_t depth, float *sums) {
    for (int64_t q = begin; q < end; q++)
        for (int64_t d = 0; d < depth; d += VF)
            vf_store(sums + d,
                     vf_fma(vf_set(weights[q]), vf_load(rows + q * depth + d), vf_load(sums + d)));
}

/* sums[key][..] += weights[key][query] rows[query][..] over the queries that see the key: a tile of
 * keys together from the first query that sees them all. */
static void grad_gather(const stairs *s, const float *weights, const float *rows,
                        const wn__attention_sizes *z, float *sums) {
    for (int64_t i = 0; i < s->keys; i += TILE_ROWS) {
        int64_t last = i + TILE_ROWS - 1 - s->diagonal,
                all = last < 0 ? 0 : least(last, s->queries);
        for (int64_t r = 0; r < TILE_ROWS; r++) {
            int64_t first = i + r - s->diagonal;
            grad_gather_one(weights + (i + r) * z->queries, rows, first < 0 ? 0 : first, all,
                            z->depth, sums + (i + r) * z->depth);
        }
        const product p = {.a = weights + i * z->queries + all,
                           .row = z->queries,
                           .step = 1,
                           .rows = TILE_ROWS,
                           .depth = s->queries - all,
                           .b = rows + all * z->depth,
                           .b_stride = z->depth,
                           .c = sums + i * z->depth,
                           .c_stride = z->depth};
        if (p.depth > 0) product_add(&p, 0, z->depth / VF);
    }
}

/* The loaded block of queries (the first at absolute position `position`) and keys from k on. */
static void grad_keys(const grad_job *job, const grad_block *w, int64_t b, int64_t kv, int64_t k,
                      int64_t position, int64_t count) {
    const wn__attention_grad *p = job->p;
    const wn__attention_sizes *z = &job->plan.z;
    const stairs s = {least(position + count - k, WN_ATTENTION_KEYS), count, (count + VF - 1) / VF,
                      position - k};
    const float *key = head_at(&p->k, b, k, kv), *value = head_at(&p->v, b, k, kv);
    scores_of(&s, key, p->k.stride[1], z->S - k, z->D, w->q_across, z->queries, w->weights);
    scores_of(&s, value, p->v.stride[1], z->S - k, z->D, w->dout_across, z->queries, w->ds);
    for (int64_t v = first_vec(&s, 0); v < s.vecs; v++)
        grad_weigh(w, &s, v, z->queries);
    if (w->dk) {
        int64_t at = (k - w->first_key) * z->depth;
        grad_gather(&s, w->weights, w->dout_along, z, w->dv + at);
        grad_gather(&s, w->ds, w->q_along, z, w->dk + at);
    }
    if (w->dq) weigh(&(weighing){&s, key, p->k.stride[1], z->D, w->ds, z->queries, w->dq, NULL});
}

/* All blocks of keys from `begin` to `end` that the block of queries from t0 on sees. */
static void grad_queries(const grad_job *job, grad_block *w, int64_t b, int64_t h, int64_t t0,
                         int64_t begin, int64_t end) {
    const wn__attention_grad *p = job->p;
    const wn__attention_sizes *z = &job->plan.z;
    int64_t count = least(z->T - t0, z->queries), position = z->S - z->T + t0;
    if (position + count <= begin) return;
    grad_load(job, w, b, h, t0, count);
    for (int64_t k = begin; k < end && k < position + count; k += WN_ATTENTION_KEYS)
        grad_keys(job, w, b, h / z->group, k, position, count);
    if (!w->dq) return;
    vf scale[WN_ATTENTION_VECS];
    for (int v = 0; v < WN_ATTENTION_VECS; v++)
        scale[v] = vf_set((float)p->scale);
    unpack_queries(w->dq, scale, count, z, head_at(&p->dq, b, t0, h), p->dq.stride[1]);
}

static void store_rows(const float *from, int64_t count, const wn__attention_sizes *z, float *to,
                       int64_t row) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t d = 0; d < z->D; d += VF)
            vf_store_n(to + i * row + d, vf_load(from + i * z->depth + d), least(z->D - d, VF));
}

/* dk and dv of keys begin .. end of one head; dq as well unless w has none. */
static void grad_head(const grad_job *job, grad_block *w, int64_t b, int64_t kv, int64_t begin,
                      int64_t end) {
    const wn__attention_grad *p = job->p;
    const wn__attention_sizes *z = &job->plan.z;
    w->first_key = begin;
    clear(w->dk, 2 * job->plan.kept_keys * z->depth);
    for (int64_t h = kv * z->group; h < (kv + 1) * z->group; h++)
        for (int64_t t = 0; t < z->T; t += z->queries)
            grad_queries(job, w, b, h, t, begin, end);
    store_rows(w->dk, end - begin, z, head_at(&p->dk, b, begin, kv), p->dk.stride[1]);
    store_rows(w->dv, end - begin, z, head_at(&p->dv, b, begin, kv), p->dv.stride[1]);
}

/* Everything of key/value heads, numbered (b, kv). */
static void grad_heads(void *ctx, int64_t begin, int64_t end, int worker) {
    const grad_job *job = ctx;
    const wn__attention_sizes *z = &job->plan.z;
    grad_block w = grad_scratch(job, worker);
    for (int64_t n = begin; n < end; n++)
        grad_head(job, &w, n / z->Hk, n % z->Hk, 0, z->S);
}

/* dq of blocks of queries, numbered (b, h, block from the last: the longest first). */
static void grad_query_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    const grad_job *job = ctx;
    const wn__attention_sizes *z = &job->plan.z;
    grad_block w = grad_scratch(job, worker);
    w.dk = w.dv = NULL;
    for (int64_t n = begin; n < end; n++) {
        int64_t head = n / z->blocks, block = z->blocks - 1 - n % z->blocks;
        grad_queries(job, &w, head / z->H, head % z->H, block * z->queries, 0, z->S);
    }
}

/* dk and dv of blocks of keys, numbered (b, kv, block: the longest first). */
static void grad_key_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    const grad_job *job = ctx;
    const wn__attention_sizes *z = &job->plan.z;
    int64_t blocks = (z->S + WN_ATTENTION_KEYS - 1) / WN_ATTENTION_KEYS;
    grad_block w = grad_scratch(job, worker);
    w.dq = NULL;
    for (int64_t n = begin; n < end; n++) {
        int64_t head = n / blocks, k = n % blocks * WN_ATTENTION_KEYS;
        grad_head(job, &w, head / z->Hk, head % z->Hk, k, least(k + WN_ATTENTION_KEYS, z->S));
    }
}

static wn_status attention_grad(const void *args, wn__exec *x) {
    const wn__attention_grad *p = args;
    grad_job job = {p, wn__attention_grad_plan_for(p, VF), (float *)(void *)x->scratch};
    const wn__attention_sizes *z = &job.plan.z;
    if (!job.plan.two_passes) {
        wn__parallel_for(x->pool, z->B * z->Hk, 1, grad_heads, &job);
        return WN_OK;
    }
    int64_t key_blocks = (z->S + WN_ATTENTION_KEYS - 1) / WN_ATTENTION_KEYS;
    wn__parallel_for(x->pool, z->B * z->H * z->blocks, 1, grad_query_blocks, &job);
    wn__parallel_for(x->pool, z->B * z->Hk * key_blocks, 1, grad_key_blocks, &job);
    return WN_OK;
}
