// SPDX-License-Identifier: MIT
// attention_grad on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/attention_grad.inc.h"

wn_status wn__attention_grad_avx2(const void *args, wn__exec *x) {
    return attention_grad(args, x);
}
