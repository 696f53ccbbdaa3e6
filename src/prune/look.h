// SPDX-License-Identifier: MIT
/* Counting what a tensor holds. */
#ifndef WN_PRUNE_LOOK_H
#define WN_PRUNE_LOOK_H

#include "base/pool.h"
#include "winnow/tensor.h"

typedef struct wn__look {
    int64_t zeros, nonfinite;
    int64_t first; /* the first value that is not finite, in row-major order; -1: none */
} wn__look;

/* Of a packed, aligned tensor of F64, F32, BF16 or F16. */
void wn__look_at(wn__pool *pool, const wn_tensor *t, wn__look *out);

#endif
