// SPDX-License-Identifier: MIT
// relu, relu_grad, column_zeros and tokens24 on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/act24.inc.h"

wn_status wn__relu_avx2(const void *args, wn__exec *x) {
    return relu(args, x);
}

wn_status wn__relu_grad_avx2(const void *args, wn__exec *x) {
    return relu_grad(args, x);
}

wn_status wn__column_zeros_avx2(const void *args, wn__exec *x) {
    return column_zeros(args, x);
}

wn_status wn__tokens24_avx2(const void *args, wn__exec *x) {
    return tokens24(args, x);
}
