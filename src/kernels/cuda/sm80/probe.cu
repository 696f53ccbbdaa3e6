// SPDX-License-Identifier: MIT
// y[8,64] = x[8,64] W^T of one packed block with mma.sp: tells whether the layout, the metadata and
// the processor agree. One warp.
#include "kernels/cuda/block24.h"
#include <stdint.h>

static __device__ __forceinline__ uint32_t pair(const uint8_t *block, int r, int c) {
    return *(const uint32_t *)(block + WN_BLOCK24_VALUE(r, c));
}

// x's element pair (k, k+1) of a token.
static __device__ __forceinline__ uint32_t token_pair(const uint16_t *x, int token, int k) {
    return *(const uint32_t *)(x + token * WN_BLOCK24_COLUMNS + k);
}

#define STEP(d, a, b, e, selector)                                                                 \
    asm volatile("mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32 "       \
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9, %10, %11}, {%0, %1, %2, %3}, %12, " \
                 "%13;"                                                                            \
                 : "+f"((d)[0]), "+f"((d)[1]), "+f"((d)[2]), "+f"((d)[3])                          \
                 : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"((b)[0]), "r"((b)[1]),   \
                   "r"((b)[2]), "r"((b)[3]), "r"(e), "n"(selector))

extern "C" __global__ void __launch_bounds__(32)
    wn_probe(float *__restrict__ y, const uint8_t *__restrict__ block,
             const uint16_t *__restrict__ x) {
    const int g = (int)threadIdx.x >> 2, q = (int)threadIdx.x & 3;
    const uint32_t *words = (const uint32_t *)(block + WN_BLOCK24_VALUES);
    for (int w = 0; w < 4; w++) {
        float d[4] = {0, 0, 0, 0};
        const int r = 16 * w + g;
        const uint32_t e = words[32 * w + (int)threadIdx.x];
#pragma unroll
        for (int s = 0; s < 2; s++) {
            uint32_t a[4], b[4];
            a[0] = pair(block, r, 16 * s + 2 * q);
            a[1] = pair(block, r + 8, 16 * s + 2 * q);
            a[2] = pair(block, r, 16 * s + 2 * q + 8);
            a[3] = pair(block, r + 8, 16 * s + 2 * q + 8);
#pragma unroll
            for (int j = 0; j < 4; j++)
                b[j] = token_pair(x, g, 32 * s + 2 * q + 8 * j);
            if (s == 0)
                STEP(d, a, b, e, 0);
            else
                STEP(d, a, b, e, 1);
        }
        y[(2 * q) * 64 + r] = d[0];
        y[(2 * q + 1) * 64 + r] = d[1];
        y[(2 * q) * 64 + r + 8] = d[2];
        y[(2 * q + 1) * 64 + r + 8] = d[3];
    }
}
