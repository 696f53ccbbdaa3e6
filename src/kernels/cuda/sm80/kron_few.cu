// SPDX-License-Identifier: MIT
// A factor on few vectors, and its gradient from few: nothing is packed, blocks of threads are
// many.
//
// Operands come through registers, 16 bytes at a time where they lie so, and become float in shared
// memory, [block][row][k]; each of eight warps multiplies one block's 32 x 32 numbers by TF32
// tensor cores, eight k at a time, which begin at zero and are added in float32. Numbers of 16 bits
// are TF32 as they are; float32 numbers are two parts, both rounded (common/tf32.cuh).
//
// Bounds, in units of 2^-23 S, S the sum of all magnitudes: eight products lose at most 6 of their
// share, the smaller products of parts 2^-10 of that, parts 4, the k / 8 sums half a unit each and
// so do those of parts of k, of which there are at most k / 16: 10.1 + k / 16 + k / 32, from 16
// on below k + 1 (a factor) and k (a gradient of k vectors). Below, 16 bits: k products lose k / 2
// + 1, beyond four k / 2 + 2.
#include "kernels/cuda/args_kron_few.h"
#include "kernels/cuda/common/mma16.cuh"
#include "kernels/cuda/common/number.cuh"
#include "kernels/cuda/common/tf32.cuh"

enum {
    BLOCKS = WN_KRON_FEW_BLOCKS,
    SIDE = WN_KRON_FEW_SIDE,
    STEP = WN_KRON_FEW_STEP,
    THREADS = WN_KRON_FEW_THREADS,
    PITCH = WN_KRON_FEW_PITCH,
    BLOCK = WN_KRON_FEW_BLOCK,
    OPERAND = BLOCKS * BLOCK,
    EACH = BLOCKS * SIDE * STEP / THREADS, // numbers of a thread, of an operand's step
    OUT_PITCH = SIDE + 1,
    OUT_BLOCK = SIDE * OUT_PITCH + 4
};
static_assert(WN_KRON_FEW_SHARED == 4 * OPERAND * 4, "two stages of two operands");
static_assert(BLOCKS * OUT_BLOCK <= 2 * OPERAND, "results have room");
static_assert(THREADS == 32 * BLOCKS, "a warp for each block");

// ---- operands

// Numbers of 16 bytes as floats.
static __device__ __forceinline__ void widen(f32, const uint4 &v, float *to) {
    to[0] = __uint_as_float(v.x), to[1] = __uint_as_float(v.y);
    to[2] = __uint_as_float(v.z), to[3] = __uint_as_float(v.w);
}
template <class F> static __device__ __forceinline__ void widen(F f, const uint4 &v, float *to) {
    const uint32_t word[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        to[2 * i] = number(f, (uint16_t)word[i]);
        to[2 * i + 1] = number(f, (uint16_t)(word[i] >> 16));
    }
}

// Piece `at` of a step: its first block, row and k, and which of these its numbers differ in.
struct piece {
    int block, row, k;
};
template <int WIDE> static __device__ __forceinline__ piece piece_of(int way, int at) {
    if (way == WN_KRON_BY_COLUMN) {
        enum { ACROSS = STEP / WIDE };
        return {at / (ACROSS * SIDE), at / ACROSS % SIDE, at % ACROSS * WIDE};
    }
    if (way == WN_KRON_BY_ROW) { // whole sectors, and different banks
        enum { NEAR = 8 / WIDE, DOWN = SIDE / 8 };
        return {at / (NEAR * STEP * DOWN), at / (NEAR * STEP) % DOWN * 8 + at % NEAR * WIDE,
                at / NEAR % STEP};
    }
    enum { NEAR = BLOCKS / WIDE };
    return {at % NEAR * WIDE, at / (NEAR * STEP), at / NEAR % STEP};
}

// This thread's numbers of a step as they are in memory.
template <class F> struct raw {
    enum { WIDE = 16 / sizeof(typename F::bits), PIECES = EACH / WIDE };
    uint4 piece[PIECES];
};

// A step of an operand: SIDE rows from `row`, STEP k from `k` on, zeros beyond `rows` and `end`.
// home: where blocks begin, or below 0.
struct step {
    const int64_t *home;
    int row, rows, k, end;
};
static __device__ __forceinline__ bool is_in(const step &s, const piece &at) {
    return s.home[at.block] >= 0 && s.row + at.row < s.rows && s.k + at.k < s.end;
}
static __device__ __forceinline__ int64_t where(const step &s, const wn__gpu_kron_view &v,
                                                const piece &at) {
    return s.home[at.block] + (s.row + at.row) * v.stride[1] + (s.k + at.k) * v.stride[2];
}

