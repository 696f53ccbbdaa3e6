// SPDX-License-Identifier: MIT
/* cross_entropy by rows, three passes over each while it is in L1 or L2: the maximum, exp(logits -
 * maximum) and its sum, the gradient. */
#include "base/fail.h"
#include "kernels/cross_entropy.h"
#include "kernels/op.h"
#include "kernels/simd/rows.h"
#include "kernels/simd/vec.h"
#include "kernels/simd/vexp.h"

#include <math.h>

/* NaN is passed over, and found again in the sum. */
static float row_largest(const float *x, int64_t V) {
    vf most = vf_set(-INFINITY);
    int64_t v = 0;
    for (; v + VF <= V; v += VF)
        most = vf_max(vf_load(x + v), most);
    if (v < V) most = vf_max(vf_select(vm_first(V - v), vf_load_n(x + v, V - v), most), most);
    return vf_largest(most);
}

/* sum_v exp(x[v] - most), in double; the exponentials are kept in e[V] if that is given (it may be
 * x). */
static double row_exp_sum(const float *x, int64_t V, float most, float *e) {
    vd low = vd_zero(), high = vd_zero();
    vf shift = vf_set(most);
    for (int64_t v = 0; v < V; v += VF) {
        int64_t n = V - v < VF ? V - v : VF;
        vf y = vf_exp(vf_sub(vf_get(x + v, n), shift));
        if (n < VF) y = vf_select(vm_first(n), y, vf_zero());
        if (e) vf_put(e + v, y, n);
        low = vd_add(low, vd_low(y));
        high = vd_add(high, vd_high(y));
    }
    return vd_sum(vd_add(low, high));
}

static void scale_row(float *x, int64_t V, float scale) {
    vf s = vf_set(scale);
    for (int64_t v = 0; v < V; v += VF) {
        int64_t n = V - v < VF ? V - v : VF;
        vf_put(x + v, vf_mul(vf_get(x + v, n), s), n);
    }
}

static void fill_row(float *x, int64_t V) {
    for (int64_t v = 0; v < V; v++)
        x[v] = 0;
}

/* A row against a teacher's, two passes once the maxima are known: sums, then the gradient, which
 * takes the exponentials again. */
typedef struct soft_row {
    const float *x, *t;
    float most, teacher_most, cool; /* cool: 1 / T */
    double label, own, want, meant; /* sums of exp, and of the teacher's exp times (t - x) / T */
} soft_row;

typedef struct soft_terms {
    vf x, t, label, own, want; /* the logits less their maximum, and exponentials */
} soft_terms;

static inline soft_terms soft_take(const soft_row *r, int64_t v, int64_t n) {
    vf cool = vf_set(r->cool);
    soft_terms s = {.x = vf_sub(vf_get(r->x + v, n), vf_set(r->most)),
                    .t = vf_sub(vf_get(r->t + v, n), vf_set(r->teacher_most))};
    s.label = vf_exp(s.x);
    s.own = vf_exp(vf_mul(s.x, cool));
    s.want = vf_exp(vf_mul(s.t, cool));
    return s;
}

static void soft_sum(vd sum[2], vf a) {
    sum[0] = vd_add(sum[0], vd_low(a));
    sum[1] = vd_add(sum[1], vd_high(a));
}

static void soft_sums(soft_row *r, int64_t V) {
    vd sum[4][2];
    for (int i = 0; i < 4; i++)
        sum[i][0] = sum[i][1] = vd_zero();
    for (int64_t v = 0; v < V; v += VF) {
        int64_t n = V - v < VF ? V - v : VF;
        soft_terms s = soft_take(r, v, n);
        vf part[4] = {s.label, s.own, s.want, vf_zero()};
        vf apart = vf_mul(vf_mul(s.want, vf_sub(s.t, s.x)), vf_set(r->cool));
        part[3] = vf_select(vm_lt(vf_zero(), s.want), apart, vf_zero());
        for (int i = 0; i < 4; i++)
            soft_sum(sum[i], n < VF ? vf_select(vm_first(n), part[i], vf_zero()) : part[i]);
    }
    r->label = vd_sum(vd_add(sum[0][0], sum[0][1]));
    r->own = vd_sum(vd_add(sum[1][0], sum[1][1]));
    r->want = vd_sum(vd_add(sum[2][0], sum[2][1]));
    r->meant = vd_sum(vd_add(sum[3][0], sum[3][1]));
}

