// SPDX-License-Identifier: MIT
// adafactor on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/adafactor.inc.h"

wn_status wn__adafactor_avx2(const void *args, wn__exec *x) {
    return adafactor(args, x);
}
