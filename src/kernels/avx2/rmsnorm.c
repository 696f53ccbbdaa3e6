// SPDX-License-Identifier: MIT
// rmsnorm and its gradients on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/rmsnorm.inc.h"

wn_status wn__rmsnorm_avx2(const void *args, wn__exec *x) {
    return rmsnorm(args, x);
}

wn_status wn__rmsnorm_grad_avx2(const void *args, wn__exec *x) {
    return rmsnorm_grad(args, x);
}
