// SPDX-License-Identifier: MIT
// The gradient of a factor of wide blocks in float32 on tensor cores, numbers in two parts
// (common/tf32.cuh), eight vectors at a time.
//
// A block of threads has eight tiles of 64 x 64 numbers, those of the same place in blocks side by
// side one behind the other, a warp 32 x 64 of one: of every vector each thread brings an output
// and an input of one tile. The products of eight
// vectors begin at zero and are added to the sum at once, so that what tensor cores cut off is cut
// off sums of eight: with S the sum of all magnitudes and u = 2^-24, of at most nine numbers, each
// below a unit of the largest's last place, so 18 u S; parts leave out 8 u S (tf32.cuh), the
// smaller products' sums, 2^-10 as large, are off by less than u S; n / 8 + 1 sums round by u S
// each. From 16 vectors on that is within the contract's 2 n u S.
#include "kernels/cuda/args_kron_grad.h"
#include "kernels/cuda/common/mma16.cuh"
#include "kernels/cuda/common/tf32.cuh"

enum {
    SIDE = WN_KRON_GRAD_TF32_SIDE,
    TILES = WN_KRON_GRAD_TF32_TILES,
#if defined __CUDA_ARCH__ && __CUDA_ARCH__ == 900
    STEP = WN_KRON_GRAD_TF32_STEP_90,
    STAGES = WN_KRON_GRAD_TF32_STAGES_90,
#else
    STEP = WN_KRON_GRAD_TF32_STEP_80,
    STAGES = WN_KRON_GRAD_TF32_STAGES_80,
#endif
    TILE = SIDE + 4,                 // numbers from one tile's to the next one's
    BOTH = TILES * TILE,             // from those of dy to those of x
    PITCH = WN_KRON_GRAD_TF32_PITCH, // of a vector: eight more than a multiple of 32 banks
    STAGE_BYTES = STEP * PITCH * 4,
    DOWN = 2,
    ACROSS = 8 // tiles of 16 x 8 of a warp
};
static_assert(PITCH == 2 * BOTH + 8 && PITCH % 32 == 8, "rows of four vectors in different banks");

static __device__ __forceinline__ void copy_number(uint32_t to, const float *from, bool in) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from),
                 "r"(in ? 4 : 0)
                 : "memory");
}

// Tile `which` of all: a block of the factor, and where in it.
struct tile {
    int block, output, input;
};
static __device__ __forceinline__ tile tile_of(const wn__gpu_kron_grad_f32 &p, int which) {
    const int blocks = p.a * p.d, place = which / blocks;
    if (place >= p.down * p.across) return {blocks, 0, 0};
    return {which % blocks, place / p.across * SIDE, place % p.across * SIDE};
}

// What a thread brings of a side: where feature j of a block is in the part's first vector; NULL:
// there is none.
static __device__ __forceinline__ const float *
feature_of(const wn__gpu_kron_grad_f32 &p, const wn__gpu_kron_side &s, int block, int j) {
    if (block >= p.a * p.d || j >= s.count) return NULL;
    const int64_t at = ((int64_t)(block / p.d) * s.count + j) * p.d + block % p.d;
    return s.at + (int64_t)blockIdx.y * p.each * s.vector + at * s.feature;
}
// Of STEP vectors, of which `left` are there.
static __device__ __forceinline__ void bring(const wn__gpu_kron_side &s, const float *&at,
                                             uint32_t to, int left) {
    if (at != NULL && left >= STEP) {
#pragma unroll
        for (int v = 0; v < STEP; v++) {
            copy_number(to + v * (PITCH * 4), at, true);
            at += s.vector;
        }
        return;
    }
#pragma unroll 1
    for (int v = 0; v < STEP; v++) {
        const bool in = at != NULL && v < left;
        copy_number(to + v * (PITCH * 4), in ? at + v * s.vector : s.at, in);
    }
}

