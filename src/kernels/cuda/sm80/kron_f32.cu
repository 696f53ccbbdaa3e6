// SPDX-License-Identifier: MIT
// One Kronecker-sparse factor of float32 numbers on a batch, by tensor cores that take numbers in
// parts.
//
// Blocks that lie side by side come as they lie in memory: 16 bytes are one input of four blocks,
// which one thread reads at once and multiplies with the weights of four; so nothing is sorted.
// Where they do not lie so, the four numbers are those of four vectors. Eight inputs' products are
// summed by the tensor cores, which cut what they add, and added to the sum in float32, rounded.
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/common/mma16.cuh"
#include "kernels/cuda/common/tf32.cuh"

enum {
    THREADS = WN_KRON_F32_THREADS,
    INPUTS = WN_KRON_F32_ACROSS,
    ROW_BYTES = INPUTS * 16,
    SET_ROWS = 64, // of four warps
    SET_BYTES = SET_ROWS * ROW_BYTES,
};

template <int BLOCKS> struct shape {
    enum {
        ROWS = BLOCKS == 8 ? SET_ROWS : 2 * SET_ROWS,
#if defined __CUDA_ARCH__ && __CUDA_ARCH__ >= 900
        STAGES = WN_KRON_F32_STAGES_90(BLOCKS),
#else
        STAGES = WN_KRON_F32_STAGES_80,
#endif
        STAGE = WN_KRON_F32_STAGE(BLOCKS),
    };
};
static_assert(WN_KRON_F32_STAGE(0) == 2 * SET_BYTES, "two sets of rows");

// ---- packing: one thread for what one lane takes of eight inputs

extern "C" __global__ void __launch_bounds__(WN_KRON_PACK_THREADS)
    wn_kron_pack_f32(const __grid_constant__ wn__gpu_kron_pack_f32 p) {
    const int64_t all = (int64_t)p.a * p.d * p.down * p.across * (WN_KRON_F32_TILE / 2);
    for (int64_t at = (int64_t)blockIdx.x * WN_KRON_PACK_THREADS + threadIdx.x; at < all;
         at += (int64_t)gridDim.x * WN_KRON_PACK_THREADS) {
        const int lane = (int)(at % 32), column = lane / 4;
        int64_t rest = at / 64;
        const int kt = (int)(rest % p.across);
        rest /= p.across;
        const int jt = (int)(rest % p.down);
        rest /= p.down;
        const int l = (int)(rest % p.d), i = (int)(rest / p.d);
        const int j = WN_KRON_F32_DOWN * jt + 4 * (column & 1) + column / 2;
        const int k = WN_KRON_F32_ACROSS * kt + (int)(at / 32 % 2) * 8 + lane % 4;
        const float *from = p.w + i * p.stride[0] + j * p.stride[1] + l * p.stride[3];
        ((float2 *)p.tiles)[at] =
            make_float2(j < p.b && k < p.c ? from[k * p.stride[2]] : 0,
                        j < p.b && k + 4 < p.c ? from[(k + 4) * p.stride[2]] : 0);
    }
}

// ---- what comes: rows of 16 inputs of four numbers

static __device__ __forceinline__ uint32_t piece_at(int row, int input) {
    return (uint32_t)(row * ROW_BYTES + ((input ^ (row & 1) << 2) << 4));
}

static __device__ __forceinline__ void copy4_async(uint32_t to, const float *from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes)
                 : "memory");
}

template <int BLOCKS>
static __device__ __forceinline__ void bring_pieces(const wn__gpu_kron_f32 &p, uint32_t to,
                                                    const float *x, int row, int k0) {
    enum { SETS = BLOCKS == 8 ? 2 : 1, STEP = THREADS / INPUTS / SETS };
    const int thread = (int)threadIdx.x, set = BLOCKS == 8 ? thread & 1 : 0;
    const int input = thread / SETS % INPUTS, first = thread / SETS / INPUTS;
    const bool in = k0 + input < p.c;
    const float *from = x + (row + first) * p.x_row + (k0 + input) * p.x_input + 4 * set;
    to += set * SET_BYTES + piece_at(first, input); // STEP is even: rows alike
#pragma unroll 4
    for (int i = 0; i < shape<BLOCKS>::ROWS / STEP; i++) {
        const int at = row + first + STEP * i;
        const int numbers = !in || at >= p.rows ? 0 : BLOCKS == 1 ? min(4, p.n - 4 * at) : 4;
        copy_async(to + STEP * i * ROW_BYTES, numbers > 0 ? from : x, 4 * numbers);
        from += STEP * p.x_row;
    }
}

