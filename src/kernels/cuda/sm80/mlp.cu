// SPDX-License-Identifier: MIT
// relu^2 and its gradient: 16 bytes a thread where everything begins at multiples of them.
#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/number.cuh"

// max(x, 0), NaN for NaN.
static __device__ __forceinline__ float positive(float x) {
    return x <= 0 ? 0 : x;
}

template <class F, bool GRADIENT>
static __device__ __forceinline__ typename F::bits one(typename F::bits x, typename F::bits dy) {
    const float v = positive(number(F(), x));
    return rounded(F(), GRADIENT ? 2 * v * number(F(), dy) : v * v);
}

template <class F, bool GRADIENT>
static __device__ __forceinline__ void relu2(const wn__gpu_relu2 &p) {
    typedef typename F::bits T;
    enum { N = 16 / sizeof(T) };
    const int64_t first = ((int64_t)blockIdx.x * WN_GPU_THREADS + threadIdx.x) * N;
    const T *x = (const T *)p.x + first, *dy = (const T *)p.dy + (GRADIENT ? first : 0);
    T *y = (T *)p.y + first;
    const int64_t left = p.count - first;
    if (left <= 0) return;
    if (left >= (int)N && aligned(x, 16) && aligned(y, 16) && (!GRADIENT || aligned(dy, 16))) {
        const uint4 a = *(const uint4 *)x, b = GRADIENT ? *(const uint4 *)dy : a;
        uint4 out;
#pragma unroll
        for (int i = 0; i < (int)N; i++)
            ((T *)&out)[i] = one<F, GRADIENT>(((const T *)&a)[i], ((const T *)&b)[i]);
        *(uint4 *)y = out;
        return;
    }
    for (int i = 0; i < (int)N && i < left; i++)
        y[i] = one<F, GRADIENT>(x[i], GRADIENT ? dy[i] : x[i]);
}

#define ENTRY(name, F, gradient)                                                                   \
    extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) name(const wn__gpu_relu2 p) {     \
        relu2<F, gradient>(p);                                                                     \
    }
ENTRY(wn_relu2_f32, f32, false)
ENTRY(wn_relu2_bf16, bf16, false)
ENTRY(wn_relu2_f16, f16, false)
ENTRY(wn_relu2_grad_f32, f32, true)
ENTRY(wn_relu2_grad_bf16, bf16, true)
ENTRY(wn_relu2_grad_f16, f16, true)
