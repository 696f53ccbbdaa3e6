// SPDX-License-Identifier: MIT
// c (+)= S b with mma.sp, S in packed blocks. A tile is 128 rows by 128 columns, eight warps of 64
// x 32 each; three steps of 64 of k are in flight in shared memory. Blocks are copied as they are,
// b as it lies: a column's 64 of k in a row of 128 bytes, or (ACROSS) 128 columns in one of 256,
// which ldmatrix transposes; 16-byte chunk c of row r stands at c ^ (r mod 8). Sums leave through
// shared memory.
#include "kernels/cuda/args_rows.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/mma_sp.cuh"

enum {
    THREADS = WN_ROWS_SM80_THREADS,
    ROWS = WN_ROWS_SM80_ROWS,
    COLUMNS = WN_ROWS_SM80_COLUMNS,
    STAGES = 3,
    COLUMN_BYTES = COLUMNS * 128,
    BLOCK_BYTES = ROWS / 64 * WN_BLOCK24_BYTES,
    STAGE_BYTES = COLUMN_BYTES + BLOCK_BYTES,
    PITCH = COLUMNS + 4 // floats from one row's sums to the next
};
static_assert(STAGES * STAGE_BYTES <= WN_ROWS_SM80_SHARED, "stages");
static_assert(ROWS * PITCH * 4 <= WN_ROWS_SM80_SHARED, "sums");

// 16 bytes of b that begin at element `at` of line `line`; zeros beyond both.
static __device__ __forceinline__ void copy_chunk(const wn__gpu_blocks_rows &p, uint32_t to,
                                                  int line, int lines, int at, int length) {
    const int left = 2 * (length - at);
    const bool in = line < lines && left > 0;
    copy_async(to, p.b_data + (in ? line * p.b_stride + at : 0), in ? (left < 16 ? left : 16) : 0);
}

// One step of 64 of k into a stage.
template <bool ACROSS>
static __device__ __forceinline__ void copy(const wn__gpu_blocks_rows &p, uint32_t stage, int panel,
                                            int column, int step) {
#pragma unroll
    for (int i = 0; i < COLUMN_BYTES / 16 / THREADS; i++) {
        const int at = i * THREADS + (int)threadIdx.x;
        if (ACROSS) {
            const int row = at / 16, chunk = at % 16;
            copy_chunk(p, stage + row * 256 + ((chunk ^ (row & 7)) << 4), 64 * step + row, p.depth,
                       column + 8 * chunk, p.columns);
        } else {
            const int row = at / 8, chunk = at % 8;
            copy_chunk(p, stage + row * 128 + ((chunk ^ (row & 7)) << 4), column + row, p.columns,
                       64 * step + 8 * chunk, p.depth);
        }
    }
    enum { CHUNKS = WN_BLOCK24_BYTES / 16 };
#pragma unroll 1
    for (int at = (int)threadIdx.x; at < ROWS / 64 * CHUNKS; at += THREADS) {
        // rows beyond the last panel: any numbers, nothing stores what comes of them
        const int row = min(panel + at / CHUNKS, p.panels - 1);
        const uint8_t *from =
            p.blocks + ((size_t)row * p.steps + step) * WN_BLOCK24_BYTES + at % CHUNKS * 16;
        copy_async(stage + COLUMN_BYTES + at * 16, from, 16);
    }
}

// Half a step: 32 of k, 32 columns from `first` on.
template <class T, int HALF, bool ACROSS>
static __device__ __forceinline__ void multiply(float (&d)[4][4][4], const uint32_t (&e)[4],
                                                uint32_t columns, int first, uint32_t block) {
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
        const int k8 = 4 * HALF + (lane >> 3); // which eight of k this lane's row belongs to
        if (ACROSS)
            load_transposed(b,
                            columns + (8 * k8 + eight) * 256 + ((((first >> 3) + n) ^ eight) << 4));
        else
            load_matrices(b, columns + (first + 8 * n + eight) * 128 + ((k8 ^ eight) << 4));
#pragma unroll
        for (int m = 0; m < 4; m++)
            mma_sp<T, HALF>::run(d[m][n], a[m], b, e[m]);
    }
}

