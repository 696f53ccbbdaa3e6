// SPDX-License-Identifier: MIT
// sddmm24 in slices of 16 columns.
#include "kernels/declare.h"
#include "kernels/simd/sddmm24.inc.h"

wn_status wn__sddmm24_avx2(const void *args, wn__exec *x) {
    return sddmm24(args, x);
}