// dy, x: this lane's first number.
static __device__ __forceinline__ void add_products(float (&sum)[DOWN][ACROSS][4], uint32_t dy,
                                                    uint32_t x) {
    enum { FOUR = 4 * PITCH * 4 }; // bytes of four vectors
    uint32_t high[DOWN][4], low[DOWN][4];
#pragma unroll
    for (int m = 0; m < DOWN; m++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            tf32_parts(get_float(dy + (e >> 1) * FOUR + (16 * m + 8 * (e & 1)) * 4), high[m][e],
                       low[m][e]);
            // products that do not wait for each other, side by side
#pragma unroll
    for (int n = 0; n < ACROSS; n += 2) {
        uint32_t x_high[2][2], x_low[2][2];
        float d[2][DOWN][4] = {};
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                tf32_parts(get_float(x + e * FOUR + 32 * (n + i)), x_high[i][e], x_low[i][e]);
#pragma unroll
        for (int i = 0; i < 2 * DOWN; i++)
            mma_tf32(d[i / DOWN][i % DOWN], low[i % DOWN], x_high[i / DOWN]);
#pragma unroll
        for (int i = 0; i < 2 * DOWN; i++)
            mma_tf32(d[i / DOWN][i % DOWN], high[i % DOWN], x_low[i / DOWN]);
#pragma unroll
        for (int i = 0; i < 2 * DOWN; i++)
            mma_tf32(d[i / DOWN][i % DOWN], high[i % DOWN], x_high[i / DOWN]);
#pragma unroll
        for (int i = 0; i < 2 * DOWN; i++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[i % DOWN][n + i / DOWN][e] += d[i / DOWN][i % DOWN][e];
    }
}

// A sum that parts of infinities, NaN or the largest numbers went into, of the numbers themselves.
static __device__ __forceinline__ float again(const wn__gpu_kron_grad_f32 &p, int64_t dy,
                                              int64_t x) {
    const int begin = (int)blockIdx.y * p.each, end = min(p.n, begin + p.each);
    float sum = 0;
    for (int v = begin; v < end; v++)
        sum = __fmaf_rn(p.dy.at[v * p.dy.vector + dy * p.dy.feature],
                        p.x.at[v * p.x.vector + x * p.x.feature], sum);
    return sum;
}

extern "C" __global__ void __launch_bounds__(WN_KRON_GRAD_TF32_THREADS)
    wn_kron_grad_tf32(const __grid_constant__ wn__gpu_kron_grad_f32 p) {
    extern __shared__ __align__(128) uint8_t memory[];
    const int thread = (int)threadIdx.x;
    const int first = (int)blockIdx.x * TILES;
    // neighbours are blocks that lie side by side, or features
    const int own = p.d > 1 ? thread % TILES : thread / SIDE;
    const int number = p.d > 1 ? thread / TILES : thread % SIDE;
    const int begin = (int)blockIdx.y * p.each, end = min(p.n, begin + p.each);
    const uint32_t stages = shared_address(memory), to = stages + 4 * (own * TILE + number);
    const tile brought = tile_of(p, first + own);
    const float *dy = feature_of(p, p.dy, brought.block, brought.output + number);
    const float *x = feature_of(p, p.x, brought.block, brought.input + number);
    const auto copy = [&](int v) {
        const uint32_t stage = to + (v - begin) / STEP % STAGES * STAGE_BYTES;
        if (v < end) {
            bring(p.dy, dy, stage, end - v);
            bring(p.x, x, stage + 4 * BOTH, end - v);
        }
        copies_commit();
    };
    for (int i = 0; i < STAGES - 1; i++)
        copy(begin + i * STEP);
    const uint32_t mine =
        stages + 4 * ((thread & 3) * PITCH + (thread >> 6) * TILE + (thread >> 2 & 7));
    const uint32_t half = (thread >> 5 & 1) * (SIDE / 2 * 4);
    float sum[DOWN][ACROSS][4] = {};
#pragma unroll 1
    for (int v = begin; v < end; v += STEP) {
        copies_wait<STAGES - 2>();
        __syncthreads();
        copy(v + (STAGES - 1) * STEP);
        const uint32_t from = mine + (v - begin) / STEP % STAGES * STAGE_BYTES;
#pragma unroll 1
        for (int i = 0; i < STEP / 8; i++)
            add_products(sum, from + half + i * (8 * PITCH * 4),
                         from + 4 * BOTH + i * (8 * PITCH * 4));
    }
    int again_thread; // read anew: kept, it is a register too many
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(again_thread));
    const int lane = again_thread & 31, warp = again_thread / 32;
    const tile summed = tile_of(p, (int)blockIdx.x * TILES + (warp >> 1));
    if (summed.block >= p.a * p.d) return;
    const int j = summed.output + (warp & 1) * (SIDE / 2) + (lane >> 2);
    const int k = summed.input + 2 * (lane & 3);
    const int64_t numbers = (int64_t)p.dy.count * p.x.count;
    float *const out = p.sums + ((int64_t)blockIdx.y * p.a * p.d + summed.block) * numbers;
    bool finite = true;
#pragma unroll
    for (int n = 0; n < ACROSS; n++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const int column = k + 8 * n + e;
            if (column >= p.x.count) continue;
            float *const at = out + (int64_t)column * p.step_k;
#pragma unroll
            for (int m = 0; m < DOWN; m++)
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    const int row = j + 16 * m + 8 * h;
                    if (row < p.dy.count) at[(int64_t)row * p.step_j] = sum[m][n][2 * h + e];
                    finite &= isfinite(sum[m][n][2 * h + e]);
                }
        }
    if (finite) return;
    const int64_t i = summed.block / p.d, l = summed.block % p.d;
#pragma unroll 1
    for (int q = 0; q < DOWN * 2 * ACROSS * 2; q++) {
        const int row = j + 8 * (q & 3), column = k + 8 * (q >> 3) + (q >> 2 & 1);
        if (row >= p.dy.count || column >= p.x.count) continue;
        float *const one = out + (int64_t)row * p.step_j + (int64_t)column * p.step_k;
        if (!isfinite(*one))
            *one = again(p, (i * p.dy.count + row) * p.d + l, (i * p.x.count + column) * p.d + l);
    }
}
