// SPDX-License-Identifier: MIT
// add and fill on 512-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/elementwise.inc.h"

wn_status wn__add_avx512(const void *args, wn__exec *x) {
    return add(args, x);
}

wn_status wn__fill_avx512(const void *args, wn__exec *x) {
    return fill(args, x);
}
