// SPDX-License-Identifier: MIT
// Normal numbers for data that are only timed: a mix of the index and the seed (splitmix64's
// steps), then Box and Muller. Not the random numbers of training, which are Philox's.
#include "kernels/cuda/args24.h"
#include <cuda_bf16.h>
#include <cuda_fp16.h>

static __device__ __forceinline__ float normal(uint64_t i, uint64_t seed) {
    uint64_t z = (i + 1) * 0x9E3779B97F4A7C15ull + seed;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    const float u = (float)((unsigned)(z >> 40) + 1) * 0x1p-24f;
    const float v = (float)(unsigned)(z & 0xFFFFFF) * 0x1p-24f;
    return sqrtf(-2 * logf(u)) * cospif(2 * v);
}

template <class T> static __device__ __forceinline__ T rounded(float f);
template <> __device__ __forceinline__ float rounded<float>(float f) {
    return f;
}
template <> __device__ __forceinline__ __half rounded<__half>(float f) {
    return __float2half_rn(f);
}
template <> __device__ __forceinline__ __nv_bfloat16 rounded<__nv_bfloat16>(float f) {
    return __float2bfloat16_rn(f);
}

template <class T> static __device__ __forceinline__ void fill(const wn__gpu_random_values &p) {
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < p.count; i += step)
        ((T *)p.to)[i] = rounded<T>((float)p.scale * normal((uint64_t)i, p.seed));
}

extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS)
    wn_random_f32(wn__gpu_random_values p) {
    fill<float>(p);
}
extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS)
    wn_random_f16(wn__gpu_random_values p) {
    fill<__half>(p);
}
extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS)
    wn_random_bf16(wn__gpu_random_values p) {
    fill<__nv_bfloat16>(p);
}
