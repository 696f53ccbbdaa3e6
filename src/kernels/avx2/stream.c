// SPDX-License-Identifier: MIT
// stream with 16 registers of 32 bytes.
#include "kernels/declare.h"

#define STREAM_INTEGERS 1
#include "kernels/simd/stream.inc.h"

wn_status wn__stream_avx2(const void *args, wn__exec *x) {
    return stream(args, x);
}
