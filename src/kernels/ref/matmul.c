// SPDX-License-Identifier: MIT
// matmul, the specification: one dot product in double for each element.
#include "kernels/matmul.h"
#include "kernels/declare.h"
#include "kernels/element.h"

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__matmul *p = ctx;
    int64_t n = p->c.shape[1], k = p->a.shape[1];
    for (int64_t i = begin; i < end; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += wn__get(&p->a, wn__at(&p->a, i, l)) * wn__get(&p->b, wn__at(&p->b, l, j));
            if (p->accumulate) sum += wn__get(&p->c, wn__at(&p->c, i, j));
            if (wn__given(&p->bias)) sum += wn__get(&p->bias, j);
            wn__set(&p->c, wn__at(&p->c, i, j), sum);
        }
    }
}

wn_status wn__matmul_ref(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    wn__parallel_for(x->pool, p->c.shape[0], 1, rows, (void *)args);
    return WN_OK;
}
