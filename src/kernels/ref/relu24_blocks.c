// SPDX-License-Identifier: MIT
// relu24_blocks, the specification: spmm24_blocks with relu2, rounded, and the two largest of each
// group of a token, group by group of a block.
#include "kernels/relu24_blocks.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/pack24.h"
#include "kernels/spmm24_blocks.h"

#include <string.h>

typedef struct job {
    const wn__relu24_blocks *p;
    wn_tensor a, rounded; // [T, n], of x's dtype and of 16 bits
} job;

size_t wn__workspace_relu24_blocks_ref(const void *args, int threads) {
    const wn__relu24_blocks *p = args;
    (void)threads;
    return (size_t)(p->x.shape[0] * p->n) * (wn_dtype_size(p->x.dtype) + 2) + 64;
}

// What token t keeps of features 4 g to 4 g + 3.
static unsigned largest_two(const wn_tensor *a, int64_t t, int64_t g) {
    const uint16_t *bits = a->data;
    const int64_t left = a->shape[1] - 4 * g;
    const int n = t >= a->shape[0] || left <= 0 ? 0 : left < 4 ? (int)left : 4;
    unsigned mask = 0;
    int size[4] = {0};
    for (int i = 0; i < n; i++)
        size[i] = bits[wn__at(a, t, 4 * g + i)] & 0x7FFF;
    for (int i = 0; i < n; i++) {
        int before = 0;
        for (int j = 0; j < n; j++)
            before += size[j] > size[i] || (size[j] == size[i] && j < i);
        mask |= before < 2 ? 1U << i : 0U;
    }
    return mask;
}

static void pack_block(const wn_tensor *a, int64_t panel, int64_t step, uint8_t *block) {
    const uint16_t *from = a->data;
    uint32_t words[128] = {0};
    for (int r = 0; r < WN_BLOCK24_ROWS; r++)
        for (int g = 0; g < WN_BLOCK24_COLUMNS / 4; g++) {
            const int64_t t = WN_BLOCK24_ROWS * panel + r, at = WN_BLOCK24_COLUMNS / 4 * step + g;
            const unsigned mask = largest_two(a, t, at), nibble = wn__nibble_of_mask24[mask];
            for (int slot = 0; slot < 2; slot++) {
                const unsigned place = nibble >> (2 * slot) & 3;
                const uint16_t value =
                    mask >> place & 1 ? from[wn__at(a, t, 4 * at + (int64_t)place)] : 0;
                memcpy(block + WN_BLOCK24_VALUE(r, 2 * g + slot), &value, sizeof value);
            }
            words[WN_BLOCK24_WORD(r, g / 4)] |= nibble << (16 * (r / 8 % 2) + 4 * (g % 4));
        }
    memcpy(block + WN_BLOCK24_VALUES, words, sizeof words);
}

static void panels(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *s = ctx;
    const int64_t across = s->p->out.shape[1];
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < across; j++)
            pack_block(&s->rounded, i, j,
                       (uint8_t *)s->p->out.data + (i * across + j) * WN_BLOCK24_BYTES);
}

wn_status wn__relu24_blocks_ref(const void *args, wn__exec *x) {
    const wn__relu24_blocks *p = args;
    const int64_t T = p->x.shape[0], count = T * p->n;
    job s = {.p = p, .a = wn__tensor2(x->scratch, p->x.dtype, T, p->n)};
    s.rounded = wn__tensor2((char *)x->scratch + (size_t)count * wn_dtype_size(p->x.dtype),
                            p->values, T, p->n);
    const wn__spmm24_blocks product = {
        .x = p->x, .blocks = p->blocks, .y = s.a, .values = p->values, .relu2 = true};
    WN_TRY(wn__spmm24_blocks_ref(&product, x));
    for (int64_t i = 0; i < count; i++)
        wn__set(&s.rounded, i, wn__get(&s.a, i));
    wn__parallel_for(x->pool, p->out.shape[0], 1, panels, &s);
    return WN_OK;
}
