// SPDX-License-Identifier: MIT
// One Kronecker-sparse factor of wide blocks of float32 numbers on a batch, batch first, by wgmma
// on parts of numbers (common/tf32.cuh), with the bound that sm80/kron_f32.cu derives: every eight
// inputs' three products begin at zero and are added to the sum in float32, rounded.
//
// One warpgroup copies, 16 bytes at a time: an input of four blocks that lie side by side, or four
// inputs of one block; weights come packed, in one piece a step. Two warpgroups multiply, 64
// vectors each: their numbers go through registers, where they are taken apart, as the rows of
// products; nothing is sorted. One warpgroup adds while the other's products run. Blocks of threads
// stay and walk through tiles: all tiles of the same vectors before the next, so that x is read
// from memory once.
#include "kernels/cuda/args_kron_tf32.h"
#include "kernels/cuda/common/hopper.cuh"
#include "kernels/cuda/common/mma16.cuh"
#include "kernels/cuda/common/tf32.cuh"
#include "kernels/cuda/common/wgmma_tf32.cuh"

enum {
    WARPGROUP = 128,
    CONSUMERS = 2,
    MATRICES = WN_KRON_TF32_MATRICES,
    OUTPUTS = WN_KRON_TF32_OUTPUTS,
    INPUTS = WN_KRON_TF32_INPUTS,
    LANES = WN_KRON_TF32_LANES,
    SIDES = WN_KRON_TF32_SIDES,
    ROWS = WN_KRON_TF32_ROWS,
    MATRIX_BYTES = OUTPUTS * 128,
    WEIGHT_BYTES = MATRICES * MATRIX_BYTES,
    SIDE_BYTES = WN_KRON_TF32_VECTORS * 64 // of one block's inputs of a step
};
static_assert(WN_KRON_TF32_THREADS == (CONSUMERS + 1) * WARPGROUP, "threads");
static_assert(WN_KRON_TF32_VECTORS == CONSUMERS * 64, "vectors");

// ---- packing: a thread has four inputs of an output

extern "C" __global__ void __launch_bounds__(WN_KRON_TF32_PACK_THREADS)
    wn_kron_tf32_pack(const __grid_constant__ wn__gpu_kron_tf32_pack p) {
    const int64_t all = (int64_t)p.groups * p.parts * p.steps * (WN_KRON_TF32_STEP / 8);
    for (int64_t at = (int64_t)blockIdx.x * WN_KRON_TF32_PACK_THREADS + threadIdx.x; at < all;
         at += (int64_t)gridDim.x * WN_KRON_TF32_PACK_THREADS) {
        const int which = (int)(at % MATRICES), quad = (int)(at / MATRICES % 4);
        int64_t rest = at / (4 * MATRICES);
        const int step = (int)(rest % p.steps);
        rest /= p.steps;
        const int row = (int)(rest % OUTPUTS);
        rest /= OUTPUTS;
        const int part = (int)(rest % p.parts), group = (int)(rest / p.parts);
        const int quarter = p.form == LANES ? p.d / 4 : 1;
        const int i = p.form == SIDES ? MATRICES * group + which : group / quarter;
        const int l = p.form == LANES ? MATRICES * (group % quarter) + which : 0;
        const int j = (p.form == ROWS ? MATRICES * part + which : part) * OUTPUTS + row;
        const float *from = p.w + i * p.stride[0] + j * p.stride[1] + l * p.stride[3];
        uint32_t high[4], low[4];
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int k = INPUTS * step + 4 * quad + e;
            const float w = j < p.b && k < p.c ? from[k * p.stride[2]] : 0;
            tf32_cut(w, high[e], low[e]);
            if (!(0 * w == 0)) high[e] = __float_as_uint(w), low[e] = 0; // as it is
        }
        uint4 *to = (uint4 *)p.tiles +
                    ((((int64_t)group * p.parts + part) * p.steps + step) * MATRICES + which) *
                        (MATRIX_BYTES / 16) +
                    row * 8;
        to[quad ^ (row & 7)] = make_uint4(high[0], high[1], high[2], high[3]);
        to[(quad + 4) ^ (row & 7)] = make_uint4(low[0], low[1], low[2], low[3]);
    }
}

// ---- where things are

// Shared memory, in bytes from its first: stages of vectors and weights, barriers (full, empty).
template <int FORM> struct layout {
    enum {
        STAGES = WN_KRON_TF32_STAGES(FORM),
        STAGE = WN_KRON_TF32_STAGE(FORM),
        VECTOR_BYTES = STAGE - WEIGHT_BYTES,
        FULL_AT = STAGES * STAGE,
        EMPTY_AT = FULL_AT + 8 * STAGES,
        END = EMPTY_AT + 8 * STAGES
    };
    static_assert(END == WN_KRON_TF32_SHARED(FORM), "the host asks for other bytes");
};

