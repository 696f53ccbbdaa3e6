// SPDX-License-Identifier: MIT
/* Packed blocks of 16-bit 2:4 matrices (kernels/block24.h) for cases: drawn, and read again. */
#ifndef WN_KERNELS_CHECK_BLOCKS24_H
#define WN_KERNELS_CHECK_BLOCKS24_H

#include "kernels/check/masks24.h"

/* A number that a row keeps. */
typedef struct wn__kept {
    int64_t column;
    double value;
} wn__kept;

/* Draws rows x columns numbers of a dtype and packs them, group by group: masks of two, or of at
 * most two; zeros in free slots. */
void wn__blocks24_fill(wn__case *c, wn__part *blocks, int64_t rows, int64_t columns, wn_dtype dtype,
                       wn__data data, bool full);
/* What row `row` keeps: at most columns + 3 numbers, whose count is returned. */
int64_t wn__blocks24_row(const wn__part *blocks, int64_t row, int64_t columns, wn_dtype dtype,
                         wn__kept *out);

#endif