// Number by number, four vectors a row.
static __device__ __forceinline__ void bring_numbers(const wn__gpu_kron_f32 &p, uint32_t to,
                                                     const float *x, int row, int k0) {
    enum { VECTORS = 4 * shape<1>::ROWS };
#pragma unroll 4
    for (int e = (int)threadIdx.x; e < VECTORS * INPUTS; e += THREADS) {
        const int v = p.by_vector != 0 ? e % VECTORS : e / INPUTS;
        const int k = p.by_vector != 0 ? e / VECTORS : e % INPUTS;
        const bool in = 4 * row + v < p.n && k0 + k < p.c;
        copy4_async(to + piece_at(v / 4, k) + v % 4 * 4,
                    in ? x + (4 * (int64_t)row + v) * p.x_q + (k0 + k) * p.x_input : x, in ? 4 : 0);
    }
}

// Weights of 64 outputs: [block][outputs / 8] of tiles.
template <int BLOCKS>
static __device__ __forceinline__ void bring_weights(const wn__gpu_kron_f32 &p, uint32_t to,
                                                     const float *tiles, int left, int kt) {
#pragma unroll
    for (int e = 0; e < BLOCKS; e++) {
        const int j = (int)threadIdx.x / 32;
        const bool in = j < left;
        copy_async(to + (e * THREADS + threadIdx.x) * 16,
                   in ? tiles + (((int64_t)e * p.down + j) * p.across + kt) * WN_KRON_F32_TILE +
                            threadIdx.x % 32 * 4
                      : tiles,
                   in ? 16 : 0);
    }
}

// ---- products: a warp's 32 rows of four numbers, 32 outputs

typedef float sums[4][2][4][4]; // [q][16 rows][8 outputs], as the instruction has them

template <int PARTS> struct parts_of;
template <> struct parts_of<2> {
    static __device__ __forceinline__ void take(uint32_t (&to)[2], float x) {
        tf32_parts(x, to[0], to[1]);
    }
};
template <> struct parts_of<3> {
    static __device__ __forceinline__ void take(uint32_t (&to)[3], float x) {
        tf32_parts(x, to[0], to[1], to[2]);
    }
};

// The parts of N numbers, [part][number].
template <int PARTS, int N>
static __device__ __forceinline__ void take_apart(uint32_t (&to)[PARTS][N], const float (&x)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        uint32_t part[PARTS];
        parts_of<PARTS>::take(part, x[i]);
#pragma unroll
        for (int e = 0; e < PARTS; e++)
            to[e][i] = part[e];
    }
}

// Eight inputs of two times 16 rows by AT_ONCE times 8 outputs.
template <int PARTS, int AT_ONCE>
static __device__ __forceinline__ void multiply8(float (&sum)[2][4][4], int first,
                                                 const uint32_t (&a)[2][PARTS][4],
                                                 const uint32_t (&b)[AT_ONCE][PARTS][2]) {
    float d[2][AT_ONCE][4] = {};
#pragma unroll
    for (int both = PARTS - 1; both >= 0; both--)
#pragma unroll
        for (int of_a = both; of_a >= 0; of_a--)
#pragma unroll
            for (int n = 0; n < AT_ONCE; n++)
#pragma unroll
                for (int m = 0; m < 2; m++)
                    mma_tf32(d[m][n], a[m][of_a], b[n][both - of_a]);
#pragma unroll
    for (int n = 0; n < AT_ONCE; n++)
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[m][first + n][e] += d[m][n][e];
}

// x: the warp's first row; w: its first tile, of block 0. active: tiles that there are.
template <int BLOCKS, int PARTS>
static __device__ __forceinline__ void multiply(sums &sum, const uint8_t *x, const float2 *w,
                                                int active) {
    enum { AT_ONCE = 1 };
    const int lane = (int)threadIdx.x & 31, g = lane >> 2;
    x += g * ROW_BYTES + (lane & 3) * 16;
    w += lane;
    const int odd = (g & 1) * 64;
#pragma unroll 1
    for (int half = 0; half < 2; half++) {
        float a[4][2][4]; // [q][16 rows]
#pragma unroll
        for (int m = 0; m < 2; m++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const float4 v = *(const float4 *)(x + (16 * m + 8 * (e & 1)) * ROW_BYTES +
                                                   ((e >> 1) * 64 ^ odd));
                a[0][m][e] = v.x, a[1][m][e] = v.y, a[2][m][e] = v.z, a[3][m][e] = v.w;
            }
#pragma unroll
        for (int q = 0; q < 4; q++) {
            uint32_t parts[2][PARTS][4];
#pragma unroll
            for (int m = 0; m < 2; m++)
                take_apart<PARTS, 4>(parts[m], a[q][m]);
#pragma unroll
            for (int first = 0; first < 4; first += AT_ONCE) {
                if (first >= active) break;
                uint32_t b[AT_ONCE][PARTS][2];
#pragma unroll
                for (int n = 0; n < AT_ONCE; n++) {
                    const float2 v = w[((BLOCKS > 1 ? q * 8 : 0) + first + n) * 64];
                    const float two[2] = {v.x, v.y};
                    take_apart<PARTS, 2>(b[n], two);
                }
                multiply8<PARTS, AT_ONCE>(sum[q], first, parts, b);
            }
        }
        x += 128;
        w += 32;
    }
}

