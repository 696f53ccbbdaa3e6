// SPDX-License-Identifier: MIT
// flips24, 32 groups at once.
#include "kernels/declare.h"
#include "kernels/simd/flips24.inc.h"

wn_status wn__flips24_avx2(const void *args, wn__exec *x) {
    return flips24(args, x);
}