static void soft_gradient(const soft_row *r, int64_t V, double label, double soft, float *dx) {
    vf a = vf_set((float)(label / r->label)), b = vf_set((float)(soft / r->own)),
       c = vf_set((float)(soft / r->want));
    for (int64_t v = 0; v < V; v += VF) {
        int64_t n = V - v < VF ? V - v : VF;
        soft_terms s = soft_take(r, v, n);
        vf_put(dx + v, vf_fma(a, s.label, vf_sub(vf_mul(b, s.own), vf_mul(c, s.want))), n);
    }
}

static void distil_row(const wn__cross_entropy *p, int64_t row, int32_t target) {
    int64_t V = p->logits.shape[1];
    const float *x = (const float *)p->logits.data + row * V,
                *t = (const float *)p->teacher.data + row * V;
    double T = p->temperature, s = p->share;
    soft_row r = {x, t, row_largest(x, V), row_largest(t, V), (float)(1 / T), 0, 0, 0, 0};
    soft_sums(&r, V);
    double hit = (double)x[target] - (double)r.most, /* dx may be x */
        seen = (double)t[target] - (double)r.teacher_most;
    double loss = s < 1 ? (1 - s) * (log(r.label) - hit) : 0;
    if (s > 0) loss += s * T * T * (r.meant / r.want - log(r.want) + log(r.own));
    ((float *)p->loss.data)[row] = (float)loss;
    if (!wn__given(&p->dlogits)) return;
    float *dx = (float *)p->dlogits.data + row * V;
    soft_gradient(&r, V, p->scale * (1 - s), p->scale * s * T, dx);
    dx[target] = (float)(p->scale * ((1 - s) * (exp(hit) / r.label - 1) +
                                     s * T * (exp(hit / T) / r.own - exp(seen / T) / r.want)));
}

static void cross_entropy_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__cross_entropy *p = ctx;
    int64_t V = p->logits.shape[1];
    for (int64_t row = begin; row < end; row++) {
        const float *x = (const float *)p->logits.data + row * V;
        float *dx = wn__given(&p->dlogits) ? (float *)p->dlogits.data + row * V : NULL;
        float *loss = (float *)p->loss.data + row;
        int32_t target = ((const int32_t *)p->target.data)[row];
        if (target < 0) {
            *loss = 0;
            if (dx) fill_row(dx, V);
            continue;
        }
        if (wn__given(&p->teacher)) {
            distil_row(p, row, target);
            continue;
        }
        float most = row_largest(x, V), hit = x[target]; /* dx may be x */
        double sum = row_exp_sum(x, V, most, dx);
        *loss = (float)(((double)most - (double)hit) + log(sum));
        if (!dx) continue;
        double softmax = exp((double)hit - (double)most) / sum;
        scale_row(dx, V, (float)(p->scale / sum));
        dx[target] = (float)(p->scale * (softmax - 1));
    }
}

static wn_status cross_entropy(const void *args, wn__exec *x) {
    const wn__cross_entropy *p = args;
    int64_t N = p->logits.shape[0], V = p->logits.shape[1];
    const int32_t *target = p->target.data;
    for (int64_t n = 0; n < N; n++)
        if (target[n] >= V)
            return wn__fail(WN_INVALID, "target %d at position %lld is outside 0 to %lld",
                            (int)target[n], (long long)n, (long long)V - 1);
    wn__parallel_for(x->pool, N, wn__row_grain(V), cross_entropy_rows, (void *)args);
    return WN_OK;
}
