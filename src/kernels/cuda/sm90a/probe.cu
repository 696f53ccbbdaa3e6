// SPDX-License-Identifier: MIT
// y[8,64] = x[8,64] W^T of one packed block with wgmma.mma_async.sp: tells whether the layout, its
// swizzle, the metadata and the processor agree. One warpgroup.
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/ptx.cuh"
#include <stdint.h>

// A matrix in shared memory: address, bytes from one group of eight rows to the next, swizzle (1:
// 128 bytes, 2: 64 bytes).
static __device__ __forceinline__ uint64_t matrix(uint32_t address, uint32_t rows8, uint64_t mode) {
    return (uint64_t)((address & 0x3FFFF) >> 4) | (uint64_t)1 << 16 | (uint64_t)(rows8 >> 4) << 32 |
           mode << 62;
}

#define STEP(d, a, b, e, selector)                                                                 \
    asm volatile("wgmma.mma_async.sp.sync.aligned.m64n8k32.f32.bf16.bf16 "                         \
                 "{%0, %1, %2, %3}, %4, %5, %6, %7, 1, 1, 1, 0, 0;"                                \
                 : "+f"((d)[0]), "+f"((d)[1]), "+f"((d)[2]), "+f"((d)[3])                          \
                 : "l"(a), "l"(b), "r"(e), "n"(selector))

extern "C" __global__ void __launch_bounds__(128)
    wn_probe(float *__restrict__ y, const uint8_t *__restrict__ block,
             const uint16_t *__restrict__ x) {
    __shared__ __align__(1024) uint8_t tokens[1024];
    __shared__ __align__(1024) uint8_t weights[WN_BLOCK24_BYTES];
    const int t = (int)threadIdx.x, lane = t & 31, g = lane >> 2, q = lane & 3;
    for (int i = t; i < WN_BLOCK24_BYTES / 16; i += 128)
        ((uint4 *)weights)[i] = ((const uint4 *)block)[i];
    if (t < 64) { // 16-byte chunk c of a token's 128 bytes goes to chunk c ^ token
        const int token = t >> 3, c = t & 7;
        ((uint4 *)tokens)[token * 8 + (c ^ token)] = ((const uint4 *)x)[t];
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    float d[4] = {0, 0, 0, 0};
    const uint32_t e = ((const uint32_t *)(weights + WN_BLOCK24_VALUES))[t];
    const uint32_t a = shared_address(weights), b = shared_address(tokens);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    STEP(d, matrix(a, 512, 2), matrix(b, 1024, 1), e, 0);
    STEP(d, matrix(a + 32, 512, 2), matrix(b + 64, 1024, 1), e, 1);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])::"memory");
    const int r = 16 * (t >> 5) + g;
    y[(2 * q) * 64 + r] = d[0];
    y[(2 * q + 1) * 64 + r] = d[1];
    y[(2 * q) * 64 + r + 8] = d[2];
    y[(2 * q + 1) * 64 + r + 8] = d[3];
}
