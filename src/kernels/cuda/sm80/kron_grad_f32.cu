// SPDX-License-Identifier: MIT
// The gradient of a factor in float32: sums of products, one after the other, in the vectors'
// order.
#include "kernels/cuda/args_kron_grad.h"
#include "kernels/cuda/common/mma16.cuh"

// Blocks of threads that share a processor, whatever registers the compiler would like.
#if defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 900
enum { TOGETHER = 2 };
#else
enum { TOGETHER = 1 };
#endif

enum { STAGES = WN_KRON_GRAD_F32_STAGES, QUAD = 4 };

static __device__ __forceinline__ void copy_number(uint32_t to, const void *from, bool in) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from),
                 "r"(in ? 4 : 0)
                 : "memory");
}
static __device__ __forceinline__ float4 get_floats(uint32_t from) {
    float4 v;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"(from)
                 : "memory");
    return v;
}

// ---- pieces of a vector: of dy, then of x. Rows: [unit][outputs / 4]; quads: [outputs][unit].

// The first feature of a piece and how many numbers it has.
template <bool QUADS>
static __device__ __forceinline__ int2 piece_of(const wn__gpu_kron_grad_f32 &p,
                                                const wn__gpu_kron_side &s, int threads, int piece,
                                                int unit, int first) {
    const int half = threads + 1; // of rows: pieces of a unit, a logarithm
    const int own = QUADS ? piece & ((1 << p.units) - 1) : piece >> half;
    const int j = first + (QUADS ? piece >> p.units : QUAD * (piece & ((1 << half) - 1)));
    const int of_each = QUADS ? (p.d + QUAD - 1) / QUAD : p.d; // units of an i
    const int i = (unit + own) / of_each, l = (unit + own) % of_each * (QUADS ? QUAD : 1);
    const int left = i >= p.a || j >= s.count ? 0 : QUADS ? p.d - l : s.count - j;
    return make_int2(left > 0 ? (i * s.count + j) * p.d + l : 0, left < QUAD ? left : QUAD);
}

// `count` pieces (a logarithm) of 2^vectors vectors from v on.
static __device__ __forceinline__ void bring(const wn__gpu_kron_grad_f32 &p,
                                             const wn__gpu_kron_side &s, uint32_t to, int pitch,
                                             uint32_t table, int count, int step, int v, int end) {
    const bool by_vector = s.vector == 1 && s.wide == 0;
    for (int at = (int)threadIdx.x; at < 1 << (count + p.vectors); at += (int)blockDim.x) {
        const int piece = by_vector ? at >> p.vectors : at & ((1 << count) - 1);
        const int row = by_vector ? at & ((1 << p.vectors) - 1) : at >> count;
        int feature, left;
        asm volatile("ld.shared.v2.s32 {%0, %1}, [%2];"
                     : "=r"(feature), "=r"(left)
                     : "r"(table + 8 * piece)
                     : "memory");
        if (v + row >= end) left = 0;
        const float *from = left > 0 ? s.at + (v + row) * s.vector + feature * s.feature : s.at;
        const uint32_t here = to + 16 * (row * pitch + piece);
        if (s.wide != 0) {
            copy_async(here, from, left > 0 ? 16 : 0);
            continue;
        }
#pragma unroll
        for (int e = 0; e < QUAD; e++)
            copy_number(here + 4 * e, e < left ? from + e * step * s.feature : s.at, e < left);
    }
}

// This thread among those of its block.
struct place {
    int output, input, unit;
};
// Threads of a warp that differ read neighbouring pieces, or the same.
template <bool QUADS>
static __device__ __forceinline__ place place_of(const wn__gpu_kron_grad_f32 &p) {
    const int units = QUADS ? p.units : 0;
    const int low = min(p.inputs, units < 3 ? 3 - units : 0), high = p.inputs - low;
    int t = (int)threadIdx.x;
    place at;
    at.unit = t & ((1 << units) - 1);
    t >>= units;
    at.input = t & ((1 << low) - 1);
    t >>= low;
    at.output = t & ((1 << p.outputs) - 1);
    t >>= p.outputs;
    at.input |= (t & ((1 << high) - 1)) << low;
    if (!QUADS) at.unit = t >> high;
    return at;
}

