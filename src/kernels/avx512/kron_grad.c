// SPDX-License-Identifier: MIT
// kron_grad with 16 numbers of a factor in a register.
#include "kernels/declare.h"
#include "kernels/simd/kron_grad.inc.h"

wn_status wn__kron_grad_avx512(const void *args, wn__exec *x) {
    return kron_grad(args, x);
}
