// SPDX-License-Identifier: MIT
// relu24_blocks, the specification: spmm24_blocks with relu2, rounded, and the two largest of each
// group of a token, group by group of a block.
#include "kernels/relu24_blocks.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/ref/block24.h"
#include "kernels/spmm24_blocks.h"

#include <string.h>

typedef struct job {
    const wn__relu24_blocks *p;
    wn_tensor a, rounded; // [T, n], of x's dtype and of 16 bits
} job;

size_t wn__workspace_relu24_blocks_ref(const void *args, int threads) {
    const wn__relu24_blocks *p = args;
    (void)threads;
    return (size_t)(p->x.shape[0] * p->n) * (wn_dtype_size(p->x.dtype) + 2) + 64;
}

// What token t keeps of features 4 g to 4 g + 3.
static unsigned kept(const void *ctx, int64_t t, int64_t g) {
    const wn_tensor *a = ctx;
    const uint16_t *bits = a->data;
    const int64_t left = a->shape[1] - 4 * g;
    const int n = t >= a->shape[0] || left <= 0 ? 0 : left < 4 ? (int)left : 4;
    double size[4] = {0};
    for (int i = 0; i < n; i++)
        size[i] = bits[wn__at(a, t, 4 * g + i)] & 0x7FFF;
    return wn__largest_two(size, n);
}

static void panels(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *s = ctx;
    const wn__kept24 k = {.data = s->rounded.data,
                          .row_stride = s->rounded.stride[0],
                          .column_stride = s->rounded.stride[1],
                          .mask = kept,
                          .ctx = &s->rounded};
    wn__kept24_pack(&k, s->p->out.shape[1], begin, end, s->p->out.data);
}

wn_status wn__relu24_blocks_ref(const void *args, wn__exec *x) {
    const wn__relu24_blocks *p = args;
    const int64_t T = p->x.shape[0], count = T * p->n;
    job s = {.p = p, .a = wn__tensor2(x->scratch, p->x.dtype, T, p->n)};
    s.rounded = wn__tensor2((char *)x->scratch + (size_t)count * wn_dtype_size(p->x.dtype),
                            p->values, T, p->n);
    const wn__spmm24_blocks product = {
        .x = p->x, .blocks = p->blocks, .y = s.a, .values = p->values, .relu2 = true};
    WN_TRY(wn__spmm24_blocks_ref(&product, x));
    for (int64_t i = 0; i < count; i++)
        wn__set(&s.rounded, i, wn__get(&s.a, i));
    wn__parallel_for(x->pool, p->out.shape[0], 1, panels, &s);
    return WN_OK;
}
