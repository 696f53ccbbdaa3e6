// SPDX-License-Identifier: MIT
// kron_pack for panels of 16 lanes.
#include "kernels/declare.h"
#include "kernels/simd/kron_pack.inc.h"

wn_status wn__kron_pack_avx2(const void *args, wn__exec *x) {
    return kron_pack(args, x);
}
