// SPDX-License-Identifier: MIT
/* The words of base/philox.h: index = counter << 32 | word / 4. */
#ifndef WN_KERNELS_CUDA_COMMON_PHILOX_CUH
#define WN_KERNELS_CUDA_COMMON_PHILOX_CUH

#include "kernels/cuda/args24.h"

static __device__ __forceinline__ void philox_draw(const wn__gpu_draws &p, uint32_t index,
                                                   uint32_t out[4]) {
    uint32_t x0 = index, x1 = p.counter, x2 = (uint32_t)p.stream, x3 = (uint32_t)(p.stream >> 32);
    uint32_t ka = (uint32_t)p.seed, kb = (uint32_t)(p.seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * x0, b = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ ka;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ kb;
        x1 = (uint32_t)b;
        x3 = (uint32_t)a;
        ka += 0x9E3779B9u;
        kb += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

/* N words from number `first` on: 2, 4 or 8. */
template <int N>
static __device__ __forceinline__ void philox_words(const wn__gpu_draws &p, uint64_t first,
                                                    uint32_t out[N]) {
    enum { DRAWS = (N + 3) / 4 };
    uint32_t word[4 * DRAWS + 4] = {0};
    const uint32_t index = (uint32_t)(first >> 2);
    const int skip = (int)first & 3;
#pragma unroll
    for (int i = 0; i < (int)DRAWS; i++)
        philox_draw(p, index + (uint32_t)i, word + 4 * i);
    if (skip > (int)(4 * DRAWS) - N) philox_draw(p, index + DRAWS, word + 4 * DRAWS);
#pragma unroll
    for (int i = 0; i < N; i++)
        out[i] = skip == 0   ? word[i]
                 : skip == 1 ? word[i + 1]
                 : skip == 2 ? word[i + 2]
                             : word[i + 3];
}

#endif
