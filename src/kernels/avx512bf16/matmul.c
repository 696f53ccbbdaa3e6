// SPDX-License-Identifier: MIT
// matmul on pairs of bfloat16 numbers: tiles of 14 x 32.
#include "kernels/declare.h"
#include "kernels/simd/matmul.inc.h"

wn_status wn__matmul_avx512bf16(const void *args, wn__exec *x) {
    return matmul(args, x);
}
