// SPDX-License-Identifier: MIT
// What is done to factors alone: neighbours multiplied, and gradients from that of the dense
// weight.
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/number16.cuh"

static __device__ __forceinline__ int64_t at4(const int64_t (&stride)[4], int64_t i, int64_t j,
                                              int64_t k, int64_t l) {
    return i * stride[0] + j * stride[1] + k * stride[2] + l * stride[3];
}

// Number (row, column) of the product: the sum over what a row of left takes and right's column
// gives.
template <class T> static __device__ __forceinline__ void merge(const wn__gpu_kron_merge &p) {
    const int b = p.size[2][1], c = p.size[2][2], d = p.size[2][3];
    const int b1 = p.size[0][1], c1 = p.size[0][2], d1 = p.size[0][3];
    const int b2 = p.size[1][1], c2 = p.size[1][2], d2 = p.size[1][3];
    const int64_t all = (int64_t)p.size[2][0] * b * c * d;
    for (int64_t at = (int64_t)blockIdx.x * WN_KRON_WEIGHTS_THREADS + threadIdx.x; at < all;
         at += (int64_t)gridDim.x * WN_KRON_WEIGHTS_THREADS) {
        const int k = (int)(at % c), j = (int)(at / c % b);
        const int l = (int)(at / ((int64_t)b * c) % d), i = (int)(at / ((int64_t)b * c * d));
        const int row = (i * b + j) * d + l, column = (i * c + k) * d + l;
        const int l1 = row % d1, j1 = row / d1 % b1, i1 = row / d1 / b1;
        const int l2 = column % d2, k2 = column / d2 % c2, i2 = column / d2 / c2;
        float sum = 0;
        for (int k1 = 0; k1 < c1; k1++) {
            const int between = (i1 * c1 + k1) * d1 + l1;
            if (between % d2 != l2 || between / d2 / b2 != i2) continue;
            sum += T::wide(p.left[at4(p.left_stride, i1, j1, k1, l1)]) *
                   T::wide(p.right[at4(p.right_stride, i2, between / d2 % b2, k2, l2)]);
        }
        p.to[at] = (uint16_t)T::pair(sum, 0);
    }
}

// Factors of 16 bits, or float32.
struct type_f32 {};
template <class T> static __device__ __forceinline__ float read(T, const void *w, int64_t at) {
    return T::wide(((const uint16_t *)w)[at]);
}
static __device__ __forceinline__ float read(type_f32, const void *w, int64_t at) {
    return ((const float *)w)[at];
}

static __device__ __forceinline__ void write_float(const wn__gpu_kron_dense &p, void *dw,
                                                   int64_t at, float v) {
    float *to = (float *)dw + at;
    *to = v + (p.accumulate != 0 ? *to : 0);
}
template <class T>
static __device__ __forceinline__ void write(T, const wn__gpu_kron_dense &p, void *dw, int64_t at,
                                             float v) {
    if (p.f32 != 0) {
        write_float(p, dw, at, v);
    } else {
        uint16_t *to = (uint16_t *)dw + at;
        *to = (uint16_t)T::pair(v + (p.accumulate != 0 ? T::wide(*to) : 0), 0);
    }
}
static __device__ __forceinline__ void write(type_f32, const wn__gpu_kron_dense &p, void *dw,
                                             int64_t at, float v) {
    write_float(p, dw, at, v);
}

// A block of threads has the block [b, c] of s and t, and eight of r at a time: one warp makes dw1,
// the other dw0, each thread four of r in four places.
template <class T> static __device__ __forceinline__ void dense(const wn__gpu_kron_dense &p) {
    enum { SIDE = WN_KRON_DENSE_SIDE, AT_ONCE = 8 };
    __shared__ float g[SIDE][SIDE + 1];
    __shared__ __align__(16) float w0[SIDE][AT_ONCE], w1[SIDE][AT_ONCE]; // by k, by j
    const int thread = (int)threadIdx.x, t = (int)blockIdx.x % p.t, s = (int)blockIdx.x / p.t;
    const int64_t width = (int64_t)p.s * p.c;
#pragma unroll 16
    for (int i = 0; i < SIDE * SIDE / WN_KRON_DENSE_THREADS; i++) {
        const int j = i * (WN_KRON_DENSE_THREADS / SIDE) + thread / SIDE, k = thread % SIDE;
        g[j][k] =
            j < p.b && k < p.c ? p.dense[((int64_t)j * p.t + t) * width + (int64_t)s * p.c + k] : 0;
    }
    for (int first = 0; first < p.r; first += AT_ONCE) {
        __syncthreads();
        for (int i = thread; i < SIDE * AT_ONCE; i += WN_KRON_DENSE_THREADS) {
            const int k = i % SIDE, r = first + i / SIDE;
            w0[k][i / SIDE] = r < p.r && k < p.c
                                  ? read(T(), p.w0, at4(p.w0_stride, s, (int64_t)r * p.t + t, k, 0))
                                  : 0;
            w1[k][i / SIDE] = r < p.r && k < p.b
                                  ? read(T(), p.w1, at4(p.w1_stride, 0, k, (int64_t)s * p.r + r, t))
                                  : 0;
        }
        __syncthreads();
        const int mine = thread % 16, four = thread / 16 % 2 * 4;
        const bool second = thread < 32;
        const float(*w)[AT_ONCE] = second ? w0 : w1;
        float sum[4][4] = {};
#pragma unroll 8
        for (int k = 0; k < SIDE; k++) {
            const float4 v = *(const float4 *)&w[k][four];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float u = second ? g[mine + 16 * i][k] : g[k][mine + 16 * i];
                sum[i][0] += u * v.x, sum[i][1] += u * v.y;
                sum[i][2] += u * v.z, sum[i][3] += u * v.w;
            }
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int64_t r = first + four + e, at = mine + 16 * i;
                if (r >= p.r || at >= (second ? p.b : p.c)) continue;
                if (second)
                    write(T(), p, p.dw1, at4(p.dw1_stride, 0, at, s * (int64_t)p.r + r, t),
                          sum[i][e]);
                else
                    write(T(), p, p.dw0, at4(p.dw0_stride, s, r * p.t + t, at, 0), sum[i][e]);
            }
    }
}

#define KERNELS(type)                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_WEIGHTS_THREADS)                          \
        wn_kron_merge_##type(const __grid_constant__ wn__gpu_kron_merge p) {                       \
        merge<type_##type>(p);                                                                     \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_DENSE_THREADS)                            \
        wn_kron_dense_##type(const __grid_constant__ wn__gpu_kron_dense p) {                       \
        dense<type_##type>(p);                                                                     \
    }
KERNELS(bf16)
KERNELS(f16)

extern "C" __global__ void __launch_bounds__(WN_KRON_DENSE_THREADS)
    wn_kron_dense_f32(const __grid_constant__ wn__gpu_kron_dense p) {
    dense<type_f32>(p);
}
