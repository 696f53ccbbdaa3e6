// SPDX-License-Identifier: MIT
// spmm24_rows, the specification: both slots of every group are multiplied, zeros of short groups
// too.
#include "kernels/spmm24_rows.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/element.h"

// Packed row `row` times column j of b; slots that name a row beyond b are left out.
static double product(const wn__spmm24_rows *p, int64_t row, int64_t j) {
    int64_t k = p->b.shape[0], groups = p->values.shape[1] / 2;
    const uint8_t *index = (const uint8_t *)p->index.data + row * p->index.stride[0];
    const int32_t *order = wn__given(&p->order) ? p->order.data : NULL;
    double sum = 0;
    for (int64_t g = 0; g < groups; g++) {
        int nibble = index[g / 2] >> (g % 2 * 4) & 15;
        for (int slot = 0; slot < 2; slot++) {
            int64_t l = 4 * g + (nibble >> (2 * slot) & 3);
            if (l >= k) continue;
            sum += wn__get(&p->b, wn__at(&p->b, order ? order[l] : l, j)) *
                   wn__get(&p->values, wn__at(&p->values, row, 2 * g + slot));
        }
    }
    return sum;
}

// The packed row that is added to row i besides its own; negative: none.
static int64_t extra_row(const wn__spmm24_rows *p, int64_t i) {
    const int32_t *extra = p->extra.data;
    for (int64_t e = 0; wn__given(&p->extra) && e < p->extra.shape[0]; e++)
        if (extra[e] == i) return p->c.shape[0] + e;
    return -1;
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__spmm24_rows *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        int64_t extra = extra_row(p, i);
        for (int64_t j = 0; j < p->c.shape[1]; j++) {
            double sum = product(p, i, j);
            if (extra >= 0) sum += product(p, extra, j);
            if (p->accumulate) sum += wn__get(&p->c, wn__at(&p->c, i, j));
            wn__set(&p->c, wn__at(&p->c, i, j), sum);
        }
    }
}

wn_status wn__spmm24_rows_ref(const void *args, wn__exec *x) {
    const wn__spmm24_rows *p = args;
    WN_TRY(wn__spmm24_rows_refuse(p));
    wn__parallel_for(x->pool, p->c.shape[0], 1, rows, (void *)args);
    return WN_OK;
}
