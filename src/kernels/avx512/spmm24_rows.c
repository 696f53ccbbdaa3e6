// SPDX-License-Identifier: MIT
// spmm24_rows in tiles of 128 columns.
#include "kernels/declare.h"
#include "kernels/simd/spmm24_rows.inc.h"

wn_status wn__spmm24_rows_avx512(const void *args, wn__exec *x) {
    return spmm24_rows(args, x);
}
