// SPDX-License-Identifier: MIT
/* The words of base/philox.h: index = counter << 32 | word / 4. */
#ifndef WN_KERNELS_CUDA_COMMON_PHILOX_CUH
#define WN_KERNELS_CUDA_COMMON_PHILOX_CUH

#include "kernels/cuda/args24.h"

/* a b in two halves: as a product of 64-bit numbers it would take an addition more. */
static __device__ __forceinline__ void multiply_wide(uint32_t a, uint32_t b, uint32_t *low,
                                                     uint32_t *high) {
    asm("{\n\t.reg .b64 whole;\n\tmul.wide.u32 whole, %2, %3;\n\tmov.b64 {%0, %1}, whole;\n\t}"
        : "=r"(*low), "=r"(*high)
        : "r"(a), "r"(b));
}

static __device__ __forceinline__ void philox_draw(const wn__gpu_draws &p, uint32_t index,
                                                   uint32_t out[4]) {
    uint32_t x0 = index, x1 = p.counter, x2 = (uint32_t)p.stream, x3 = (uint32_t)(p.stream >> 32);
    uint32_t ka = (uint32_t)p.seed, kb = (uint32_t)(p.seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        uint32_t a, b, upper_a, upper_b;
        multiply_wide(0xD2511F53u, x0, &a, &upper_a);
        multiply_wide(0xCD9E8D57u, x2, &b, &upper_b);
        x0 = upper_b ^ x1 ^ ka;
        x2 = upper_a ^ x3 ^ kb;
        x1 = b;
        x3 = a;
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
