// SPDX-License-Identifier: MIT
// Codes of 8 bits at the speed of memory: of the rows of a matrix, and of a 2:4 matrix in packed
// blocks. A warp takes a row, twice where it has to find the scale first; a lane takes four numbers
// of every 128.
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/group24.cuh"
#include "kernels/cuda/common/number16.cuh"

enum { THREADS = 256, WARPS = THREADS / 32, GROUP = 4, ALL_LANES = 32 };

// src/kernels/e4m3.h's wn__e4m3_code, which has the words.
static __device__ __forceinline__ uint32_t code_of(float x) {
    const uint32_t bits = __float_as_uint(x), size = bits & 0x7FFFFFFF, sign = bits >> 24 & 0x80;
    if (size > 0x7F800000) return 0x7F;
    if (size < 0x3C800000) // below 2^-6: units of 2^-9
        return sign | (uint32_t)__float2int_rn(__uint_as_float(size) * 512);
    const uint32_t code = ((size + 0x7FFFF + (size >> 20 & 1)) >> 20) - (120 << 3);
    return sign | min(code, 0x7Eu);
}

// Four numbers of 16 bits from column `first` of a row on; zeros beyond its n columns.
struct four {
    uint16_t v[GROUP];
};
static __device__ __forceinline__ four load_four(const uint16_t *row, int64_t first, int64_t n) {
    four f;
    if (first + GROUP <= n && ((uintptr_t)(row + first) & 7) == 0) {
        const uint2 two = __ldg((const uint2 *)(row + first));
        f = {{(uint16_t)two.x, (uint16_t)(two.x >> 16), (uint16_t)two.y, (uint16_t)(two.y >> 16)}};
        return f;
    }
#pragma unroll
    for (int i = 0; i < GROUP; i++)
        f.v[i] = first + i < n ? row[first + i] : 0;
    return f;
}

// The scale of a row whose largest magnitude has those bits, as wn__scale8 makes it.
template <class T>
static __device__ __forceinline__ float scale_of(uint32_t most, uint32_t infinity) {
    if (most >= infinity) return __uint_as_float(0x7FC00000);
    if (most == 0) return 1;
    return fmaxf(__fdiv_rn(T::wide((uint16_t)most), 448), 0x1p-120F);
}

template <class T> static __device__ __forceinline__ void rows8(const wn__gpu_rows8 &p) {
    const int lane = (int)threadIdx.x & 31;
    const int64_t t = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (t >= p.rows) return;
    const uint16_t *x = p.x + t * p.x_stride;
    uint8_t *y = p.y + t * p.y_stride;
    float scale;
    if (p.given) {
        scale = p.scale[t * p.scale_stride];
    } else {
        uint32_t most = 0;
        for (int64_t i = GROUP * lane; i < p.columns; i += GROUP * ALL_LANES) {
            const four f = load_four(x, i, p.columns);
#pragma unroll
            for (int j = 0; j < GROUP; j++)
                most = max(most, f.v[j] & 0x7FFFu);
        }
        scale = scale_of<T>(__reduce_max_sync(0xFFFFFFFFu, most), p.infinity);
        if (lane == 0) p.scale[t] = scale;
    }
    const float inverse = __fdiv_rn(1, scale);
    for (int64_t i = GROUP * lane; i < p.columns; i += GROUP * ALL_LANES) {
        const four f = load_four(x, i, p.columns);
        uint32_t codes = 0;
#pragma unroll
        for (int j = 0; j < GROUP; j++)
            codes |= code_of(__fmul_rn(T::wide(f.v[j]), inverse)) << 8 * j;
        if (i + GROUP <= p.columns && ((uintptr_t)(y + i) & 3) == 0) {
            *(uint32_t *)(y + i) = codes;
            continue;
        }
        for (int j = 0; j < GROUP && i + j < p.columns; j++)
            y[i + j] = (uint8_t)(codes >> 8 * j);
    }
}

