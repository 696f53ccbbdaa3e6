// SPDX-License-Identifier: MIT
// Packed blocks at the speed of memory: 128 threads a block of 64 x 64, each two rows' 16 columns,
// which is the word of places that it writes. The transpose goes through shared memory.
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/group24.cuh"

enum { THREADS = 128, NUMBERS = 16 };

// 16 numbers of a row, two a word, and the masks of their four groups. False: the mask does not
// fit.
struct piece {
    uint32_t v[NUMBERS / 2];
    unsigned mask[NUMBERS / 4];
};

static __device__ __forceinline__ void load_numbers(const uint16_t *w, int n, uint32_t *v) {
    if (n >= NUMBERS && ((uintptr_t)w & 15) == 0) {
        split(__ldcs((const uint4 *)w), v);
        split(__ldcs((const uint4 *)w + 1), v + 4);
        return;
    }
#pragma unroll
    for (int i = 0; i < NUMBERS / 2; i++) {
        const uint32_t low = 2 * i < n ? w[2 * i] : 0, high = 2 * i + 1 < n ? w[2 * i + 1] : 0;
        v[i] = low | high << 16;
    }
}

static __device__ __forceinline__ void load_masks(const uint8_t *mask, int groups, unsigned *out) {
    if (groups >= NUMBERS / 4 && ((uintptr_t)mask & 3) == 0) {
        const uint32_t four = __ldcs((const uint32_t *)mask);
#pragma unroll
        for (int g = 0; g < NUMBERS / 4; g++)
            out[g] = four >> 8 * g & 255;
        return;
    }
#pragma unroll
    for (int g = 0; g < NUMBERS / 4; g++)
        out[g] = g < groups ? mask[g] : 0u;
}

// The two largest of four, as a mask: magnitudes with three minus their column below them are all
// different, and of two pairs the second largest is the smaller winner or a loser.
static __device__ __forceinline__ unsigned two_largest(const int *key) {
    const int a = max(key[0], key[1]), b = max(key[2], key[3]);
    const int c = min(key[0], key[1]), d = min(key[2], key[3]);
    const int first = max(a, b), second = max(min(a, b), max(c, d));
    return 8u >> (first & 3) | 8u >> (second & 3);
}

// The two largest of each group of what is there. False: a NaN.
static __device__ __forceinline__ bool choose(const uint32_t *v, int n, int infinity,
                                              unsigned *mask) {
    uint32_t most = 0;
#pragma unroll
    for (int g = 0; g < NUMBERS / 4; g++) {
        int key[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int size = (int)(v[2 * g + j / 2] >> 16 * (j & 1) & 0x7FFF);
            key[j] = (4 * g + j < n ? 4 * size : -4) + 3 - j;
        }
        most = __vmaxu2(most, __vmaxu2(v[2 * g] & 0x7FFF7FFF, v[2 * g + 1] & 0x7FFF7FFF));
        const int left = n - 4 * g;
        mask[g] = two_largest(key) & (left >= 4 ? 15u : left <= 0 ? 0u : (1u << left) - 1);
    }
    return (int)(most & 0xFFFF) <= infinity && (int)(most >> 16) <= infinity;
}

// Row `row` of W from column `column` on.
static __device__ __forceinline__ bool load(const wn__gpu_block24 &p, int64_t row, int64_t column,
                                            piece *s) {
    const int64_t left = p.columns - column;
    const int n = row >= p.rows || left < 0 ? 0 : left < NUMBERS ? (int)left : NUMBERS;
    load_numbers(p.w + row * p.stride + column, n, s->v);
    if (p.mask == nullptr) return choose(s->v, n, p.infinity, s->mask);
    load_masks(p.mask + row * p.groups + column / 4, (n + 3) / 4, s->mask);
    bool good = true;
#pragma unroll
    for (int g = 0; g < NUMBERS / 4; g++) {
        const int here = n - 4 * g;
        good &= s->mask[g] >> (here >= 4 ? 4 : here < 0 ? 0 : here) == 0;
    }
    return good;
}

