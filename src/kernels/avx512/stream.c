// SPDX-License-Identifier: MIT
// stream of floats with 32 registers of 64 bytes.
#include "kernels/declare.h"

#define STREAM_FLOATS 1
#include "kernels/simd/stream.inc.h"

wn_status wn__stream_avx512(const void *args, wn__exec *x) {
    return stream(args, x);
}
