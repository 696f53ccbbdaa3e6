// SPDX-License-Identifier: MIT
// spmm24_columns with 32 registers of 32 bytes: tiles of 64 lanes, outputs two at a time.
#include "kernels/declare.h"
#include "kernels/simd/spmm24_columns.inc.h"

wn_status wn__spmm24_columns_avx512vl(const void *args, wn__exec *x) {
    return spmm24_columns(args, x);
}