template <class F>
static __device__ __forceinline__ void fetch(raw<F> &to, const wn__gpu_kron_view &v,
                                             const step &s) {
    if (v.way == WN_KRON_EACH) return;
#pragma unroll
    for (int i = 0; i < raw<F>::PIECES; i++) {
        const piece at = piece_of<raw<F>::WIDE>(v.way, (int)threadIdx.x + i * THREADS);
        to.piece[i] = make_uint4(0, 0, 0, 0);
        if (is_in(s, at))
            to.piece[i] = __ldg((const uint4 *)((const typename F::bits *)v.at + where(s, v, at)));
    }
}

// What was fetched; or, number by number, what is fetched now.
template <class F>
static __device__ __forceinline__ void keep(float *stage, const raw<F> &from,
                                            const wn__gpu_kron_view &v, const step &s) {
    enum { WIDE = raw<F>::WIDE };
    if (v.way == WN_KRON_EACH) {
#pragma unroll 2
        for (int i = (int)threadIdx.x; i < EACH * THREADS; i += THREADS) {
            const piece at = piece_of<1>(WN_KRON_BY_BLOCK, i);
            const typename F::bits *one = (const typename F::bits *)v.at;
            stage[at.block * BLOCK + at.row * PITCH + at.k] =
                is_in(s, at) ? number(F(), one[where(s, v, at)]) : 0;
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < raw<F>::PIECES; i++) {
        const piece at = piece_of<WIDE>(v.way, (int)threadIdx.x + i * THREADS);
        float *to = stage + at.block * BLOCK + at.row * PITCH + at.k;
        float some[WIDE];
        widen(F(), from.piece[i], some);
        if (v.way == WN_KRON_BY_COLUMN) {
#pragma unroll
            for (int e = 0; e < WIDE; e += 4)
                *(float4 *)(to + e) = make_float4(some[e], some[e + 1], some[e + 2], some[e + 3]);
            continue;
        }
        const int next = v.way == WN_KRON_BY_ROW ? PITCH : BLOCK;
#pragma unroll
        for (int e = 0; e < WIDE; e++)
            to[e * next] = some[e];
    }
}

// ---- products

typedef float sums[2][4][4]; // [16 rows][8 columns]

template <class F> struct parts_of {
    enum { PARTS = 1 };
    static __device__ __forceinline__ void take(uint32_t (&to)[1], float x) {
        to[0] = __float_as_uint(x);
    }
};
template <> struct parts_of<f32> {
    enum { PARTS = 2 };
    static __device__ __forceinline__ void take(uint32_t (&to)[2], float x) {
        tf32_parts(x, to[0], to[1]);
    }
};

// left, right: the warp's block.
template <class F>
static __device__ __forceinline__ void multiply(sums &sum, const float *left, const float *right) {
    enum { PARTS = parts_of<F>::PARTS };
    const int lane = (int)threadIdx.x & 31;
    left += (lane >> 2) * PITCH + (lane & 3);
    right += (lane >> 2) * PITCH + (lane & 3);
#pragma unroll
    for (int k = 0; k < STEP; k += 8) {
        uint32_t a[2][PARTS][4];
#pragma unroll
        for (int t = 0; t < 2; t++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                uint32_t part[PARTS];
                parts_of<F>::take(part, left[(16 * t + 8 * (e & 1)) * PITCH + k + 4 * (e >> 1)]);
#pragma unroll
                for (int i = 0; i < PARTS; i++)
                    a[t][i][e] = part[i];
            }
#pragma unroll
        for (int n = 0; n < 4; n += 2) {
            uint32_t b[2][PARTS][2];
            float d[2][2][4] = {};
#pragma unroll
            for (int s = 0; s < 2; s++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    uint32_t part[PARTS];
                    parts_of<F>::take(part, right[8 * (n + s) * PITCH + k + 4 * e]);
#pragma unroll
                    for (int i = 0; i < PARTS; i++)
                        b[s][i][e] = part[i];
                }
#pragma unroll
            for (int both = PARTS - 1; both >= 0; both--)
#pragma unroll
                for (int of_a = both; of_a >= 0; of_a--)
#pragma unroll
                    for (int s = 0; s < 2; s++)
#pragma unroll
                        for (int t = 0; t < 2; t++)
                            mma_tf32(d[t][s], a[t][of_a], b[s][both - of_a]);
#pragma unroll
            for (int s = 0; s < 2; s++)
#pragma unroll
                for (int t = 0; t < 2; t++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        sum[t][n + s][e] += d[t][s][e];
        }
    }
}

// ---- results

template <class F>
static __device__ __forceinline__ float read(const wn__gpu_kron_view &v, int64_t at) {
    return number(F(), ((const typename F::bits *)v.at)[at]);
}

// Where among a warp's results one of a lane's 32 lies.
static __device__ __forceinline__ int2 result_of(int i) {
    const int lane = (int)threadIdx.x & 31;
    return make_int2(16 * (i >> 4) + 8 * (i >> 1 & 1) + (lane >> 2),
                     8 * (i >> 2 & 3) + 2 * (lane & 3) + (i & 1));
}

// This lane's sums that are not finite, as the numbers whole make them.
template <class F>
static __device__ __forceinline__ void again(const wn__gpu_kron_few &p, float *results,
                                             int64_t left, int64_t right, int m0, int n0, int begin,
                                             int end) {
#pragma unroll 1
    for (int i = 0; i < 32; i++) {
        const int2 at = result_of(i);
        float *one = results + at.x * OUT_PITCH + at.y;
        if (isfinite(*one) || left < 0 || m0 + at.x >= p.m || n0 + at.y >= p.n) continue;
        const int64_t from = left + (m0 + at.x) * p.left.stride[1];
        const int64_t with = right + (n0 + at.y) * p.right.stride[1];
        float some = 0;
#pragma unroll 1
        for (int k = begin; k < end; k++)
            some = __fmaf_rn(read<F>(p.left, from + k * p.left.stride[2]),
                             read<F>(p.right, with + k * p.right.stride[2]), some);
        *one = some;
    }
}

// Numbers next to each other as threads write them.
template <class F>
static __device__ __forceinline__ void put_blocks(const wn__gpu_kron_few &p, const float *results,
                                                  const int64_t *home, int m0, int n0) {
    typedef typename F::bits bits;
    enum { WIDE = 16 / sizeof(bits), NEAR = BLOCKS / WIDE };
    if (home[0] < 0) return;
#pragma unroll 2
    for (int at = (int)threadIdx.x; at < NEAR * SIDE * SIDE; at += THREADS) {
        const int block = at % NEAR * WIDE, column = at / NEAR % SIDE, row = at / (NEAR * SIDE);
        if (m0 + row >= p.m || n0 + column >= p.n) continue;
        const float *from = results + block * OUT_BLOCK + row * OUT_PITCH + column;
        bits *to = (bits *)p.out.at + home[block] + (m0 + row) * p.out.stride[1] +
                   (n0 + column) * p.out.stride[2];
        bits word[WIDE];
#pragma unroll
        for (int e = 0; e < WIDE; e++)
            word[e] =
                rounded(F(), from[e * OUT_BLOCK] + (p.accumulate != 0 ? number(F(), to[e]) : 0));
        *(uint4 *)to = *(const uint4 *)word;
    }
}
template <class F>
static __device__ __forceinline__ void put_each(const wn__gpu_kron_few &p, const float *results,
                                                const int64_t *home, int m0, int n0) {
    typedef typename F::bits bits;
    const bool down = p.out.way == WN_KRON_BY_ROW;
#pragma unroll 4
    for (int at = (int)threadIdx.x; at < BLOCKS * SIDE * SIDE; at += THREADS) {
        const int block = at / (SIDE * SIDE), slow = at / SIDE % SIDE, fast = at % SIDE;
        const int row = down ? fast : slow, column = down ? slow : fast;
        if (home[block] < 0 || m0 + row >= p.m || n0 + column >= p.n) continue;
        bits *to = (bits *)p.out.at + home[block] + (m0 + row) * p.out.stride[1] +
                   (n0 + column) * p.out.stride[2];
        *to = rounded(F(), results[block * OUT_BLOCK + row * OUT_PITCH + column] +
                               (p.accumulate != 0 ? number(F(), *to) : 0));
    }
}
template <class F>
static __device__ __forceinline__ void put(const wn__gpu_kron_few &p, const float *results,
                                           const int64_t *home, int m0, int n0) {
    if (p.out.way == WN_KRON_BY_BLOCK)
        put_blocks<F>(p, results, home, m0, n0);
    else
        put_each<F>(p, results, home, m0, n0);
}

template <class F> static __device__ __forceinline__ void few(const wn__gpu_kron_few &p) {
    extern __shared__ __align__(16) float memory[];
    __shared__ int64_t home[3][BLOCKS];
    const int across = (p.n + SIDE - 1) / SIDE, thread = (int)threadIdx.x, warp = thread / 32;
    const int first = (int)blockIdx.x / across * BLOCKS;
    const int n0 = (int)blockIdx.x % across * SIDE, m0 = (int)blockIdx.y * SIDE;
    const int begin = (int)blockIdx.z * p.each, end = min(p.k, begin + p.each);
    if (thread < 3 * BLOCKS) {
        const wn__gpu_kron_view &v = thread < BLOCKS       ? p.left
                                     : thread < 2 * BLOCKS ? p.right
                                                           : p.out;
        const int g = first + thread % BLOCKS;
        home[thread / BLOCKS][thread % BLOCKS] =
            g < p.a * p.d ? g / p.d * v.stride[0] + g % p.d * v.stride[3] : -1;
    }
    __syncthreads();
    raw<F> left, right;
    const auto bring = [&](int k) {
        fetch<F>(left, p.left, {home[0], m0, p.m, k, end});
        fetch<F>(right, p.right, {home[1], n0, p.n, k, end});
    };
    const auto store = [&](float *stage, int k) {
        keep<F>(stage, left, p.left, {home[0], m0, p.m, k, end});
        keep<F>(stage + OPERAND, right, p.right, {home[1], n0, p.n, k, end});
    };
    sums sum = {};
    bring(begin);
    store(memory, begin);
    __syncthreads();
    int stage = 0;
#pragma unroll 1
    for (int k = begin; k < end; k += STEP) {
        const bool more = k + STEP < end;
        if (more) bring(k + STEP);
        const float *here = memory + stage * (2 * OPERAND) + warp * BLOCK;
        multiply<F>(sum, here, here + OPERAND);
        stage ^= 1;
        if (more) store(memory + stage * (2 * OPERAND), k + STEP);
        __syncthreads();
    }
    float *mine = memory + warp * OUT_BLOCK;
    bool finite = true;
#pragma unroll
    for (int t = 0; t < 2; t++)
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int2 at = result_of(16 * t + 4 * n + e);
                mine[at.x * OUT_PITCH + at.y] = sum[t][n][e];
                finite &= isfinite(sum[t][n][e]);
            }
    if (parts_of<F>::PARTS > 1 && !finite)
        again<F>(p, mine, home[0][warp], home[1][warp], m0, n0, begin, end);
    __syncthreads();
    if (p.sums == NULL) {
        if (p.f32 != 0)
            put<f32>(p, memory, home[2], m0, n0);
        else
            put<F>(p, memory, home[2], m0, n0);
        return;
    }
    float *const out = p.sums + (int64_t)blockIdx.z * p.m * ((int64_t)p.a * p.n * p.d);
    const bool by_block = p.d > 1;
#pragma unroll 4
    for (int at = thread; at < BLOCKS * SIDE * SIDE; at += THREADS) {
        const int block = by_block ? at % BLOCKS : at / SIDE % BLOCKS;
        const int column = by_block ? at / BLOCKS % SIDE : at % SIDE, row = at / (BLOCKS * SIDE);
        const int g = first + block;
        if (g >= p.a * p.d || m0 + row >= p.m || n0 + column >= p.n) continue;
        const int64_t feature = ((int64_t)(g / p.d) * p.n + n0 + column) * p.d + g % p.d;
        out[(m0 + row) * ((int64_t)p.a * p.n * p.d) + feature] =
            memory[block * OUT_BLOCK + row * OUT_PITCH + column];
    }
}

// out (+)= the sums of all parts in their order.
template <class F> static __device__ __forceinline__ void add_up(const wn__gpu_kron_few &p) {
    typedef typename F::bits bits;
    const int64_t wide = (int64_t)p.a * p.n * p.d, all = p.m * wide;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < all;
         at += (int64_t)gridDim.x * THREADS) {
        float sum = 0;
#pragma unroll 8
        for (int part = 0; part < p.parts; part++)
            sum += p.sums[part * all + at];
        bits *to = (bits *)p.out.at + at / wide * p.out.stride[1] + at % wide * p.out.stride[3];
        *to = rounded(F(), sum + (p.accumulate != 0 ? number(F(), *to) : 0));
    }
}

