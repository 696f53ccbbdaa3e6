// SPDX-License-Identifier: MIT
// axpby and adam_direction on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/update.inc.h"

wn_status wn__axpby_avx2(const void *args, wn__exec *x) {
    return axpby(args, x);
}

wn_status wn__adam_direction_avx2(const void *args, wn__exec *x) {
    return adam_direction(args, x);
}
