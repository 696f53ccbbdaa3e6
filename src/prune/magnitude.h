// SPDX-License-Identifier: MIT
/* One weight made 2:4 by magnitude. */
#ifndef WN_PRUNE_MAGNITUDE_H
#define WN_PRUNE_MAGNITUDE_H

#include "kernels/mask24.h"
#include "kernels/runtime.h"

/* Sums over the entries of a weight, each row's in column order, then the rows' in order: of
 * |w| 2^-exponent and of its square, which are finite for every finite w. */
typedef struct wn__prune_sums {
    double magnitude, energy;           /* of all entries */
    double kept_magnitude, kept_energy; /* of those the mask keeps */
    int64_t zeros_before, zeros;
    int exponent;
} wn__prune_sums;
/* to += s, by the larger exponent. */
void wn__prune_sums_add(wn__prune_sums *to, const wn__prune_sums *s);

/* Chooses the mask of w [out, in] (packed, aligned; F64, F32, BF16 or F16) by a method of mask24,
 * writes +0 over every entry it does not keep, and sums up. mask: U8 [out, ceil(in/4)]. INVALID
 * names row and column of the first entry that is NaN or infinite; w is then as it was. */
WN_NODISCARD wn_status wn__prune_magnitude(wn__runtime *rt, const wn_tensor *w,
                                           const wn_tensor *mask, wn__mask24_method method,
                                           wn__prune_sums *out);

#endif
