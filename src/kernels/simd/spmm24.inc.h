// SPDX-License-Identifier: MIT
/* spmm24 with tokens in lanes: x is transposed in, y is transposed out. Few tokens go another way:
 * see spmm24_few.inc.h. */
#include "kernels/simd/packed24.inc.h"
#include "kernels/simd/spmm24_few.inc.h"
#include "kernels/spmm24.h"

static void spmm24_block(const void *args, int64_t width, const float *panel, int64_t o0,
                         int64_t outputs, float *sums) {
    const wn__spmm24 *p = args;
    const packed24 w = packed24_of(&p->values, &p->index);
    packed24_block(&w, width, panel, o0, outputs, sums);
}

static wn_status spmm24(const void *args, wn__exec *x) {
    const wn__spmm24 *p = args;
    if (p->x.shape[0] <= WN_SPMM24_FEW) {
        wn__parallel_for(x->pool, p->y.shape[1], SPMM24_FEW_BLOCK, spmm24_few, (void *)args);
        return WN_OK;
    }
    lanes24 job = {.args = args,
                   .block = spmm24_block,
                   .in = {p->x.data, p->x.stride[0], false},
                   .out = {p->y.data, p->y.stride[0], false},
                   .bias = wn__given(&p->bias) ? p->bias.data : NULL,
                   .lanes = p->x.shape[0],
                   .depth = p->x.shape[1],
                   .outputs = p->y.shape[1],
                   .accumulate = p->accumulate};
    run_lanes(&job, x);
    return WN_OK;
}
