// SPDX-License-Identifier: MIT
// y = act(x W^T + bias) + residual with mma.sp, W in packed blocks. A tile is 128 features by 128
// tokens, eight warps of 64 x 32 each; three steps of 64 columns are in flight in shared memory.
// Blocks are copied as they are, tokens with 16-byte chunk c of a row at c ^ (row mod 8). The sums
// go back through shared memory, which transposes.
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/mma_sp.cuh"
#include "kernels/cuda/spmm24_sm80.h"

enum {
    THREADS = WN_SPMM24_SM80_THREADS,
    ROWS = WN_SPMM24_SM80_ROWS,
    TOKENS = WN_SPMM24_SM80_TOKENS,
    STAGES = 3,
    TOKEN_BYTES = TOKENS * 128,
    BLOCK_BYTES = ROWS / 64 * WN_BLOCK24_BYTES,
    STAGE_BYTES = TOKEN_BYTES + BLOCK_BYTES,
    PITCH = ROWS + 4 // floats from one token's sums to the next
};
static_assert(STAGES * STAGE_BYTES <= WN_SPMM24_SM80_SHARED, "stages");
static_assert(TOKENS * PITCH * 4 <= WN_SPMM24_SM80_SHARED, "sums");

// One step of 64 columns into a stage; zeros beyond the tokens and the columns.
static __device__ __forceinline__ void copy(const wn__gpu_spmm24_blocks &p, uint32_t stage,
                                            int panel, int token, int step) {
#pragma unroll
    for (int i = 0; i < TOKEN_BYTES / 16 / THREADS; i++) {
        const int at = i * THREADS + (int)threadIdx.x, row = at / 8, chunk = at % 8;
        const int column = 64 * step + 8 * chunk, left = 2 * (p.columns - column);
        const bool in = token + row < p.tokens && left > 0;
        const uint16_t *from = p.x_data + (in ? (token + row) * p.x_stride + column : 0);
        copy_async(stage + row * 128 + ((chunk ^ (row & 7)) << 4), from,
                   in ? (left < 16 ? left : 16) : 0);
    }
    enum { CHUNKS = WN_BLOCK24_BYTES / 16 };
#pragma unroll 1
    for (int at = (int)threadIdx.x; at < ROWS / 64 * CHUNKS; at += THREADS) {
        // features beyond the last panel: any numbers, nothing stores what comes of them
        const int row = min(panel + at / CHUNKS, p.panels - 1);
        const uint8_t *from =
            p.blocks + ((size_t)row * p.steps + step) * WN_BLOCK24_BYTES + at % CHUNKS * 16;
        copy_async(stage + TOKEN_BYTES + at * 16, from, 16);
    }
}

// Half a step: 32 columns.
template <class T, int HALF>
static __device__ __forceinline__ void multiply(float (&d)[4][4][4], const uint32_t (&e)[4],
                                                uint32_t tokens, uint32_t block) {
    const int lane = (int)threadIdx.x & 31, row = (lane & 7) + (lane & 8), eight = lane & 7;
    uint32_t a[4][4];
#pragma unroll
    for (int m = 0; m < 4; m++) {
        const int r = 16 * m + row, chunk = 2 * HALF + (lane >> 4);
        load_matrices(a[m], block + r * 64 + ((chunk ^ (r >> 1 & 3)) << 4));
    }
#pragma unroll
    for (int n = 0; n < 4; n++) {
        uint32_t b[4];
        load_matrices(b,
                      tokens + (8 * n + eight) * 128 + (((4 * HALF + (lane >> 3)) ^ eight) << 4));
#pragma unroll
        for (int m = 0; m < 4; m++)
            mma_sp<T, HALF>::run(d[m][n], a[m], b, e[m]);
    }
}

static __device__ __forceinline__ float epilogue(const wn__gpu_spmm24_blocks &p, float z) {
    return p.relu2 == 0 ? z : z <= 0 ? 0 : z * z;
}

