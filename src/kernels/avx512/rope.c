// SPDX-License-Identifier: MIT
// rope on 512-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/rope.inc.h"

wn_status wn__rope_avx512(const void *args, wn__exec *x) {
    return rope(args, x);
}
