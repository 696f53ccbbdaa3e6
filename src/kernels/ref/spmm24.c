// SPDX-License-Identifier: MIT
// spmm24, the specification: both slots of every group are multiplied, zeros of short groups too.
#include "kernels/spmm24.h"
#include "kernels/declare.h"
#include "kernels/element.h"

// sum_i x[t,i] W[o,i]; slots that name a padding column are left out.
static double product(const wn__spmm24 *p, int64_t t, int64_t o) {
    int64_t k = p->x.shape[1], groups = p->values.shape[1] / 2;
    const uint8_t *index = (const uint8_t *)p->index.data + o * p->index.stride[0];
    double sum = 0;
    for (int64_t g = 0; g < groups; g++) {
        int nibble = index[g / 2] >> (g % 2 * 4) & 15;
        for (int slot = 0; slot < 2; slot++) {
            int64_t column = 4 * g + (nibble >> (2 * slot) & 3);
            if (column >= k) continue;
            sum += wn__get(&p->x, wn__at(&p->x, t, column)) *
                   wn__get(&p->values, wn__at(&p->values, o, 2 * g + slot));
        }
    }
    return sum;
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__spmm24 *p = ctx;
    for (int64_t t = begin; t < end; t++) {
        for (int64_t o = 0; o < p->y.shape[1]; o++) {
            double sum = product(p, t, o);
            if (p->accumulate) sum += wn__get(&p->y, wn__at(&p->y, t, o));
            if (wn__given(&p->bias)) sum += wn__get(&p->bias, o);
            wn__set(&p->y, wn__at(&p->y, t, o), sum);
        }
    }
}

wn_status wn__spmm24_ref(const void *args, wn__exec *x) {
    const wn__spmm24 *p = args;
    wn__parallel_for(x->pool, p->y.shape[0], 1, rows, (void *)args);
    return WN_OK;
}