// ---- results

static __device__ __forceinline__ void put(const wn__gpu_kron_f32 &p, float *y, const float (&v)[4],
                                           int count) {
    if (p.wide_out != 0 && count == 4) {
        float4 old = make_float4(0, 0, 0, 0);
        if (p.accumulate != 0) old = *(const float4 *)y;
        *(float4 *)y = make_float4(v[0] + old.x, v[1] + old.y, v[2] + old.z, v[3] + old.w);
        return;
    }
#pragma unroll
    for (int q = 0; q < 4; q++)
        if (q < count) y[q * p.y_q] = v[q] + (p.accumulate != 0 ? y[q * p.y_q] : 0);
}

static __device__ __forceinline__ float weight(const wn__gpu_kron_f32 &p, const float *tiles,
                                               int block, int j, int k) {
    const int lane = 4 * (2 * (j % 4) + j % 8 / 4) + k % 4;
    return tiles[(((int64_t)block * p.down + j / 8) * p.across + k / 16) * WN_KRON_F32_TILE +
                 k % 16 / 8 * 64 + 2 * lane + k / 4 % 2];
}

// Of a warp: x, y and tiles are those of its first block, rows from `row` on, outputs of `first`.
template <int BLOCKS>
static __device__ __forceinline__ void store(const wn__gpu_kron_f32 &p, const sums &sum,
                                             const float *x, float *y, const float *tiles, int row,
                                             int first) {
    const int lane = (int)threadIdx.x & 31, g = lane >> 2, t = lane & 3;
    uint32_t again = 0;
#pragma unroll
    for (int at = 0; at < 32; at++) {
        const int m = at >> 4, n = at >> 2 & 3, e = at & 3;
        const int r = row + 16 * m + 8 * (e >> 1) + g, j = first + 8 * n + 4 * (e & 1) + t;
        if (r >= p.rows || j >= p.b) continue;
        const float v[4] = {sum[0][m][n][e], sum[1][m][n][e], sum[2][m][n][e], sum[3][m][n][e]};
        if (0 * v[0] + 0 * v[1] + 0 * v[2] + 0 * v[3] == 0)
            put(p, y + r * p.y_row + j * p.y_output, v, BLOCKS == 1 ? min(4, p.n - 4 * r) : 4);
        else
            again |= 1u << at;
    }
    // not finite: as the numbers whole make them
#pragma unroll 1
    while (again != 0) {
        const int at = __ffs((int)again) - 1;
        const int m = at >> 4, n = at >> 2 & 3, e = at & 3;
        const int r = row + 16 * m + 8 * (e >> 1) + g, j = first + 8 * n + 4 * (e & 1) + t;
        const int count = BLOCKS == 1 ? min(4, p.n - 4 * r) : 4;
        float v[4] = {};
#pragma unroll 1
        for (int k = 0; k < p.c; k++)
#pragma unroll
            for (int q = 0; q < 4; q++)
                if (q < count)
                    v[q] = fmaf(x[r * p.x_row + k * p.x_input + q * p.x_q],
                                weight(p, tiles, BLOCKS == 1 ? 0 : q, j, k), v[q]);
        put(p, y + r * p.y_row + j * p.y_output, v, count);
        again &= again - 1;
    }
}

// Where a block of threads is: its first block of the factor, and which 64 outputs.
struct place {
    int block, part;
    int64_t inputs, outputs; // its first feature of x, of y
};
template <int BLOCKS> static __device__ __forceinline__ place place_of(const wn__gpu_kron_f32 &p) {
    int at; // asked for again where it is wanted: registers are few
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(at));
    const int parts = (p.b + WN_KRON_F32_OUTPUTS - 1) / WN_KRON_F32_OUTPUTS;
    const int block = at / parts * BLOCKS, i = block / p.d, l = block % p.d;
    return {block, at % parts, (int64_t)i * p.c * p.d + l, (int64_t)i * p.b * p.d + l};
}
static __device__ __forceinline__ const float *tiles_of(const wn__gpu_kron_f32 &p, int block) {
    return p.tiles + (int64_t)block * p.down * p.across * WN_KRON_F32_TILE;
}

