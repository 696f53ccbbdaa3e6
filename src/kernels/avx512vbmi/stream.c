// SPDX-License-Identifier: MIT
// stream of INT4 2:4 with permutations across registers of 64 bytes and products of bits.
#include "kernels/declare.h"

#define STREAM_INTEGERS "kernels/simd/stream_vnni.inc.h"
#define STREAM_QUADS
#include "kernels/simd/stream.inc.h"

wn_status wn__stream_avx512vbmi(const void *args, wn__exec *x) {
    return stream(args, x);
}
