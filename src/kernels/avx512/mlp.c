// SPDX-License-Identifier: MIT
// swiglu, relu2 and their gradients on 512-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/mlp.inc.h"

wn_status wn__swiglu_avx512(const void *args, wn__exec *x) {
    return swiglu(args, x);
}

wn_status wn__swiglu_grad_avx512(const void *args, wn__exec *x) {
    return swiglu_grad(args, x);
}

wn_status wn__relu2_avx512(const void *args, wn__exec *x) {
    return relu2(args, x);
}

wn_status wn__relu2_grad_avx512(const void *args, wn__exec *x) {
    return relu2_grad(args, x);
}
