// SPDX-License-Identifier: MIT
// kron_pack for panels of 32 lanes.
#include "kernels/declare.h"
#include "kernels/simd/kron_pack.inc.h"

wn_status wn__kron_pack_avx512(const void *args, wn__exec *x) {
    const wn__kron_pack *p = args;
    const wn__kron_packing n = wn__kron_packing_of(p->w, p->count, p->lanes);
    memset(p->packed.data, 0, (size_t)(n.weights + n.places) * sizeof(float));
    kron_pack_all(p->w, p->count, &n, p->packed.data, x);
    return WN_OK;
}
