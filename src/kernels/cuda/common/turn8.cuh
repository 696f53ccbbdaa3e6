// SPDX-License-Identifier: MIT
/* Eight by eight 16-bit numbers turned round in registers. */
#ifndef WN_KERNELS_CUDA_COMMON_TURN8_CUH
#define WN_KERNELS_CUDA_COMMON_TURN8_CUH

#include <stdint.h>

/* Number i of each of eight rows; i is known when compiled. */
static __device__ __forceinline__ uint4 column_of_8(const uint4 (&row)[8], int i) {
    uint32_t word[4];
#pragma unroll
    for (int h = 0; h < 4; h++) {
        const uint4 a = row[2 * h], b = row[2 * h + 1];
        const uint32_t u = i / 2 == 0 ? a.x : i / 2 == 1 ? a.y : i / 2 == 2 ? a.z : a.w;
        const uint32_t v = i / 2 == 0 ? b.x : i / 2 == 1 ? b.y : i / 2 == 2 ? b.z : b.w;
        word[h] = __byte_perm(u, v, i % 2 == 0 ? 0x5410 : 0x7632);
    }
    return make_uint4(word[0], word[1], word[2], word[3]);
}

#endif
