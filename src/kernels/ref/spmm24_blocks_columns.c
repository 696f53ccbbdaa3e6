// SPDX-License-Identifier: MIT
// spmm24_blocks_columns, the specification: every kept number goes to its column, group by group.
#include "kernels/spmm24_blocks_columns.h"
#include "kernels/block24.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/element.h"

enum { TOKENS = 16, GROUPS = WN_BLOCK24_COLUMNS / 4 };

// Four columns of `count` tokens: those of group g (of all of a row).
static void group(const wn__spmm24_blocks_columns *p, int64_t t, int count, int64_t g) {
    const int64_t k = p->y.shape[1], across = p->blocks.shape[1];
    const uint8_t *data = p->blocks.data;
    double sum[4][TOKENS] = {{0}};
    for (int64_t o = 0; o < p->x.shape[1]; o++) {
        int place[2];
        uint16_t value[2];
        wn__block24_group(data + (o / WN_BLOCK24_ROWS * across + g / GROUPS) * WN_BLOCK24_BYTES,
                          (int)(o % WN_BLOCK24_ROWS), (int)(g % GROUPS), place, value);
        for (int slot = 0; slot < 2; slot++)
            for (int j = 0; j < count; j++)
                sum[place[slot]][j] +=
                    wn__get(&p->x, wn__at(&p->x, t + j, o)) * wn__number16(value[slot], p->values);
    }
    for (int i = 0; i < 4 && 4 * g + i < k; i++)
        for (int j = 0; j < count; j++)
            wn__set(&p->y, wn__at(&p->y, t + j, 4 * g + i), sum[i][j]);
}

static void tiles(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__spmm24_blocks_columns *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        const int64_t t = TOKENS * i, left = p->y.shape[0] - t;
        for (int64_t g = 0; 4 * g < p->y.shape[1]; g++)
            group(p, t, left < TOKENS ? (int)left : TOKENS, g);
    }
}

wn_status wn__spmm24_blocks_columns_ref(const void *args, wn__exec *x) {
    const wn__spmm24_blocks_columns *p = args;
    wn__parallel_for(x->pool, (p->y.shape[0] + TOKENS - 1) / TOKENS, 1, tiles, (void *)args);
    return WN_OK;
}
