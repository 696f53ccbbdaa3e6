// SPDX-License-Identifier: MIT
// mask24, 16 groups or tiles at once.
#include "kernels/declare.h"
#include "kernels/simd/mask24.inc.h"

wn_status wn__mask24_avx512(const void *args, wn__exec *x) {
    return mask24(args, x);
}