// ---- 64 sums of a thread

static __device__ __forceinline__ void add4(float (&sum)[8], float a, float4 low, float4 high) {
    sum[0] = __fmaf_rn(a, low.x, sum[0]), sum[1] = __fmaf_rn(a, low.y, sum[1]);
    sum[2] = __fmaf_rn(a, low.z, sum[2]), sum[3] = __fmaf_rn(a, low.w, sum[3]);
    sum[4] = __fmaf_rn(a, high.x, sum[4]), sum[5] = __fmaf_rn(a, high.y, sum[5]);
    sum[6] = __fmaf_rn(a, high.z, sum[6]), sum[7] = __fmaf_rn(a, high.w, sum[7]);
}

// One vector: sum[output][input].
static __device__ __forceinline__ void add_rows(float (&sum)[8][8], uint32_t dy, uint32_t x,
                                                uint32_t dy_half, uint32_t x_half) {
    const float4 low = get_floats(x), high = get_floats(x + x_half);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float4 a = get_floats(dy + h * dy_half);
        add4(sum[4 * h], a.x, low, high);
        add4(sum[4 * h + 1], a.y, low, high);
        add4(sum[4 * h + 2], a.z, low, high);
        add4(sum[4 * h + 3], a.w, low, high);
    }
}

// sum[2 output + input / 2][4 (input % 2) + block].
static __device__ __forceinline__ void add_quads(float (&sum)[8][8], uint32_t dy, uint32_t x,
                                                 uint32_t dy_next, uint32_t x_next) {
    float4 b[4];
#pragma unroll
    for (int k = 0; k < 4; k++)
        b[k] = get_floats(x + k * x_next);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float4 a = get_floats(dy + j * dy_next);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            float *to = &sum[2 * j + k / 2][k % 2 * 4];
            to[0] = __fmaf_rn(a.x, b[k].x, to[0]);
            to[1] = __fmaf_rn(a.y, b[k].y, to[1]);
            to[2] = __fmaf_rn(a.z, b[k].z, to[2]);
            to[3] = __fmaf_rn(a.w, b[k].w, to[3]);
        }
    }
}

// Output and input of sum[r][q] within the thread's tile; quads: and its block.
template <bool QUADS>
static __device__ __forceinline__ int3 number_of(const wn__gpu_kron_grad_f32 &p, const place &at,
                                                 int r, int q) {
    if (QUADS)
        return make_int3(at.output + (r / 2 << p.outputs),
                         at.input + ((r % 2 * 2 + q / 4) << p.inputs), q % 4);
    return make_int3((at.output + (r / 4 << p.outputs)) * 4 + r % 4,
                     (at.input + (q / 4 << p.inputs)) * 4 + q % 4, 0);
}

