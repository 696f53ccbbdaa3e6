// SPDX-License-Identifier: MIT
// Making and reading 2:4 structure at the speed of memory: mask24 (rows, tiles), flips24, pack24,
// unpack24. One thread a group, a tile, or a pair of groups.
#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/group24.cuh"

// ---- mask24, rows

template <class F> static __device__ __forceinline__ void mask_row(const wn__gpu_mask24 &p) {
    const int64_t g = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (g >= p.groups) return;
    const int n = p.columns - 4 * g < 4 ? (int)(p.columns - 4 * g) : 4;
    bool nan = false;
    for (int64_t r = blockIdx.y; r < p.rows; r += gridDim.y) {
        typename F::bits v[4];
        int a[4];
        load4((const typename F::bits *)p.w + r * p.stride + 4 * g, n, v);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            a[j] = j < n ? F::magnitude(v[j]) : -1;
            nan |= a[j] > (int)F::infinity;
        }
        p.mask[r * p.groups + g] = (uint8_t)(keep_two(a) & ((1u << n) - 1));
    }
    if (nan) leave(p.fault, p.number);
}

// ---- mask24, exact tiles

// Masks of a row in the order of mask24.h.
#define ROW_MASK(i) (0xCA6953u >> 4 * (i)&15u)

// Whether every column is kept twice.
static __host__ __device__ constexpr bool twice(unsigned a, unsigned b, unsigned c, unsigned d) {
    return (a & 1) + (b & 1) + (c & 1) + (d & 1) == 2 &&
           (a >> 1 & 1) + (b >> 1 & 1) + (c >> 1 & 1) + (d >> 1 & 1) == 2 &&
           (a >> 2 & 1) + (b >> 2 & 1) + (c >> 2 & 1) + (d >> 2 & 1) == 2 &&
           (a >> 3 & 1) + (b >> 3 & 1) + (c >> 3 & 1) + (d >> 3 & 1) == 2;
}

// The first of the largest sums; s[r] are a row's six sums of two, in the order of ROW_MASK.
static __device__ __forceinline__ unsigned best_tile(const float s[4][6]) {
    float best = -1;
    unsigned mask = 0;
#pragma unroll
    for (int i = 0; i < 6; i++)
#pragma unroll
        for (int j = 0; j < 6; j++) {
            const float upper = __fadd_rn(s[0][i], s[1][j]);
#pragma unroll
            for (int k = 0; k < 6; k++)
#pragma unroll
                for (int l = 0; l < 6; l++)
                    if (twice(ROW_MASK(i), ROW_MASK(j), ROW_MASK(k), ROW_MASK(l))) {
                        const float sum = __fadd_rn(upper, __fadd_rn(s[2][k], s[3][l]));
                        const bool better = sum > best;
                        best = better ? sum : best;
                        mask = better ? ROW_MASK(i) | ROW_MASK(j) << 4 | ROW_MASK(k) << 8 |
                                            ROW_MASK(l) << 12
                                      : mask;
                    }
        }
    return mask;
}

template <class F> static __device__ __forceinline__ void mask_tile(const wn__gpu_mask24 &p) {
    const int64_t g = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (g >= p.groups) return;
    bool nan = false;
    for (int64_t t = blockIdx.y; t < p.rows / 4; t += gridDim.y) {
        float s[4][6];
#pragma unroll
        for (int r = 0; r < 4; r++) {
            typename F::bits v[4];
            float a[4];
            load4((const typename F::bits *)p.w + (4 * t + r) * p.stride + 4 * g, 4, v);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                a[j] = F::size(v[j]);
                nan |= F::magnitude(v[j]) > (int)F::infinity;
            }
            s[r][0] = __fadd_rn(a[0], a[1]);
            s[r][1] = __fadd_rn(a[0], a[2]);
            s[r][2] = __fadd_rn(a[0], a[3]);
            s[r][3] = __fadd_rn(a[1], a[2]);
            s[r][4] = __fadd_rn(a[1], a[3]);
            s[r][5] = __fadd_rn(a[2], a[3]);
        }
        const unsigned mask = best_tile(s);
#pragma unroll
        for (int r = 0; r < 4; r++)
            p.mask[(4 * t + r) * p.groups + g] = (uint8_t)(mask >> 4 * r & 15);
    }
    if (nan) leave(p.fault, p.number);
}

// ---- flips24

static __device__ __forceinline__ unsigned differing(uint32_t a, uint32_t b) {
    return (unsigned)__popc((a ^ b) & 0x0F0F0F0Fu);
}

extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) wn_flips24(wn__gpu_flips24 p) {
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    const int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const bool wide = (((uintptr_t)p.a | (uintptr_t)p.b) & 15) == 0;
    const int64_t words = wide ? p.bytes / 16 : 0;
    unsigned long long count = 0;
    for (int64_t i = first; i < words; i += step) {
        const uint4 a = __ldcs((const uint4 *)p.a + i), b = __ldcs((const uint4 *)p.b + i);
        count +=
            differing(a.x, b.x) + differing(a.y, b.y) + differing(a.z, b.z) + differing(a.w, b.w);
    }
    for (int64_t i = 16 * words + first; i < p.bytes; i += step)
        count += differing(p.a[i], p.b[i]);
#pragma unroll
    for (int lane = 16; lane > 0; lane >>= 1)
        count += __shfl_xor_sync(0xFFFFFFFFu, count, lane);
    if ((threadIdx.x & 31) == 0 && count > 0) atomicAdd(p.count, count);
}

// ---- pack24 along rows: one thread a pair of groups

// What an even and an odd group keep, and the byte that says where. False: more than fits.
template <class T>
static __device__ __forceinline__ bool pack_pair(const T *v, unsigned even, unsigned odd, int n,
                                                 T *values, uint8_t *index) {
    const unsigned a = nibble_of(even & 15), b = n > 4 ? nibble_of(odd & 15) : 14u;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const unsigned nibble = i < 2 ? a : b, mask = i < 2 ? even : odd;
        const unsigned column = nibble >> 2 * (i & 1) & 3;
        const T *from = v + (i < 2 ? 0 : 4);
        T value = from[0];
#pragma unroll
        for (int j = 1; j < 4; j++)
            value = column == (unsigned)j ? from[j] : value;
        values[i] = mask >> column & 1 ? value : (T)0;
    }
    *index = (uint8_t)(a | b << 4);
    const unsigned fits = n >= 8 ? 0xFFu : (1u << n) - 1;
    return ((even | odd << 4) & ~fits) == 0 && (even >> 4 | odd >> 4) == 0 && a != 15 && b != 15;
}

template <class T> static __device__ __forceinline__ void pack_rows(const wn__gpu_pack24 &p) {
    const int64_t pair = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t pairs = (p.groups + 1) / 2, left = p.columns - 8 * pair;
    if (pair >= pairs) return;
    const int n = left < 8 ? (int)left : 8;
    const bool odd = 2 * pair + 1 < p.groups;
    bool good = true;
    for (int64_t r = blockIdx.y; r < p.rows; r += gridDim.y) {
        const T *w = (const T *)p.w + r * p.stride + 8 * pair;
        const uint8_t *mask = p.mask + r * p.groups + 2 * pair;
        T v[8], values[4];
        uint8_t index;
        load4(w, n < 4 ? n : 4, v);
        load4(w + 4, n < 4 ? 0 : n - 4, v + 4);
        good &= pack_pair(v, mask[0], odd ? mask[1] : 0u, n, values, &index);
        if (p.values == nullptr) continue; // only the mask is checked
        p.index[r * pairs + pair] = index;
        store4((T *)p.values + 2 * (r * p.groups + 2 * pair), odd ? 4 : 2, values);
    }
    if (!good) leave(p.fault, p.number);
}

// ---- pack24 along columns: one block a tile of 64 x 64, through shared memory

template <class T> struct tile {
    T w[WN_GPU_TILE][WN_GPU_TILE + 4 / sizeof(T)];
    uint8_t mask[WN_GPU_TILE][WN_GPU_TILE / 4 + 4];
};

template <class T>
static __device__ __forceinline__ void load_tile(const wn__gpu_pack24 &p, int64_t r0, int64_t c0,
                                                 tile<T> *s) {
    for (int i = (int)threadIdx.x; i < WN_GPU_TILE * WN_GPU_TILE; i += WN_GPU_THREADS) {
        const int r = i / WN_GPU_TILE, c = i % WN_GPU_TILE;
        const bool in = r0 + r < p.rows && c0 + c < p.columns;
        s->w[r][c] = in ? ((const T *)p.w)[(r0 + r) * p.stride + c0 + c] : (T)0;
    }
    for (int i = (int)threadIdx.x; i < WN_GPU_TILE * WN_GPU_TILE / 4; i += WN_GPU_THREADS) {
        const int r = i / (WN_GPU_TILE / 4), g = i % (WN_GPU_TILE / 4);
        const bool in = r0 + r < p.rows && c0 / 4 + g < p.groups;
        s->mask[r][g] = in ? p.mask[(r0 + r) * p.groups + c0 / 4 + g] : (uint8_t)0;
    }
}

// The mask of column c in rows 4 g to 4 g + 3 of a tile.
template <class T>
static __device__ __forceinline__ unsigned column_mask(const tile<T> *s, int c, int g) {
    unsigned m = 0;
#pragma unroll
    for (int i = 0; i < 4; i++)
        m |= (unsigned)(s->mask[4 * g + i][c / 4] >> (c & 3) & 1) << i;
    return m;
}