// A tile: its first vector, its group, its first output, the first features of x and y.
struct tile {
    int vector, group, part, x_feature, y_feature;
};
template <int FORM>
static __device__ __forceinline__ tile tile_of(const wn__gpu_kron_tf32 &p, int index) {
    tile t;
    t.part = index % p.parts;
    t.group = index / p.parts % p.groups;
    t.vector = index / p.parts / p.groups * WN_KRON_TF32_VECTORS;
    const int quarter = FORM == LANES ? p.d / 4 : 1;
    const int i = FORM == SIDES ? MATRICES * t.group : t.group / quarter;
    const int l = FORM == LANES ? MATRICES * (t.group % quarter) : 0;
    t.x_feature = i * p.c * p.d + l;
    t.y_feature = i * p.b * p.d + l;
    return t;
}

// ---- what comes

static __device__ __forceinline__ void arrive_with_copies(uint32_t barrier) {
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

// Lanes: [half of 8 inputs][vector][input of four blocks], the eight inputs of a vector at their
// number xor its last three bits. Else [block][vector][four inputs], at their number xor bits 1 and
// 2 of the vector's.
template <int FORM>
static __device__ __forceinline__ void bring(const wn__gpu_kron_tf32 &p, const tile &t, uint32_t to,
                                             int step) {
    enum {
        PIECES = FORM == ROWS ? INPUTS / 4 : INPUTS, // of a vector
        AT_ONCE = WARPGROUP / PIECES,                // vectors
        TIMES = WN_KRON_TF32_VECTORS / AT_ONCE
    };
    const int thread = (int)threadIdx.x, piece = thread % PIECES, first = thread / PIECES;
    const int block = FORM == SIDES ? piece / 4 : 0;
    const int input = INPUTS * step + (FORM == LANES ? piece : 4 * (piece % 4));
    const float *from = p.x + (int64_t)(t.vector + first) * p.x_vector + t.x_feature +
                        (int64_t)block * p.c + (int64_t)input * p.d;
    int left = input < p.c ? p.n - t.vector - first : 0;
    to += FORM == LANES ? (piece >> 3) * (WN_KRON_TF32_VECTORS * 128) + first * 128 +
                              (((piece & 7) ^ (first & 7)) << 4)
                        : block * SIDE_BYTES + first * 64 + ((piece % 4 ^ (first >> 1 & 3)) << 4);
#pragma unroll 4
    for (int i = 0; i < TIMES; i++) {
        copy_async(to + i * AT_ONCE * (FORM == LANES ? 128 : 64), left > 0 ? from : p.x,
                   left > 0 ? 16 : 0);
        from += AT_ONCE * p.x_vector;
        left -= AT_ONCE;
    }
}

template <int FORM>
static __device__ __forceinline__ void produce(const wn__gpu_kron_tf32 &p, uint32_t base) {
    typedef layout<FORM> at;
    const uint64_t policy = keep_in_l2();
    ring r = {0, 1};
    for (int index = (int)blockIdx.x; index < p.count; index += (int)gridDim.x) {
        const tile t = tile_of<FORM>(p, index);
        const float *weights =
            p.tiles + ((int64_t)t.group * p.parts + t.part) * p.steps * WN_KRON_TF32_STEP;
#pragma unroll 1
        for (int s = 0; s < p.steps; s++) {
            const uint32_t to = base + r.stage * at::STAGE, full = base + at::FULL_AT + 8 * r.stage;
            barrier_wait(base + at::EMPTY_AT + 8 * r.stage, r.phase);
            if (threadIdx.x == 0) {
                barrier_expect(full, WEIGHT_BYTES);
                copy_bytes(to + at::VECTOR_BYTES, weights, WEIGHT_BYTES, full, policy);
            }
            bring<FORM>(p, t, to, s);
            arrive_with_copies(full);
            weights += WN_KRON_TF32_STEP;
            r.next<at::STAGES>();
        }
    }
}

// ---- products

typedef float sums[MATRICES][32];

// A thread's rows: lane 4 g + t has rows g / 2 + 4 (g % 2) and 8 further of its warp's 16, so that
// eight lanes that read at once read 128 bytes of different banks.
static __device__ __forceinline__ int row_of_lane() {
    const int g = (int)threadIdx.x >> 2 & 7;
    return (int)threadIdx.x / 32 % 4 * 16 + (g >> 1) + 4 * (g & 1);
}

// Of eight inputs, two rows and two inputs, [row and input][matrix].
template <bool LANES> struct numbers;
template <> struct numbers<true> {
    float4 v[4];
    __device__ __forceinline__ void load(const uint8_t *x, int row, int half) {
        const int t = (int)threadIdx.x & 3, at = (t ^ (row & 7)) << 4;
        const uint8_t *from = x + half * (WN_KRON_TF32_VECTORS * 128) + row * 128;
#pragma unroll
        for (int e = 0; e < 4; e++)
            v[e] = *(const float4 *)(from + (e & 1) * 1024 + (at ^ (e >> 1) * 64));
    }
    __device__ __forceinline__ float get(int e, int which) const {
        return which == 0 ? v[e].x : which == 1 ? v[e].y : which == 2 ? v[e].z : v[e].w;
    }
};
template <> struct numbers<false> {
    float v[4];
    __device__ __forceinline__ void load(const uint8_t *x, int row, int half) {
        const int t = (int)threadIdx.x & 3, at = (2 * half ^ (row >> 1 & 3)) << 4;
        const uint8_t *from = x + row * 64 + t * 4;
#pragma unroll
        for (int e = 0; e < 4; e++)
            v[e] = *(const float *)(from + (e & 1) * 512 + (at ^ (e >> 1) * 16));
    }
    __device__ __forceinline__ float get(int e, int which) const {
        return v[e];
    }
};

static __device__ __forceinline__ void add_to(float (&sum)[32], float (&d)[32]) {
#pragma unroll
    for (int i = 0; i < 32; i++)
        sum[i] += d[i];
}

// One step: eight products of eight inputs and 64 outputs, each of three; two are under way.
template <int FORM>
static __device__ __forceinline__ void multiply(sums &sum, const uint8_t *x, uint32_t weights,
                                                int row) {
    float d[2][32];
    uint32_t high[2][4], low[2][4];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        numbers<FORM == LANES> v;
        if (FORM != SIDES) v.load(x, row, half);
#pragma unroll
        for (int m = 0; m < MATRICES; m++) {
            const int now = m & 1, parts = FORM == ROWS ? half : now;
            if (FORM == SIDES) v.load(x + m * SIDE_BYTES, row, half);
            if (FORM != ROWS || m == 0)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    tf32_parts(v.get(e, m), high[parts][e], low[parts][e]);
            const uint32_t at = weights + m * MATRIX_BYTES + half * 32;
            const uint64_t w_high = matrix_of(at, 1024, 1), w_low = matrix_of(at + 64, 1024, 1);
            products_begin();
            product_tf32<false>(d[now], low[parts], w_high);
            product_tf32<true>(d[now], high[parts], w_low);
            product_tf32<true>(d[now], high[parts], w_high);
            products_commit();
            if (half > 0 || m > 0) {
                products_wait<1>();
                add_to(sum[m > 0 ? m - 1 : MATRICES - 1], d[now ^ 1]);
            }
        }
    }
    products_wait<0>();
    add_to(sum[MATRICES - 1], d[1]);
}

