// SPDX-License-Identifier: MIT
// matmul on 512-bit vectors: tiles of 14 x 32.
#include "kernels/declare.h"
#include "kernels/simd/matmul.inc.h"

wn_status wn__matmul_avx512(const void *args, wn__exec *x) {
    return matmul(args, x);
}
