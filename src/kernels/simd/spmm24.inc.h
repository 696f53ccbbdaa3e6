// SPDX-License-Identifier: MIT
/* spmm24 with tokens in lanes: x is transposed in, y is transposed out. Few tokens of floats go
 * another way: see spmm24_few.inc.h. Vectors of 32 bytes with 32 registers (avx512vl) do not take
 * them. */
#include "kernels/simd/half.h"
#if PAIRS
#include "kernels/simd/pairs24.inc.h"
#else
#include "kernels/simd/packed24.inc.h"
#endif
#ifndef WN_VECTORS_OF_32_BYTES
#include "kernels/simd/spmm24_few.inc.h"
#endif
#include "kernels/spmm24.h"

static void spmm24_block(const void *args, int64_t width, const float *panel, int64_t o0,
                         int64_t outputs, rows24 sums, rows24 out) {
    const wn__spmm24 *p = args;
    const packed24 w = packed24_of(&p->values, &p->index);
    packed24_block(p->values.dtype == WN_DTYPE_BF16, &w, width, panel, o0, outputs, sums, out);
}

static wn_status spmm24(const void *args, wn__exec *x) {
    const wn__spmm24 *p = args;
#ifndef WN_VECTORS_OF_32_BYTES
    if (wn__spmm24_is_few(p)) {
        wn__parallel_for(x->pool, p->y.shape[1], SPMM24_FEW_BLOCK, spmm24_few, (void *)args);
        return WN_OK;
    }
#endif
    lanes24 job = {
        .args = args,
        .block = spmm24_block,
        .in = {.data = p->x.data, .stride = p->x.stride[0], .half = p->x.dtype == WN_DTYPE_BF16},
        .out = {.data = p->y.data, .stride = p->y.stride[0], .half = p->y.dtype == WN_DTYPE_BF16},
        .bias = wn__given(&p->bias) ? p->bias.data : NULL,
        .lanes = p->x.shape[0],
        .depth = p->x.shape[1],
        .outputs = p->y.shape[1],
        .accumulate = p->accumulate};
    run_lanes(&job, x);
    return WN_OK;
}
