// SPDX-License-Identifier: MIT
// Random 2:4 pruning along tokens straight into the packed blocks of the transpose: one block of
// threads takes 64 tokens of 64 columns, each thread four by four, collects pairs and nibbles in
// shared memory and writes them as they stand in a block.
//
// The contract is doubles; most groups need none (draw_in_float of common/mvue24.cuh), and bits are
// those of doubles always.
#include "kernels/cuda/args_rows.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/mvue24.cuh"

enum { THREADS = 256, PITCH = 17 }; // words from one row's 16 pairs to the next

struct stage {
    uint32_t pair[64 * PITCH];
    uint32_t nibble[16][16]; // of group t: a byte for each of four rows
};

static __device__ __forceinline__ int columns_left(int64_t columns, int64_t c) {
    const int64_t left = columns - c;
    return left < 0 ? 0 : left < 4 ? (int)left : 4;
}

// Column j of four rows.
static __device__ __forceinline__ uint2 column_of(const uint2 v[4], int j) {
    const unsigned which = j & 1 ? 0x7632u : 0x5410u;
    return j < 2
               ? make_uint2(__byte_perm(v[0].x, v[1].x, which), __byte_perm(v[2].x, v[3].x, which))
               : make_uint2(__byte_perm(v[0].y, v[1].y, which), __byte_perm(v[2].y, v[3].y, which));
}

// The first two of four that are not zero, as a mask.
static __device__ __forceinline__ unsigned first_two(const uint16_t x[4]) {
    unsigned some = 0;
#pragma unroll
    for (int i = 0; i < 4; i++)
        some |= (unsigned)((uint16_t)(x[i] << 1) != 0) << i;
    const unsigned first = some & (0u - some), rest = some ^ first;
    return first | (rest & (0u - rest));
}

template <class F, bool APPROX>
static __device__ __forceinline__ packed24 draw_in_double(uint2 v, const uint32_t *words,
                                                          unsigned exist) {
    uint16_t x[4] = {at(v, 0), at(v, 1), at(v, 2), at(v, 3)};
    prune<F, APPROX>(x, words);
    const unsigned mask = first_two(x) & exist, nibble = nibble_of(mask);
    return {kept(pick(join(x), nibble), nibble, mask), nibble};
}

// What the words of a block say of rows r and r + 8, 16 tokens from group 4 q on.
static __device__ __forceinline__ uint32_t word_of(const stage *s, int r, int q) {
    uint32_t word = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint8_t *nibble = (const uint8_t *)s->nibble[4 * q + i];
        word |= (uint32_t)nibble[r] << 4 * i | (uint32_t)nibble[r + 8] << (16 + 4 * i);
    }
    return word;
}

// Number j of four.
static __device__ __forceinline__ uint32_t nth(const uint32_t w[4], int j) {
    return j == 0 ? w[0] : j == 1 ? w[1] : j == 2 ? w[2] : w[3];
}

// Four tokens from r on of n columns, `left` of them there. whole: four columns are aligned.
static __device__ __forceinline__ void load_tokens(const uint16_t *from, int64_t stride, int n,
                                                   int64_t left, bool whole, uint2 v[4]) {
    if (whole && n == 4 && left >= 4) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = __ldcs((const uint2 *)(from + i * stride));
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = load4(from + i * stride, i < left ? n : 0);
}

