// SPDX-License-Identifier: MIT
/* attention, after FlashAttention (Dao et al. 2022): a block of queries walks over blocks of keys
 * with a running maximum and sum, and what was summed under an older maximum is scaled down when a
 * larger one is met. A query is a lane.
 *
 * Error, u = 2^-24, c = scale sum_d |q_d k_jd| at its largest, n keys. A score is wrong by at most
 * (D + 3) u c and its distance from the maximum by 2 u c more; vf_exp adds 3 u; the corrections by
 * exp(old - new maximum) add 2 u c in all, for they telescope, and 4 u for each block of 64 keys;
 * joining the spans of attention_few adds 2 u c + 5 u. A weight is therefore wrong by a factor
 * 1 + w and the sums of n terms by n u. To first order in w,
 *
 *   |w| <= ((D + 9) c + 8 + n/16) u
 *
 *   |out error| <= 2 (w + (n + 2) u) sum_j p_j |v_j|
 *
 *   |lse error| <= w + n u + u (|lse| + 2 log n) */
#include "kernels/simd/attention_few.inc.h"

typedef struct attention_job {
    const wn__attention *p;
    wn__attention_plan plan;
    float *scratch;
} attention_job;

/* A block of queries on its way over the keys. */
typedef struct query_block {
    vf max[WN_ATTENTION_VECS], sum[WN_ATTENTION_VECS];
    vf factor[WN_ATTENTION_VECS]; /* that brings older sums under the newest maximum */
    float *q, *scores, *out;      /* across; [key][query]; across */
} query_block;

/* Scores of a vector of queries become weights. */
static void weigh_scores(query_block *w, const stairs *s, int64_t v, int64_t queries) {
    float *scores = w->scores + v * VF;
    int64_t all = seen_by_all(s, v), some = seen_by_some(s, v);
    vf max = w->max[v], sum = vf_zero(), blind = vf_set(-INFINITY);
    int64_t i = 0;
    for (; i < all; i++)
        max = vf_max(vf_load(scores + i * queries), max);
    for (; i < some; i++) {
        vf score = vf_load(scores + i * queries);
        score = vf_select(blind_lanes(s, v, i), blind, score);
        vf_store(scores + i * queries, score);
        max = vf_max(score, max);
    }
    for (i = 0; i < some; i++) {
        vf weight = vf_exp(vf_sub(vf_load(scores + i * queries), max));
        vf_store(scores + i * queries, weight);
        sum = vf_add(sum, weight);
    }
    w->factor[v] = vf_exp(vf_sub(w->max[v], max));
    w->sum[v] = vf_fma(w->sum[v], w->factor[v], sum);
    w->max[v] = max;
}

static void store_lse(const wn__attention *p, const query_block *w, int64_t first, int64_t count) {
    float max[WN_ATTENTION_VECS * VF], sum[WN_ATTENTION_VECS * VF];
    for (int v = 0; v < WN_ATTENTION_VECS; v++) {
        vf_store(max + v * VF, w->max[v]);
        vf_store(sum + v * VF, w->sum[v]);
    }
    for (int64_t i = 0; i < count; i++)
        ((float *)p->lse.data)[first + i] = lse_of(max[i], sum[i]);
}

static void attend(const attention_job *job, query_block *w, int64_t b, int64_t h, int64_t t0) {
    const wn__attention *p = job->p;
    const wn__attention_sizes *z = &job->plan.z;
    int64_t count = least(z->T - t0, z->queries), vecs = (count + VF - 1) / VF, kv = h / z->group;
    int64_t position = z->S - z->T + t0, keys = position + count;
    for (int v = 0; v < WN_ATTENTION_VECS; v++) {
        w->max[v] = vf_set(-FLT_MAX);
        w->sum[v] = vf_zero();
    }
    pack_queries(head_at(&p->q, b, t0, h), p->q.stride[1], count, (float)p->scale, z, w->q, NULL);
    clear(w->out, z->depth * z->queries);
    for (int64_t k = 0; k < keys; k += WN_ATTENTION_KEYS) {
        const stairs s = {least(keys - k, WN_ATTENTION_KEYS), count, vecs, position - k};
        scores_of(&s, head_at(&p->k, b, k, kv), p->k.stride[1], z->S - k, z->D, w->q, z->queries,
                  w->scores);
        for (int64_t v = first_vec(&s, 0); v < vecs; v++)
            weigh_scores(w, &s, v, z->queries);
        weigh(&(weighing){&s, head_at(&p->v, b, k, kv), p->v.stride[1], z->D, w->scores, z->queries,
                          w->out, w->factor});
    }
    for (int64_t v = 0; v < vecs; v++)
        w->factor[v] = vf_div(vf_set(1), w->sum[v]);
    unpack_queries(w->out, w->factor, count, z, head_at(&p->out, b, t0, h), p->out.stride[1]);
    if (wn__given(&p->lse)) store_lse(p, w, (b * z->H + h) * z->T + t0, count);
}

/* Blocks of queries, numbered (b, h, block from the last: the longest first). */
static void attention_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    const attention_job *job = ctx;
    const wn__attention_sizes *z = &job->plan.z;
    query_block w;
    w.q = job->scratch + (size_t)worker * job->plan.worker_floats;
    w.out = w.q + z->depth * z->queries;
    w.scores = w.out + z->depth * z->queries;
    for (int64_t n = begin; n < end; n++) {
        int64_t head = n / z->blocks, block = z->blocks - 1 - n % z->blocks;
        attend(job, &w, head / z->H, head % z->H, block * z->queries);
    }
}

static wn_status attention(const void *args, wn__exec *x) {
    const wn__attention *p = args;
    attention_job job = {p, wn__attention_plan_for(p, VF), (float *)(void *)x->scratch};
    const wn__attention_sizes *z = &job.plan.z;
    if (job.plan.few) return attention_few(p, &job.plan, x);
    wn__parallel_for(x->pool, z->B * z->H * z->blocks, 1, attention_blocks, &job);
    return WN_OK;
}
