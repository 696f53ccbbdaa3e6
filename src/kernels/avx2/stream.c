// SPDX-License-Identifier: MIT
// stream with 16 registers of 32 bytes.
#include "kernels/declare.h"

#define STREAM_FLOATS   1
#define STREAM_TOKENS   1
#define STREAM_INTEGERS "kernels/simd/stream_int.inc.h"
#include "kernels/simd/stream.inc.h"

wn_status wn__stream_avx2(const void *args, wn__exec *x) {
    return stream(args, x);
}
