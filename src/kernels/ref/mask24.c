// SPDX-License-Identifier: MIT
// mask24, flips24 and decay24, the specification. Magnitudes are compared as doubles, which hold
// every weight exactly; only the sums of TILE are in float.
#include "kernels/mask24.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

// Whether entry i comes before entry j in the total order.
static bool before(const double *magnitude, int i, int j) {
    return magnitude[i] > magnitude[j] || (magnitude[i] == magnitude[j] && i < j);
}

// Keeps those of the n <= 4 columns that fewer than two others precede.
static uint8_t row_mask(const double magnitude[4], int n) {
    unsigned mask = 0;
    for (int i = 0; i < n; i++) {
        int rank = 0;
        for (int j = 0; j < n; j++)
            rank += before(magnitude, j, i);
        if (rank < 2) mask |= 1U << i;
    }
    return (uint8_t)mask;
}

// What one row of a tile keeps under a mask of two columns.
static float row_sum(const float magnitude[4], unsigned mask) {
    float pair[2] = {0, 0};
    for (int j = 0, n = 0; j < 4; j++)
        if (mask >> j & 1) pair[n++] = magnitude[j];
    return pair[0] + pair[1];
}

static uint16_t tile_mask(const double magnitude[16]) {
    float a[16], best = -1;
    uint16_t mask = 0;
    for (int i = 0; i < 16; i++)
        a[i] = (float)magnitude[i];
    for (int i = 0; i < 90; i++) {
        unsigned m = wn__tile_masks24[i];
        float r0 = row_sum(a, m & 15), r1 = row_sum(a + 4, m >> 4 & 15);
        float r2 = row_sum(a + 8, m >> 8 & 15), r3 = row_sum(a + 12, m >> 12);
        float sum = (r0 + r1) + (r2 + r3);
        if (sum > best) {
            best = sum;
            mask = (uint16_t)m;
        }
    }
    return mask;
}

static uint16_t greedy_mask(const double magnitude[16]) {
    int order[16], rows[4] = {0}, columns[4] = {0};
    unsigned mask = 0;
    for (int i = 0; i < 16; i++) {
        int rank = 0;
        for (int j = 0; j < 16; j++)
            rank += before(magnitude, j, i);
        order[rank] = i;
    }
    for (int n = 0; n < 16; n++) {
        int i = order[n] / 4, j = order[n] % 4;
        if (rows[i] == 2 || columns[j] == 2) continue;
        mask |= 1U << order[n];
        rows[i]++;
        columns[j]++;
    }
    return (uint16_t)mask;
}

static void mask_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__mask24 *p = ctx;
    int64_t c = p->w.shape[1], groups = p->mask.shape[1];
    uint8_t *mask = p->mask.data;
    for (int64_t i = begin; i < end; i++) {
        for (int64_t g = 0; g < groups; g++) {
            int n = c - 4 * g < 4 ? (int)(c - 4 * g) : 4;
            double magnitude[4] = {0};
            for (int j = 0; j < n; j++)
                magnitude[j] = fabs(wn__get(&p->w, wn__at(&p->w, i, 4 * g + j)));
            mask[i * groups + g] = row_mask(magnitude, n);
        }
    }
}

// Rows of tiles.
static void mask_tiles(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__mask24 *p = ctx;
    int64_t groups = p->mask.shape[1];
    uint8_t *mask = p->mask.data;
    for (int64_t i = begin; i < end; i++) {
        for (int64_t g = 0; g < groups; g++) {
            double magnitude[16];
            for (int j = 0; j < 16; j++)
                magnitude[j] = fabs(wn__get(&p->w, wn__at(&p->w, 4 * i + j / 4, 4 * g + j % 4)));
            unsigned m =
                p->method == WN_MASK24_TILE ? tile_mask(magnitude) : greedy_mask(magnitude);
            for (int j = 0; j < 4; j++)
                mask[(4 * i + j) * groups + g] = (uint8_t)(m >> (4 * j) & 15);
        }
    }
}

wn_status wn__mask24_ref(const void *args, wn__exec *x) {
    const wn__mask24 *p = args;
    wn_status status = wn__mask24_refuse_nan(p);
    if (status != WN_OK) return status;
    if (p->method == WN_MASK24_ROW)
        wn__parallel_for(x->pool, p->w.shape[0], 1, mask_rows, (void *)args);
    else
        wn__parallel_for(x->pool, p->w.shape[0] / 4, 1, mask_tiles, (void *)args);
    return WN_OK;
}

wn_status wn__flips24_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__flips24 *p = args;
    const uint8_t *a = p->a.data, *b = p->b.data;
    int64_t bytes = p->a.shape[0] * p->a.shape[1], count = 0;
    for (int64_t i = 0; i < bytes; i++)
        for (int j = 0; j < 4; j++)
            count += (a[i] ^ b[i]) >> j & 1;
    *(int64_t *)p->count.data = count;
    return WN_OK;
}

wn_status wn__decay24_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__decay24 *p = args;
    const uint8_t *mask = p->mask.data;
    int64_t r = p->w.shape[0], c = p->w.shape[1], groups = p->mask.shape[1];
    for (int64_t i = 0; i < r; i++) {
        for (int64_t j = 0; j < c; j++) {
            if (mask[i * groups + j / 4] >> (j % 4) & 1) continue;
            int64_t at = i * c + j;
            wn__set(&p->g, at, wn__get(&p->g, at) + p->lambda * wn__get(&p->w, at));
        }
    }
    return WN_OK;
}
