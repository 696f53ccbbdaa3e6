// SPDX-License-Identifier: MIT
// What an update of a fit does besides its products: rows of a table, the squared error and its
// gradient, norms of gradients, the optimizer's step. All of it at the speed of memory, sums in an
// order that sizes alone decide.
#include "kernels/cuda/args_fit.h"
#include "kernels/cuda/common/number.cuh"

// ---- embed

template <class T> static __device__ __forceinline__ void embed(const wn__gpu_embed &p) {
    const int64_t unit = (int64_t)blockIdx.x * WN_FIT_THREADS + threadIdx.x;
    for (int64_t i = blockIdx.y; i < p.n; i += gridDim.y) {
        const int64_t row = p.token[i];
        if (row < 0 || row >= p.rows) {
            if (unit == 0) leave(p.fault, p.number);
        } else if (unit < p.units) {
            ((T *)p.out)[i * p.units + unit] = ((const T *)p.table)[row * p.units + unit];
        }
    }
}
#define EMBED(bytes, T)                                                                            \
    extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)                                   \
        wn_embed_##bytes(const wn__gpu_embed p) {                                                  \
        embed<T>(p);                                                                               \
    }
EMBED(16, uint4)
EMBED(8, uint2)
EMBED(4, uint32_t)
EMBED(2, uint16_t)

// ---- squared_error

// The sum over a warp, the same on every lane, added by pairs.
static __device__ __forceinline__ double sum_of_warp(double v) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2)
        v += __shfl_xor_sync(0xFFFFFFFFu, v, d);
    return v;
}
// Over a block of WN_FIT_THREADS, on its first thread.
static __device__ __forceinline__ double sum_of_block(double v) {
    __shared__ double warps[WN_FIT_THREADS / 32];
    v = sum_of_warp(v);
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = v;
    __syncthreads();
    double sum = 0;
    for (int w = 0; threadIdx.x == 0 && w < WN_FIT_THREADS / 32; w++)
        sum += warps[w];
    return sum;
}

template <class F>
static __device__ __forceinline__ float error_at(const wn__gpu_squared_error &p, typename F::bits y,
                                                 float bias, float target) {
    return number(F(), y) + bias - target;
}

// Eight numbers, at a multiple of 16 bytes.
static __device__ __forceinline__ void read8(const uint16_t *from, uint16_t (&to)[8]) {
    const uint4 in = *(const uint4 *)from;
#pragma unroll
    for (int j = 0; j < 8; j++)
        to[j] = (uint16_t)(at(in, j / 2) >> 16 * (j % 2));
}
static __device__ __forceinline__ void read8(const uint32_t *from, uint32_t (&to)[8]) {
    split(*(const uint4 *)from, to);
    split(*((const uint4 *)from + 1), to + 4);
}
static __device__ __forceinline__ void write8(uint16_t *to, const uint16_t (&v)[8]) {
    *(uint4 *)to = make_uint4(v[0] | (uint32_t)v[1] << 16, v[2] | (uint32_t)v[3] << 16,
                              v[4] | (uint32_t)v[5] << 16, v[6] | (uint32_t)v[7] << 16);
}
static __device__ __forceinline__ void write8(uint32_t *to, const uint32_t (&v)[8]) {
    *(uint4 *)to = join(v);
    *((uint4 *)to + 1) = join(v + 4);
}

// Eight columns of one row: e into sums, its gradient out. The same bits wherever they lie.
template <class F>
static __device__ __forceinline__ void error_row(const wn__gpu_squared_error &p, int row,
                                                 int column, int left, const float *bias,
                                                 float *sum, double *square) {
    typedef typename F::bits bits;
    const bits *y = (const bits *)p.y + row * p.y_row + column;
    const float *target = p.target + row * p.target_row + column;
    bits *gradient = p.gradient ? (bits *)p.gradient + row * p.gradient_row + column : NULL;
    if (p.wide) {
        bits in[8], out[8];
        read8(y, in);
        const float4 low = __ldcs((const float4 *)target),
                     high = __ldcs((const float4 *)target + 1);
        const float want[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        float some = 0;
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const float e = error_at<F>(p, in[j], bias[j], want[j]);
            sum[j] += e;
            some = __fmaf_rn(e, e, some);
            out[j] = rounded(F(), p.gradient_scale * e);
        }
        *square += some;
        if (gradient) write8(gradient, out);
        return;
    }
    float some = 0;
#pragma unroll
    for (int j = 0; j < 8; j++)
        if (j < left) {
            const float e = error_at<F>(p, y[j], bias[j], target[j]);
            sum[j] += e;
            some = __fmaf_rn(e, e, some);
            if (gradient) gradient[j] = rounded(F(), p.gradient_scale * e);
        }
    *square += some;
}

template <class F>
static __device__ __forceinline__ void squared_error(const wn__gpu_squared_error &p) {
    enum { WARPS = WN_FIT_THREADS / 32 };
    __shared__ float columns[WARPS][WN_FIT_STRIP];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int column = blockIdx.x * WN_FIT_STRIP + 8 * lane, left = p.m - column;
    const int first = blockIdx.y * p.each, end = min(first + p.each, p.n);
    float bias[8], sum[8] = {0};
    double square = 0;
#pragma unroll
    for (int j = 0; j < 8; j++)
        bias[j] = p.bias && j < left ? p.bias_scale * p.bias[column + j] : 0;
    for (int row = first + warp; left > 0 && row < end; row += WARPS)
        error_row<F>(p, row, column, left, bias, sum, &square);
#pragma unroll
    for (int j = 0; j < 8; j++)
        columns[warp][8 * lane + j] = sum[j];
    const double all = sum_of_block(square); // and every thread has left its columns
    if (threadIdx.x == 0) p.squares[blockIdx.y * p.strips + blockIdx.x] = all;
    const int c = blockIdx.x * WN_FIT_STRIP + threadIdx.x;
    if (!p.columns || c >= p.m) return;
    float total = 0;
    for (int w = 0; w < WARPS; w++)
        total += columns[w][threadIdx.x];
    p.columns[(int64_t)blockIdx.y * p.m + c] = total;
}
extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_squared_error_bf16(const wn__gpu_squared_error p) {
    squared_error<bf16>(p);
}
extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_squared_error_f16(const wn__gpu_squared_error p) {
    squared_error<f16>(p);
}
extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_squared_error_f32(const wn__gpu_squared_error p) {
    squared_error<f32>(p);
}

