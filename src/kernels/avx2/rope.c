// SPDX-License-Identifier: MIT
// rope on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/rope.inc.h"

wn_status wn__rope_avx2(const void *args, wn__exec *x) {
    return rope(args, x);
}
