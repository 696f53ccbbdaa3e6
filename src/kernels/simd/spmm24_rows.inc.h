// SPDX-License-Identifier: MIT
/* spmm24_rows with the columns of b in lanes: b is copied or transposed in, c likewise out. */
#include "base/fail.h"
#include "kernels/simd/half.h"
#if PAIRS
#include "kernels/simd/pairs24.inc.h"
#else
#define WRITES_ROWS 1
#include "kernels/simd/packed24.inc.h"
#endif
#include "kernels/spmm24_rows.h"

static void spmm24_rows_block(const void *args, int64_t width, const float *panel, int64_t o0,
                              int64_t outputs, rows24 sums, rows24 out) {
    const wn__spmm24_rows *p = args;
    packed24 w = packed24_of(&p->values, &p->index);
    if (wn__given(&p->extra)) {
        w.extra = p->extra.data;
        w.extras = p->extra.shape[0];
        w.first_extra = p->c.shape[0];
    }
    packed24_block(p->values.dtype == WN_DTYPE_BF16, &w, width, panel, o0, outputs, sums, out);
}

static wn_status spmm24_rows(const void *args, wn__exec *x) {
    const wn__spmm24_rows *p = args;
    bool in = p->b.stride[1] == 1 || p->b.shape[1] < 2;
    bool out = p->c.stride[1] == 1 || p->c.shape[1] < 2;
    lanes24 job = {.args = args,
                   .block = spmm24_rows_block,
                   .in = {.data = p->b.data,
                          .stride = p->b.stride[in ? 0 : 1],
                          .by_lanes = in,
                          .half = p->b.dtype == WN_DTYPE_BF16},
                   .out = {.data = p->c.data,
                           .stride = p->c.stride[out ? 0 : 1],
                           .by_lanes = out,
                           .half = p->c.dtype == WN_DTYPE_BF16},
                   .order = wn__given(&p->order) ? p->order.data : NULL,
                   .lanes = p->b.shape[1],
                   .depth = p->b.shape[0],
                   .outputs = p->c.shape[0],
                   .accumulate = p->accumulate};
    WN_TRY(wn__spmm24_rows_refuse(p));
    run_lanes(&job, x);
    return WN_OK;
}
