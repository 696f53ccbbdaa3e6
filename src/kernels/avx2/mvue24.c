// SPDX-License-Identifier: MIT
// mvue24, 8 groups at once.
#include "kernels/declare.h"
#include "kernels/simd/mvue24.inc.h"

wn_status wn__mvue24_avx2(const void *args, wn__exec *x) {
    return mvue24(args, x);
}