// ---- few inputs: left [vectors, inputs], right [outputs, inputs]

template <class F> static __device__ __forceinline__ void brief(const wn__gpu_kron_few &p) {
    typedef typename F::bits bits;
    const uint32_t feature = blockIdx.x * THREADS + threadIdx.x, d = p.d, outputs = p.n;
    if (feature >= p.a * outputs * d) return;
    const int l = feature % d, j = feature / d % outputs, i = feature / d / outputs;
    const bits *w = (const bits *)p.right.at + i * p.right.stride[0] + j * p.right.stride[1] +
                    l * p.right.stride[3];
    const bits *x = (const bits *)p.left.at + i * p.left.stride[0] + l * p.left.stride[3];
    bits *y = (bits *)p.out.at + i * p.out.stride[0] + j * p.out.stride[2] + l * p.out.stride[3];
    float weight[WN_KRON_SHORT];
#pragma unroll
    for (int k = 0; k < WN_KRON_SHORT; k++)
        weight[k] = k < p.k ? number(F(), w[k * p.right.stride[2]]) : 0;
    const int first = (int)blockIdx.y * p.each, end = min(p.m, first + p.each);
#pragma unroll 4
    for (int v = first; v < end; v++) {
        float sum = 0;
#pragma unroll
        for (int k = 0; k < WN_KRON_SHORT; k++)
            if (k < p.k)
                sum = __fmaf_rn(weight[k],
                                number(F(), x[v * p.left.stride[1] + k * p.left.stride[2]]), sum);
        bits *to = y + v * p.out.stride[1];
        *to = rounded(F(), sum + (p.accumulate != 0 ? number(F(), *to) : 0));
    }
}

