// SPDX-License-Identifier: MIT
/* The packed form of a block of 64 x 64 elements (pack24.h), collected in shared memory so that it
 * leaves in whole 16-byte pieces: rows of `values` and of `index`, 8 index bytes and 32 values
 * each. A thread brings one 4x4 tile, or its transpose. */
#ifndef WN_KERNELS_CUDA_COMMON_STAGE24_CUH
#define WN_KERNELS_CUDA_COMMON_STAGE24_CUH

#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/group24.cuh"

template <class T> struct packed_stage {
    enum { pieces = 32 * sizeof(T) / 16 };
    uint4 values[WN_GPU_TILE][pieces]; /* piece i of row r stands at i ^ r / 4 */
    uint8_t index[WN_GPU_TILE][8];
};

/* Pair and nibble of group g (0 to 15) of row r. */
template <class T>
static __device__ __forceinline__ void stage_pair(packed_stage<T> *s, int r, int g,
                                                  typename group4<T>::pair v) {
    typedef typename group4<T>::pair pair;
    enum { IN_PIECE = 16 / sizeof(pair) };
    const int piece = (g / IN_PIECE) ^ (r / 4 % packed_stage<T>::pieces);
    ((pair *)&s->values[r][piece])[g % IN_PIECE] = v;
}

/* Nibbles of groups g and g + 1 (g even) of four rows from r on, the first row lowest. `partner` is
 * the lane that has the other group; each of the two writes two bytes. */
template <class T>
static __device__ __forceinline__ void stage_nibbles(packed_stage<T> *s, int r, int g,
                                                     unsigned nibbles, int partner) {
    const unsigned other = __shfl_xor_sync(0xFFFFFFFFu, nibbles, partner);
    const unsigned even = g & 1 ? other : nibbles, odd = g & 1 ? nibbles : other;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int row = 2 * (g & 1) + i;
        s->index[r + row][g / 2] = (uint8_t)((even >> 4 * row & 15) | (odd >> 4 * row & 15) << 4);
    }
}

/* Column j of four rows. */
static __device__ __forceinline__ uint4 column(const uint4 v[4], int j) {
    return make_uint4(at(v[0], j), at(v[1], j), at(v[2], j), at(v[3], j));
}
static __device__ __forceinline__ uint2 column(const uint2 v[4], int j) {
    const unsigned which = j & 1 ? 0x7632u : 0x5410u;
    return j < 2
               ? make_uint2(__byte_perm(v[0].x, v[1].x, which), __byte_perm(v[2].x, v[3].x, which))
               : make_uint2(__byte_perm(v[0].y, v[1].y, which), __byte_perm(v[2].y, v[3].y, which));
}

/* Column j of a tile's mask, four bits a row. */
static __device__ __forceinline__ unsigned column_mask(unsigned mask, int j) {
    const unsigned m = mask >> j & 0x1111u;
    return (m | m >> 3 | m >> 6 | m >> 9) & 15;
}

/* A tile's columns in packed form; false where more is kept than fits. */
template <class T>
static __device__ __forceinline__ bool stage_columns(packed_stage<T> *s, int c, int g,
                                                     const typename group4<T>::wide v[4],
                                                     unsigned mask) {
    unsigned nibbles = 0;
    bool fits = true;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const unsigned m = column_mask(mask, j), nibble = nibble_of(m);
        fits &= nibble != 15;
        nibbles |= nibble << 4 * j;
        stage_pair(s, c + j, g, kept(pick(column(v, j), nibble), nibble, m));
    }
    stage_nibbles(s, c, g, nibbles, 16);
    return fits;
}

/* Of four masks that keep two each, four bits a mask: a byte a mask from a table of eight, which is
 * looked up by the mask's upper three bits. */
