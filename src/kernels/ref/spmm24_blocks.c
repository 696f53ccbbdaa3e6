// SPDX-License-Identifier: MIT
// spmm24_blocks, the specification: a row of blocks is read once for a few tokens.
#include "kernels/spmm24_blocks.h"
#include "kernels/block24.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

enum { TOKENS = 16, GROUPS = WN_BLOCK24_COLUMNS / 4 };

// sum_i x[t,i] W[o,i] of `count` tokens; slots that name a column beyond k are left out.
static void products(const wn__spmm24_blocks *p, int64_t t, int count, int64_t o,
                     double sum[TOKENS]) {
    const int64_t k = p->x.shape[1], across = p->blocks.shape[1];
    const uint8_t *block = p->blocks.data;
    block += o / WN_BLOCK24_ROWS * across * WN_BLOCK24_BYTES;
    for (int64_t g = 0; g < across * GROUPS; g++) {
        int column[2];
        uint16_t value[2];
        wn__block24_group(block + g / GROUPS * WN_BLOCK24_BYTES, (int)(o % WN_BLOCK24_ROWS),
                          (int)(g % GROUPS), column, value);
        for (int slot = 0; slot < 2; slot++) {
            const int64_t i = 4 * g + column[slot];
            const double w = wn__number16(value[slot], p->values);
            for (int j = 0; i < k && j < count; j++)
                sum[j] += wn__get(&p->x, wn__at(&p->x, t + j, i)) * w;
        }
    }
}

static double act(const wn__spmm24_blocks *p, double z) {
    if (!p->relu2) return z;
    return z <= 0 ? 0 : z * z;
}

static void tile(const wn__spmm24_blocks *p, int64_t t, int count) {
    for (int64_t o = 0; o < p->y.shape[1]; o++) {
        double sum[TOKENS] = {0};
        products(p, t, count, o, sum);
        for (int j = 0; j < count; j++) {
            double y = act(p, sum[j] + (wn__given(&p->bias) ? wn__get(&p->bias, o) : 0));
            if (wn__given(&p->residual)) {
                const double r = wn__get(&p->residual, wn__at(&p->residual, t + j, o));
                y = p->gate ? y * 2 * sqrt(r) : y + r;
            }
            wn__set(&p->y, wn__at(&p->y, t + j, o), y);
        }
    }
}

static void tiles(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__spmm24_blocks *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        const int64_t left = p->y.shape[0] - TOKENS * i;
        tile(p, TOKENS * i, left < TOKENS ? (int)left : TOKENS);
    }
}

wn_status wn__spmm24_blocks_ref(const void *args, wn__exec *x) {
    const wn__spmm24_blocks *p = args;
    wn__parallel_for(x->pool, (p->y.shape[0] + TOKENS - 1) / TOKENS, 1, tiles, (void *)args);
    return WN_OK;
}
