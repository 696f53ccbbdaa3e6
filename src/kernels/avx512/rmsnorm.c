// SPDX-License-Identifier: MIT
// rmsnorm and its gradients on 512-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/rmsnorm.inc.h"

wn_status wn__rmsnorm_avx512(const void *args, wn__exec *x) {
    return rmsnorm(args, x);
}

wn_status wn__rmsnorm_grad_avx512(const void *args, wn__exec *x) {
    return rmsnorm_grad(args, x);
}