template <class T> static __device__ __forceinline__ void pack_columns(const wn__gpu_pack24 &p) {
    __shared__ tile<T> s;
    const int64_t c0 = (int64_t)blockIdx.x * WN_GPU_TILE;
    const int64_t groups = (p.rows + 3) / 4, pairs = (groups + 1) / 2;
    const int pair = (int)threadIdx.x & 7;
    bool good = true;
    for (int64_t r0 = (int64_t)blockIdx.y * WN_GPU_TILE; r0 < p.rows;
         r0 += (int64_t)gridDim.y * WN_GPU_TILE) {
        __syncthreads();
        load_tile(p, r0, c0, &s);
        __syncthreads();
        const int64_t at = r0 / 8 + pair, left = p.rows - r0 - 8 * pair;
        const int n = left < 8 ? (int)left : 8;
        for (int c = (int)threadIdx.x >> 3; c < WN_GPU_TILE; c += WN_GPU_THREADS / 8) {
            if (n <= 0 || c0 + c >= p.columns) continue;
            T v[8], values[4];
#pragma unroll
            for (int i = 0; i < 8; i++)
                v[i] = s.w[8 * pair + i][c];
            good &= pack_pair(v, column_mask(&s, c, 2 * pair), column_mask(&s, c, 2 * pair + 1), n,
                              values, &p.index[(c0 + c) * pairs + at]);
            store4((T *)p.values + 2 * ((c0 + c) * groups + 2 * at), 2 * at + 1 < groups ? 4 : 2,
                   values);
        }
    }
    if (!good) leave(p.fault, p.number);
}

// ---- unpack24: one thread a pair of groups

template <class T>
static __device__ __forceinline__ bool unpack_group(unsigned nibble, const T *values, int n, T *v) {
    const unsigned first = nibble & 3, second = nibble >> 2;
#pragma unroll
    for (int j = 0; j < 4; j++)
        v[j] = first == (unsigned)j ? values[0] : second == (unsigned)j ? values[1] : (T)0;
    const T magnitude = (T) ~((T)1 << (8 * sizeof(T) - 1));
    const bool beyond = ((int)first >= n && (values[0] & magnitude) != 0) ||
                        ((int)second >= n && (values[1] & magnitude) != 0);
    return first < second && !beyond;
}

template <class T> static __device__ __forceinline__ void unpack(const wn__gpu_unpack24 &p) {
    const int64_t pair = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int64_t pairs = (p.groups + 1) / 2, left = p.columns - 8 * pair;
    if (pair >= pairs) return;
    const int n = left < 8 ? (int)left : 8;
    const bool odd = 2 * pair + 1 < p.groups;
    bool good = true;
    for (int64_t r = blockIdx.y; r < p.rows; r += gridDim.y) {
        const unsigned index = p.index[r * pairs + pair];
        T values[4], v[8];
        load4((const T *)p.values + 2 * (r * p.groups + 2 * pair), odd ? 4 : 2, values);
        good &= unpack_group(index & 15, values, n, v);
        if (odd) good &= unpack_group(index >> 4, values + 2, n - 4, v + 4);
        T *w = (T *)p.w + r * p.stride + 8 * pair;
        store4(w, n < 4 ? n : 4, v);
        if (odd) store4(w + 4, n - 4, v + 4);
    }
    if (!good) leave(p.fault, p.number);
}

// ---- what the host launches

#define ENTRY(name, args, call)                                                                    \
    extern "C" __global__ void __launch_bounds__(WN_GPU_THREADS) name(const args p) {              \
        call(p);                                                                                   \
    }

ENTRY(wn_mask24_row_f32, wn__gpu_mask24, mask_row<f32>)
ENTRY(wn_mask24_row_bf16, wn__gpu_mask24, mask_row<bf16>)
ENTRY(wn_mask24_row_f16, wn__gpu_mask24, mask_row<f16>)
ENTRY(wn_mask24_tile_f32, wn__gpu_mask24, mask_tile<f32>)
ENTRY(wn_mask24_tile_bf16, wn__gpu_mask24, mask_tile<bf16>)
ENTRY(wn_mask24_tile_f16, wn__gpu_mask24, mask_tile<f16>)
ENTRY(wn_pack24_rows_4, wn__gpu_pack24, pack_rows<uint32_t>)
ENTRY(wn_pack24_rows_2, wn__gpu_pack24, pack_rows<uint16_t>)
ENTRY(wn_pack24_columns_4, wn__gpu_pack24, pack_columns<uint32_t>)
ENTRY(wn_pack24_columns_2, wn__gpu_pack24, pack_columns<uint16_t>)
ENTRY(wn_unpack24_4, wn__gpu_unpack24, unpack<uint32_t>)
ENTRY(wn_unpack24_2, wn__gpu_unpack24, unpack<uint16_t>)
