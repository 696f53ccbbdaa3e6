// SPDX-License-Identifier: MIT
// kron_grad the way of batched products: permute x and dy so that the numbers of a block lie side
// by side, then one product a block through a CBLAS. It is here to be compared with.
#include "kernels/kron_grad.h"
#include "kernels/blas.h"
#include "kernels/declare.h"
#include "kernels/simd/kron_plan.h"

#include <limits.h>
#include <stdio.h>

enum { VECTORS = 16 }; // of the batch in a piece of a permutation

bool wn__accepts_kron_grad_cblas(const void *args, char *why, size_t n) {
    const wn__kron_grad *p = args;
    if (p->x.dtype != WN_DTYPE_F32) {
        snprintf(why, n, "dtype %s is not F32", wn_dtype_name(p->x.dtype));
        return false;
    }
    if (p->x.shape[0] > 0 && p->x.shape[0] <= INT_MAX) return true;
    snprintf(why, n, "a batch of none, or above %d", INT_MAX);
    return false;
}

// x, dy and all blocks, permuted.
static int64_t inputs_size(const wn__kron_grad *p) {
    return wn__kron_line(p->x.shape[0] * p->x.shape[1]);
}
static int64_t outputs_size(const wn__kron_grad *p) {
    return wn__kron_line(p->dy.shape[0] * p->dy.shape[1]);
}

size_t wn__workspace_kron_grad_cblas(const void *args, int threads) {
    (void)threads;
    const wn__kron_grad *p = args;
    int64_t blocks = p->x.shape[1] * p->dw.shape[1];
    return (size_t)(inputs_size(p) + outputs_size(p) + blocks) * sizeof(float);
}

typedef struct job {
    const wn__kron_grad *p;
    wn__kron_size size;
    int64_t batch;
    float *inputs, *outputs, *blocks; // [a d][batch][c], [a d][batch][b], [a d][b][c]
} job;

// to[group][n][side] of lines (group, i) d apart.
static void permute(const job *j, const wn_tensor *from, int64_t n, int64_t side, float *to) {
    for (int64_t g = 0; g < j->size.a * j->size.d; g++) {
        int64_t first = g / j->size.d * side * j->size.d + g % j->size.d;
        const float *at = (const float *)from->data + n * from->stride[0] + first * from->stride[1];
        float *out = to + (g * j->batch + n) * side;
        for (int64_t k = 0; k < side; k++)
            out[k] = at[k * j->size.d * from->stride[1]];
    }
}

static void permute_both(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = ctx;
    for (int64_t n = begin; n < end; n++) {
        permute(j, &j->p->x, n, j->size.c, j->inputs);
        permute(j, &j->p->dy, n, j->size.b, j->outputs);
    }
}

static void multiply(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = ctx;
    wn__kron_size s = j->size;
    const int64_t *step = j->p->dw.stride;
    for (int64_t g = begin; g < end; g++) {
        float *block = j->blocks + g * s.b * s.c;
        float *to = (float *)j->p->dw.data + g / s.d * step[0] + g % s.d * step[3];
        wn__blas_outer(s.b, s.c, j->batch, j->outputs + g * j->batch * s.b, s.b,
                       j->inputs + g * j->batch * s.c, s.c, block, s.c);
        for (int64_t r = 0; r < s.b; r++)
            for (int64_t k = 0; k < s.c; k++) {
                float *at = to + r * step[1] + k * step[2];
                *at = (j->p->accumulate ? *at : 0) + block[r * s.c + k];
            }
    }
}

wn_status wn__kron_grad_cblas(const void *args, wn__exec *x) {
    const wn__kron_grad *p = args;
    job j = {.p = p, .size = wn__kron_size_of(&p->dw), .batch = p->x.shape[0]};
    j.inputs = (float *)(void *)x->scratch;
    j.outputs = j.inputs + inputs_size(p);
    j.blocks = j.outputs + outputs_size(p);
    wn__blas_one_thread();
    wn__parallel_for(x->pool, j.batch, VECTORS, permute_both, &j);
    wn__parallel_for(x->pool, j.size.a * j.size.d, 1, multiply, &j);
    return WN_OK;
}
