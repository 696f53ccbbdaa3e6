// SPDX-License-Identifier: MIT
/* How a variant of stream lays x out before it reads weights: one row for each of up to 128
 * tokens, padded to whole blocks of columns. */
#ifndef WN_KERNELS_SIMD_STREAM_PLAN_H
#define WN_KERNELS_SIMD_STREAM_PLAN_H

#include "kernels/stream.h"

#define WN_STREAM_LAID ((int64_t)128)

typedef struct wn__stream_plan {
    int64_t columns; /* k in whole blocks */
    int64_t column;  /* bytes of x for each, by which a pass moves on */
    int64_t groups;  /* that have a scale of x, of INT8 and INT4 */
    int64_t scales;  /* where in a row its scales begin: behind floats, bytes or tables of x */
    int64_t row;     /* bytes of a row, a multiple of 64 */
    int64_t tokens;  /* whose rows are laid out at once */
} wn__stream_plan;

/* Tokens that INT4 2:4 in vectors of 64 bytes lays out as tables: two use what is made of a weight
 * longer, and were no faster. */
#define WN_STREAM_TABLES ((int64_t)1)

/* plain: a byte for each column of INT8 and INT4, but for such tables. tables: bytes of a column in
 * tables of INT4 2:4. */
wn__stream_plan wn__stream_plan_of(const wn__stream *p, bool plain, int64_t tables);

#endif
