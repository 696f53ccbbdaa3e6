// SPDX-License-Identifier: MIT
// attention on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/attention.inc.h"

wn_status wn__attention_avx2(const void *args, wn__exec *x) {
    return attention(args, x);
}
