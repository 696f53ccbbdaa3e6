// SPDX-License-Identifier: MIT
// spmm24_rows with 32 registers of 32 bytes: tiles of 64 lanes, outputs two at a time.
#include "kernels/declare.h"
#include "kernels/simd/spmm24_rows.inc.h"

wn_status wn__spmm24_rows_avx512vl(const void *args, wn__exec *x) {
    return spmm24_rows(args, x);
}
