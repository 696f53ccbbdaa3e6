// SPDX-License-Identifier: MIT
// matmul on 256-bit vectors: tiles of 6 x 16.
#include "kernels/declare.h"
#include "kernels/simd/matmul.inc.h"

wn_status wn__matmul_avx2(const void *args, wn__exec *x) {
    return matmul(args, x);
}
