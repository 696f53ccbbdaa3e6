// SPDX-License-Identifier: MIT
// stream_pack, 16 rows transposed at a time.
#include "kernels/declare.h"
#include "kernels/simd/stream_pack.inc.h"

wn_status wn__stream_pack_avx512(const void *args, wn__exec *x) {
    return stream_pack(args, x);
}
