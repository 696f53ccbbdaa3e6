// SPDX-License-Identifier: MIT
// adam8bit on 512-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/adam8bit.inc.h"

wn_status wn__adam8bit_avx512(const void *args, wn__exec *x) {
    return adam8bit(args, x);
}
