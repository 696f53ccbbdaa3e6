// SPDX-License-Identifier: MIT
// spmm24_rows of pairs of bfloat16 numbers: tiles of 64 columns of b.
#include "kernels/declare.h"
#include "kernels/simd/spmm24_rows.inc.h"

wn_status wn__spmm24_rows_avx512bf16(const void *args, wn__exec *x) {
    return spmm24_rows(args, x);
}
