// SPDX-License-Identifier: MIT
// spmm24_columns of pairs of bfloat16 numbers: tiles of 64 tokens.
#include "kernels/declare.h"
#include "kernels/simd/pair_columns.inc.h"

wn_status wn__spmm24_columns_avx512bf16(const void *args, wn__exec *x) {
    return spmm24_columns(args, x);
}
