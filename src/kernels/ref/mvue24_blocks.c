// SPDX-License-Identifier: MIT
// mvue24_blocks, the specification: mvue24 into the workspace, then the first two of each group of
// a column that are not zero, group by group of a block.
#include "kernels/mvue24_blocks.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/ref/block24.h"

#include <string.h>

typedef struct job {
    const wn__mvue24_blocks *p;
    wn_tensor drawn; // [r, c]
} job;

size_t wn__workspace_mvue24_blocks_ref(const void *args, int threads) {
    const wn__mvue24_blocks *p = args;
    (void)threads;
    return (size_t)wn__tensor_count(&p->x) * wn_dtype_size(p->x.dtype);
}

// What column j keeps of group g: j is a row of the blocks.
static unsigned kept(const void *ctx, int64_t j, int64_t g) {
    const wn_tensor *x = ctx;
    unsigned mask = 0;
    int count = 0;
    for (int i = 0; i < 4 && count < 2; i++) {
        if (j >= x->shape[1] || 4 * g + i >= x->shape[0]) break;
        if (wn__get(x, wn__at(x, 4 * g + i, j)) == 0) continue;
        mask |= 1U << i;
        count++;
    }
    return mask;
}

static void panels(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *s = ctx;
    const wn__kept24 k = {.data = s->drawn.data,
                          .row_stride = s->drawn.stride[1],
                          .column_stride = s->drawn.stride[0],
                          .mask = kept,
                          .ctx = &s->drawn};
    wn__kept24_pack(&k, s->p->blocks.shape[1], begin, end, s->p->blocks.data);
}

wn_status wn__mvue24_blocks_ref(const void *args, wn__exec *x) {
    const wn__mvue24_blocks *p = args;
    job s = {.p = p, .drawn = wn__tensor2(x->scratch, p->x.dtype, p->x.shape[0], p->x.shape[1])};
    const wn__mvue24 draw = {.x = p->x,
                             .y = s.drawn,
                             .axis = 0,
                             .group = 4,
                             .method = p->method,
                             .seed = p->seed,
                             .stream = p->stream,
                             .counter = p->counter};
    WN_TRY(wn__mvue24_ref(&draw, x));
    wn__parallel_for(x->pool, p->blocks.shape[0], 1, panels, &s);
    return WN_OK;
}
