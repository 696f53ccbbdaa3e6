// SPDX-License-Identifier: MIT
/* Mean, spread and extremes of a tensor's values as they lie in a file. */
#ifndef WN_INFER_STATISTICS_H
#define WN_INFER_STATISTICS_H

#include "winnow/tensor.h"

typedef struct wn__statistics {
    int64_t count, zeros, nonfinite;
    double min, max, mean,
        std; /* of the finite values; 0 when there are none. std divides by their count */
} wn__statistics;

/* A tensor of any dtype and strides, possibly unaligned. Values are read in blocks whose means and
 * squared deviations are combined by the parallel update of Chan, Golub and LeVeque (1979), so
 * large means do not cancel. */
void wn__statistics_of(const wn_tensor *t, wn__statistics *out);

#endif
