// SPDX-License-Identifier: MIT
// cross_entropy on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/cross_entropy.inc.h"

wn_status wn__cross_entropy_avx2(const void *args, wn__exec *x) {
    return cross_entropy(args, x);
}
