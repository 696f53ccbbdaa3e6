// SPDX-License-Identifier: MIT
// stream of integers with 32 registers of 64 bytes and dot products of bytes.
#include "kernels/declare.h"

#define STREAM_INTEGERS "kernels/simd/stream_vnni.inc.h"
#include "kernels/simd/stream.inc.h"

wn_status wn__stream_avx512vnni(const void *args, wn__exec *x) {
    return stream(args, x);
}
