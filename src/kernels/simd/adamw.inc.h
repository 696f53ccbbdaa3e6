// SPDX-License-Identifier: MIT
/* adamw of a whole tensor. */
#include "kernels/op.h"
#include "kernels/simd/adamw_step.inc.h"

#define ADAMW_GRAIN 8192

static void adamw_range(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    adamw_elements(ctx, begin, end);
}

static wn_status adamw(const void *args, wn__exec *x) {
    adamw_job job = adamw_job_of(args);
    wn__parallel_for(x->pool, wn__tensor_count(&job.p->w), ADAMW_GRAIN, adamw_range, &job);
    return WN_OK;
}
