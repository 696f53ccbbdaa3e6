// SPDX-License-Identifier: MIT
// sddmm24 in slices of 32 columns.
#include "kernels/declare.h"
#include "kernels/simd/sddmm24.inc.h"

wn_status wn__sddmm24_avx512(const void *args, wn__exec *x) {
    return sddmm24(args, x);
}

// As on a processor of the other kind, so that each one checks both cuts; few tokens too.
wn_status wn__sddmm24_avx512_cut(const void *args, wn__exec *x) {
    return sddmm24_by(args, wn__sddmm24_vectors64(true), x);
}
