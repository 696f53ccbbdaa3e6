// SPDX-License-Identifier: MIT
// spmm24_blocks_rows, the specification: a row of blocks is read once for a few columns.
#include "kernels/spmm24_blocks_rows.h"
#include "kernels/block24.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/element.h"

enum { COLUMNS = 16, GROUPS = WN_BLOCK24_COLUMNS / 4 };

// sum_l S[i,l] b[l,j..] of `count` columns; slots that name a row of b beyond k are left out.
static void products(const wn__spmm24_blocks_rows *p, int64_t i, int64_t j, int count,
                     double sum[COLUMNS]) {
    const int64_t k = p->b.shape[0], across = p->blocks.shape[1];
    const uint8_t *block = p->blocks.data;
    block += i / WN_BLOCK24_ROWS * across * WN_BLOCK24_BYTES;
    for (int64_t g = 0; g < across * GROUPS; g++) {
        int place[2];
        uint16_t value[2];
        wn__block24_group(block + g / GROUPS * WN_BLOCK24_BYTES, (int)(i % WN_BLOCK24_ROWS),
                          (int)(g % GROUPS), place, value);
        for (int slot = 0; slot < 2; slot++) {
            const int64_t l = 4 * g + place[slot];
            const double s = wn__number16(value[slot], p->values);
            for (int c = 0; l < k && c < count; c++)
                sum[c] += s * wn__get(&p->b, wn__at(&p->b, l, j + c));
        }
    }
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__spmm24_blocks_rows *p = ctx;
    const int64_t m = p->c.shape[1];
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < m; j += COLUMNS) {
            const int count = m - j < COLUMNS ? (int)(m - j) : COLUMNS;
            double sum[COLUMNS] = {0};
            products(p, i, j, count, sum);
            for (int c = 0; c < count; c++) {
                const int64_t at = wn__at(&p->c, i, j + c);
                wn__set(&p->c, at, sum[c] + (p->accumulate ? wn__get(&p->c, at) : 0));
            }
        }
}

wn_status wn__spmm24_blocks_rows_ref(const void *args, wn__exec *x) {
    const wn__spmm24_blocks_rows *p = args;
    wn__parallel_for(x->pool, p->c.shape[0], 4, rows, (void *)args);
    return WN_OK;
}
