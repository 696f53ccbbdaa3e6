// SPDX-License-Identifier: MIT
/* Elements as numbers and back, rounding once to nearest even as the host does. */
#ifndef WN_KERNELS_CUDA_COMMON_NUMBER_CUH
#define WN_KERNELS_CUDA_COMMON_NUMBER_CUH

#include "kernels/cuda/common/group24.cuh"

static __device__ __forceinline__ float number(f32, uint32_t b) {
    return __uint_as_float(b);
}
static __device__ __forceinline__ float number(bf16, uint16_t b) {
    return __uint_as_float((uint32_t)b << 16);
}
static __device__ __forceinline__ float number(f16, uint16_t b) {
    float f;
    asm("{.reg .f16 h; mov.b16 h, %1; cvt.f32.f16 %0, h;}" : "=f"(f) : "h"(b));
    return f;
}

static __device__ __forceinline__ uint32_t rounded(f32, float x) {
    return __float_as_uint(x);
}
static __device__ __forceinline__ uint16_t rounded(bf16, float x) {
    uint16_t b;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(b) : "f"(x));
    return b;
}
static __device__ __forceinline__ uint16_t rounded(f16, float x) {
    uint16_t b;
    asm("{.reg .f16 h; cvt.rn.f16.f32 h, %1; mov.b16 %0, h;}" : "=h"(b) : "f"(x));
    return b;
}

/* A number cut to a float's bits and made odd where something was cut: rounding it to a shorter
 * type is rounding the number itself. */
static __device__ __forceinline__ float odd(float cut, bool inexact) {
    return __uint_as_float(__float_as_uint(cut) | (inexact ? 1u : 0u));
}

static __device__ __forceinline__ uint32_t rounded(f32, double x) {
    return __float_as_uint(__double2float_rn(x));
}
template <class F> static __device__ __forceinline__ uint16_t rounded(F f, double x) {
    const float cut = __double2float_rz(x);
    return rounded(f, odd(cut, (double)cut != x && x == x));
}

/* scale x, rounded once. */
static __device__ __forceinline__ uint32_t product(f32, float scale, float x) {
    return __float_as_uint(__fmul_rn(scale, x));
}
template <class F> static __device__ __forceinline__ uint16_t product(F f, float scale, float x) {
    const float a = fabsf(scale), b = fabsf(x), cut = __fmul_rz(a, b);
    const float size = odd(cut, __fmaf_ru(a, b, -cut) > 0);
    const uint32_t sign = (__float_as_uint(scale) ^ __float_as_uint(x)) & 0x80000000u;
    return rounded(f, __uint_as_float(__float_as_uint(size) | sign));
}

#endif