// ---- results

template <int FORM>
static __device__ __noinline__ float whole(const wn__gpu_kron_tf32 &p, const tile &t, int vector,
                                           int which, int row) {
    const float *x = p.x + (int64_t)vector * p.x_vector + t.x_feature +
                     (FORM == LANES   ? which
                      : FORM == SIDES ? which * p.c
                                      : 0);
    const float *w = p.tiles + ((int64_t)t.group * p.parts + t.part) * p.steps * WN_KRON_TF32_STEP +
                     which * (MATRIX_BYTES / 4) + row * 32;
    float v = 0;
#pragma unroll 1
    for (int k = 0; k < p.c; k++) {
        const float *step = w + (int64_t)(k / INPUTS) * WN_KRON_TF32_STEP;
        const int quad = k % INPUTS / 4;
        v = fmaf(x[(int64_t)k * p.d],
                 step[(quad ^ (row & 7)) * 4 + k % 4] + step[((quad + 4) ^ (row & 7)) * 4 + k % 4],
                 v);
    }
    return v;
}

// Outputs that are not finite are made again, as the numbers whole make them.
template <int FORM, int N>
static __device__ __forceinline__ void check(const wn__gpu_kron_tf32 &p, const tile &t, int vector,
                                             float (&v)[N], int which, int row) {
    float zero = 0;
#pragma unroll
    for (int i = 0; i < N; i++)
        zero += 0 * v[i];
    if (zero == 0) return;
#pragma unroll
    for (int i = 0; i < N; i++)
        v[i] = whole<FORM>(p, t, vector, FORM == LANES ? i : which, FORM == LANES ? row : row + i);
}

