// SPDX-License-Identifier: MIT
// 4x4 tiles: their exact masks (mask24), mask and both packs in one pass (tile24), both packs or
// that of the transpose under a given mask (pack24). A thread takes four tiles, one below the
// other, and fetches the next while it works on one.
#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/strip24.cuh"
#include "kernels/cuda/common/tile24.cuh"

// Rows r to r + 3 of group g, zeros beyond `rows` or n columns. whole: four elements of a row are
// aligned.
template <class T>
static __device__ __forceinline__ void load_rows(const T *w, int64_t stride, int64_t r,
                                                 int64_t rows, int64_t g, int n, bool whole,
                                                 typename group4<T>::wide v[4]) {
    typedef typename group4<T>::wide wide;
    const T *from = w + r * stride + 4 * g;
    if (whole && n == 4 && r + 4 <= rows) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = __ldcs((const wide *)(from + i * stride));
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = load4(from + i * stride, r + i < rows ? n : 0);
}
template <class T> static __device__ __forceinline__ bool whole_rows(const T *w, int64_t stride) {
    return aligned(w, 4 * sizeof(T)) && (stride & 3) == 0;
}

// ---- mask24

template <class F> static __device__ __forceinline__ void mask_tile(const wn__gpu_mask24 &p) {
    typedef typename F::bits T;
    typedef typename group4<T>::wide wide;
    const int64_t g = share_number(), tiles = p.rows / 4;
    const bool in = g < p.groups, whole = whole_rows((const T *)p.w, p.stride);
    const int n = in ? 4 : 0;
    bool nan = false;
    wide next[4];
    load_rows((const T *)p.w, p.stride, 4 * first_row(), p.rows, g, n, whole, next);
#pragma unroll 1
    for (int64_t t = first_row(); t < tiles; t += row_step()) {
        const wide v[4] = {next[0], next[1], next[2], next[3]};
        load_rows((const T *)p.w, p.stride, 4 * (t + row_step()), p.rows, g, n, whole, next);
        const unsigned mask = tile_mask<F>(v, in, &nan);
        uint8_t *to = p.mask + 4 * t * p.groups + g;
#pragma unroll
        for (int r = 0; r < 4; r++)
            if (in) to[r * p.groups] = (uint8_t)(mask >> 4 * r & 15);
    }
    if (nan) leave(p.fault, p.number);
}

// ---- tile24: strips one after the other, the first tile of the next fetched early

template <class F> static __device__ __forceinline__ void tile24(const wn__gpu_tile24 &p) {
    typedef typename F::bits T;
    typedef typename group4<T>::wide wide;
    typedef strip24<T> S;
    __shared__ S s;
    const T *w = (const T *)p.w;
    const int64_t groups = p.columns / 4;
    const unsigned across = (unsigned)((p.columns + S::COLUMNS - 1) / S::COLUMNS);
    const unsigned strips = across * (unsigned)((p.rows + S::ROWS - 1) / S::ROWS);
    const int lane = (int)threadIdx.x & 31, below = 16 * ((int)threadIdx.x >> 5);
    const bool whole = whole_rows(w, p.stride), pairs = aligned(p.values, 2 * sizeof(T));
    bool nan = false;
    wide next[4];
    for (unsigned at = blockIdx.x; at < strips; at += gridDim.x) {
        const int64_t g = at % across * (S::COLUMNS / 4) + lane;
        const int64_t r0 = (int64_t)(at / across) * S::ROWS;
        const int n = g < groups ? 4 : 0;
        uint32_t places[2] = {0, 0};
        if (at == blockIdx.x) load_rows(w, p.stride, r0 + below, p.rows, g, n, whole, next);
#pragma unroll 1
        for (int i = 0; i < 4; i++) {
            const int64_t r = r0 + below + 4 * i;
            const bool in = n == 4 && r < p.rows;
            const wide v[4] = {next[0], next[1], next[2], next[3]};
            wide columns[4];
            typename group4<T>::pair out[4];
            // of tiles that are not there only 0xE nibbles are stored
            unsigned mask = tile_mask<F>(v, in, &nan);
            mask = in ? mask : 0xCCCC;
            if (i < 3) {
                load_rows(w, p.stride, r + 4, p.rows, g, n, whole, next);
            } else {
                const unsigned then = at + gridDim.x;
                const int64_t h = then % across * (S::COLUMNS / 4) + lane;
                load_rows(w, p.stride, (int64_t)(then / across) * S::ROWS + below, p.rows, h,
                          h < groups ? 4 : 0, whole, next);
            }
#pragma unroll
            for (int k = 0; k < 4; k++)
                if (in) p.mask[(r + k) * groups + g] = (uint8_t)(mask >> 4 * k & 15);
            uint32_t nibbles = nibbles_of(mask);
            pick_full(v, mask, nibbles, out);
            store_rows((T *)p.values, p.index, r, p.rows, g, groups, out, nibbles, pairs);
            if (in) mask = columns_of_rows(mask);
            transpose<T>(v, columns);
            nibbles = nibbles_of(mask);
            pick_full(columns, mask, nibbles, out);
            stage_strip(&s, i, out, nibbles, places);
        }
        stage_places(&s, places);
        __syncthreads();
        unload_strip(&s, (T *)p.values_t, p.index_t, (int64_t)(at % across) * S::COLUMNS, p.columns,
                     r0 / 4, p.rows / 4);
        __syncthreads();
    }
    if (nan) leave(p.fault, p.number);
}

