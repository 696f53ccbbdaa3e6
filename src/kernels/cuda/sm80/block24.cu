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
    int across, down, i, j; /* blocks of W, and the one that this lane is in */
    bool exists, inside;    /* the block; all of the strip */
};
// i, j: the strip's first block of W.
static __device__ __forceinline__ strip_place place_of(const wn__gpu_block24 &p, int i, int j,
                                                       bool easy) {
    strip_place s;
    s.across = (int)((p.columns + 63) / 64);
    s.down = (int)((p.rows + 63) / 64);
    s.lane = (int)threadIdx.x & 31;
    s.warp = (int)threadIdx.x >> 5;
    s.i = i + (s.warp >> 2);
    s.j = j + (s.lane >> 4);
    s.exists = s.i < s.down && s.j < s.across;
    s.inside = easy && 64 * (int64_t)(i + 2) <= p.rows && 64 * (int64_t)(j + 2) <= p.columns;
    return s;
}
static __device__ __forceinline__ int64_t row_of(const strip_place &s) {
    return 64 * (int64_t)s.i + 16 * (s.warp & 3);
}
static __device__ __forceinline__ int64_t group_of(const strip_place &s) {
    return 16 * (int64_t)s.j + (s.lane & 15);
}
static __device__ __forceinline__ const uint16_t *first_of(const wn__gpu_block24 &p,
                                                           const strip_place &s) {
    return p.w + row_of(s) * p.stride + 4 * group_of(s);
}
// Where four masks of row lane % 4 are, of groups from a multiple of four on.
static __device__ __forceinline__ int64_t masks_at(const wn__gpu_block24 &p, const strip_place &s) {
    return (row_of(s) + (s.lane & 3)) * p.groups + (group_of(s) & ~(int64_t)3);
}

