// SPDX-License-Identifier: MIT
// round16, round8 and rescale on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/numeric.inc.h"

wn_status wn__round16_avx2(const void *args, wn__exec *x) {
    return round16(args, x);
}

wn_status wn__round8_avx2(const void *args, wn__exec *x) {
    return round8(args, x);
}

wn_status wn__rescale_avx2(const void *args, wn__exec *x) {
    return rescale(args, x);
}
