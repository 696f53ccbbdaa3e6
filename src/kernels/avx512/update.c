// SPDX-License-Identifier: MIT
// axpby and adam_direction on 512-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/update.inc.h"

wn_status wn__axpby_avx512(const void *args, wn__exec *x) {
    return axpby(args, x);
}

wn_status wn__adam_direction_avx512(const void *args, wn__exec *x) {
    return adam_direction(args, x);
}
