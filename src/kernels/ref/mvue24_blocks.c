// SPDX-License-Identifier: MIT
// mvue24_blocks, the specification: mvue24 into the workspace, then the first two of each group of
// a column that are not zero, group by group of a block.
#include "kernels/mvue24_blocks.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/pack24.h"

#include <string.h>

typedef struct job {
    const wn__mvue24_blocks *p;
    wn_tensor drawn; // [r, c]
} job;

size_t wn__workspace_mvue24_blocks_ref(const void *args, int threads) {
    const wn__mvue24_blocks *p = args;
    (void)threads;
    return (size_t)wn__tensor_count(&p->x) * wn_dtype_size(p->x.dtype);
}

// What column j keeps of group g.
static unsigned kept(const wn_tensor *x, int64_t g, int64_t j) {
    unsigned mask = 0;
    int count = 0;
    for (int i = 0; i < 4 && count < 2; i++) {
        if (j >= x->shape[1] || 4 * g + i >= x->shape[0]) break;
        if (wn__get(x, wn__at(x, 4 * g + i, j)) == 0) continue;
        mask |= 1U << i;
        count++;
    }
    return mask;
}

static void pack_block(const wn_tensor *x, int64_t panel, int64_t step, uint8_t *block) {
    const uint16_t *from = x->data;
    uint32_t words[128] = {0};
    for (int r = 0; r < WN_BLOCK24_ROWS; r++)
        for (int g = 0; g < WN_BLOCK24_COLUMNS / 4; g++) {
            const int64_t j = WN_BLOCK24_ROWS * panel + r, at = WN_BLOCK24_COLUMNS / 4 * step + g;
            const unsigned mask = kept(x, at, j), nibble = wn__nibble_of_mask24[mask];
            for (int slot = 0; slot < 2; slot++) {
                const unsigned place = nibble >> (2 * slot) & 3;
                const uint16_t value =
                    mask >> place & 1 ? from[wn__at(x, 4 * at + (int64_t)place, j)] : 0;
                memcpy(block + WN_BLOCK24_VALUE(r, 2 * g + slot), &value, sizeof value);
            }
            words[WN_BLOCK24_WORD(r, g / 4)] |= nibble << (16 * (r / 8 % 2) + 4 * (g % 4));
        }
    memcpy(block + WN_BLOCK24_VALUES, words, sizeof words);
}

static void panels(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *s = ctx;
    const int64_t across = s->p->blocks.shape[1];
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < across; j++)
            pack_block(&s->drawn, i, j,
                       (uint8_t *)s->p->blocks.data + (i * across + j) * WN_BLOCK24_BYTES);
}

wn_status wn__mvue24_blocks_ref(const void *args, wn__exec *x) {
    const wn__mvue24_blocks *p = args;
    job s = {.p = p, .drawn = wn__tensor2(x->scratch, p->x.dtype, p->x.shape[0], p->x.shape[1])};
    const wn__mvue24 draw = {.x = p->x,
                             .y = s.drawn,
                             .axis = 0,
                             .group = 4,
                             .method = p->method,
                             .seed = p->seed,
                             .stream = p->stream,
                             .counter = p->counter};
    WN_TRY(wn__mvue24_ref(&draw, x));
    wn__parallel_for(x->pool, p->blocks.shape[0], 1, panels, &s);
    return WN_OK;
}
