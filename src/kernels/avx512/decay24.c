// SPDX-License-Identifier: MIT
// decay24, 16 entries at once.
#include "kernels/declare.h"
#include "kernels/simd/decay24.inc.h"

wn_status wn__decay24_avx512(const void *args, wn__exec *x) {
    return decay24(args, x);
}