template <bool QUADS> static __device__ __forceinline__ void tiles(const wn__gpu_kron_grad_f32 &p) {
    extern __shared__ __align__(128) uint8_t memory[];
    const int dy_count = p.outputs + p.units + (QUADS ? 2 : 1);
    const int x_count = p.inputs + p.units + (QUADS ? 2 : 1);
    const int pitch = (1 << dy_count) + (1 << x_count), stage_bytes = 16 * (pitch << p.vectors);
    const uint32_t stages = shared_address(memory), table = stages + STAGES * stage_bytes;
    const uint32_t x_table = table + (8 << dy_count);
    const int unit = ((int)blockIdx.x % p.groups) << p.units;
    const int tile = (int)blockIdx.x / p.groups;
    const int j0 = tile / p.across << (p.outputs + (QUADS ? 2 : 3));
    const int k0 = tile % p.across << (p.inputs + (QUADS ? 2 : 3));
    const int step = QUADS ? 1 : p.d;
    for (int i = (int)threadIdx.x; i < pitch; i += (int)blockDim.x) {
        const bool x = i >= 1 << dy_count;
        const int2 piece = x ? piece_of<QUADS>(p, p.x, p.inputs, i - (1 << dy_count), unit, k0)
                             : piece_of<QUADS>(p, p.dy, p.outputs, i, unit, j0);
        asm volatile("st.shared.v2.s32 [%0], {%1, %2};" ::"r"(table + 8 * i), "r"(piece.x),
                     "r"(piece.y)
                     : "memory");
    }
    __syncthreads();
    const place at = place_of<QUADS>(p);
    const int dy_at =
        QUADS ? (at.output << p.units) + at.unit : (at.unit << (p.outputs + 1)) + at.output;
    const int x_at = (1 << dy_count) + (QUADS ? (at.input << p.units) + at.unit
                                              : (at.unit << (p.inputs + 1)) + at.input);
    const uint32_t dy_next = 16u << (p.outputs + (QUADS ? p.units : 0));
    const uint32_t x_next = 16u << (p.inputs + (QUADS ? p.units : 0));
    const int begin = (int)blockIdx.y * p.each, end = min(p.n, begin + p.each);
    const int steps = (end - begin + (1 << p.vectors) - 1) >> p.vectors;
    float sum[8][8] = {};
    int next = begin, to = 0, from = 0;
    const auto copy = [&] {
        if (next < end) {
            bring(p, p.dy, stages + to * stage_bytes, pitch, table, dy_count, step, next, end);
            bring(p, p.x, stages + to * stage_bytes + (16 << dy_count), pitch, x_table, x_count,
                  step, next, end);
        }
        copies_commit();
        next += 1 << p.vectors;
        to = to == STAGES - 1 ? 0 : to + 1;
    };
    for (int i = 0; i < STAGES - 1; i++)
        copy();
#pragma unroll 1
    for (int s = 0; s < steps; s++) {
        copies_wait<STAGES - 2>();
        __syncthreads();
        copy();
        uint32_t vector = stages + from * stage_bytes;
#pragma unroll 2
        for (int v = 0; v < 1 << p.vectors; v++) {
            if (QUADS)
                add_quads(sum, vector + 16 * dy_at, vector + 16 * x_at, dy_next, x_next);
            else
                add_rows(sum, vector + 16 * dy_at, vector + 16 * x_at, dy_next, x_next);
            vector += 16 * pitch;
        }
        from = from == STAGES - 1 ? 0 : from + 1;
    }
    const int of_each = QUADS ? (p.d + QUAD - 1) / QUAD : p.d;
    const int i = (unit + at.unit) / of_each;
    const int l = (unit + at.unit) % of_each * (QUADS ? QUAD : 1);
    if (i >= p.a) return;
    const int64_t numbers = (int64_t)p.dy.count * p.x.count;
    float *const out = p.sums + ((int64_t)blockIdx.y * p.a * p.d + (int64_t)i * p.d + l) * numbers;
#pragma unroll
    for (int r = 0; r < 8; r++)
#pragma unroll
        for (int q = 0; q < 8; q++) {
            const int3 number = number_of<QUADS>(p, at, r, q);
            const int j = j0 + number.x, k = k0 + number.y;
            if (j < p.dy.count && k < p.x.count && l + number.z < p.d)
                out[number.z * numbers + (int64_t)j * p.step_j + (int64_t)k * p.step_k] = sum[r][q];
        }
}

// ---- a block of at most SIDE x SIDE: a thread has it for itself, and reads where numbers lie

template <int SIDE>
static __device__ __forceinline__ void read_side(float (&to)[SIDE], const wn__gpu_kron_side &s,
                                                 const float *from, int d) {
#pragma unroll
    for (int j = 0; j < SIDE; j++)
        to[j] = j < s.count ? __ldg(from + j * (d * s.feature)) : 0;
}

