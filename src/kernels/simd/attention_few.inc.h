// SPDX-License-Identifier: MIT
/* attention of few queries, as in decoding: lanes are columns of a head, for there are too few
 * queries to fill them. Up to FEW_ROWS queries of one key/value head share each key and value that
 * is read. Long runs of keys are cut into spans that are summed apart, each under its own maximum,
 * and joined. */
#include "kernels/attention.h"
#include "kernels/op.h"
#include "kernels/simd/attention_tile.inc.h"
#include "kernels/simd/vexp.h"

#include <float.h>
#include <math.h>

#define FEW_ROWS  WN_ATTENTION_FEW_ROWS
#define FEW_KEYS  WN_ATTENTION_FEW_KEYS
#define FEW_LANES (VF == 16 ? 4 : 2) /* vectors of columns that are summed at once */

typedef struct few_job {
    const wn__attention *p;
    const wn__attention_plan *plan;
    float *partials, *scratch;
} few_job;

/* One set of rows on its way over one span. A partial is depth sums, then the maximum and the sum
 * of the weights. */
typedef struct few_rows {
    int count;
    const float *q[FEW_ROWS];
    int64_t keys[FEW_ROWS]; /* that each row sees, counted from key 0 */
    float *partial[FEW_ROWS];
    float factor[FEW_ROWS];
    float *scores; /* [FEW_ROWS][FEW_KEYS] */
} few_rows;

/* log of the sum of exponentials, from the largest exponent and the sum relative to it. A sum of 0
 * means that every score is -infinity, for which there is no answer. */
static float lse_of(float max, float sum) {
    return sum == 0 ? NAN : max + logf(sum);
}

static inline vf few_load(const float *p, int64_t n) {
    return n >= VF ? vf_load(p) : vf_load_n(p, n);
}

/* Scores of `rows` rows and 4 keys, of which `exist` exist (the last stands in for the others). */
static inline __attribute__((always_inline)) void few_dots(int rows, const few_rows *w,
                                                           const float *k, int64_t stride,
                                                           int64_t exist, int64_t D, float scale,
                                                           float *to) {
    const float *key[4];
    vf acc[FEW_ROWS][4];
    for (int j = 0; j < 4; j++)
        key[j] = k + (j < exist ? j : exist - 1) * stride;
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 4; j++)
            acc[r][j] = vf_zero();
    for (int64_t d = 0; d < D; d += VF) {
        vf column[4];
        for (int j = 0; j < 4; j++)
            column[j] = few_load(key[j] + d, D - d);
        for (int r = 0; r < rows; r++) {
            vf row = few_load(w->q[r] + d, D - d);
            for (int j = 0; j < 4; j++)
                acc[r][j] = vf_fma(row, column[j], acc[r][j]);
        }
    }
    for (int r = 0; r < rows; r++) {
        float sum[4];
        vf_sum4(acc[r], sum);
        for (int j = 0; j < 4; j++)
            to[r * FEW_KEYS + j] = scale * sum[j];
    }
}

