// SPDX-License-Identifier: MIT
/* How rows are shared out, by shapes alone. */
#ifndef WN_KERNELS_SIMD_ROWS_H
#define WN_KERNELS_SIMD_ROWS_H

#include <stdint.h>

#define WN_ROW_PARTS 64 /* sums over rows are kept in at most this many parts */

/* Rows of one piece of work: about 16384 elements. */
static inline int64_t wn__row_grain(int64_t columns) {
    int64_t rows = 16384 / (columns + 1);
    return rows > 0 ? rows : 1;
}

/* Rows of a part, at least 8. */
static inline int64_t wn__row_part(int64_t rows) {
    int64_t part = (rows + WN_ROW_PARTS - 1) / WN_ROW_PARTS;
    return part > 8 ? part : 8;
}

#endif
