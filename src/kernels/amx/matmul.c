// SPDX-License-Identifier: MIT
// matmul and spmm24 of bfloat16 numbers on tile registers; 2:4 weights are written out on their
// way.
#include "kernels/declare.h"
#include "kernels/simd/matmul.inc.h"
#include "kernels/simd/spmm24_few.inc.h"
#include "kernels/simd/spmm24_plan.h"

wn_status wn__matmul_amx(const void *args, wn__exec *x) {
    return matmul(args, x);
}

wn_status wn__spmm24_amx(const void *args, wn__exec *x) {
    const wn__spmm24 *p = args;
    const wn__matmul dense = wn__matmul_of_spmm24(p);
    matmul_job job = {.p = &dense, .packed = p};
    if (wn__spmm24_is_few(p))
        wn__parallel_for(x->pool, p->y.shape[1], SPMM24_FEW_BLOCK, spmm24_few, (void *)args);
    else
        run_parts(&job, x);
    return WN_OK;
}
