// SPDX-License-Identifier: MIT
// rmsnorm and rmsnorm_grad, the specification.
#include "kernels/rmsnorm.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__rmsnorm *p = ctx;
    int64_t C = p->x.shape[1];
    for (int64_t n = begin; n < end; n++) {
        double sum = 0;
        for (int64_t c = 0; c < C; c++) {
            double v = wn__get(&p->x, n * C + c);
            sum += v * v;
        }
        double rstd = 1 / sqrt(sum / (double)C + p->eps);
        if (wn__given(&p->rstd)) wn__set(&p->rstd, n, rstd);
        for (int64_t c = 0; c < C; c++)
            wn__set(&p->y, n * C + c, wn__get(&p->x, n * C + c) * rstd * wn__get(&p->weight, c));
    }
}

wn_status wn__rmsnorm_ref(const void *args, wn__exec *x) {
    const wn__rmsnorm *p = args;
    wn__parallel_for(x->pool, p->x.shape[0], 1, rows, (void *)args);
    return WN_OK;
}

static void grad_columns(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__rmsnorm_grad *p = ctx;
    int64_t N = p->x.shape[0], C = p->x.shape[1];
    for (int64_t c = begin; c < end; c++) {
        double sum = 0;
        for (int64_t n = 0; n < N; n++)
            sum += wn__get(&p->dy, n * C + c) * wn__get(&p->x, n * C + c) * wn__get(&p->rstd, n);
        wn__set(&p->dweight, c, wn__get(&p->dweight, c) + sum);
    }
}

static void grad_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__rmsnorm_grad *p = ctx;
    int64_t C = p->x.shape[1];
    for (int64_t n = begin; n < end; n++) {
        double rstd = wn__get(&p->rstd, n), mean = 0;
        for (int64_t c = 0; c < C; c++)
            mean += wn__get(&p->dy, n * C + c) * wn__get(&p->weight, c) *
                    wn__get(&p->x, n * C + c) / (double)C;
        for (int64_t c = 0; c < C; c++) {
            int64_t at = n * C + c;
            double h = wn__get(&p->dy, at) * wn__get(&p->weight, c);
            double dx = rstd * (h - wn__get(&p->x, at) * rstd * rstd * mean);
            wn__set(&p->dx, at, p->accumulate ? wn__get(&p->dx, at) + dx : dx);
        }
    }
}

// Columns first: dx may be written over dy.
wn_status wn__rmsnorm_grad_ref(const void *args, wn__exec *x) {
    const wn__rmsnorm_grad *p = args;
    wn__parallel_for(x->pool, p->x.shape[1], 16, grad_columns, (void *)args);
    wn__parallel_for(x->pool, p->x.shape[0], 1, grad_rows, (void *)args);
    return WN_OK;
}
