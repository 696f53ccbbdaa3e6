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