template <int SIDE> static __device__ __forceinline__ void small(const wn__gpu_kron_grad_f32 &p) {
    enum { AHEAD = SIDE == 8 ? 1 : 16 / SIDE };
    const int unit = (int)blockIdx.x * WN_KRON_GRAD_F32_SMALL + (int)threadIdx.x;
    if (unit >= p.a * p.d) return;
    const int64_t i = unit / p.d, l = unit % p.d;
    const int begin = (int)blockIdx.y * p.each, end = min(p.n, begin + p.each);
    const float *dy = p.dy.at + begin * p.dy.vector + (i * p.dy.count * p.d + l) * p.dy.feature;
    const float *x = p.x.at + begin * p.x.vector + (i * p.x.count * p.d + l) * p.x.feature;
    float sum[SIDE][SIDE] = {};
#pragma unroll 1
    for (int v = begin; v < end; v += AHEAD) {
        float a[AHEAD][SIDE] = {}, b[AHEAD][SIDE] = {};
#pragma unroll
        for (int e = 0; e < AHEAD; e++)
            if (v + e < end) {
                read_side<SIDE>(a[e], p.dy, dy + e * p.dy.vector, p.d);
                read_side<SIDE>(b[e], p.x, x + e * p.x.vector, p.d);
            }
#pragma unroll
        for (int e = 0; e < AHEAD; e++)
#pragma unroll
            for (int j = 0; j < SIDE; j++)
#pragma unroll
                for (int k = 0; k < SIDE; k++)
                    sum[j][k] = __fmaf_rn(a[e][j], b[e][k], sum[j][k]);
        dy += AHEAD * p.dy.vector;
        x += AHEAD * p.x.vector;
    }
    float *out =
        p.sums + ((int64_t)blockIdx.y * p.a * p.d + unit) * ((int64_t)p.dy.count * p.x.count);
#pragma unroll
    for (int j = 0; j < SIDE; j++)
#pragma unroll
        for (int k = 0; k < SIDE; k++)
            if (j < p.dy.count && k < p.x.count) out[j * p.step_j + k * p.step_k] = sum[j][k];
}

// ---- the sums of all parts

// A block of threads has 256 numbers, or 32 of which a warp has an eighth of the parts each.
extern "C" __global__ void __launch_bounds__(WN_KRON_GRAD_F32_SUM)
    wn_kron_grad_sum_f32(const __grid_constant__ wn__gpu_kron_grad_sum p) {
    enum { SPLIT = WN_KRON_GRAD_F32_SPLIT, NUMBERS = WN_KRON_GRAD_F32_SUM / SPLIT };
    __shared__ float some[SPLIT][NUMBERS];
    const int thread = (int)threadIdx.x, eighth = p.split != 0 ? thread / NUMBERS : 0;
    const int64_t at = p.split != 0 ? (int64_t)blockIdx.x * NUMBERS + thread % NUMBERS
                                    : (int64_t)blockIdx.x * WN_KRON_GRAD_F32_SUM + thread;
    const int first = p.split != 0 ? p.parts * eighth / SPLIT : 0;
    const int end = p.split != 0 ? p.parts * (eighth + 1) / SPLIT : p.parts;
    float sum = 0;
    if (at < p.numbers)
#pragma unroll 4
        for (int part = first; part < end; part++)
            sum += p.sums[part * p.numbers + at];
    if (p.split != 0) {
        some[eighth][thread % NUMBERS] = sum;
        __syncthreads();
        if (eighth > 0) return;
#pragma unroll
        for (int i = 1; i < SPLIT; i++)
            sum += some[i][thread];
    }
    if (at >= p.numbers) return;
    const int64_t row = at / p.fast;
    const int fast = (int)(at - row * p.fast), slow = (int)(row % p.slow);
    const int block = (int)(row / p.slow);
    const int64_t j = p.turned != 0 ? fast : slow, k = p.turned != 0 ? slow : fast;
    float *const dw = p.dw + block / p.d * p.stride[0] + j * p.stride[1] + k * p.stride[2] +
                      block % p.d * p.stride[3];
    *dw = sum + (p.accumulate != 0 ? *dw : 0);
}

#define SMALL(side)                                                                                \
    extern "C" __global__ void __launch_bounds__(WN_KRON_GRAD_F32_SMALL)                           \
        wn_kron_grad_small##side##_f32(const __grid_constant__ wn__gpu_kron_grad_f32 p) {          \
        small<side>(p);                                                                            \
    }
SMALL(2)
SMALL(4)
SMALL(8)

extern "C" __global__ void __launch_bounds__(WN_KRON_GRAD_F32_THREADS, TOGETHER)
    wn_kron_grad_rows_f32(const __grid_constant__ wn__gpu_kron_grad_f32 p) {
    tiles<false>(p);
}
extern "C" __global__ void __launch_bounds__(WN_KRON_GRAD_F32_THREADS, TOGETHER)
    wn_kron_grad_quads_f32(const __grid_constant__ wn__gpu_kron_grad_f32 p) {
    tiles<true>(p);
}
