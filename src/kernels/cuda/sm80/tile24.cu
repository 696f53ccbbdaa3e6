// SPDX-License-Identifier: MIT
// 4x4 tiles: their exact masks (mask24), mask and both packs in one pass (tile24), packs along
// columns under a given mask (pack24). One thread a tile.
#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/number.cuh"
#include "kernels/cuda/common/stage24.cuh"
#include "kernels/cuda/common/tile24.cuh"

template <class F>
static __device__ __forceinline__ void numbers(typename group4<typename F::bits>::wide v,
                                               float a[4]) {
#pragma unroll
    for (int j = 0; j < 4; j++)
        a[j] = number(F(), at(v, j));
}

// ---- mask24

template <class F> static __device__ __forceinline__ void mask_tile(const wn__gpu_mask24 &p) {
    typedef typename F::bits T;
    __shared__ tile_sums sums;
    const int64_t g = share_number();
    if (g >= p.groups) return;
    bool nan = false;
    for (int64_t t = first_row(); t < p.rows / 4; t += row_step()) {
        typename group4<T>::wide v[4];
        float a[4][4];
#pragma unroll
        for (int r = 0; r < 4; r++)
            v[r] = load4((const T *)p.w + (4 * t + r) * p.stride + 4 * g, 4);
#pragma unroll
        for (int r = 0; r < 4; r++)
            numbers<F>(v[r], a[r]);
        const unsigned mask = rows_of_choices(best_tile(a, sums, &nan));
#pragma unroll
        for (int r = 0; r < 4; r++)
            p.mask[(4 * t + r) * p.groups + g] = (uint8_t)(mask >> 4 * r & 15);
    }
    if (nan) leave(p.fault, p.number);
}

// ---- tile24

struct tile_masks {
    uint8_t row[WN_GPU_TILE][16];
};

static __device__ __forceinline__ void unload_masks(const tile_masks *s, uint8_t *mask, int64_t r0,
                                                    int64_t rows, int64_t g0, int64_t groups) {
    const int left = groups - g0 < 16 ? (int)(groups - g0) : 16;
    if (threadIdx.x >= WN_GPU_TILE || r0 + threadIdx.x >= rows) return;
    uint8_t *to = mask + (r0 + threadIdx.x) * groups + g0;
    const uint8_t *from = s->row[threadIdx.x];
    if (left == 16 && aligned(to, 16)) {
        *(uint4 *)to = *(const uint4 *)from;
        return;
    }
    for (int j = 0; j < left; j++)
        to[j] = from[j];
}

template <class F> static __device__ __forceinline__ void tile24(const wn__gpu_tile24 &p) {
    typedef typename F::bits T;
    __shared__ union {
        tile_sums sums;
        struct {
            packed_stage<T> rows, columns;
            tile_masks masks;
        } out;
    } s;
    const int64_t c0 = (int64_t)blockIdx.x * WN_GPU_TILE;
    const int g = (int)threadIdx.x & 15, t = (int)threadIdx.x >> 4;
    const bool across = c0 + 4 * g < p.columns;
    bool nan = false;
    for (int64_t r0 = (int64_t)blockIdx.y * WN_GPU_TILE; r0 < p.rows;
         r0 += (int64_t)gridDim.y * WN_GPU_TILE) {
        const bool in = across && r0 + 4 * t < p.rows;
        typename group4<T>::wide v[4];
        float a[4][4];
        unsigned mask = 0xCCCC;
#pragma unroll
        for (int r = 0; r < 4; r++)
            v[r] = load4((const T *)p.w + (r0 + 4 * t + r) * p.stride + c0 + 4 * g, in ? 4 : 0);
#pragma unroll
        for (int r = 0; r < 4; r++)
            numbers<F>(v[r], a[r]);
        // of tiles that are not there only 0xE nibbles are stored
        if (in) mask = rows_of_choices(best_tile(a, s.sums, &nan));
        const unsigned columns = in ? columns_of_rows(mask) : mask;
        __syncthreads();
#pragma unroll
        for (int r = 0; r < 4; r++)
            s.out.masks.row[4 * t + r][g] = (uint8_t)(mask >> 4 * r & 15);
        typename group4<T>::wide across_rows[4];
#pragma unroll
        for (int j = 0; j < 4; j++)
            across_rows[j] = column(v, j);
        stage_full(&s.out.rows, 4 * t, g, v, mask, 1);
        stage_full(&s.out.columns, 4 * g, t, across_rows, columns, 16);
        __syncthreads();
        unload_masks(&s.out.masks, p.mask, r0, p.rows, c0 / 4, p.columns / 4);
        unload(&s.out.rows, (T *)p.values, p.index, r0, p.rows, c0 / 4, p.columns / 4);
        unload(&s.out.columns, (T *)p.values_t, p.index_t, c0, p.columns, r0 / 4, p.rows / 4);
        __syncthreads();
    }
    if (nan) leave(p.fault, p.number);
}

// ---- pack24 along columns

template <class T> static __device__ __forceinline__ void pack_columns(const wn__gpu_pack24 &p) {
    __shared__ packed_stage<T> s;
    const int64_t c0 = (int64_t)blockIdx.x * WN_GPU_TILE;
    const int g = (int)threadIdx.x & 15, t = (int)threadIdx.x >> 4;
    const int64_t c = c0 + 4 * g, left = p.columns - c;
    const int n = left < 0 ? 0 : left < 4 ? (int)left : 4;
    bool good = true;
    for (int64_t r0 = (int64_t)blockIdx.y * WN_GPU_TILE; r0 < p.rows;
         r0 += (int64_t)gridDim.y * WN_GPU_TILE) {
        typename group4<T>::wide v[4];
        unsigned mask = 0;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int64_t r = r0 + 4 * t + i;
            const bool in = r < p.rows && n > 0;
            v[i] = load4((const T *)p.w + r * p.stride + c, in ? n : 0);
            mask |= (in ? p.mask[r * p.groups + c / 4] & 15u : 0u) << 4 * i;
        }
        good &= stage_columns(&s, 4 * g, t, v, mask);
        __syncthreads();
        unload(&s, (T *)p.values, p.index, c0, p.columns, r0 / 4, (p.rows + 3) / 4);
        __syncthreads();
    }
    if (!good) leave(p.fault, p.number);
}

// ---- what the host launches

#define ENTRY(name, args, call)                                                                    \
    extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) name(const args p) {              \
        call(p);                                                                                   \
    }

// Not fewer blocks a processor than that, whatever registers the compiler would like.
#define ENTRY_OF(blocks, name, args, call)                                                         \
    extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS, blocks) name(const args p) {      \
        call(p);                                                                                   \
    }

ENTRY(wn_mask24_tile_f32, wn__gpu_mask24, mask_tile<f32>)
ENTRY(wn_mask24_tile_bf16, wn__gpu_mask24, mask_tile<bf16>)
ENTRY(wn_mask24_tile_f16, wn__gpu_mask24, mask_tile<f16>)
ENTRY_OF(3, wn_tile24_f32, wn__gpu_tile24, tile24<f32>)
ENTRY_OF(4, wn_tile24_bf16, wn__gpu_tile24, tile24<bf16>)
ENTRY_OF(4, wn_tile24_f16, wn__gpu_tile24, tile24<f16>)
ENTRY(wn_pack24_columns_4, wn__gpu_pack24, pack_columns<uint32_t>)
ENTRY(wn_pack24_columns_2, wn__gpu_pack24, pack_columns<uint16_t>)
