// SPDX-License-Identifier: MIT
// stream of floats with 32 registers of 64 bytes. Integers are left to 32 bytes.
#include "kernels/declare.h"
#include "kernels/simd/stream.inc.h"

wn_status wn__stream_avx512(const void *args, wn__exec *x) {
    return stream(args, x);
}