static __device__ __forceinline__ float root(float x) {
    float r;
    asm("sqrt.approx.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}

// Eight features of a token.
template <class T>
static __device__ __forceinline__ void store8(const wn__gpu_spmm24_blocks &p, const float *sum,
                                              int token, int feature) {
    const int n = p.rows - feature < 8 ? p.rows - feature : 8;
    uint16_t *y = p.y_data + token * p.y_stride + feature;
    const uint16_t *residual = p.residual_data + token * p.residual_stride + feature;
    float v[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const float bias = p.bias != nullptr && i < n ? T::wide(p.bias[feature + i]) : 0;
        v[i] = epilogue(p, sum[i] + bias);
        if (p.residual_given != 0 && i < n) {
            const float r = T::wide(residual[i]);
            v[i] = p.gate != 0 ? v[i] * (2 * root(r)) : v[i] + r;
        }
    }
    const uint4 out = make_uint4(T::pair(v[0], v[1]), T::pair(v[2], v[3]), T::pair(v[4], v[5]),
                                 T::pair(v[6], v[7]));
    if (n == 8) {
        *(uint4 *)y = out;
        return;
    }
    const uint32_t word[4] = {out.x, out.y, out.z, out.w};
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < n) y[i] = (uint16_t)(word[i / 2] >> 16 * (i & 1));
}

template <class T>
static __device__ __forceinline__ void store(const wn__gpu_spmm24_blocks &p, float *sums,
                                             const float (&d)[4][4][4], int row, int token) {
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x & 31;
    const int feature = 64 * (warp & 1) + (lane >> 2), mine = 32 * (warp >> 1) + 2 * (lane & 3);
    __syncthreads();
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                sums[(mine + 8 * n + (i & 1)) * PITCH + feature + 16 * m + 8 * (i >> 1)] =
                    d[m][n][i];
    __syncthreads();
    for (int at = (int)threadIdx.x; at < TOKENS * ROWS / 8; at += THREADS) {
        const int t = at / (ROWS / 8), f = at % (ROWS / 8) * 8;
        if (token + t < p.tokens && row + f < p.rows)
            store8<T>(p, sums + t * PITCH + f, token + t, row + f);
    }
}

template <class T> static __device__ __forceinline__ void spmm24(const wn__gpu_spmm24_blocks &p) {
    extern __shared__ __align__(128) uint8_t memory[];
    const uint32_t base = shared_address(memory);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x & 31;
    // groups of tiles along the features, all tokens of a group before the next
    const int in_group = p.group * p.tiles_n, group = (int)blockIdx.x / in_group;
    const int first = group * p.group, wide = min(p.tiles_m - first, p.group);
    const int at = (int)blockIdx.x - group * in_group;
    const int row = (first + at % wide) * ROWS, token = at / wide * TOKENS;
    float d[4][4][4] = {};
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < p.steps) copy(p, base + s * STAGE_BYTES, row / 64, token, s);
        asm volatile("cp.async.commit_group;" ::: "memory");
    }
    for (int s = 0; s < p.steps; s++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
        __syncthreads();
        const int next = s + STAGES - 1;
        if (next < p.steps) copy(p, base + next % STAGES * STAGE_BYTES, row / 64, token, next);
        asm volatile("cp.async.commit_group;" ::: "memory");
        const uint32_t tokens = base + s % STAGES * STAGE_BYTES + 32 * (warp >> 1) * 128;
        const uint32_t block =
            base + s % STAGES * STAGE_BYTES + TOKEN_BYTES + (warp & 1) * WN_BLOCK24_BYTES;
        uint32_t e[4];
#pragma unroll
        for (int m = 0; m < 4; m++)
            asm volatile("ld.shared.u32 %0, [%1];"
                         : "=r"(e[m])
                         : "r"(block + WN_BLOCK24_VALUES + 128 * m + 4 * lane)
                         : "memory");
        multiply<T, 0>(d, e, tokens, block);
        multiply<T, 1>(d, e, tokens, block);
    }
    asm volatile("cp.async.wait_group 0;" ::: "memory");
    store<T>(p, (float *)memory, d, row, token);
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
    wn_spmm24_blocks_bf16(const __grid_constant__ wn__gpu_spmm24_blocks p) {
    spmm24<type_bf16>(p);
}
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    wn_spmm24_blocks_f16(const __grid_constant__ wn__gpu_spmm24_blocks p) {
    spmm24<type_f16>(p);
}
