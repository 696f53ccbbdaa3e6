// SPDX-License-Identifier: MIT
// soft24 and its products, 16 groups at once, and apply24.
#include "kernels/declare.h"
#include "kernels/simd/soft24.inc.h"

wn_status wn__soft24_avx512(const void *args, wn__exec *x) {
    return soft24(args, x);
}

wn_status wn__soft24_dots_avx512(const void *args, wn__exec *x) {
    return soft24_dots(args, x);
}

wn_status wn__apply24_avx512(const void *args, wn__exec *x) {
    return apply24(args, x);
}
