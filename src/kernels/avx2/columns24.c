// SPDX-License-Identifier: MIT
// columns24, 8 rows at once. Wider vectors would close their gaps no faster.
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/simd/columns24.inc.h"

wn_status wn__columns24_avx2(const void *args, wn__exec *x) {
    return columns24(args, x);
}
