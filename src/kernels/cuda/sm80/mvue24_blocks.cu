// SPDX-License-Identifier: MIT
// Random 2:4 pruning along tokens straight into the packed blocks of the transpose: one block of
// threads takes 64 tokens of 64 columns, each thread four by four, collects pairs and nibbles in
// shared memory and writes them as they stand in a block.
//
// The contract is doubles (common/mvue24.cuh). Most groups need none: where sums of magnitudes are
// exact in float, which rounding them down and up shows, only the drawn point is inexact, and it
// lies between two floats. Where it is not clear on which side of a border that is, or sums are not
// exact, doubles decide; so bits are those of doubles always.
#include "kernels/cuda/args_rows.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/common/mvue24.cuh"

enum { THREADS = 256, PITCH = 17 }; // words from one row's 16 pairs to the next

struct stage {
    uint32_t pair[64 * PITCH];
    uint32_t nibble[16][16]; // of group t: a byte for each of four rows
};

// A group packed: two numbers, the first low, and where they stand.
struct packed {
    uint32_t pair;
    unsigned nibble;
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
static __device__ __forceinline__ packed draw_in_double(uint2 v, const uint32_t *words,
                                                        unsigned exist) {
    uint16_t x[4] = {at(v, 0), at(v, 1), at(v, 2), at(v, 3)};
    prune<F, APPROX>(x, words);
    const unsigned mask = first_two(x) & exist, nibble = nibble_of(mask);
    return {kept(pick(join(x), nibble), nibble, mask), nibble};
}

// The element of four lengths in which both ends of a point lie, as a mask; 0: unclear, or none.
// c: where the first three end.
static __device__ __forceinline__ unsigned find_both(const float c[3], float low, float high,
                                                     float end) {
    const bool p0 = c[0] <= low, p1 = c[1] <= low, p2 = c[2] <= low;
    const bool unclear = p0 != (c[0] <= high) || p1 != (c[1] <= high) || p2 != (c[2] <= high);
    const unsigned found = p2 ? 8u : p1 ? 4u : p0 ? 2u : 1u;
    return unclear || high >= end ? 0 : found;
}

// The exact method. False: doubles have to decide. Missing rows are zeros, which are never drawn.
template <class F>
static __device__ __forceinline__ bool draw_in_float(uint2 v, uint32_t word, packed *out) {
    const float a[4] = {F::size(at(v, 0)), F::size(at(v, 1)), F::size(at(v, 2)), F::size(at(v, 3))};
    const float most = fmaxf(fmaxf(a[0], a[1]), fmaxf(a[2], a[3]));
    const float sum = __fadd_rz(__fadd_rz(__fadd_rz(a[0], a[1]), a[2]), a[3]);
    const float above = __fadd_ru(__fadd_ru(__fadd_ru(a[0], a[1]), a[2]), a[3]);
    bool known = sum == above && sum < 0x1p126f; // exact, and no infinity or NaN among them
    const bool is_long = 2 * most > sum;
    unsigned mask = 0, longest = 0;
    float length[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const bool whole = is_long && a[i] == most;
        length[i] = whole ? 0 : a[i];
        longest |= whole ? 1u << i : 0u;
    }
    const float c[3] = {length[0], length[0] + length[1], length[0] + length[1] + length[2]};
    const float end = c[2] + length[3], step = is_long ? end : 0.5f * end;
    // the point is a 32-bit fraction of the step: between its first 24 bits and one more
    const float u = (float)(word >> 8) * 0x1p-24f;
    const float low = __fmul_rz(u, step), high = __fmul_ru(u + 0x1p-24f, step);
    uint16_t size = 0;
    if (step > 0) {
        const unsigned first = find_both(c, low, high, end);
        const unsigned second =
            is_long ? first : find_both(c, __fadd_rz(low, step), __fadd_ru(high, step), end);
        size = rounded(F(), step);
        known = known && first != 0 && second != 0 && size != 0;
        mask = first | second;
    }
    mask |= longest;
    const unsigned nibble = nibble_of(mask);
    const uint32_t pair = pick(v, nibble), sized = (pair & 0x80008000u) | size * 0x10001u;
    const bool in_first = longest == 1u << (nibble & 3); // where the long one stands, as it is
    const uint32_t with =
        in_first ? __byte_perm(pair, sized, 0x7610) : __byte_perm(pair, sized, 0x3254);
    *out = {kept(longest != 0 ? with : sized, nibble, mask), nibble};
    return known;
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

template <class F, bool APPROX>
static __device__ __forceinline__ void mvue_blocks(const wn__gpu_mvue24_blocks &p) {
    __shared__ stage s;
    const int thread = (int)threadIdx.x, g = thread & 15, t = thread >> 4;
    const int64_t c = (int64_t)blockIdx.x * WN_BLOCK24_ROWS + 4 * g;
    const int n = columns_left(p.columns, c);
    for (int64_t step = blockIdx.y; step < p.across; step += gridDim.y) {
        const int64_t r = step * WN_BLOCK24_COLUMNS + 4 * t, left = p.rows - r;
        const unsigned exist = left <= 0 ? 0 : left < 4 ? (1u << left) - 1 : 15;
        uint32_t words[APPROX ? 8 : 4], nibbles = 0;
        uint2 v[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            v[i] = load4(p.x + (r + i) * p.stride + c, i < left ? n : 0);
        draw<4, APPROX>(p.draws, (uint64_t)(r / 4 * p.columns + c), words);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const uint2 four = column_of(v, j);
            packed two;
            if (APPROX || !draw_in_float<F>(four, words[j], &two))
                two = draw_in_double<F, APPROX>(four, words + (APPROX ? 2 : 1) * j,
                                                j < n ? exist : 0);
            s.pair[(4 * g + j) * PITCH + t] = two.pair;
            nibbles |= two.nibble << 8 * j;
        }
        s.nibble[t][g] = nibbles;
        __syncthreads();
        uint8_t *block = p.blocks + ((int64_t)blockIdx.x * p.across + step) * WN_BLOCK24_BYTES;
        const int row = thread / 4, chunk = thread % 4;
        const uint32_t *from = &s.pair[row * PITCH + 4 * chunk];
        *(uint4 *)(block + WN_BLOCK24_VALUE(row, 8 * chunk)) =
            make_uint4(from[0], from[1], from[2], from[3]);
        if (thread < 128)
            ((uint32_t *)(block + WN_BLOCK24_VALUES))[thread] =
                word_of(&s, thread / 32 * 16 + thread % 32 / 4, thread % 4);
        __syncthreads();
    }
}

#define ENTRY(name, F, approx)                                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS) name(const wn__gpu_mvue24_blocks p) {    \
        mvue_blocks<F, approx>(p);                                                                 \
    }
ENTRY(wn_mvue24_blocks_exact_bf16, bf16, false)
ENTRY(wn_mvue24_blocks_exact_f16, f16, false)
ENTRY(wn_mvue24_blocks_approx_bf16, bf16, true)
ENTRY(wn_mvue24_blocks_approx_f16, f16, true)
