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

static __device__ __forceinline__ void read4(float (&to)[4], const float *from) {
    const float4 v = *(const float4 *)from;
    to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}
static __device__ __forceinline__ void write4(float *to, const float (&v)[4]) {
    *(float4 *)to = make_float4(v[0], v[1], v[2], v[3]);
}

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
    const bool wide = (uintptr_t)g % 16 == 0; // the same sums either way
    double some = 0;
#pragma unroll 4
    for (int i = 4 * threadIdx.x; i < n; i += 4 * WN_FIT_THREADS) {
        float x[4] = {};
        if (wide && i + 4 <= n)
            read4(x, g + i);
        else
#pragma unroll
            for (int e = 0; e < 4; e++)
                if (i + e < n) x[e] = g[i + e];
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const double v = p.scale * (double)x[e];
            some = __fma_rn(v, v, some);
        }
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

// What does not change from number to number.
struct rule {
    float lr, rate, root, factor, kept, decay, eps, beta1, rest1, beta2, rest2;
    int which;
};
static __device__ __forceinline__ rule rule_of(const wn__gpu_fit_update &p) {
    return {(float)p.step[0],
            (float)p.step[1],
            (float)(1 / p.step[2]),
            (float)*p.factor,
            (float)(1 - p.step[0] * p.decay),
            (float)p.decay,
            (float)p.eps,
            (float)p.beta1,
            (float)(1 - p.beta1),
            (float)p.beta2,
            (float)(1 - p.beta2),
            p.rule};
}

// Spelled out, so that numbers are the same wherever they lie.
static __device__ __forceinline__ void move(const rule &r, float &w, float g, float &m, float &v) {
    g = __fmul_rn(g, r.factor);
    if (r.which == ADAMW)
        w = __fmul_rn(w, r.kept);
    else
        g = __fmaf_rn(r.decay, w, g);
    if (r.which == SGD) {
        m = __fmaf_rn(r.beta1, m, g);
        w = __fmaf_rn(-r.lr, m, w);
    } else {
        v = __fmaf_rn(r.beta2, v, __fmul_rn(__fmul_rn(r.rest2, g), g));
        m = __fmaf_rn(r.beta1, m, __fmul_rn(r.rest1, g));
        const float root = __fmaf_rn(__fsqrt_rn(v), r.root, r.eps);
        w = __fadd_rn(w, -__fdiv_rn(__fmul_rn(r.rate, m), root));
    }
}

static __device__ __forceinline__ void keep(f32, const wn__gpu_fit_update &p, int64_t i,
                                            const float (&w)[4]) {}
template <class F>
static __device__ __forceinline__ void keep(F f, const wn__gpu_fit_update &p, int64_t i,
                                            const float (&w)[4]) {
    *(uint2 *)(p.rounded + i) = make_uint2(rounded(f, w[0]) | (uint32_t)rounded(f, w[1]) << 16,
                                           rounded(f, w[2]) | (uint32_t)rounded(f, w[3]) << 16);
}
static __device__ __forceinline__ void keep(f32, const wn__gpu_fit_update &p, int64_t i, float w) {}
template <class F>
static __device__ __forceinline__ void keep(F f, const wn__gpu_fit_update &p, int64_t i, float w) {
    p.rounded[i] = rounded(f, w);
}

// Four numbers at a time where all lie at multiples of 16 bytes, the last ones one by one.
template <class F> static __device__ __forceinline__ void fit_update(const wn__gpu_fit_update &p) {
    const rule r = rule_of(p);
    const uintptr_t all =
        (uintptr_t)p.w | (uintptr_t)p.m | (uintptr_t)p.v | (uintptr_t)p.g | (uintptr_t)p.rounded;
    const int64_t fours = all % 16 == 0 ? p.count / 4 : 0;
    const int64_t first = (int64_t)blockIdx.x * WN_FIT_THREADS + threadIdx.x;
    const int64_t step = (int64_t)gridDim.x * WN_FIT_THREADS;
#pragma unroll 1
    for (int64_t i = first; i < fours; i += step) {
        float w[4], g[4], m[4], v[4] = {};
        read4(w, p.w + 4 * i);
        read4(g, p.g + 4 * i);
        read4(m, p.m + 4 * i);
        if (p.rule != SGD) read4(v, p.v + 4 * i);
#pragma unroll
        for (int e = 0; e < 4; e++)
            move(r, w[e], g[e], m[e], v[e]);
        if (p.rule != SGD) write4(p.v + 4 * i, v);
        write4(p.m + 4 * i, m);
        write4(p.w + 4 * i, w);
        keep(F(), p, 4 * i, w);
    }
#pragma unroll 1
    for (int64_t i = 4 * fours + first; i < p.count; i += step) {
        float w = p.w[i], m = p.m[i], v = p.rule != SGD ? p.v[i] : 0;
        move(r, w, p.g[i], m, v);
        if (p.rule != SGD) p.v[i] = v;
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
