// SPDX-License-Identifier: MIT
// pack24_tokens, the specification. Elements move as bytes, so every bit of them is kept.
#include "kernels/pack24_tokens.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/pack24.h"

#include <string.h>

// Row of x at place i of group g; negative: it does not exist.
static int64_t row_at(const wn__pack24_tokens *p, int64_t g, int i) {
    int64_t row = 4 * g + i;
    if (row >= p->x.shape[0]) return -1;
    return wn__given(&p->order) ? ((const int32_t *)p->order.data)[row] : row;
}

static unsigned kept(const wn__pack24_tokens *p, int64_t g, int64_t j) {
    unsigned mask = 0, count = 0;
    for (int i = 0; i < 4; i++) {
        int64_t row = row_at(p, g, i);
        if (row < 0 || wn__get(&p->x, wn__at(&p->x, row, j)) == 0 || count == 2) continue;
        mask |= 1U << i;
        count++;
    }
    return mask;
}

// Group g of a packed row: the places of column j that mask keeps.
static void put_group(const wn__pack24_tokens *p, int64_t packed, int64_t g, int64_t j,
                      unsigned mask) {
    size_t size = wn_dtype_size(p->x.dtype);
    unsigned nibble = wn__nibble_of_mask24[mask];
    for (int slot = 0; slot < 2; slot++) {
        int place = (int)(nibble >> (2 * slot) & 3);
        char *to = (char *)p->values.data + (size_t)wn__at(&p->values, packed, 2 * g + slot) * size;
        memset(to, 0, size);
        if (mask >> place & 1)
            memcpy(to,
                   (const char *)p->x.data + (size_t)wn__at(&p->x, row_at(p, g, place), j) * size,
                   size);
    }
    uint8_t *byte = (uint8_t *)p->index.data + packed * p->index.shape[1] + g / 2;
    *byte = (uint8_t)(g % 2 ? (*byte & 0x0F) | nibble << 4 : nibble | 0xE0);
}

// Places that exist among those that mask names.
static unsigned exist(const wn__pack24_tokens *p, int64_t g, unsigned mask) {
    for (int i = 0; i < 4; i++)
        if (row_at(p, g, i) < 0) mask &= ~(1U << i);
    return mask;
}

static void columns(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__pack24_tokens *p = ctx;
    const uint8_t *dense = wn__given(&p->dense) ? p->dense.data : NULL;
    for (int64_t j = begin; j < end; j++)
        for (int64_t g = 0; g < p->values.shape[1] / 2; g++)
            put_group(p, j, g, j, dense && dense[j] ? exist(p, g, 3) : kept(p, g, j));
}

wn_status wn__pack24_tokens_ref(const void *args, wn__exec *x) {
    const wn__pack24_tokens *p = args;
    int64_t c = p->x.shape[1], extras = p->values.shape[0] - c;
    WN_TRY(wn__pack24_tokens_begin(p));
    wn__parallel_for(x->pool, c, 1, columns, (void *)args);
    for (int64_t i = 0; i < extras; i++)
        for (int64_t g = 0; g < p->values.shape[1] / 2; g++)
            put_group(p, c + i, g, ((const int32_t *)p->extra.data)[i], exist(p, g, 12));
    return WN_OK;
}
