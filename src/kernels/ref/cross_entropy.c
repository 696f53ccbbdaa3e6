// SPDX-License-Identifier: MIT
// cross_entropy, the specification.
#include "kernels/cross_entropy.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

static double log_sum_exp(const wn_tensor *logits, int64_t n) {
    int64_t V = logits->shape[1];
    double max = -INFINITY, sum = 0;
    for (int64_t v = 0; v < V; v++)
        max = fmax(max, wn__get(logits, n * V + v));
    for (int64_t v = 0; v < V; v++)
        sum += exp(wn__get(logits, n * V + v) - max);
    return max + log(sum);
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__cross_entropy *p = ctx;
    int64_t V = p->logits.shape[1];
    const int32_t *target = p->target.data;
    for (int64_t n = begin; n < end; n++) {
        bool ignored = target[n] < 0;
        double lse = ignored ? 0 : log_sum_exp(&p->logits, n);
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