static __device__ __forceinline__ uint32_t look_up(uint32_t low, uint32_t high, unsigned masks) {
    return __byte_perm(low, high, masks >> 1 & 0x7777u);
}
/* Their nibbles, a byte each. */
static __device__ __forceinline__ uint32_t nibbles_of(unsigned masks) {
    return look_up(0x09080400u, 0x000E0D0Cu, masks);
}
/* The pairs of four groups that keep two each; nibbles from above. */
static __device__ __forceinline__ void pick_full(const uint4 v[4], unsigned, uint32_t nibbles,
                                                 uint2 out[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++)
        out[i] = pick(v[i], nibbles >> 8 * i & 15);
}
/* Bytes of the two elements, as pick selects them: first 0x10 + 0x22 column, then the second. */
static __device__ __forceinline__ void pick_full(const uint2 v[4], unsigned masks, uint32_t,
                                                 uint32_t out[4]) {
    const uint32_t first = look_up(0x32101000u, 0x00543210u, masks);
    const uint32_t second = look_up(0x54543200u, 0x00767676u, masks);
    const uint32_t low = __byte_perm(first, second, 0x5140),
                   high = __byte_perm(first, second, 0x7362);
    out[0] = __byte_perm(v[0].x, v[0].y, low);
    out[1] = __byte_perm(v[1].x, v[1].y, low >> 16);
    out[2] = __byte_perm(v[2].x, v[2].y, high);
    out[3] = __byte_perm(v[3].x, v[3].y, high >> 16);
}
/* Four rows of a block from r on, all of whose masks keep two: group g of each. */
template <class T>
static __device__ __forceinline__ void stage_full(packed_stage<T> *s, int r, int g,
                                                  const typename group4<T>::wide v[4],
                                                  unsigned masks, int partner) {
    const uint32_t nibbles = nibbles_of(masks);
    typename group4<T>::pair out[4];
    pick_full(v, masks, nibbles, out);
#pragma unroll
    for (int i = 0; i < 4; i++)
        stage_pair(s, r + i, g, out[i]);
    const uint32_t other = __shfl_xor_sync(0xFFFFFFFFu, nibbles, partner);
    const uint32_t bytes = g & 1 ? (other | nibbles << 4) >> 16 : nibbles | other << 4;
#pragma unroll
    for (int i = 0; i < 2; i++)
        s->index[r + 2 * (g & 1) + i][g / 2] = (uint8_t)(bytes >> 8 * i);
}

/* All threads of a block: `rows` rows of a packed matrix of `groups` groups a row, from group g0
 * on, which is a multiple of 16. */
template <class T>
static __device__ __forceinline__ void unload(const packed_stage<T> *s, T *values, uint8_t *index,
                                              int64_t r0, int64_t rows, int64_t g0,
                                              int64_t groups) {
    const int left = groups - g0 < 16 ? (int)(groups - g0) : 16;
    const int64_t pairs = (groups + 1) / 2;
    enum { PIECES = packed_stage<T>::pieces, IN_PIECE = 16 / sizeof(T) };
#pragma unroll
    for (int i = (int)threadIdx.x; i < WN_GPU_TILE * PIECES; i += WN_GPU_THREADS) {
        const int r = i / PIECES, piece = i % PIECES;
        if (r0 + r >= rows || IN_PIECE * piece >= 2 * left) continue;
        T *to = values + 2 * ((r0 + r) * groups + g0) + IN_PIECE * piece;
        const uint4 *from = &s->values[r][piece ^ (r / 4 % PIECES)];
        if (IN_PIECE * (piece + 1) <= 2 * left && aligned(to, 16)) {
            __stcs((uint4 *)to, *from);
            continue;
        }
        for (int j = 0; j < IN_PIECE && IN_PIECE * piece + j < 2 * left; j++)
            to[j] = ((const T *)from)[j];
    }
    if (threadIdx.x < WN_GPU_TILE && r0 + threadIdx.x < rows) {
        uint8_t *to = index + (r0 + threadIdx.x) * pairs + g0 / 2;
        const uint8_t *from = s->index[threadIdx.x];
        if (left == 16 && aligned(to, 8))
            *(uint2 *)to = *(const uint2 *)from;
        else
            for (int j = 0; j < (left + 1) / 2; j++)
                to[j] = from[j];
    }
}

#endif