// What a piece keeps: eight numbers and their places. False: a group keeps too much.
static __device__ __forceinline__ bool pack(const piece &s, uint4 *values, uint32_t *places) {
    uint32_t out[4];
    bool good = true;
    *places = 0;
#pragma unroll
    for (int g = 0; g < 4; g++) {
        const unsigned nibble = nibble_of(s.mask[g] & 15), a = nibble & 3, b = nibble >> 2;
        const uint32_t both =
            __byte_perm(s.v[2 * g], s.v[2 * g + 1], 0x1010 + 0x22 * a + 0x2200 * b);
        out[g] =
            both & ((s.mask[g] >> a & 1 ? 0xFFFFu : 0u) | (s.mask[g] >> b & 1 ? ~0xFFFFu : 0u));
        *places |= nibble << 4 * g;
        good &= nibble != 15;
    }
    *values = make_uint4(out[0], out[1], out[2], out[3]);
    return good;
}

// Rows 16 w + g and 16 w + g + 8 of a block, chunk q of both: thread 32 w + 4 g + q.
static __device__ __forceinline__ bool store(uint8_t *block, const piece &upper,
                                             const piece &lower) {
    const int t = (int)threadIdx.x, r = 16 * (t >> 5) + (t >> 2 & 7), q = t & 3;
    uint4 a, b;
    uint32_t low, high;
    bool good = pack(upper, &a, &low);
    good &= pack(lower, &b, &high);
    __stcs((uint4 *)(block + WN_BLOCK24_VALUE(r, 8 * q)), a);
    __stcs((uint4 *)(block + WN_BLOCK24_VALUE(r + 8, 8 * q)), b);
    __stcs((uint32_t *)(block + WN_BLOCK24_VALUES) + t, low | high << 16);
    return good;
}

// A block's numbers, and above each whether it is kept; rows of 65 words.
enum { PITCH = WN_BLOCK24_COLUMNS + 1 };

static __device__ __forceinline__ void spread(uint32_t *tile, int row, int column, const piece &s) {
#pragma unroll
    for (int i = 0; i < NUMBERS; i++)
        tile[row * PITCH + column + i] =
            (s.v[i / 2] >> 16 * (i & 1) & 0xFFFF) | (s.mask[i / 4] >> (i & 3) & 1) << 16;
}

// Rows `row` to row + 15 of column `column`.
static __device__ __forceinline__ void collect(const uint32_t *tile, int row, int column,
                                               piece *s) {
#pragma unroll
    for (int g = 0; g < NUMBERS / 4; g++) {
        uint32_t x[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            x[i] = tile[(row + 4 * g + i) * PITCH + column];
        s->v[2 * g] = (x[0] & 0xFFFF) | x[1] << 16;
        s->v[2 * g + 1] = (x[2] & 0xFFFF) | x[3] << 16;
        s->mask[g] = x[0] >> 16 | x[1] >> 16 << 1 | x[2] >> 16 << 2 | x[3] >> 16 << 3;
    }
}

template <bool TRANSPOSED>
static __device__ __forceinline__ void block24(const wn__gpu_block24 &p) {
    const int64_t across = (p.columns + 63) / 64, down = (p.rows + 63) / 64;
    const int64_t i = blockIdx.x / across, j = blockIdx.x % across;
    const int t = (int)threadIdx.x, r = 16 * (t >> 5) + (t >> 2 & 7), q = t & 3;
    piece upper, lower;
    bool good = load(p, 64 * i + r, 64 * j + NUMBERS * q, &upper);
    good &= load(p, 64 * i + r + 8, 64 * j + NUMBERS * q, &lower);
    if (p.blocks != nullptr)
        good &= store(p.blocks + (i * across + j) * WN_BLOCK24_BYTES, upper, lower);
    if (TRANSPOSED) {
        __shared__ uint32_t tile[WN_BLOCK24_ROWS * PITCH];
        if (p.blocks == nullptr) {
            uint4 values;
            uint32_t places;
            good &= pack(upper, &values, &places);
            good &= pack(lower, &values, &places);
        }
        spread(tile, r, NUMBERS * q, upper);
        spread(tile, r + 8, NUMBERS * q, lower);
        __syncthreads();
        collect(tile, NUMBERS * q, r, &upper);
        collect(tile, NUMBERS * q, r + 8, &lower);
        good &= store(p.blocks_t + (j * down + i) * WN_BLOCK24_BYTES, upper, lower);
    }
    if (!good) leave(p.fault, p.number);
}

extern "C" __global__ void __launch_bounds__(THREADS) wn_block24(const wn__gpu_block24 p) {
    block24<false>(p);
}
extern "C" __global__ void __launch_bounds__(THREADS) wn_block24_both(const wn__gpu_block24 p) {
    block24<true>(p);
}
