// SPDX-License-Identifier: MIT
// spmm24 with 16 registers: tiles of 64 tokens.
#include "kernels/declare.h"
#include "kernels/simd/spmm24.inc.h"

wn_status wn__spmm24_avx2(const void *args, wn__exec *x) {
    return spmm24(args, x);
}