// A block goes down the tokens in steps; what it takes next is on its way while it draws.
template <class F, bool APPROX>
static __device__ __forceinline__ void mvue_blocks(const wn__gpu_mvue24_blocks &p) {
    __shared__ stage s;
    const int thread = (int)threadIdx.x, g = thread & 15, t = thread >> 4;
    const int64_t c = (int64_t)blockIdx.x * WN_BLOCK24_ROWS + 4 * g, r0 = 4 * t;
    const int64_t by = (int64_t)gridDim.y * WN_BLOCK24_COLUMNS;
    const int n = columns_left(p.columns, c);
    const bool whole = aligned(p.x, 8) && (p.stride & 3) == 0;
    int64_t r = (int64_t)blockIdx.y * WN_BLOCK24_COLUMNS + r0;
    const uint16_t *from = p.x + r * p.stride + c;
    uint64_t number = (uint64_t)(r / 4 * p.columns + c);
    uint8_t *block = p.blocks + ((int64_t)blockIdx.x * p.across + blockIdx.y) * WN_BLOCK24_BYTES;
    uint2 next[4];
    load_tokens(from, p.stride, n, p.rows - r, whole, next);
#pragma unroll 1
    for (int64_t step = blockIdx.y; step < p.across; step += gridDim.y) {
        const int64_t left = p.rows - r;
        const unsigned exist = left <= 0 ? 0 : left < 4 ? (1u << left) - 1 : 15;
        const uint2 v[4] = {next[0], next[1], next[2], next[3]};
        uint32_t words[APPROX ? 8 : 4], nibbles = 0;
        from += by * p.stride;
        r += by;
        if (step + gridDim.y < p.across) load_tokens(from, p.stride, n, p.rows - r, whole, next);
        draw<4, APPROX>(p.draws, number, words);
        number += (uint64_t)(by / 4 * p.columns);
        unsigned unclear = 0;
#pragma unroll
        for (int j = 0; !APPROX && j < 4; j++) {
            packed24 two;
            unclear |= (unsigned)!draw_in_float<F>(column_of(v, j), words[j], &two) << j;
            s.pair[(4 * g + j) * PITCH + t] = two.pair;
            nibbles |= two.nibble << 8 * j;
        }
#pragma unroll APPROX ? 4 : 1
        for (int j = 0; (APPROX || unclear != 0) && j < 4; j++) {
            if (!APPROX && (unclear >> j & 1) == 0) continue;
            const uint32_t even[4] = {words[0], words[APPROX ? 2 : 1], words[APPROX ? 4 : 2],
                                      words[APPROX ? 6 : 3]};
            const uint32_t odd[4] = {words[1], words[3], words[APPROX ? 5 : 3],
                                     words[APPROX ? 7 : 3]}; // where two are drawn
            const uint32_t word[2] = {nth(even, j), nth(odd, j)};
            const packed24 two =
                draw_in_double<F, APPROX>(column_of(v, j), word, j < n ? exist : 0);
            s.pair[(4 * g + j) * PITCH + t] = two.pair;
            nibbles = (nibbles & ~(0xFFu << 8 * j)) | two.nibble << 8 * j;
        }
        s.nibble[t][g] = nibbles;
        __syncthreads();
        const int row = thread / 4, chunk = thread % 4;
        const uint32_t *from_row = &s.pair[row * PITCH + 4 * chunk];
        __stcs((uint4 *)(block + WN_BLOCK24_VALUE(row, 8 * chunk)),
               make_uint4(from_row[0], from_row[1], from_row[2], from_row[3]));
        if (thread < 128)
            __stcs((uint32_t *)(block + WN_BLOCK24_VALUES) + thread,
                   word_of(&s, thread / 32 * 16 + thread % 32 / 4, thread % 4));
        block += (int64_t)gridDim.y * WN_BLOCK24_BYTES;
        __syncthreads();
    }
}

#define ENTRY(name, F, approx, blocks)                                                             \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS(blocks))                          \
        name(const wn__gpu_mvue24_blocks p) {                                                      \
        mvue_blocks<F, approx>(p);                                                                 \
    }
ENTRY(wn_mvue24_blocks_exact_bf16, bf16, false, 4)
ENTRY(wn_mvue24_blocks_exact_f16, f16, false, 4)
ENTRY(wn_mvue24_blocks_approx_bf16, bf16, true, 2)
ENTRY(wn_mvue24_blocks_approx_f16, f16, true, 2)
