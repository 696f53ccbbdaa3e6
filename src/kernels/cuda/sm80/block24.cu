// SPDX-License-Identifier: MIT
// Packed blocks at the speed of memory. One way: 128 threads a block of 64 x 64, each two rows' 16
// columns, which is the word of places that it writes. Both ways, the mask given or that of exact
// tiles: a strip of 128 x 128 (common/strip24.cuh), W's rows stored as they come, the transpose's
// four blocks collected in shared memory as they are in the end.
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/choose24.cuh"
#include "kernels/cuda/common/strip24.cuh"
#include "kernels/cuda/common/tile24.cuh"

enum { THREADS = 128, NUMBERS = 16 };

// 16 numbers of a row, and the masks of their four groups, four bits each.
struct piece {
    uint2 v[NUMBERS / 4];
    unsigned masks;
};

static __device__ __forceinline__ void load_numbers(const uint16_t *w, int n, uint2 *v) {
    if (n >= NUMBERS && aligned(w, 16)) {
        halves(__ldcs((const uint4 *)w), __ldcs((const uint4 *)w + 1), v);
        return;
    }
#pragma unroll
    for (int g = 0; g < NUMBERS / 4; g++)
        v[g] = load4(w + 4 * g, n - 4 * g < 0 ? 0 : n - 4 * g < 4 ? n - 4 * g : 4);
}

// Masks of four groups in bytes; false: a group keeps too much, or a column that is not there.
static __device__ __forceinline__ bool load_masks(const uint8_t *mask, int n, unsigned *out) {
    const int groups = (n + 3) / 4;
    uint32_t four = 0;
    if (groups == 4 && aligned(mask, 4)) {
        four = __ldcs((const uint32_t *)mask);
    } else {
#pragma unroll
        for (int g = 0; g < NUMBERS / 4; g++)
            four |= g < groups ? (uint32_t)mask[g] << 8 * g : 0u;
    }
    const uint32_t close = (four | four >> 4) & 0x00FF00FFu;
    const unsigned last = groups > 0 ? four >> 8 * (groups - 1) & 255 : 0;
    *out = __byte_perm(close, 0, 0x4420);
    return (four & 0xF0F0F0F0u) == 0 && fit(*out) && last >> (n - 4 * groups + 4) == 0;
}

// The two largest of each group of what is there. False: a NaN.
template <class F>
static __device__ __forceinline__ bool choose(const uint2 *v, int n, unsigned *masks) {
    if (n == NUMBERS) return keep_two_of_four(v, F::infinity, masks);
    bool nan = false;
    *masks = 0;
#pragma unroll
    for (int g = 0; g < NUMBERS / 4; g++) // missing columns are zeros, later than all others
        *masks |= (keep_two_of<F>(v[g], &nan) & ~missing(n, g)) << 4 * g;
    return !nan;
}

// Row `row` of W from column `column` on.
static __device__ __forceinline__ bool load(const wn__gpu_block24 &p, int64_t row, int64_t column,
                                            piece *s) {
    const int64_t left = p.columns - column;
    const int n = row >= p.rows || left < 0 ? 0 : left < NUMBERS ? (int)left : NUMBERS;
    load_numbers(p.w + row * p.stride + column, n, s->v);
    if (p.mask != nullptr) return load_masks(p.mask + row * p.groups + column / 4, n, &s->masks);
    return p.infinity == bf16::infinity ? choose<bf16>(s->v, n, &s->masks)
                                        : choose<f16>(s->v, n, &s->masks);
}

// What a piece keeps: eight numbers and their places.
static __device__ __forceinline__ uint4 pack(const piece &s, uint32_t *places) {
    uint32_t out[4], nibbles;
    pack_tile<uint16_t>(s.v, s.masks, &nibbles, out);
    *places = __byte_perm((nibbles | nibbles >> 4) & 0x00FF00FFu, 0, 0x4420);
    return make_uint4(out[0], out[1], out[2], out[3]);
}

// Rows 16 w + g and 16 w + g + 8 of a block, chunk q of both: thread 32 w + 4 g + q.
extern "C" __global__ void __launch_bounds__(THREADS) wn_block24(const wn__gpu_block24 p) {
    const int64_t across = (p.columns + 63) / 64;
    const int64_t i = blockIdx.x / across, j = blockIdx.x % across;
    const int t = (int)threadIdx.x, r = 16 * (t >> 5) + (t >> 2 & 7), q = t & 3;
    uint8_t *block = p.blocks + (i * across + j) * WN_BLOCK24_BYTES;
    piece upper, lower;
    uint32_t low, high;
    bool good = load(p, 64 * i + r, 64 * j + NUMBERS * q, &upper);
    good &= load(p, 64 * i + r + 8, 64 * j + NUMBERS * q, &lower);
    __stcs((uint4 *)(block + WN_BLOCK24_VALUE(r, 8 * q)), pack(upper, &low));
    __stcs((uint4 *)(block + WN_BLOCK24_VALUE(r + 8, 8 * q)), pack(lower, &high));
    __stcs((uint32_t *)(block + WN_BLOCK24_VALUES) + t, low | high << 16);
    if (!good) leave(p.fault, p.number);
}

