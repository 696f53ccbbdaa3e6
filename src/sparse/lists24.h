// SPDX-License-Identifier: MIT
/* The column lists of a 2:4 weight w[r,c] whose transpose is not 2:4 (kernels/columns24.h): what
 * its input gradient multiplies by. */
#ifndef WN_SPARSE_LISTS24_H
#define WN_SPARSE_LISTS24_H

#include "base/arena.h"
#include "kernels/op.h"

typedef struct wn__lists24 {
    wn_tensor start, values, row; /* absent together */
} wn__lists24;

WN_NODISCARD wn_status wn__lists24_alloc(wn__arena *arena, wn_dtype dtype, int64_t r, int64_t c,
                                         wn__lists24 *out);
/* The entries of w that mask keeps. */
WN_NODISCARD wn_status wn__lists24_make(const wn__lists24 *lists, wn__exec *x, const wn_tensor *w,
                                        const wn_tensor *mask);
size_t wn__lists24_bytes(const wn__lists24 *lists);
/* Entries that a mask of r rows and c columns keeps when it keeps two of every four. */
int64_t wn__lists24_kept(int64_t r, int64_t c);

#endif