// Eight columns of a row.
static __device__ __forceinline__ void store8(const wn__gpu_blocks_rows &p, float4 low, float4 high,
                                              int row, int column) {
    const float v[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    float *c = (float *)p.c_data + row * p.c_stride + column;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int left = p.columns - column - 4 * h;
        if (left >= 4) {
            float4 *at = (float4 *)c + h, sum = h == 0 ? low : high;
            if (p.accumulate != 0) {
                const float4 old = *at;
                sum = make_float4(sum.x + old.x, sum.y + old.y, sum.z + old.z, sum.w + old.w);
            }
            *at = sum;
            continue;
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (i < left)
                c[4 * h + i] = p.accumulate != 0 ? c[4 * h + i] + v[4 * h + i] : v[4 * h + i];
    }
}
template <class T>
static __device__ __forceinline__ void store8_short(const wn__gpu_blocks_rows &p, float4 low,
                                                    float4 high, int row, int column) {
    const int n = p.columns - column < 8 ? p.columns - column : 8;
    uint16_t *c = (uint16_t *)p.c_data + row * p.c_stride + column;
    const uint32_t word[4] = {T::pair(low.x, low.y), T::pair(low.z, low.w), T::pair(high.x, high.y),
                              T::pair(high.z, high.w)};
    if (n == 8) {
        *(uint4 *)c = make_uint4(word[0], word[1], word[2], word[3]);
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < n) c[i] = (uint16_t)(word[i / 2] >> 16 * (i & 1));
}

template <class T>
static __device__ __forceinline__ void store(const wn__gpu_blocks_rows &p, float *sums,
                                             const float (&d)[4][4][4], int row, int column) {
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x & 31;
    const int mine = 64 * (warp & 1) + (lane >> 2), first = 32 * (warp >> 1) + 2 * (lane & 3);
    __syncthreads();
#pragma unroll
    for (int m = 0; m < 4; m++)
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                *(float2 *)&sums[(mine + 16 * m + 8 * half) * PITCH + first + 8 * n] =
                    make_float2(d[m][n][2 * half], d[m][n][2 * half + 1]);
    __syncthreads();
    for (int at = (int)threadIdx.x; at < ROWS * COLUMNS / 8; at += THREADS) {
        const int r = at / (COLUMNS / 8), c = at % (COLUMNS / 8) * 8;
        if (row + r >= p.rows || column + c >= p.columns) continue;
        const float4 *v = (const float4 *)&sums[r * PITCH + c];
        if (p.whole != 0)
            store8(p, v[0], v[1], row + r, column + c);
        else
            store8_short<T>(p, v[0], v[1], row + r, column + c);
    }
}

template <class T, bool ACROSS>
static __device__ __forceinline__ void blocks_rows(const wn__gpu_blocks_rows &p) {
    extern __shared__ __align__(128) uint8_t memory[];
    const uint32_t base = shared_address(memory);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x & 31;
    // groups of tiles along the rows, all columns of a group before the next
    const int in_group = p.group * p.tiles_n, group = (int)blockIdx.x / in_group;
    const int first = group * p.group, wide = min(p.tiles_m - first, p.group);
    const int at = (int)blockIdx.x - group * in_group;
    const int row = (first + at % wide) * ROWS, column = at / wide * COLUMNS;
    float d[4][4][4] = {};
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < p.steps) copy<ACROSS>(p, base + s * STAGE_BYTES, row / 64, column, s);
        asm volatile("cp.async.commit_group;" ::: "memory");
    }
    for (int s = 0; s < p.steps; s++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
        __syncthreads();
        const int next = s + STAGES - 1;
        if (next < p.steps)
            copy<ACROSS>(p, base + next % STAGES * STAGE_BYTES, row / 64, column, next);
        asm volatile("cp.async.commit_group;" ::: "memory");
        const uint32_t columns = base + s % STAGES * STAGE_BYTES;
        const uint32_t block = columns + COLUMN_BYTES + (warp & 1) * WN_BLOCK24_BYTES;
        uint32_t e[4];
#pragma unroll
        for (int m = 0; m < 4; m++)
            asm volatile("ld.shared.u32 %0, [%1];"
                         : "=r"(e[m])
                         : "r"(block + WN_BLOCK24_VALUES + 128 * m + 4 * lane)
                         : "memory");
        multiply<T, 0, ACROSS>(d, e, columns, 32 * (warp >> 1), block);
        multiply<T, 1, ACROSS>(d, e, columns, 32 * (warp >> 1), block);
    }
    asm volatile("cp.async.wait_group 0;" ::: "memory");
    store<T>(p, (float *)memory, d, row, column);
}

#define ENTRY(name, T, across)                                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS, 2)                                       \
        name(const __grid_constant__ wn__gpu_blocks_rows p) {                                      \
        blocks_rows<T, across>(p);                                                                 \
    }
ENTRY(wn_blocks_rows_bf16, type_bf16, false)
ENTRY(wn_blocks_rows_f16, type_f16, false)
ENTRY(wn_blocks_rows_bf16_across, type_bf16, true)
ENTRY(wn_blocks_rows_f16_across, type_f16, true)