// A whole warp: tile number `tile` in W's block. row: what the index has of this lane's row
// 4 tile + lane % 4.
static __device__ __forceinline__ void store_tile(const strip_place &s, uint8_t *block, int tile,
                                                  const uint32_t out[4], unsigned row,
                                                  uint32_t places[2]) {
    if (tile & 1)
        places[1] |= row << (tile & 2) * 8;
    else
        places[0] |= row << (tile & 2) * 8;
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
    const int i0 = s.i - (s.warp >> 2), j0 = s.j - (s.lane >> 4);
#pragma unroll
    for (int which = 0; which < 4; which++) {
        const int i = i0 + (which & 1), j = j0 + (which >> 1);
        if (i >= s.down || j >= s.across) continue;
        uint4 *to = (uint4 *)(p.blocks_t + ((int64_t)j * s.down + i) * WN_BLOCK24_BYTES);
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

static __device__ __forceinline__ uint8_t *block_of(const wn__gpu_block24 &p,
                                                    const strip_place &s) {
    return p.blocks == nullptr ? nullptr
                               : p.blocks + ((int64_t)s.i * s.across + s.j) * WN_BLOCK24_BYTES;
}

// After a lane's four tiles.
static __device__ __forceinline__ void finish_strip(const wn__gpu_block24 &p, const strip_place &s,
                                                    blocks_stage *stage, const uint32_t places[2],
                                                    const uint32_t places_t[2]) {
    store_words(s, block_of(p, s), places);
    if (p.blocks_t == nullptr) return;
    stage_words(s, stage, places_t);
    __syncthreads();
    unload_blocks(p, s, stage);
}

template <class F, bool TILES>
static __device__ __forceinline__ void both_any(const wn__gpu_block24 &p, const strip_place &s,
                                                blocks_stage *stage, bool *good) {
    const int64_t g = group_of(s), left = p.columns - 4 * g;
    const int n = left < 0 ? 0 : left < 4 ? (int)left : 4;
    uint32_t places[2] = {0, 0}, places_t[2] = {0, 0};
    bool nan = false;
#pragma unroll 1
    for (int i = 0; i < 4; i++) {
        const int64_t r = row_of(s) + 4 * i;
        uint2 v[4], columns[4];
        uint32_t out[4], nibbles;
        unsigned masks = 0, beyond = 0;
        load_tile(p, r, 4 * g, n, v);
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
        const unsigned masks_t = columns_of_rows(masks);
        *good &= beyond == 0 && fit(masks) && fit(masks_t);
        pack_tile<uint16_t>(v, masks, &nibbles, out);
        store_tile(s, block_of(p, s), i, out, turned_in_four(masks_of(nibbles)), places);
        transpose<uint16_t>(v, columns);
        pack_tile<uint16_t>(columns, masks_t, &nibbles, out);
        stage_tile(s, stage, i, out);
        if (i < 2)
            places_t[0] |= nibbles << 4 * i;
        else
            places_t[1] |= nibbles << 4 * (i - 2);
    }
    *good &= !nan;
    finish_strip(p, s, stage, places, places_t);
}

// What is fetched ahead: a lane's next tile, and four masks of one of its rows.
struct ahead {
    uint2 tile[4];
    uint32_t masks;
};
template <bool TILES>
static __device__ __forceinline__ void fetch(const wn__gpu_block24 &p, const uint16_t *tile,
                                             const uint8_t *masks, ahead *to) {
#pragma unroll
    for (int k = 0; k < 4; k++)
        to->tile[k] = __ldcs((const uint2 *)(tile + k * p.stride));
    if (!TILES) to->masks = __ldcs((const uint32_t *)masks);
}

// A strip inside of the matrix, all aligned: nothing is asked. next: its first tiles, then those of
// strip `then` if that lies inside too.
template <class F, bool TILES>
static __device__ __forceinline__ void both_inside(const wn__gpu_block24 &p, const strip_place &s,
                                                   const strip_place &then, blocks_stage *stage,
                                                   ahead *next, bool *good) {
    const uint16_t *from = first_of(p, s);
    const uint8_t *masks_from = p.mask + masks_at(p, s);
    uint8_t *masks_to = p.tiles + masks_at(p, s), *block = block_of(p, s);
    uint32_t places[2] = {0, 0}, places_t[2] = {0, 0};
    bool nan = false;
#pragma unroll 2
    for (int i = 0; i < 4; i++) {
        const ahead now = *next;
        uint2 columns[4];
        uint32_t out[4], nibbles;
        unsigned mask, row;
        from += 4 * p.stride;
        masks_from += 4 * p.groups;
        if (i == 3) {
            from = first_of(p, then);
            masks_from = p.mask + masks_at(p, then);
        }
        if (i < 3 || then.inside) fetch<TILES>(p, from, masks_from, next);
        if (TILES) {
            mask = tile_mask<F>(now.tile, true, &nan);
            const unsigned turned = turned_in_four(mask);
            __stcs((uint32_t *)masks_to, bytes_of(turned));
            masks_to += 4 * p.groups;
            row = masks_of(nibbles_of(turned));
            pick_full(now.tile, mask, 0, out);
        } else {
            mask = turned_in_four(masks_of(now.masks));
            *good &= (now.masks & 0xF0F0F0F0u) == 0 && fit(mask) && fit(columns_of_rows(mask));
            pack_tile<uint16_t>(now.tile, mask, &nibbles, out);
            row = turned_in_four(masks_of(nibbles));
        }
        store_tile(s, block, i, out, row, places);
        transpose<uint16_t>(now.tile, columns);
        mask = columns_of_rows(mask);
        if (TILES) {
            nibbles = nibbles_of(mask);
            pick_full(columns, mask, 0, out);
        } else {
            pack_tile<uint16_t>(columns, mask, &nibbles, out);
        }
        stage_tile(s, stage, i, out);
        if (i < 2)
            places_t[0] |= nibbles << 4 * i;
        else
            places_t[1] |= nibbles << 4 * (i - 2);
    }
    *good &= !nan;
    finish_strip(p, s, stage, places, places_t);
}

template <class F, bool TILES>
static __device__ __forceinline__ void both_ways(const wn__gpu_block24 &p, blocks_stage &stage) {
    const uint8_t *masks = TILES ? p.tiles : p.mask;
    const bool easy =
        aligned(p.w, 8) && (p.stride & 3) == 0 && aligned(masks, 4) && (p.groups & 3) == 0;
    const unsigned across = (unsigned)((p.columns + 127) / 128);
    int down = (int)(blockIdx.x / across), right = (int)(blockIdx.x % across);
    bool good = true, fetched = false;
    ahead next;
    while (128 * (int64_t)down < p.rows) {
        const strip_place s = place_of(p, 2 * down, 2 * right, easy);
        down += (int)(gridDim.x / across);
        right += (int)(gridDim.x % across);
        if (right >= (int)across) {
            right -= (int)across;
            down++;
        }
        if (s.inside) {
            const strip_place then = place_of(p, 2 * down, 2 * right, easy);
            if (!fetched) fetch<TILES>(p, first_of(p, s), p.mask + masks_at(p, s), &next);
            fetched = then.inside;
            both_inside<F, TILES>(p, s, then, &stage, &next, &good);
        } else {
            both_any<F, TILES>(p, s, &stage, &good);
            fetched = false;
        }
        __syncthreads();
    }
    if (!good) leave(p.fault, p.number);
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
