// SPDX-License-Identifier: MIT
// kron_pair_grad in panels of 32 lanes.
#include "kernels/declare.h"
#include "kernels/simd/kron_pair.inc.h"

wn_status wn__kron_pair_grad_avx512(const void *args, wn__exec *x) {
    return kron_pair_grad(args, x);
}
