// SPDX-License-Identifier: MIT
// stream_unpack, 8 rows at a time.
#include "kernels/declare.h"
#include "kernels/simd/stream_unpack.inc.h"

wn_status wn__stream_unpack_avx2(const void *args, wn__exec *x) {
    return stream_unpack(args, x);
}
