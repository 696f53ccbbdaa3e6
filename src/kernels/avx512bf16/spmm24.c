// SPDX-License-Identifier: MIT
// spmm24 of pairs of bfloat16 numbers: tiles of 64 tokens.
#include "kernels/declare.h"
#include "kernels/simd/spmm24.inc.h"

wn_status wn__spmm24_avx512bf16(const void *args, wn__exec *x) {
    return spmm24(args, x);
}