// ---- pack24, the transpose, with the rows or without

template <class T> static __device__ __forceinline__ void pack_columns(const wn__gpu_pack24 &p) {
    typedef typename group4<T>::wide wide;
    typedef strip24<T> S;
    __shared__ S s;
    const T *w = (const T *)p.w;
    const int64_t c0 = (int64_t)blockIdx.x * S::COLUMNS;
    const int64_t g = c0 / 4 + (threadIdx.x & 31), left = p.columns - 4 * g;
    const int n = left < 0 ? 0 : left < 4 ? (int)left : 4;
    const bool whole = whole_rows(w, p.stride);
    const bool pairs = p.values != nullptr && aligned(p.values, 2 * sizeof(T));
    bool good = true;
    for (int64_t r0 = (int64_t)blockIdx.y * S::ROWS; r0 < p.rows;
         r0 += (int64_t)gridDim.y * S::ROWS) {
        const int64_t first = r0 + 16 * (threadIdx.x >> 5);
        uint32_t places[2] = {0, 0};
#pragma unroll 2
        for (int i = 0; i < 4; i++) {
            const int64_t r = first + 4 * i;
            wide v[4], across[4];
            typename group4<T>::pair out[4];
            unsigned mask = 0, beyond = 0;
            uint32_t nibbles;
            load_rows(w, p.stride, r, p.rows, g, n, whole, v);
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const unsigned m = r + k < p.rows && n > 0 ? p.mask[(r + k) * p.groups + g] : 0u;
                mask |= (m & 15) << 4 * k;
                beyond |= m >> n;
            }
            const unsigned mask_t = columns_of_rows(mask);
            good &= beyond == 0 && fit(mask) && fit(mask_t);
            if (p.values != nullptr) {
                pack_tile<T>(v, mask, &nibbles, out);
                store_rows((T *)p.values, p.index, r, p.rows, g, p.groups, out, nibbles, pairs);
            }
            transpose<T>(v, across);
            pack_tile<T>(across, mask_t, &nibbles, out);
            stage_strip(&s, i, out, nibbles, places);
        }
        stage_places(&s, places);
        __syncthreads();
        unload_strip(&s, (T *)p.values_t, p.index_t, c0, p.columns, r0 / 4, (p.rows + 3) / 4);
        __syncthreads();
    }
    if (!good) leave(p.fault, p.number);
}

// ---- what the host launches

#define ENTRY(threads, blocks, name, args, call)                                                   \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const args p) {             \
        call(p);                                                                                   \
    }
#define STRIP(size) (32 * WN_GPU_STRIP_WARPS(size))

ENTRY(WN_GPU_THREADS, BLOCKS(2), wn_mask24_tile_f32, wn__gpu_mask24, mask_tile<f32>)
ENTRY(WN_GPU_THREADS, BLOCKS(3), wn_mask24_tile_bf16, wn__gpu_mask24, mask_tile<bf16>)
ENTRY(WN_GPU_THREADS, BLOCKS(3), wn_mask24_tile_f16, wn__gpu_mask24, mask_tile<f16>)
ENTRY(STRIP(4), BLOCKS(5), wn_tile24_f32, wn__gpu_tile24, tile24<f32>)
ENTRY(STRIP(2), BLOCKS(3), wn_tile24_bf16, wn__gpu_tile24, tile24<bf16>)
ENTRY(STRIP(2), BLOCKS(3), wn_tile24_f16, wn__gpu_tile24, tile24<f16>)
ENTRY(STRIP(4), BLOCKS(4), wn_pack24_columns_4, wn__gpu_pack24, pack_columns<uint32_t>)
ENTRY(STRIP(2), BLOCKS(3), wn_pack24_columns_2, wn__gpu_pack24, pack_columns<uint16_t>)
