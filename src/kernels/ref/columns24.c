// SPDX-License-Identifier: MIT
// columns24 and spmm24_columns, the specification. Elements move as bytes, so every bit is kept.
#include "kernels/columns24.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <string.h>

static void list_slices(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__columns24 *p = ctx;
    int64_t r = p->w.shape[0], c = p->w.shape[1], room = p->row.shape[1], groups = p->mask.shape[1];
    size_t size = wn_dtype_size(p->w.dtype);
    for (int64_t s = begin; s < end; s++) {
        int32_t *start = (int32_t *)p->start.data + s * (c + 1), count = 0;
        char *values = (char *)p->values.data + (size_t)(s * room) * size;
        uint8_t *row = (uint8_t *)p->row.data + s * room;
        memset(values, 0, (size_t)room * size);
        memset(row, 0, (size_t)room);
        for (int64_t j = 0; j < c; j++) {
            start[j] = count;
            for (int64_t i = 0; i < WN_COLUMNS24_SLICE; i++) {
                int64_t at = s * WN_COLUMNS24_SLICE + i;
                if (at >= r) break;
                unsigned mask = ((const uint8_t *)p->mask.data)[at * groups + j / 4];
                if (!(mask >> (j % 4) & 1)) continue;
                memcpy(values + (size_t)count * size,
                       (const char *)p->w.data + (size_t)wn__at(&p->w, at, j) * size, size);
                row[count++] = (uint8_t)i;
            }
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
