// SPDX-License-Identifier: MIT
// What 2:4 training does to values: soft24, soft24_dots, apply24, decay24. One thread a share of a
// row; of soft24_dots sixteen lanes a row, one for each of its partial sums.
#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/number.cuh"

static __device__ __forceinline__ float scale_of(const double *scale) {
    return scale == nullptr ? 1.0f : __double2float_rn(*scale);
}

// A group with scale 1: S in out, what is kept; whether a NaN is among them.
template <class F>
static __device__ __forceinline__ unsigned soften(typename group4<typename F::bits>::wide v,
                                                  float out[4], bool *nan) {
    int a[4], tau = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        a[j] = F::magnitude(at(v, j));
        *nan |= a[j] > (int)F::infinity;
    }
    const unsigned keep = keep_two(a);
#pragma unroll
    for (int j = 0; j < 4; j++)
        tau = (keep >> j & 1) == 0 && a[j] > tau ? a[j] : tau;
    const float less = F::size((typename F::bits)tau);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        // a difference of two of the type, rounded to a float, rounds to the type as itself
        const float size = number(F(), rounded(F(), __fsub_rn(F::size(at(v, j)), less)));
        out[j] = keep >> j & 1 ? copysignf(size, number(F(), at(v, j))) : 0.0f;
    }
    return keep;
}

template <class F> static __device__ __forceinline__ void soft(const wn__gpu_soft24 &p) {
    typedef typename F::bits T;
    enum { GROUPS = share<T>::groups };
    const int64_t at_share = share_number();
    const int n = columns_left<T>(p.columns, at_share);
    if (n <= 0) return;
    const float scale = scale_of(p.scale);
    bool nan = false;
    for (int64_t r = first_row(); r < p.rows; r += row_step()) {
        share<T> s = load_share((const T *)p.w + r * p.stride + at_share * share<T>::columns, n);
        uint32_t masks = 0;
#pragma unroll
        for (int g = 0; g < (int)GROUPS; g++) {
            float out[4];
            T y[4];
            const unsigned keep = soften<F>(s.group[g], out, &nan);
#pragma unroll
            for (int j = 0; j < 4; j++)
                y[j] = keep >> j & 1 ? product(F(), scale, out[j]) : (T)0;
            s.group[g] = join(y);
            masks |= (keep & ~missing(n, g)) << 8 * g;
        }
        store_share((T *)p.out + r * p.out_stride + at_share * share<T>::columns, n, s);
        if (p.mask != nullptr)
            store_bytes<GROUPS>(p.mask + r * p.groups + at_share * GROUPS, (n + 3) / 4, masks);
    }
    if (nan) leave(p.fault, p.number);
}

// ---- soft24_dots: lane g % 16 adds the products of groups g of a row

static __device__ __forceinline__ double dot4(const double a[4], const double b[4]) {
    double sum = __dmul_rn(a[0], b[0]);
#pragma unroll
    for (int j = 1; j < 4; j++)
        sum = __dadd_rn(sum, __dmul_rn(a[j], b[j]));
    return sum;
}

template <class F> static __device__ __forceinline__ void dots(const wn__gpu_dots24 &p) {
    typedef typename F::bits T;
    enum { AT_ONCE = 4 };
    const int lane = (int)threadIdx.x & 15;
    bool nan = false;
    for (int64_t r0 = (int64_t)blockIdx.x * (WN_GPU_THREADS / 16); r0 < p.rows;
         r0 += (int64_t)gridDim.x * (WN_GPU_THREADS / 16)) {
        const int64_t r = r0 + (threadIdx.x >> 4);
        double part[3] = {0, 0, 0};
        for (int64_t g0 = lane; g0 < p.groups && r < p.rows; g0 += 16 * AT_ONCE) {
            typename group4<T>::wide v[AT_ONCE];
#pragma unroll
            for (int i = 0; i < (int)AT_ONCE; i++) {
                const int64_t left = p.columns - 4 * (g0 + 16 * i);
                v[i] =
                    load4((const T *)p.w + r * p.stride + 4 * (g0 + 16 * i), left < 0   ? 0
                                                                             : left < 4 ? (int)left
                                                                                        : 4);
            }
#pragma unroll
            for (int i = 0; i < (int)AT_ONCE; i++) {
                float soft[4];
                double w[4], s[4];
                (void)soften<F>(v[i], soft, &nan);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    w[j] = (double)number(F(), at(v[i], j));
                    s[j] = (double)soft[j];
                }
                if (g0 + 16 * i >= p.groups) continue;
                part[0] = __dadd_rn(part[0], dot4(w, s));
                part[1] = __dadd_rn(part[1], dot4(s, s));
                part[2] = __dadd_rn(part[2], dot4(w, w));
            }
        }
#pragma unroll
        for (int k = 0; k < 3; k++) {
            double sum = 0;
#pragma unroll
            for (int i = 0; i < 16; i++)
                sum = __dadd_rn(sum, __shfl_sync(0xFFFFFFFFu, part[k], i, 16));
            if (lane == k && r < p.rows) p.row[3 * r + k] = sum;
        }
    }
    if (nan) leave(p.fault, p.number);
}