// ---- both ways

// Four blocks of the transpose: two down W's columns, two across its rows. 16-byte unit i of a
// block's values stands at i ^ i / 16 % 8, so that eight lanes meet eight of them.
struct blocks_stage {
    uint4 block[4][WN_BLOCK24_BYTES / 16];
};

// Where a warp's tiles are.
struct strip_place {
    int lane, warp;
    int64_t across, down, i, j; /* blocks of W, and the one that this lane is in */
    bool exists;
};
static __device__ __forceinline__ strip_place place_of(const wn__gpu_block24 &p) {
    strip_place s;
    s.across = (p.columns + 63) / 64;
    s.down = (p.rows + 63) / 64;
    s.lane = (int)threadIdx.x & 31;
    s.warp = (int)threadIdx.x >> 5;
    const int64_t strips = (s.across + 1) / 2;
    s.i = 2 * (blockIdx.x / strips) + (s.warp >> 2);
    s.j = 2 * (blockIdx.x % strips) + (s.lane >> 4);
    s.exists = s.i < s.down && s.j < s.across;
    return s;
}

// A whole warp: tile number `tile` in W's block. places: of this lane's rows 4 tile + lane % 4.
static __device__ __forceinline__ void store_tile(const strip_place &s, uint8_t *block, int tile,
                                                  const uint32_t out[4], uint32_t nibbles,
                                                  uint32_t places[2]) {
    const int k = s.lane & 3;
    const uint32_t one = __shfl_xor_sync(0xFFFFFFFFu, nibbles, 1);
    const uint32_t two = k & 1 ? one | nibbles << 4 : nibbles | one << 4;
    const uint32_t other = __shfl_xor_sync(0xFFFFFFFFu, two, 2);
    const uint32_t low = k & 2 ? other : two, high = k & 2 ? two : other;
    const uint32_t half = ((low >> 8 * k & 255) | (high >> 8 * k & 255) << 8) << (tile & 2) * 8;
    if (tile & 1)
        places[1] |= half;
    else
        places[0] |= half;
    if (!s.exists || block == nullptr) return;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int r = 16 * (s.warp & 3) + 4 * tile + i;
        __stcs((uint32_t *)(block + WN_BLOCK24_VALUE(r, 2 * (s.lane & 15))), out[i]);
    }
}

static __device__ __forceinline__ void store_words(const strip_place &s, uint8_t *block,
                                                   const uint32_t places[2]) {
    if (!s.exists || block == nullptr) return;
    uint32_t *to = (uint32_t *)(block + WN_BLOCK24_VALUES) + 32 * (s.warp & 3) + 4 * (s.lane & 3) +
                   (s.lane >> 2 & 3);
    __stcs(to, places[0]);
    __stcs(to + 16, places[1]);
}

// Four columns of a lane's tile in the transpose's block.
static __device__ __forceinline__ void stage_tile(const strip_place &s, blocks_stage *to, int tile,
                                                  const uint32_t out[4]) {
    const int which = 2 * (s.lane >> 4) + (s.warp >> 2), q = s.warp & 3;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int unit = WN_BLOCK24_VALUE(4 * (s.lane & 15) + j, 8 * q) / 16;
        ((uint32_t *)&to->block[which][unit ^ (s.lane & 7)])[tile] = out[j];
    }
}
// Their places: bytes of nibbles of tiles 0 and 1, and of 2 and 3, a column each.
static __device__ __forceinline__ void stage_words(const strip_place &s, blocks_stage *to,
                                                   const uint32_t nibbles[2]) {
    const int which = 2 * (s.lane >> 4) + (s.warp >> 2), q = s.warp & 3;
    uint16_t *half = (uint16_t *)&to->block[which][WN_BLOCK24_VALUES / 16];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int r = 4 * (s.lane & 15) + j;
        half[2 * WN_BLOCK24_WORD(r, q) + (r >> 3 & 1)] =
            (uint16_t)((nibbles[0] >> 8 * j & 255) | (nibbles[1] >> 8 * j & 255) << 8);
    }
}

