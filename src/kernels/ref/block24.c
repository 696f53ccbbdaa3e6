// SPDX-License-Identifier: MIT
// block24, the specification: group by group as pack24 chooses and places, row by row of a block.
#include "kernels/block24.h"
#include "base/fail.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "kernels/ref/block24.h"

#include <math.h>
#include <string.h>

// A matrix being packed: W, or its transpose.
typedef struct source {
    const wn__block24 *p;
    uint8_t *blocks;
    int64_t rows, columns, across; // of this matrix; its blocks along columns
    int64_t row_stride, column_stride;
    bool transposed;
} source;

unsigned wn__largest_two(const double *size, int n) {
    unsigned mask = 0;
    for (int i = 0; i < n; i++) {
        int rank = 0;
        for (int j = 0; j < n; j++)
            rank += size[j] > size[i] || (size[j] == size[i] && j < i);
        mask |= rank < 2 ? 1U << i : 0U;
    }
    return mask;
}

// What group g of a row keeps: nothing beyond the matrix.
static unsigned mask_of(const void *ctx, int64_t row, int64_t g) {
    const source *s = ctx;
    const wn_tensor *mask = &s->p->mask;
    const int64_t left = s->columns - 4 * g;
    const int n = left < 4 ? (int)left : 4;
    if (row >= s->rows || n <= 0) return 0;
    if (!wn__given(mask)) {
        double size[4] = {0};
        for (int i = 0; i < n; i++)
            size[i] = fabs(wn__get(&s->p->w, row * s->row_stride + 4 * g + i));
        return wn__largest_two(size, n);
    }
    const uint8_t *m = mask->data;
    if (!s->transposed) return m[row * mask->shape[1] + g];
    unsigned kept = 0;
    for (int i = 0; i < n; i++)
        kept |= ((unsigned)m[(4 * g + i) * mask->shape[1] + row / 4] >> (row % 4) & 1U) << i;
    return kept;
}

static void put_block(const wn__kept24 *k, int64_t i, int64_t j, uint8_t *block) {
    uint32_t words[128] = {0};
    for (int r = 0; r < WN_BLOCK24_ROWS; r++)
        for (int g = 0; g < WN_BLOCK24_COLUMNS / 4; g++) {
            const int64_t row = WN_BLOCK24_ROWS * i + r;
            const int64_t group = WN_BLOCK24_COLUMNS / 4 * j + g;
            const unsigned mask = k->mask(k->ctx, row, group), nibble = wn__nibble_of_mask24[mask];
            for (int slot = 0; slot < 2; slot++) {
                const unsigned column = nibble >> (2 * slot) & 3;
                const int64_t at = row * k->row_stride + (4 * group + column) * k->column_stride;
                const uint16_t value = mask >> column & 1 ? k->data[at] : 0;
                memcpy(block + WN_BLOCK24_VALUE(r, 2 * g + slot), &value, sizeof value);
            }
            words[WN_BLOCK24_WORD(r, g / 4)] |= nibble << (16 * (r / 8 % 2) + 4 * (g % 4));
        }
    memcpy(block + WN_BLOCK24_VALUES, words, sizeof words);
}

void wn__kept24_pack(const wn__kept24 *k, int64_t across, int64_t begin, int64_t end,
                     uint8_t *blocks) {
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < across; j++)
            put_block(k, i, j, blocks + (i * across + j) * WN_BLOCK24_BYTES);
}

static void panels(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const source *s = ctx;
    const wn__kept24 k = {.data = s->p->w.data,
                          .row_stride = s->row_stride,
                          .column_stride = s->column_stride,
                          .mask = mask_of,
                          .ctx = s};
    wn__kept24_pack(&k, s->across, begin, end, s->blocks);
}

static void pack(const wn__block24 *p, bool transposed, wn__pool *pool) {
    const wn_tensor *to = transposed ? &p->blocks_t : &p->blocks;
    if (!wn__given(to)) return;
    source s = {.p = p, .blocks = to->data, .across = to->shape[1], .transposed = transposed};
    s.rows = p->w.shape[transposed];
    s.columns = p->w.shape[!transposed];
    s.row_stride = p->w.stride[transposed];
    s.column_stride = p->w.stride[!transposed];
    wn__parallel_for(pool, to->shape[0], 1, panels, &s);
}

wn_status wn__block24_ref(const void *args, wn__exec *x) {
    const wn__block24 *given = args;
    wn__block24 p = *given;
    WN_TRY(wn__block24_refuse(&p));
    if (wn__given(&p.tiles)) {
        const wn__mask24 choose = {.w = p.w, .mask = p.tiles, .method = WN_MASK24_TILE};
        WN_TRY(wn__mask24_ref(&choose, x));
        p.mask = p.tiles;
    }
    pack(&p, false, x->pool);
    pack(&p, true, x->pool);
    return WN_OK;
}