// Of eight blocks every set of warps has four; else every set has rows of its own.
template <int BLOCKS> struct share {
    int row, tile, block;
    __device__ __forceinline__ share() {
        const int warp = (int)threadIdx.x / 32, set = warp / 4;
        row = 32 * (warp & 1) + (BLOCKS == 8 ? 0 : SET_ROWS * set);
        tile = 4 * (warp >> 1 & 1);
        block = BLOCKS == 8 ? 4 * set : 0;
    }
};

template <int BLOCKS>
static __device__ __forceinline__ void store_share(const wn__gpu_kron_f32 &p, const sums &sum,
                                                   int row) {
    const place at = place_of<BLOCKS>(p);
    const share<BLOCKS> mine;
    store<BLOCKS>(p, sum, p.x + at.inputs * p.x_feature + mine.block,
                  p.y + at.outputs * p.y_feature + mine.block * p.y_q,
                  tiles_of(p, at.block + mine.block), row + mine.row,
                  WN_KRON_F32_OUTPUTS * at.part + 8 * mine.tile);
}

// A block of threads: 64 outputs of BLOCKS blocks, and rows.
template <int BLOCKS, int PARTS>
static __device__ __forceinline__ void factor(const wn__gpu_kron_f32 &p) {
    enum { STAGES = shape<BLOCKS>::STAGES, STAGE = shape<BLOCKS>::STAGE };
    extern __shared__ __align__(128) uint8_t memory[];
    const place here = place_of<BLOCKS>(p);
    const float *x = p.x + here.inputs * p.x_feature;
    const float *tiles =
        tiles_of(p, here.block) + (int64_t)here.part * 8 * p.across * WN_KRON_F32_TILE;
    const int left = p.down - 8 * here.part;
    const share<BLOCKS> mine;
    const uint8_t *my_x = memory + mine.row * ROW_BYTES + mine.block * (SET_BYTES / 4);
    const uint8_t *my_w =
        memory + 2 * SET_BYTES + (mine.block * 8 + mine.tile) * 4 * WN_KRON_F32_TILE;

    int next = (int)blockIdx.y * shape<BLOCKS>::ROWS, next_kt = 0, to = 0, at = 0;
    const auto copy = [&] {
        if (next < p.rows) {
            const uint32_t stage = shared_address(memory) + to;
            if (BLOCKS > 1 || p.wide_in != 0)
                bring_pieces<BLOCKS>(p, stage, x, next, next_kt * INPUTS);
            else
                bring_numbers(p, stage, x, next, next_kt * INPUTS);
            bring_weights<BLOCKS>(p, stage + 2 * SET_BYTES, tiles, left, next_kt);
        }
        copies_commit();
        if (++next_kt == p.across) next_kt = 0, next += (int)gridDim.y * shape<BLOCKS>::ROWS;
        to = to == (STAGES - 1) * STAGE ? 0 : to + STAGE;
    };
    for (int s = 0; s + 1 < STAGES; s++)
        copy();
#pragma unroll 1
    for (int row = (int)blockIdx.y * shape<BLOCKS>::ROWS; row < p.rows;
         row += (int)gridDim.y * shape<BLOCKS>::ROWS) {
        const int active = row + mine.row < p.rows ? left - mine.tile : 0;
        sums sum = {};
#pragma unroll 1
        for (int kt = 0; kt < p.across; kt++) {
            copies_wait<STAGES - 2>();
            __syncthreads();
            copy(); // to where the step before was
            if (active > 0)
                multiply<BLOCKS, PARTS>(sum, my_x + at, (const float2 *)(my_w + at), active);
            at = at == (STAGES - 1) * STAGE ? 0 : at + STAGE;
        }
        store_share<BLOCKS>(p, sum, row);
    }
}

#define KERNELS(name, blocks)                                                                      \
    extern "C" __global__ void __launch_bounds__(WN_KRON_F32_THREADS, 1)                           \
        wn_kron_f32_##name(const __grid_constant__ wn__gpu_kron_f32 p) {                           \
        factor<blocks, 2>(p);                                                                      \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(WN_KRON_F32_THREADS, 1)                           \
        wn_kron_f32_##name##_exact(const __grid_constant__ wn__gpu_kron_f32 p) {                   \
        factor<blocks, 3>(p);                                                                      \
    }
#ifndef ONLY
KERNELS(rows, 1)
KERNELS(lanes4, 4)
#endif
KERNELS(lanes8, 8)
