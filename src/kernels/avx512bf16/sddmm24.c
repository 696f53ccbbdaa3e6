// SPDX-License-Identifier: MIT
// sddmm24 of pairs of tokens.
#include "kernels/declare.h"
#include "kernels/simd/sddmm24.inc.h"

wn_status wn__sddmm24_avx512bf16(const void *args, wn__exec *x) {
    return sddmm24(args, x);
}
