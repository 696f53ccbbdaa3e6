// SPDX-License-Identifier: MIT
// kron_grad, the specification: one sum over the batch for every number of the factor.
#include "kernels/kron_grad.h"
#include "kernels/declare.h"
#include "kernels/element.h"

static void blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__kron_grad *p = ctx;
    const wn_tensor *dw = &p->dw;
    int64_t b = dw->shape[1], c = dw->shape[2], d = dw->shape[3];
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < b; j++)
            for (int64_t k = 0; k < c; k++)
                for (int64_t l = 0; l < d; l++) {
                    int64_t at = i * dw->stride[0] + j * dw->stride[1] + k * dw->stride[2] +
                                 l * dw->stride[3];
                    double sum = p->accumulate ? wn__get(dw, at) : 0;
                    for (int64_t n = 0; n < p->x.shape[0]; n++)
                        sum += wn__get(&p->dy, wn__at(&p->dy, n, (i * b + j) * d + l)) *
                               wn__get(&p->x, wn__at(&p->x, n, (i * c + k) * d + l));
                    wn__set(dw, at, sum);
                }
}

wn_status wn__kron_grad_ref(const void *args, wn__exec *x) {
    const wn__kron_grad *p = args;
    wn__parallel_for(x->pool, p->dw.shape[0], 1, blocks, (void *)args);
    return WN_OK;
}
