// SPDX-License-Identifier: MIT
// kron_grad with 8 numbers of a factor in a register.
#include "kernels/declare.h"
#include "kernels/simd/kron_grad.inc.h"

wn_status wn__kron_grad_avx2(const void *args, wn__exec *x) {
    return kron_grad(args, x);
}
