// SPDX-License-Identifier: MIT
// adamw on 512-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/adamw.inc.h"

wn_status wn__adamw_avx512(const void *args, wn__exec *x) {
    return adamw(args, x);
}
