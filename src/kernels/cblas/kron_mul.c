// SPDX-License-Identifier: MIT
// kron_mul the way of batched products, factor by factor: permute x so that the inputs of a block
// lie side by side, multiply block by block through a CBLAS, permute back. It is here to be
// compared with; the permutations are what the fused variants save.
#include "kernels/kron_mul.h"
#include "kernels/blas.h"
#include "kernels/declare.h"

#include <limits.h>
#include <stdio.h>

enum { VECTORS = 16 }; // of the batch in a piece of a permutation

bool wn__accepts_kron_mul_cblas(const void *args, char *why, size_t n) {
    const wn__kron_mul *p = args;
    if (p->x.dtype != WN_DTYPE_F32) {
        snprintf(why, n, "dtype %s is not F32", wn_dtype_name(p->x.dtype));
        return false;
    }
    if (p->x.shape[0] <= INT_MAX) return true;
    snprintf(why, n, "a batch above %d", INT_MAX);
    return false;
}

typedef struct job {
    const wn__kron_mul *p;
    const wn_tensor *w;
    wn__kron_size size;
    int64_t batch;
    wn_tensor from;                   // [batch, a c d]
    wn_tensor to;                     // [batch, a b d]
    float *inputs, *outputs, *packed; // [a d][batch][c], [a d][batch][b], [a d][b][c]
} job;

static void permute_in(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = ctx;
    wn__kron_size s = j->size;
    for (int64_t n = begin; n < end; n++)
        for (int64_t i = 0; i < s.a; i++)
            for (int64_t l = 0; l < s.d; l++) {
                const float *from = (const float *)j->from.data + n * j->from.stride[0] +
                                    (i * s.c * s.d + l) * j->from.stride[1];
                float *to = j->inputs + ((i * s.d + l) * j->batch + n) * s.c;
                for (int64_t k = 0; k < s.c; k++)
                    to[k] = from[k * s.d * j->from.stride[1]];
            }
}

static void permute_out(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = ctx;
    wn__kron_size s = j->size;
    bool add = j->p->accumulate && j->to.data == j->p->y.data;
    for (int64_t n = begin; n < end; n++)
        for (int64_t i = 0; i < s.a; i++)
            for (int64_t l = 0; l < s.d; l++) {
                float *to = (float *)j->to.data + n * j->to.stride[0] +
                            (i * s.b * s.d + l) * j->to.stride[1];
                const float *from = j->outputs + ((i * s.d + l) * j->batch + n) * s.b;
                int64_t step = s.d * j->to.stride[1];
                for (int64_t r = 0; r < s.b; r++)
                    to[r * step] = (add ? to[r * step] : 0) + from[r];
            }
}

static void multiply(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = ctx;
    wn__kron_size s = j->size;
    const int64_t *step = j->w->stride;
    for (int64_t g = begin; g < end; g++) {
        float *block = j->packed + g * s.b * s.c;
        const float *from = (const float *)j->w->data + g / s.d * step[0] + g % s.d * step[3];
        for (int64_t r = 0; r < s.b; r++)
            for (int64_t k = 0; k < s.c; k++)
                block[r * s.c + k] = from[r * step[1] + k * step[2]];
        wn__blas_product(j->batch, s.b, s.c, j->inputs + g * j->batch * s.c, s.c, block, s.c,
                         j->outputs + g * j->batch * s.b, s.b);
    }
}

wn_status wn__kron_mul_cblas(const void *args, wn__exec *x) {
    const wn__kron_mul *p = args;
    int64_t batch = p->x.shape[0], panel = (batch * wn__kron_mul_width(p) + 15) / 16 * 16;
    float *between = (float *)(void *)x->scratch;
    job j = {.p = p, .batch = batch, .from = p->x};
    j.inputs = between + panel;
    j.outputs = j.inputs + panel;
    j.packed = j.outputs + panel;
    if (batch == 0) return WN_OK;
    wn__blas_one_thread();
    for (int t = 0; t < p->count; t++) {
        j.w = &p->w[t];
        j.size = wn__kron_size_of(j.w);
        j.to = t + 1 < p->count
                   ? wn__tensor2(between, WN_DTYPE_F32, batch, j.size.a * j.size.b * j.size.d)
                   : p->y;
        wn__parallel_for(x->pool, batch, VECTORS, permute_in, &j);
        wn__parallel_for(x->pool, j.size.a * j.size.d, 1, multiply, &j);
        wn__parallel_for(x->pool, batch, VECTORS, permute_out, &j);
        j.from = j.to;
    }
    return WN_OK;
}
