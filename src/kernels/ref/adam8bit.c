// SPDX-License-Identifier: MIT
// adam8bit, the specification.
#include "kernels/declare.h"
#include "kernels/update.h"

#include <math.h>

// The nearest code, ties to the lower: the first whose middle to the next one is not below q.
static uint8_t nearest(const float codes[256], double q) {
    int low = 0, high = 255;
    while (low < high) {
        int middle = (low + high) / 2;
        if (q > ((double)codes[middle] + (double)codes[middle + 1]) / 2)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint8_t)low;
}

#define single_magnitude(x) fabsf(x)
#define single_root(x)      sqrtf(x)
#define REAL                float
#define NAME(x)             single_##x
#include "kernels/ref/adam8bit.inc.h"

#define wide_magnitude(x) fabs(x)
#define wide_root(x)      sqrt(x)
#define REAL              double
#define NAME(x)           wide_##x
#include "kernels/ref/adam8bit.inc.h"

wn_status wn__adam8bit_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__adam8bit *p = args;
    if (p->w.dtype == WN_DTYPE_F32)
        single_update(p);
    else
        wide_update(p);
    return WN_OK;
}
