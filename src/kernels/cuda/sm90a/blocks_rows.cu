// SPDX-License-Identifier: MIT
// c (+)= S b, S 2:4 along its rows in packed blocks: rows of S are the rows of a tile, so sums
// leave as they lie (common/blocks_rows.cuh has how they are made).
#include "kernels/cuda/common/blocks_rows.cuh"

// 16 bits: a warp's 16 rows by 64 columns at a time through shared memory and a bulk store.
template <class T, int PANELS, int COLUMNS>
static __device__ __forceinline__ void store_short(const wn__gpu_blocks_rows &p, const consumer &c,
                                                   const float (&d)[PANELS][COLUMNS / 2],
                                                   const work &w) {
    const int warp = c.thread >> 5, lane = c.thread & 31, row = lane & 15;
    const uint32_t to = c.chunk + warp * CHUNK_BYTES;
#pragma unroll
    for (int i = 0; i < PANELS; i++)
#pragma unroll
        for (int n = 0; n < COLUMNS / 64; n++) {
            if (lane == 0) stores_read<0>();
            __syncwarp();
#pragma unroll
            for (int j = 0; j < 8; j += 2) {
                const float *v = &d[i][n * 32 + j * 4];
                const uint32_t at = to + row * 128 + (((j + (lane >> 4)) ^ (row & 7)) << 4);
                asm volatile(
                    "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(at),
                    "r"(T::pair(v[0], v[1])), "r"(T::pair(v[2], v[3])), "r"(T::pair(v[4], v[5])),
                    "r"(T::pair(v[6], v[7]))
                    : "memory");
            }
            writes_to_copies();
            __syncwarp();
            if (lane == 0)
                store_box(&p.c, to, w.n * COLUMNS + n * 64,
                          ((w.m * CONSUMERS + c.which) * PANELS + i) * 64 + 16 * warp);
            __syncwarp();
        }
}

// 32 bits: four lanes write 32 bytes of a row.
template <int PANELS, int COLUMNS>
static __device__ __forceinline__ void store_whole(const wn__gpu_blocks_rows &p, const consumer &c,
                                                   const float (&d)[PANELS][COLUMNS / 2],
                                                   const work &w) {
    const int warp = c.thread >> 5, lane = c.thread & 31;
    const int first = w.n * COLUMNS + 2 * (lane & 3);
#pragma unroll
    for (int i = 0; i < PANELS; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = ((w.m * CONSUMERS + c.which) * PANELS + i) * 64 + 16 * warp +
                            (lane >> 2) + 8 * half;
            float *to = (float *)p.c_data + row * p.c_stride + first;
            if (row >= p.rows) continue;
#pragma unroll
            for (int j = 0; j < COLUMNS / 8; j++) {
                const int left = p.columns - first - 8 * j;
                float2 v = make_float2(d[i][4 * j + 2 * half], d[i][4 * j + 2 * half + 1]);
                if (left >= 2) {
                    float2 *at = (float2 *)(to + 8 * j);
                    if (p.accumulate != 0) {
                        const float2 old = *at;
                        v.x += old.x;
                        v.y += old.y;
                    }
                    *at = v;
                } else if (left == 1) {
                    to[8 * j] = p.accumulate != 0 ? to[8 * j] + v.x : v.x;
                }
            }
        }
}

// What becomes of the sums of a tile.
template <class T, int PANELS, int COLUMNS> struct store_sums {
    __device__ __forceinline__ void operator()(const wn__gpu_blocks_rows &p, const consumer &c,
                                               const float (&d)[PANELS][COLUMNS / 2],
                                               const work &w) const {
        if (p.whole != 0)
            store_whole<PANELS, COLUMNS>(p, c, d, w);
        else
            store_short<T, PANELS, COLUMNS>(p, c, d, w);
    }
};

#define ENTRY(name, T, panels, columns, stages, across)                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, 1)                                       \
        name(const __grid_constant__ wn__gpu_blocks_rows p) {                                      \
        blocks_rows<T, panels, columns, stages, across>(p, store_sums<T, panels, columns>());      \
    }

#define ENTRIES(rows, columns, stages)                                                             \
    ENTRY(wn_blocks_rows_##rows##x##columns##_bf16, type_bf16, rows / 128, columns, stages, false) \
    ENTRY(wn_blocks_rows_##rows##x##columns##_f16, type_f16, rows / 128, columns, stages, false)   \
    ENTRY(wn_blocks_rows_##rows##x##columns##_bf16_across, type_bf16, rows / 128, columns, stages, \
          true)                                                                                    \
    ENTRY(wn_blocks_rows_##rows##x##columns##_f16_across, type_f16, rows / 128, columns, stages,   \
          true)

WN_ROWS_TILES(ENTRIES)