// The rows of three sums, one after the other: three threads add what the others have fetched.
extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) wn_dots24_rows(wn__gpu_dots24 p) {
    enum { CHUNK = 3 * WN_GPU_THREADS };
    __shared__ double row[2][CHUNK];
    double sum = 0;
    const int64_t count = 3 * p.rows;
    const int t = (int)threadIdx.x;
    int64_t begin = 0;
    for (int which = 0; begin < count; which ^= 1, begin += CHUNK) {
        for (int i = t; i < (int)CHUNK; i += WN_GPU_THREADS)
            if (begin + i < count) row[which][i] = p.row[begin + i];
        __syncthreads(); // the chunk before the last is done with when this one is complete
        const int64_t left = count - begin;
        const int n = left < CHUNK ? (int)left : (int)CHUNK;
        if (t < 3) {
#pragma unroll 16
            for (int i = t; i < n; i += 3)
                sum = __dadd_rn(sum, row[which][i]);
        }
    }
    if (t < 3) p.out[t] = sum;
}

// ---- apply24, decay24

template <class F> static __device__ __forceinline__ void apply(const wn__gpu_apply24 &p) {
    typedef typename F::bits T;
    enum { GROUPS = share<T>::groups };
    const int64_t at_share = share_number();
    const int n = columns_left<T>(p.columns, at_share);
    if (n <= 0) return;
    const float scale = scale_of(p.scale);
    for (int64_t r = first_row(); r < p.rows; r += row_step()) {
        share<T> s = load_share((const T *)p.x + r * p.stride + at_share * share<T>::columns, n);
        const uint32_t masks =
            load_bytes<GROUPS>(p.mask + r * p.groups + at_share * GROUPS, (n + 3) / 4);
#pragma unroll
        for (int g = 0; g < (int)GROUPS; g++) {
            T y[4];
#pragma unroll
            for (int j = 0; j < 4; j++)
                y[j] = masks >> (8 * g + j) & 1
                           ? product(F(), scale, number(F(), at(s.group[g], j)))
                           : (T)0;
            s.group[g] = join(y);
        }
        store_share((T *)p.y + r * p.y_stride + at_share * share<T>::columns, n, s);
    }
}

template <class F> static __device__ __forceinline__ void decay(const wn__gpu_decay24 &p) {
    typedef typename F::bits T;
    enum { GROUPS = share<T>::groups };
    const int64_t at_share = share_number();
    const int n = columns_left<T>(p.columns, at_share);
    if (n <= 0) return;
    for (int64_t r = first_row(); r < p.rows; r += row_step()) {
        const int64_t begin = r * p.columns + at_share * share<T>::columns;
        const share<T> w = load_share((const T *)p.w + begin, n);
        share<T> s = load_share((const T *)p.g + begin, n);
        const uint32_t masks =
            load_bytes<GROUPS>(p.mask + r * p.groups + at_share * GROUPS, (n + 3) / 4);
#pragma unroll
        for (int g = 0; g < (int)GROUPS; g++) {
            T y[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const T old = at(s.group[g], j);
                const double pull = __dmul_rn(p.lambda, (double)number(F(), at(w.group[g], j)));
                y[j] = masks >> (8 * g + j) & 1
                           ? old
                           : rounded(F(), __dadd_rn((double)number(F(), old), pull));
            }
            s.group[g] = join(y);
        }
        store_share((T *)p.g + begin, n, s);
    }
}

// ---- what the host launches

#define ENTRY(name, args, call)                                                                    \
    extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS, 3) name(const args p) {           \
        call(p);                                                                                   \
    }

ENTRY(wn_soft24_f32, wn__gpu_soft24, soft<f32>)
ENTRY(wn_soft24_bf16, wn__gpu_soft24, soft<bf16>)
ENTRY(wn_soft24_f16, wn__gpu_soft24, soft<f16>)
ENTRY(wn_dots24_f32, wn__gpu_dots24, dots<f32>)
ENTRY(wn_dots24_bf16, wn__gpu_dots24, dots<bf16>)
ENTRY(wn_dots24_f16, wn__gpu_dots24, dots<f16>)
ENTRY(wn_apply24_f32, wn__gpu_apply24, apply<f32>)
ENTRY(wn_apply24_bf16, wn__gpu_apply24, apply<bf16>)
ENTRY(wn_apply24_f16, wn__gpu_apply24, apply<f16>)
ENTRY(wn_decay24_f32, wn__gpu_decay24, decay<f32>)
ENTRY(wn_decay24_bf16, wn__gpu_decay24, decay<bf16>)
ENTRY(wn_decay24_f16, wn__gpu_decay24, decay<f16>)
