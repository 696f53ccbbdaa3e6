// SPDX-License-Identifier: MIT
// cross_entropy, the specification.
#include "kernels/cross_entropy.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

// Of row n at temperature T.
static double log_sum_exp(const wn_tensor *logits, int64_t n, double T) {
    int64_t V = logits->shape[1];
    double max = -INFINITY, sum = 0;
    for (int64_t v = 0; v < V; v++)
        max = fmax(max, wn__get(logits, n * V + v) / T);
    for (int64_t v = 0; v < V; v++)
        sum += exp(wn__get(logits, n * V + v) / T - max);
    return max + log(sum);
}

// Of a row that is not ignored: both losses, and both gradients.
static void distil(const wn__cross_entropy *p, int64_t n, int32_t target) {
    int64_t V = p->logits.shape[1], at = n * V;
    double T = p->temperature, s = p->share, kl = 0;
    double lse = log_sum_exp(&p->logits, n, 1), lse_own = log_sum_exp(&p->logits, n, T),
           lse_teacher = log_sum_exp(&p->teacher, n, T);
    double hit = lse - wn__get(&p->logits, at + target);
    for (int64_t v = 0; v < V; v++) {
        double x = wn__get(&p->logits, at + v), t = wn__get(&p->teacher, at + v) / T;
        double own = exp(x / T - lse_own), want = exp(t - lse_teacher), label = exp(x - lse);
        if (want != 0) kl += want * (t - x / T - lse_teacher + lse_own);
        if (!wn__given(&p->dlogits)) continue;
        wn__set(&p->dlogits, at + v,
                p->scale * ((1 - s) * (label - (v == target)) + s * T * (own - want)));
    }
    wn__set(&p->loss, n, (s < 1 ? (1 - s) * hit : 0) + (s > 0 ? s * T * T * kl : 0));
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__cross_entropy *p = ctx;
    int64_t V = p->logits.shape[1];
    const int32_t *target = p->target.data;
    for (int64_t n = begin; n < end; n++) {
        bool ignored = target[n] < 0;
        if (!ignored && wn__given(&p->teacher)) {
            distil(p, n, target[n]);
            continue;
        }
        double lse = ignored ? 0 : log_sum_exp(&p->logits, n, 1);
        wn__set(&p->loss, n, ignored ? 0 : lse - wn__get(&p->logits, n * V + target[n]));
        if (!wn__given(&p->dlogits)) continue;
        for (int64_t v = 0; v < V; v++) {
            double softmax = ignored ? 0 : exp(wn__get(&p->logits, n * V + v) - lse);
            wn__set(&p->dlogits, n * V + v, p->scale * (softmax - (v == target[n])));
        }
    }
}

wn_status wn__cross_entropy_ref(const void *args, wn__exec *x) {
    const wn__cross_entropy *p = args;
    int64_t N = p->logits.shape[0], V = p->logits.shape[1];
    const int32_t *target = p->target.data;
    for (int64_t n = 0; n < N; n++)
        if (target[n] >= V)
            return wn__fail(WN_INVALID, "target %d at position %lld is outside 0 to %lld",
                            (int)target[n], (long long)n, (long long)V - 1);
    wn__parallel_for(x->pool, N, 1, rows, (void *)args);
    return WN_OK;
}
