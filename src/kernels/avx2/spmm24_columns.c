// SPDX-License-Identifier: MIT
// spmm24_columns in tiles of 64 tokens.
#include "kernels/declare.h"
#include "kernels/simd/spmm24_columns.inc.h"

wn_status wn__spmm24_columns_avx2(const void *args, wn__exec *x) {
    return spmm24_columns(args, x);
}