// What a group of four keeps; n of its columns are in the matrix. False: too much, or a NaN that a
// choice would depend on.
static __device__ __forceinline__ bool mask_of(const wn__gpu_block8 &p, int64_t row, int64_t group,
                                               int n, const four &f, unsigned *mask) {
    *mask = 0;
    if (n <= 0) return true;
    if (p.mask != nullptr) {
        *mask = p.mask[row * p.groups + group];
        return *mask >> n == 0 && __popc(*mask) <= 2;
    }
    bool good = true;
#pragma unroll
    for (int i = 0; i < GROUP; i++) {
        int before = 0;
        good &= (f.v[i] & 0x7FFFu) <= p.infinity;
#pragma unroll
        for (int j = 0; j < GROUP; j++) {
            const int mine = f.v[i] & 0x7FFF, other = f.v[j] & 0x7FFF;
            before += j < n && (other > mine || (other == mine && j < i));
        }
        *mask |= i < n && before < 2 ? 1u << i : 0u;
    }
    return good;
}

template <class T> static __device__ __forceinline__ void block8(const wn__gpu_block8 &p) {
    const int lane = (int)threadIdx.x & 31;
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    const int64_t across = (p.columns + WN_BLOCK8_COLUMNS - 1) / WN_BLOCK8_COLUMNS;
    const uint16_t *w = p.w + row * p.stride;
    const int64_t columns = row < p.rows ? p.columns : 0;
    float scale = 1;
    bool good = true;
    if (row < p.rows && p.given) {
        scale = p.scale[row * p.scale_stride];
    } else if (row < p.rows) {
        uint32_t most = 0;
        for (int64_t g = lane; GROUP * g < columns; g += ALL_LANES) {
            const four f = load_four(w, GROUP * g, columns);
            unsigned mask;
            (void)mask_of(p, row, g, (int)min((int64_t)GROUP, columns - GROUP * g), f, &mask);
#pragma unroll
            for (int j = 0; j < GROUP; j++)
                if (mask >> j & 1) most = max(most, f.v[j] & 0x7FFFu);
        }
        scale = scale_of<T>(__reduce_max_sync(0xFFFFFFFFu, most), p.infinity);
        if (lane == 0) p.scale[row] = scale;
    }
    const float inverse = __fdiv_rn(1, scale);
    const int r = (int)(row & 63);
    uint8_t *block = p.blocks + (row >> 6) * across * WN_BLOCK8_BYTES;
    for (int64_t b = 0; b < across; b++, block += WN_BLOCK8_BYTES) {
        const int64_t g = b * ALL_LANES + lane;
        const int n = (int)max((int64_t)0, min((int64_t)GROUP, columns - GROUP * g));
        const four f = load_four(w, GROUP * g, columns);
        unsigned mask;
        good &= mask_of(p, row, g, n, f, &mask);
        const unsigned nibble = nibble_of(mask & 15), first = nibble & 3, second = nibble >> 2 & 3;
        uint32_t codes = 0, word = nibble << 4 * (lane & 7);
#pragma unroll
        for (int j = 0; j < GROUP; j++) {
            if (!(mask >> j & 1)) continue;
            const uint32_t code = code_of(__fmul_rn(T::wide(f.v[j]), inverse));
            codes |= (j == (int)first ? code : 0) | (j == (int)second ? code << 8 : 0);
        }
        *(uint16_t *)(block + WN_BLOCK8_VALUE(r, 2 * lane)) = (uint16_t)codes;
        word |= __shfl_xor_sync(0xFFFFFFFFu, word, 1);
        word |= __shfl_xor_sync(0xFFFFFFFFu, word, 2);
        word |= __shfl_xor_sync(0xFFFFFFFFu, word, 4);
        if ((lane & 7) == 0)
            ((uint32_t *)(block + WN_BLOCK24_VALUES))[WN_BLOCK8_WORD(r, lane >> 3)] = word;
    }
    if (!good) leave(p.fault, p.number);
}

#define ENTRIES(T, name)                                                                           \
    extern "C" __global__ void __launch_bounds__(THREADS) wn_rows8_##name(const wn__gpu_rows8 p) { \
        rows8<T>(p);                                                                               \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        wn_block8_##name(const wn__gpu_block8 p) {                                                 \
        block8<T>(p);                                                                              \
    }
ENTRIES(type_bf16, bf16)
ENTRIES(type_f16, f16)