/* partial = partial factor + weights values, columns d .. d + FEW_LANES vectors. */
static inline __attribute__((always_inline)) void few_sums(int rows, const few_rows *w,
                                                           const float *v, int64_t stride,
                                                           int64_t keys, int64_t d, int64_t D) {
    vf acc[FEW_ROWS][FEW_LANES];
    bool whole = D - d >= FEW_LANES * VF;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < FEW_LANES; c++)
            acc[r][c] = vf_zero();
    for (int64_t j = 0; j < keys; j++) {
        vf value[FEW_LANES];
        for (int c = 0; c < FEW_LANES; c++) {
            int64_t n = D - d - c * VF;
            value[c] = whole    ? vf_load(v + j * stride + d + c * VF)
                       : n <= 0 ? vf_zero()
                                : few_load(v + j * stride + d + c * VF, n);
        }
        for (int r = 0; r < rows; r++) {
            vf weight = vf_set(w->scores[r * FEW_KEYS + j]);
            for (int c = 0; c < FEW_LANES; c++)
                acc[r][c] = vf_fma(weight, value[c], acc[r][c]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < FEW_LANES && d + c * VF < D; c++) {
            float *to = w->partial[r] + d + c * VF;
            vf_store(to, vf_fma(vf_load(to), vf_set(w->factor[r]), acc[r][c]));
        }
}

/* Keys that row r sees and not all rows do, where all see the first `common` of them. */
static void few_rest(const few_rows *w, int r, const float *v, int64_t stride, int64_t common,
                     int64_t seen, int64_t D) {
    for (int64_t j = common; j < seen; j++)
        for (int64_t d = 0; d < D; d += VF) {
            float *to = w->partial[r] + d;
            vf weight = vf_set(w->scores[r * FEW_KEYS + j]);
            vf_store(to, vf_fma(weight, few_load(v + j * stride + d, D - d), vf_load(to)));
        }
}

/* Scores of one row become weights; keys from `seen` on weigh nothing. */
static void few_weigh(few_rows *w, int r, int64_t seen, int64_t keys, int64_t depth) {
    float *scores = w->scores + r * FEW_KEYS, *state = w->partial[r] + depth;
    for (int64_t j = seen < 0 ? 0 : least(seen, keys); j < (keys + VF - 1) / VF * VF; j++)
        scores[j] = -INFINITY;
    vf most = vf_set(state[0]), sum = vf_zero();
    for (int64_t j = 0; j < keys; j += VF)
        most = vf_max(vf_load(scores + j), most);
    float max = vf_largest(most);
    for (int64_t j = 0; j < keys; j += VF) {
        vf weight = vf_exp(vf_sub(vf_load(scores + j), vf_set(max)));
        vf_store(scores + j, weight);
        sum = vf_add(sum, weight);
    }
    float factor[VF];
    vf_store(factor, vf_exp(vf_set(state[0] - max)));
    w->factor[r] = factor[0];
    state[0] = max;
    state[1] = state[1] * factor[0] + vf_sum(sum);
}

/* Keys k0 .. k0+keys for all rows. */
static inline __attribute__((always_inline)) void few_block(int rows, const few_job *job,
                                                            few_rows *w, int64_t b, int64_t kv,
                                                            int64_t k0, int64_t keys) {
    const wn__attention *p = job->p;
    const wn__attention_sizes *z = &job->plan->z;
    const float *k = head_at(&p->k, b, k0, kv), *v = head_at(&p->v, b, k0, kv);
    for (int64_t j = 0; j < keys; j += 4)
        few_dots(rows, w, k + j * p->k.stride[1], p->k.stride[1], keys - j, z->D, (float)p->scale,
                 w->scores + j);
    for (int r = 0; r < rows; r++)
        few_weigh(w, r, w->keys[r] - k0, keys, z->depth);
    int64_t common = w->keys[0] < k0 ? 0 : least(w->keys[0] - k0, keys); /* row 0 sees fewest */
    for (int64_t d = 0; d < z->D; d += FEW_LANES * VF)
        few_sums(rows, w, v, p->v.stride[1], common, d, z->D);
    for (int r = 1; r < rows; r++)
        few_rest(w, r, v, p->v.stride[1], common, least(w->keys[r] - k0, keys), z->D);
}

/* Query n = (t, head of the group) of a key/value head. */
static void few_locate(const few_job *job, few_rows *w, int64_t b, int64_t kv, int64_t n,
                       float *partial) {
    const wn__attention_sizes *z = &job->plan->z;
    int64_t t = n / z->group, h = kv * z->group + n % z->group;
    int r = w->count++;
    w->q[r] = head_at(&job->p->q, b, t, h);
    w->keys[r] = z->S - z->T + t + 1;
    w->partial[r] = partial;
    for (int64_t d = 0; d < z->depth; d++)
        partial[d] = 0;
    partial[z->depth] = -FLT_MAX;
    partial[z->depth + 1] = 0;
}

/* Items, numbered (b, kv, set of rows, span). */
static void few_items(void *ctx, int64_t begin, int64_t end, int worker) {
    const few_job *job = ctx;
    const wn__attention_plan *plan = job->plan;
    const wn__attention_sizes *z = &plan->z;
    for (int64_t n = begin; n < end; n++) {
        int64_t span = n % plan->spans, set = n / plan->spans % plan->row_sets;
        int64_t kv = n / plan->spans / plan->row_sets % z->Hk;
        int64_t b = n / plan->spans / plan->row_sets / z->Hk;
        few_rows w = {.scores = job->scratch + (size_t)worker * plan->worker_floats};
        for (int64_t r = 0; r < FEW_ROWS && set * FEW_ROWS + r < z->T * z->group; r++)
            few_locate(job, &w, b, kv, set * FEW_ROWS + r,
                       job->partials + (n * FEW_ROWS + r) * (z->depth + 16));
        int64_t stop = (span + 1) * plan->span_keys;
        stop = least(stop, w.keys[w.count - 1]); /* later rows see more keys */
        for (int64_t k = span * plan->span_keys; k < stop; k += FEW_KEYS) {
            int64_t keys = least(stop - k, FEW_KEYS);
            switch (w.count) {
            case 1:
                few_block(1, job, &w, b, kv, k, keys);
                break;
            case 2:
                few_block(2, job, &w, b, kv, k, keys);
                break;
            case 3:
                few_block(3, job, &w, b, kv, k, keys);
                break;
            default:
                few_block(4, job, &w, b, kv, k, keys);
            }
        }
    }
}

/* The partials of a query under their common maximum. `first` is that of span 0. */
static void few_join(const few_job *job, const float *first, int64_t b, int64_t t, int64_t h) {
    const wn__attention *p = job->p;
    const wn__attention_sizes *z = &job->plan->z;
    int64_t next = FEW_ROWS * (z->depth + 16), spans = job->plan->spans;
    float max = -FLT_MAX, sum = 0;
    for (int64_t s = 0; s < spans; s++)
        max = first[s * next + z->depth] > max ? first[s * next + z->depth] : max;
    for (int64_t s = 0; s < spans; s++)
        sum += first[s * next + z->depth + 1] * expf(first[s * next + z->depth] - max);
    float *out = head_at(&p->out, b, t, h);
    for (int64_t d = 0; d < z->D; d += VF) {
        vf acc = vf_zero();
        for (int64_t s = 0; s < spans; s++)
            acc = vf_fma(vf_load(first + s * next + d),
                         vf_set(expf(first[s * next + z->depth] - max)), acc);
        vf_store_n(out + d, vf_div(acc, vf_set(sum)), least(z->D - d, VF));
    }
    if (wn__given(&p->lse)) ((float *)p->lse.data)[(b * z->H + h) * z->T + t] = lse_of(max, sum);
}

/* Queries, numbered (b, t, h). */
static void few_queries(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const few_job *job = ctx;
    const wn__attention_plan *plan = job->plan;
    const wn__attention_sizes *z = &plan->z;
    for (int64_t n = begin; n < end; n++) {
        int64_t h = n % z->H, t = n / z->H % z->T, b = n / z->H / z->T;
        int64_t row = t * z->group + h % z->group;
        int64_t item = ((b * z->Hk + h / z->group) * plan->row_sets + row / FEW_ROWS) * plan->spans;
        few_join(job, job->partials + (item * FEW_ROWS + row % FEW_ROWS) * (z->depth + 16), b, t,
                 h);
    }
}

static wn_status attention_few(const wn__attention *p, const wn__attention_plan *plan,
                               wn__exec *x) {
    const wn__attention_sizes *z = &plan->z;
    float *partials = (float *)(void *)x->scratch;
    few_job job = {p, plan, partials, partials + plan->partials};
    wn__parallel_for(x->pool, z->B * z->Hk * plan->row_sets * plan->spans, 1, few_items, &job);
    wn__parallel_for(x->pool, z->B * z->T * z->H, 16, few_queries, &job);
    return WN_OK;
}
