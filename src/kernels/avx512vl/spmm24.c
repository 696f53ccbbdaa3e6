// SPDX-License-Identifier: MIT
// spmm24 with 32 registers of 32 bytes: tiles of 64 lanes, outputs two at a time.
#include "kernels/declare.h"
#include "kernels/simd/spmm24.inc.h"

wn_status wn__spmm24_avx512vl(const void *args, wn__exec *x) {
    return spmm24(args, x);
}