// ---- small blocks: left [outputs, vectors], right [inputs, vectors]

// A lane a number of the gradient, a warp every eighth vector, the warps' sums in their order.
template <class F>
static __device__ __forceinline__ void brief_gradient(const wn__gpu_kron_few &p) {
    typedef typename F::bits bits;
    __shared__ float each[THREADS / 32][32];
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const uint32_t at = blockIdx.x * 32 + lane, d = p.d, inputs = p.n, outputs = p.m;
    const bool is_one = at < p.a * outputs * inputs * d;
    const uint32_t row = at / d / inputs;
    const int l = at % d, k = at / d % inputs, j = row % outputs, i = row / outputs;
    float sum = 0;
    if (is_one) {
        const bits *dy = (const bits *)p.left.at + i * p.left.stride[0] + j * p.left.stride[1] +
                         l * p.left.stride[3];
        const bits *x = (const bits *)p.right.at + i * p.right.stride[0] + k * p.right.stride[1] +
                        l * p.right.stride[3];
#pragma unroll 8
        for (int v = warp; v < p.k; v += THREADS / 32)
            sum = __fmaf_rn(number(F(), dy[v * p.left.stride[2]]),
                            number(F(), x[v * p.right.stride[2]]), sum);
    }
    each[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || !is_one) return;
#pragma unroll
    for (int other = 1; other < THREADS / 32; other++)
        sum += each[other][lane];
    const int64_t to =
        i * p.out.stride[0] + j * p.out.stride[1] + k * p.out.stride[2] + l * p.out.stride[3];
    if (p.f32 != 0) {
        float *one = (float *)p.out.at + to;
        *one = sum + (p.accumulate != 0 ? *one : 0);
    } else {
        bits *one = (bits *)p.out.at + to;
        *one = rounded(F(), sum + (p.accumulate != 0 ? number(F(), *one) : 0));
    }
}

// Blocks of threads that share a processor, as registers allow.
#if defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 900
#define TOGETHER 2
#else
#define TOGETHER 1
#endif
#define KERNELS(type)                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_FEW_THREADS, TOGETHER)                    \
        wn_kron_few_##type(const __grid_constant__ wn__gpu_kron_few p) {                           \
        few<type>(p);                                                                              \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_FEW_THREADS)                              \
        wn_kron_few_sum_##type(const __grid_constant__ wn__gpu_kron_few p) {                       \
        add_up<type>(p);                                                                           \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_FEW_THREADS)                              \
        wn_kron_short_##type(const __grid_constant__ wn__gpu_kron_few p) {                         \
        brief<type>(p);                                                                            \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_FEW_THREADS)                              \
        wn_kron_short_grad_##type(const __grid_constant__ wn__gpu_kron_few p) {                    \
        brief_gradient<type>(p);                                                                   \
    }
KERNELS(f32)
KERNELS(bf16)
KERNELS(f16)