template <int FORM>
static __device__ __forceinline__ void store(const wn__gpu_kron_tf32 &p, sums &sum, const tile &t,
                                             int row) {
    const int column = 2 * ((int)threadIdx.x & 3);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int vector = t.vector + row + 8 * h;
        if (vector >= p.n) continue;
        float *y = p.y + (int64_t)vector * p.y_vector + t.y_feature;
#pragma unroll
        for (int j = 0; j < OUTPUTS / 8; j++) {
            if (FORM == LANES) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const int at = 8 * j + column + e, i = 4 * j + 2 * h + e;
                    const int output = t.part * OUTPUTS + at;
                    if (output >= p.b) continue;
                    float4 *to = (float4 *)(y + (int64_t)output * p.d);
                    float v[4] = {sum[0][i], sum[1][i], sum[2][i], sum[3][i]};
                    check<FORM>(p, t, vector, v, 0, at);
                    float4 old = make_float4(0, 0, 0, 0);
                    if (p.accumulate != 0) old = *to;
                    *to = make_float4(v[0] + old.x, v[1] + old.y, v[2] + old.z, v[3] + old.w);
                }
            } else {
#pragma unroll
                for (int m = 0; m < MATRICES; m++) {
                    const int at = 8 * j + column, i = 4 * j + 2 * h;
                    const int output =
                        (FORM == ROWS ? t.part * MATRICES + m : t.part) * OUTPUTS + at;
                    if (output >= p.b) continue; // b is even
                    float2 *to = (float2 *)(y + (FORM == SIDES ? m * p.b : 0) + output);
                    float v[2] = {sum[m][i], sum[m][i + 1]};
                    check<FORM>(p, t, vector, v, m, at);
                    float2 old = make_float2(0, 0);
                    if (p.accumulate != 0) old = *to;
                    *to = make_float2(v[0] + old.x, v[1] + old.y);
                }
            }
        }
    }
}

template <int FORM>
static __device__ __forceinline__ void consume(const wn__gpu_kron_tf32 &p, const uint8_t *memory,
                                               uint32_t base, int which) {
    typedef layout<FORM> at;
    const int row = which * 64 + row_of_lane();
    ring r = {0, 0};
    for (int index = (int)blockIdx.x; index < p.count; index += (int)gridDim.x) {
        const tile t = tile_of<FORM>(p, index);
        sums sum = {};
#pragma unroll 1
        for (int s = 0; s < p.steps; s++) {
            barrier_wait(base + at::FULL_AT + 8 * r.stage, r.phase);
            multiply<FORM>(sum, memory + r.stage * at::STAGE,
                           base + r.stage * at::STAGE + at::VECTOR_BYTES, row);
            __syncwarp();
            if ((threadIdx.x & 31) == 0) barrier_arrive(base + at::EMPTY_AT + 8 * r.stage);
            r.next<at::STAGES>();
        }
        store<FORM>(p, sum, t, row);
    }
}

template <int FORM> static __device__ __forceinline__ void factor(const wn__gpu_kron_tf32 &p) {
    typedef layout<FORM> at;
    extern __shared__ __align__(1024) uint8_t memory[];
    const uint32_t base = shared_address(memory);
    // the same in a whole warp, which lets descriptors stay in uniform registers
    const int group = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x / WARPGROUP, 0);
    if (threadIdx.x == 0) {
        for (int i = 0; i < at::STAGES; i++) {
            barrier_init(base + at::FULL_AT + 8 * i, WARPGROUP + 1);  // threads, and bytes
            barrier_init(base + at::EMPTY_AT + 8 * i, 4 * CONSUMERS); // warps
        }
        barrier_init_done();
    }
    __syncthreads();
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
        produce<FORM>(p, base);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
        consume<FORM>(p, memory, base, group - 1);
    }
}

#define KERNEL(name, form)                                                                         \
    extern "C" __global__ void __launch_bounds__(WN_KRON_TF32_THREADS, 1)                          \
        wn_kron_tf32_##name(const __grid_constant__ wn__gpu_kron_tf32 p) {                         \
        factor<form>(p);                                                                           \
    }
KERNEL(lanes, LANES)
KERNEL(sides, SIDES)
KERNEL(rows, ROWS)
