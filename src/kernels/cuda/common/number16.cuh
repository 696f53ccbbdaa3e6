// SPDX-License-Identifier: MIT
/* The two types of 16 bits: one number to float, two floats to a pair, rounded to nearest even. */
#ifndef WN_KERNELS_CUDA_COMMON_NUMBER16_CUH
#define WN_KERNELS_CUDA_COMMON_NUMBER16_CUH

#include <stdint.h>

struct type_bf16 {
    static __device__ __forceinline__ float wide(uint16_t h) {
        return __uint_as_float((uint32_t)h << 16);
    }
    static __device__ __forceinline__ uint32_t pair(float low, float high) {
        uint32_t r;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
        return r;
    }
};
struct type_f16 {
    static __device__ __forceinline__ float wide(uint16_t h) {
        float f;
        asm("{.reg .f16 t; mov.b16 t, %1; cvt.f32.f16 %0, t;}" : "=f"(f) : "h"(h));
        return f;
    }
    static __device__ __forceinline__ uint32_t pair(float low, float high) {
        uint32_t r;
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
        return r;
    }
};

#endif
