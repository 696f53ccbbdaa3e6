// SPDX-License-Identifier: MIT
// matmul on a GPU by cuBLASLt.
#include "kernels/matmul.h"

#include "base/fail.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/declare.h"

#ifdef WN_HAVE_DEVICE_CODE

bool wn__accepts_gpu_matmul(const void *args, char *why, size_t n) {
    wn__lt_shape s;
    return wn__blaslt_shape(args, &s, why, n);
}

size_t wn__workspace_matmul_cublaslt(const void *args, int threads) {
    (void)threads;
    return wn__blaslt_workspace(args);
}

wn_status wn__matmul_cublaslt(const void *args, wn__exec *x) {
    const wn__matmul *p = args;
    wn__lt_shape s;
    wn__blaslt *b;
    const wn__lt_plan *plan;
    char why[160];
    if (p->c.shape[0] == 0 || p->c.shape[1] == 0) return WN_OK;
    if (!wn__blaslt_shape(p, &s, why, sizeof why))
        return wn__fail(WN_BUG, "matmul_cublaslt: %s", why);
    WN_TRY(wn__gpu_blaslt(x->gpu, &b));
    WN_TRY(wn__blaslt_plan(b, &s, 1, &plan));
    return wn__blaslt_run(b, plan, 0, p, x->scratch);
}

#endif