// The first block adds squares, the others columns.
static __device__ __forceinline__ void add_up(const wn__gpu_squared_error &p) {
    if (blockIdx.x == 0) {
        double some = 0;
        for (int i = threadIdx.x; i < p.parts * p.strips; i += WN_FIT_THREADS)
            some += p.squares[i];
        const double all = sum_of_block(some);
        if (threadIdx.x == 0) *p.sum = p.sum_scale * all + (p.accumulate ? *p.sum : 0);
        return;
    }
    const int c = (blockIdx.x - 1) * WN_FIT_THREADS + threadIdx.x;
    if (c >= p.m) return;
    float total = 0;
    for (int part = 0; part < p.parts; part++)
        total += p.columns[(int64_t)part * p.m + c];
    p.dbias[c] = p.dbias_scale * total;
}
extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_squared_error_sum_bf16(const wn__gpu_squared_error p) {
    add_up(p);
}
extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_squared_error_sum_f16(const wn__gpu_squared_error p) {
    add_up(p);
}
extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_squared_error_sum_f32(const wn__gpu_squared_error p) {
    add_up(p);
}

// ---- gradient_norms

extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_gradient_norms(const wn__gpu_gradient_norms p) {
    int part = 0;
    while ((int)blockIdx.x >= p.first[part + 1])
        part++;
    const int64_t begin =
        (part ? p.end[part - 1] : 0) + (int64_t)((int)blockIdx.x - p.first[part]) * WN_FIT_CHUNK;
    const int64_t left = p.end[part] - begin;
    const int n = left < WN_FIT_CHUNK ? (int)left : WN_FIT_CHUNK;
    const float *g = p.g + begin;
    double some = 0;
#pragma unroll 4
    for (int i = threadIdx.x; i < n; i += WN_FIT_THREADS) {
        const double v = p.scale * (double)g[i];
        some += v * v;
    }
    const double all = sum_of_block(some);
    if (threadIdx.x == 0) p.squares[blockIdx.x] = all;
}

extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_gradient_norms_sum(const wn__gpu_gradient_norms p) {
    __shared__ double square[WN_FIT_PARTS_MOST];
    for (int part = threadIdx.x / 32; part < p.parts; part += WN_FIT_THREADS / 32) {
        double some = 0;
        for (int i = p.first[part] + threadIdx.x % 32; i < p.first[part + 1]; i += 32)
            some += p.squares[i];
        some = sum_of_warp(some);
        if (threadIdx.x % 32 == 0) square[part] = some;
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    double others = 0;
    for (int part = 0; part < p.parts; part++) {
        if (part) others += square[part];
        p.sums[part] += sqrt(square[part]);
    }
    p.sums[p.parts] += sqrt(others);
    const double norm = sqrt(square[0] + others);
    *p.factor = p.most > 0 && norm > p.most ? p.scale * (p.most / (norm + 1e-6)) : p.scale;
}

// ---- fit_update

enum { ADAMW, ADAM, SGD };

static __device__ __forceinline__ void keep(f32, const wn__gpu_fit_update &p, int64_t i, float w) {}
template <class F>
static __device__ __forceinline__ void keep(F f, const wn__gpu_fit_update &p, int64_t i, float w) {
    p.rounded[i] = rounded(f, w);
}

template <class F> static __device__ __forceinline__ void fit_update(const wn__gpu_fit_update &p) {
    const float lr = (float)p.step[0], rate = (float)p.step[1], root = (float)(1 / p.step[2]);
    const float factor = (float)*p.factor, kept = (float)(1 - p.step[0] * p.decay);
    const float decay = (float)p.decay, eps = (float)p.eps;
    const float beta1 = (float)p.beta1, rest1 = (float)(1 - p.beta1);
    const float beta2 = (float)p.beta2, rest2 = (float)(1 - p.beta2);
    const int64_t step = (int64_t)gridDim.x * WN_FIT_THREADS;
    for (int64_t i = (int64_t)blockIdx.x * WN_FIT_THREADS + threadIdx.x; i < p.count; i += step) {
        float w = p.w[i], g = factor * p.g[i], m = p.m[i];
        if (p.rule == ADAMW)
            w *= kept;
        else
            g += decay * w;
        if (p.rule == SGD) {
            m = beta1 * m + g;
            w -= lr * m;
        } else {
            const float v = beta2 * p.v[i] + rest2 * g * g;
            m = beta1 * m + rest1 * g;
            w -= rate * m / (sqrtf(v) * root + eps);
            p.v[i] = v;
        }
        p.m[i] = m;
        p.w[i] = w;
        keep(F(), p, i, w);
    }
}
extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_fit_update_bf16(const wn__gpu_fit_update p) {
    fit_update<bf16>(p);
}
extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_fit_update_f16(const wn__gpu_fit_update p) {
    fit_update<f16>(p);
}
extern "C" __global__ void __launch_bounds__(WN_FIT_THREADS)
    wn_fit_update_f32(const wn__gpu_fit_update p) {
    fit_update<f32>(p);
}