static __device__ __forceinline__ void unload_blocks(const wn__gpu_block24 &p, const strip_place &s,
                                                     const blocks_stage *from) {
    const int t = (int)threadIdx.x;
    const int64_t i0 = s.i - (s.warp >> 2), j0 = s.j - (s.lane >> 4);
#pragma unroll
    for (int which = 0; which < 4; which++) {
        const int64_t i = i0 + (which & 1), j = j0 + (which >> 1);
        if (i >= s.down || j >= s.across) continue;
        uint4 *to = (uint4 *)(p.blocks_t + (j * s.down + i) * WN_BLOCK24_BYTES);
        __stcs(to + t, from->block[which][t ^ (t >> 4 & 7)]);
        if (t < 32) __stcs(to + WN_BLOCK24_VALUES / 16 + t, from->block[which][256 + t]);
    }
}

// Rows r to r + 3 from column c on, n of four columns exist.
static __device__ __forceinline__ void load_tile(const wn__gpu_block24 &p, int64_t r, int64_t c,
                                                 int n, uint2 v[4]) {
    const uint16_t *from = p.w + r * p.stride + c;
    if (n == 4 && r + 4 <= p.rows && aligned(from, 8) && (p.stride & 3) == 0) {
#pragma unroll
        for (int k = 0; k < 4; k++)
            v[k] = __ldcs((const uint2 *)(from + k * p.stride));
        return;
    }
#pragma unroll
    for (int k = 0; k < 4; k++)
        v[k] = load4(from + k * p.stride, r + k < p.rows ? n : 0);
}

template <class F, bool TILES>
static __device__ __forceinline__ void both_ways(const wn__gpu_block24 &p, blocks_stage &stage) {
    const strip_place s = place_of(p);
    const int64_t g = 16 * s.j + (s.lane & 15), left = p.columns - 4 * g;
    const int64_t first = 64 * s.i + 16 * (s.warp & 3);
    const int n = left < 0 ? 0 : left < 4 ? (int)left : 4;
    uint8_t *block = p.blocks == nullptr
                         ? nullptr
                         : p.blocks + (s.i * s.across + s.j) * (int64_t)WN_BLOCK24_BYTES;
    uint32_t places[2] = {0, 0}, places_t[2] = {0, 0};
    bool good = true, nan = false;
    uint2 next[4];
    load_tile(p, first, 4 * g, n, next);
#pragma unroll 1
    for (int i = 0; i < 4; i++) {
        const int64_t r = first + 4 * i;
        uint2 v[4] = {next[0], next[1], next[2], next[3]}, columns[4];
        uint32_t out[4], nibbles;
        unsigned masks = 0, beyond = 0;
        if (TILES) {
            const bool in = n == 4 && r < p.rows;
            const unsigned best = tile_mask<F>(v, in, &nan);
            masks = in ? best : 0;
#pragma unroll
            for (int k = 0; k < 4; k++)
                if (in) p.tiles[(r + k) * p.groups + g] = (uint8_t)(masks >> 4 * k & 15);
        } else {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const unsigned m = r + k < p.rows && n > 0 ? p.mask[(r + k) * p.groups + g] : 0u;
                masks |= (m & 15) << 4 * k;
                beyond |= m >> n;
            }
        }
        if (i < 3) load_tile(p, r + 4, 4 * g, n, next);
        const unsigned masks_t = columns_of_rows(masks);
        good &= beyond == 0 && fit(masks) && fit(masks_t);
        pack_tile<uint16_t>(v, masks, &nibbles, out);
        store_tile(s, block, i, out, nibbles, places);
        transpose<uint16_t>(v, columns);
        pack_tile<uint16_t>(columns, masks_t, &nibbles, out);
        stage_tile(s, &stage, i, out);
        if (i < 2)
            places_t[0] |= nibbles << 4 * i;
        else
            places_t[1] |= nibbles << 4 * (i - 2);
    }
    store_words(s, block, places);
    if (!good || nan) leave(p.fault, p.number);
    if (p.blocks_t == nullptr) return;
    stage_words(s, &stage, places_t);
    __syncthreads();
    unload_blocks(p, s, &stage);
}

extern "C" __global__ void __launch_bounds__(256, BLOCKS(3))
    wn_block24_both(const wn__gpu_block24 p) {
    __shared__ blocks_stage stage;
    both_ways<bf16, false>(p, stage);
}

#define TILES(type)                                                                                \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS(3))                                   \
        wn_block24_tiles_##type(const wn__gpu_block24 p) {                                         \
        __shared__ blocks_stage stage;                                                             \
        both_ways<type, true>(p, stage);                                                           \
    }
TILES(bf16)
TILES(f16)
