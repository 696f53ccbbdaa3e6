// SPDX-License-Identifier: MIT
/* What references that make packed blocks (cuda/block24.h) share. */
#ifndef WN_REF_BLOCK24_H
#define WN_REF_BLOCK24_H

#include <stdint.h>

/* Those of n <= 4 sizes that fewer than two others precede: larger, or equal and at a lower
 * index. */
unsigned wn__largest_two(const double *size, int n);

/* A matrix of 16-bit numbers and what is kept of it. */
typedef struct wn__kept24 {
    const uint16_t *data;
    int64_t row_stride, column_stride;
    unsigned (*mask)(const void *ctx, int64_t row, int64_t group); /* 0 beyond the matrix */
    const void *ctx;
} wn__kept24;

/* A thread's share of packing: panels begin to end of blocks that lie one behind the other,
 * `across` of them a panel. */
void wn__kept24_pack(const wn__kept24 *k, int64_t across, int64_t begin, int64_t end,
                     uint8_t *blocks);

#endif
