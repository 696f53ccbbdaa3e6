// SPDX-License-Identifier: MIT
// sum, sumsq, colsum and nonfinite, the specification.
#include "kernels/reduce.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

static double chunk_sum(const wn_tensor *x, int64_t begin, int64_t end, bool square) {
    double sum = 0;
    for (int64_t i = begin; i < end; i++) {
        double v = wn__get(x, i);
        sum += square ? v * v : v;
    }
    return sum;
}

static void reduce(const wn__reduce *p, bool square) {
    int64_t count = wn__tensor_count(&p->x);
    double sum = 0;
    for (int64_t i = 0; i < count; i += WN_REDUCE_CHUNK)
        sum +=
            chunk_sum(&p->x, i, count - i < WN_REDUCE_CHUNK ? count : i + WN_REDUCE_CHUNK, square);
    *(double *)p->out.data = sum;
}

wn_status wn__sum_ref(const void *args, wn__exec *x) {
    (void)x;
    reduce(args, false);
    return WN_OK;
}

wn_status wn__sumsq_ref(const void *args, wn__exec *x) {
    (void)x;
    reduce(args, true);
    return WN_OK;
}

static void columns(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__colsum *p = ctx;
    int64_t N = p->x.shape[0], C = p->x.shape[1];
    for (int64_t c = begin; c < end; c++) {
        double sum = 0;
        for (int64_t n = 0; n < N; n++)
            sum += wn__get(&p->x, n * C + c);
        wn__set(&p->out, c, wn__get(&p->out, c) + sum);
    }
}

wn_status wn__colsum_ref(const void *args, wn__exec *x) {
    const wn__colsum *p = args;
    wn__parallel_for(x->pool, p->x.shape[1], 16, columns, (void *)args);
    return WN_OK;
}

wn_status wn__nonfinite_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__reduce *p = args;
    int64_t count = wn__tensor_count(&p->x), first = -1;
    for (int64_t i = 0; i < count && first < 0; i++)
        if (!isfinite(wn__get(&p->x, i))) first = i;
    *(int64_t *)p->out.data = first;
    return WN_OK;
}
