// SPDX-License-Identifier: MIT
// kron_mul in panels of 32 lanes.
#include "kernels/declare.h"
#include "kernels/simd/kron_mul.inc.h"

wn_status wn__kron_mul_avx512(const void *args, wn__exec *x) {
    return kron_mul(args, x);
}
