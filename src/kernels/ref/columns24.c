// SPDX-License-Identifier: MIT
// columns24 and spmm24_columns, the specification. Elements move as bytes, so every bit is kept.
#include "kernels/columns24.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <string.h>

// Which of a column's kept rows of four stand first in a list of BF16: two of them, or four.
static unsigned in_pairs(unsigned kept) {
    static const uint8_t pairs[16] = {0, 0, 0, 3, 0, 5, 6, 3, 0, 9, 10, 3, 12, 5, 6, 15};
    return pairs[kept];
}

// Rows of a column of a slice, a bit each.
static uint64_t kept_rows(const wn__columns24 *p, int64_t s, int64_t j) {
    const int64_t groups = p->mask.shape[1], r = p->w.shape[0], first = s * WN_COLUMNS24_SLICE;
    uint64_t rows = 0;
    for (int64_t i = 0; i < WN_COLUMNS24_SLICE && first + i < r; i++) {
        unsigned mask = ((const uint8_t *)p->mask.data)[(first + i) * groups + j / 4];
        rows |= (uint64_t)(mask >> (j % 4) & 1) << i;
    }
    return rows;
}

// The entries of some rows of a column, from place `count` on; returns where they end.
static int32_t list_rows(const wn__columns24 *p, int64_t s, int64_t j, uint64_t rows,
                         int32_t count) {
    const int64_t room = p->row.shape[1];
    size_t size = wn_dtype_size(p->w.dtype);
    for (int64_t i = 0; i < WN_COLUMNS24_SLICE; i++) {
        if (!(rows >> i & 1)) continue;
        memcpy((char *)p->values.data + (size_t)(s * room + count) * size,
               (const char *)p->w.data +
                   (size_t)wn__at(&p->w, s * WN_COLUMNS24_SLICE + i, j) * size,
               size);
        ((uint8_t *)p->row.data)[s * room + count++] = (uint8_t)i;
    }
    return count;
}

static void list_slices(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__columns24 *p = ctx;
    int64_t c = p->w.shape[1], room = p->row.shape[1];
    size_t size = wn_dtype_size(p->w.dtype);
    for (int64_t s = begin; s < end; s++) {
        int32_t *start = (int32_t *)p->start.data + s * (c + 1), count = 0;
        memset((char *)p->values.data + (size_t)(s * room) * size, 0, (size_t)room * size);
        memset((uint8_t *)p->row.data + s * room, 0, (size_t)room);
        for (int64_t j = 0; j < c; j++) {
            uint64_t rows = kept_rows(p, s, j), pairs = 0;
            start[j] = count;
            for (int64_t i = 0; i < WN_COLUMNS24_SLICE && p->w.dtype == WN_DTYPE_BF16; i += 4)
                pairs |= (uint64_t)in_pairs(rows >> i & 15) << i;
            count = list_rows(p, s, j, pairs, count);
            count = list_rows(p, s, j, rows & ~pairs, count);
        }
        start[c] = count;
    }
}

wn_status wn__columns24_ref(const void *args, wn__exec *x) {
    const wn__columns24 *p = args;
    WN_TRY(wn__columns24_refuse(p));
    wn__parallel_for(x->pool, p->start.shape[0], 1, list_slices, (void *)args);
    return WN_OK;
}

static double product(const wn__spmm24_columns *p, int64_t t, int64_t j) {
    int64_t c = p->y.shape[1], room = p->row.shape[1];
    double sum = 0;
    for (int64_t s = 0; s < p->start.shape[0]; s++) {
        const int32_t *start = (const int32_t *)p->start.data + s * (c + 1);
        const uint8_t *row = (const uint8_t *)p->row.data + s * room;
        for (int64_t e = start[j]; e < start[j + 1]; e++)
            sum += wn__get(&p->x, wn__at(&p->x, t, s * WN_COLUMNS24_SLICE + row[e])) *
                   wn__get(&p->values, s * room + e);
    }
    return sum;
}

static void rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__spmm24_columns *p = ctx;
    for (int64_t t = begin; t < end; t++)
        for (int64_t j = 0; j < p->y.shape[1]; j++) {
            double sum = product(p, t, j);
            if (p->accumulate) sum += wn__get(&p->y, wn__at(&p->y, t, j));
            wn__set(&p->y, wn__at(&p->y, t, j), sum);
        }
}

wn_status wn__spmm24_columns_ref(const void *args, wn__exec *x) {
    const wn__spmm24_columns *p = args;
    wn__parallel_for(x->pool, p->y.shape[0], 1, rows, (void *)args);
    return WN_OK;
}
