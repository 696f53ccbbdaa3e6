// SPDX-License-Identifier: MIT
/* Packing both ways at the speed of memory. A block of threads takes a strip of 128 columns; each
 * warp has 16 rows of it and each lane four columns, so a lane has four 4x4 tiles, one below the
 * other.
 *
 *   rows       32 lanes hold a row's 128 columns: what they keep leaves at once, side by side
 *   columns    what four rows of a column keep waits in shared memory until the strip is complete:
 *              then a row of the transpose is 128 bytes, and its places 8 or 16
 *
 * A row of the transpose stands in pieces of 16 bytes; piece i of row r is at i ^ r / 4 % 8, and a
 * pair within its piece at j ^ r / 32, so that neither way meets a bank twice. */
#ifndef WN_KERNELS_CUDA_COMMON_STRIP24_CUH
#define WN_KERNELS_CUDA_COMMON_STRIP24_CUH

#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/stage24.cuh"

template <class T> struct strip24 {
    typedef typename group4<T>::pair pair;
    enum {
        COLUMNS = WN_GPU_STRIP,
        WARPS = WN_GPU_STRIP_WARPS(sizeof(T)),
        THREADS = 32 * WARPS,
        ROWS = 16 * WARPS,
        PIECES = 8,                  /* of a row of the transpose */
        IN_PIECE = 16 / sizeof(pair) /* pairs */
    };
    uint4 values[COLUMNS][PIECES];
    uint2 index[WARPS][32]; /* of four columns, 16 bits each */
};

/* How many each of four masks keeps, four bits each. */
static __device__ __forceinline__ unsigned counts_of(unsigned masks) {
    const unsigned halves = (masks & 0x5555u) + (masks >> 1 & 0x5555u);
    return (halves & 0x3333u) + (halves >> 2 & 0x3333u);
}
/* Whether none keeps more than two. */
static __device__ __forceinline__ bool fit(unsigned masks) {
    return ((counts_of(masks) + 0x1111u) & 0x4444u) == 0;
}

/* Four lanes with a tile each, side by side: lane k gets what row k of each keeps, four bits a
 * tile, of four bits a row; and the other way round. A whole warp. */
static __device__ __forceinline__ unsigned turned_in_four(unsigned masks) {
    const unsigned ALL = 0xFFFFFFFFu;
    const bool odd = (threadIdx.x & 1) != 0, upper = (threadIdx.x & 2) != 0;
    const unsigned own = odd ? 0xFFFFF0F0u : 0xFFFF0F0Fu;
    unsigned other = __shfl_xor_sync(ALL, __funnelshift_l(masks, masks, odd ? 4 : 28), 1);
    masks = (masks & own) | (other & ~own);
    other = __shfl_xor_sync(ALL, masks, 2);
    return __byte_perm(masks, other, upper ? 0x2215 : 0x2240);
}

/* Four masks, four bits each, as bytes, and back: what is set beyond four bits is lost. */
static __device__ __forceinline__ uint32_t bytes_of(unsigned masks) {
    const uint32_t apart = __byte_perm(masks, 0, 0x4140);
    return (apart | apart << 4) & 0x0F0F0F0Fu;
}
static __device__ __forceinline__ unsigned masks_of(uint32_t bytes) {
    const uint32_t close = (bytes | bytes >> 4) & 0x00FF00FFu;
    return __byte_perm(close, 0, 0x4420);
}

/* A tile's rows in packed form: pairs and nibbles, a byte a row. */
template <class T>
static __device__ __forceinline__ void pack_tile(const typename group4<T>::wide v[4],
                                                 unsigned masks, uint32_t *nibbles,
                                                 typename group4<T>::pair out[4]) {
    if (counts_of(masks) == 0x2222u) {
        *nibbles = nibbles_of(masks);
        pick_full(v, masks, *nibbles, out);
        return;
    }
    *nibbles = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const unsigned m = masks >> 4 * i & 15, nibble = nibble_of(m);
        *nibbles |= nibble << 8 * i;
        out[i] = kept(pick(v[i], nibble), nibble, m);
    }
}

/* Columns of a tile as rows. */
template <class T>
static __device__ __forceinline__ void transpose(const typename group4<T>::wide v[4],
                                                 typename group4<T>::wide out[4]) {
#pragma unroll
    for (int j = 0; j < 4; j++)
        out[j] = column(v, j);
}

static __device__ __forceinline__ void store_pair(uint16_t *p, uint32_t v, bool whole) {
    if (whole) {
        __stcs((uint32_t *)p, v);
    } else {
        p[0] = (uint16_t)v;
        p[1] = (uint16_t)(v >> 16);
    }
}
static __device__ __forceinline__ void store_pair(uint32_t *p, uint2 v, bool whole) {
    if (whole) {
        __stcs((uint2 *)p, v);
    } else {
        p[0] = v.x;
        p[1] = v.y;
    }
}

/* A whole warp: what a tile's rows r to r + 3 keep of group g, where they exist. whole: values are
 * aligned to pairs. */
template <class T>
static __device__ __forceinline__ void
store_rows(T *values, uint8_t *index, int64_t r, int64_t rows, int64_t g, int64_t groups,
           const typename group4<T>::pair out[4], uint32_t nibbles, bool whole) {
    const int64_t bytes = (groups + 1) / 2;
    const bool odd = (g & 1) != 0;
    const uint32_t other = __shfl_xor_sync(0xFFFFFFFFu, nibbles, 1);
    const uint32_t both = odd ? (other | nibbles << 4) >> 16 : nibbles | other << 4;
    if (g < groups) {
        T *to = values + 2 * (r * groups + g);
#pragma unroll
        for (int i = 0; i < 4; i++)
            if (r + i < rows) store_pair(to + 2 * groups * i, out[i], whole);
    }
    // Two rows of two groups each; the odd one stores for the even one beside it too.
    if ((odd ? g - 1 : g) >= groups) return;
    uint8_t *at = index + (r + (odd ? 2 : 0)) * bytes + g / 2;
#pragma unroll
    for (int i = 0; i < 2; i++)
        if (r + (odd ? 2 : 0) + i < rows) at[i * bytes] = (uint8_t)(both >> 8 * i);
}

/* What four columns keep of a lane's tile number `tile` (0 to 3). *places gathers their nibbles. */
template <class T>
static __device__ __forceinline__ void stage_strip(strip24<T> *s, int tile,
                                                   const typename group4<T>::pair out[4],
                                                   uint32_t nibbles, uint32_t places[2]) {
    typedef strip24<T> S;
    typedef typename group4<T>::pair pair;
    const int lane = (int)threadIdx.x & 31, group = 4 * ((int)threadIdx.x >> 5) + tile;
    const int piece = (group / S::IN_PIECE) ^ (lane & 7);
    const int slot = (group % S::IN_PIECE) ^ ((lane >> 3) & (S::IN_PIECE - 1));
#pragma unroll
    for (int j = 0; j < 4; j++)
        ((pair *)&s->values[4 * lane + j][piece])[slot] = out[j];
    if (tile < 2)
        places[0] |= nibbles << 4 * tile;
    else
        places[1] |= nibbles << 4 * (tile - 2);
}

/* After a lane's four tiles: bytes of `places` are columns, here 16 bits each. */
template <class T>
static __device__ __forceinline__ void stage_places(strip24<T> *s, const uint32_t places[2]) {
    s->index[threadIdx.x >> 5][threadIdx.x & 31] = make_uint2(
        __byte_perm(places[0], places[1], 0x5140), __byte_perm(places[0], places[1], 0x7362));
}

static __device__ __forceinline__ uint4 unswizzled(uint4 v, int way, uint16_t) {
    if (way & 1) v = make_uint4(v.y, v.x, v.w, v.z);
    return way & 2 ? make_uint4(v.z, v.w, v.x, v.y) : v;
}
static __device__ __forceinline__ uint4 unswizzled(uint4 v, int way, uint32_t) {
    return way & 1 ? make_uint4(v.z, v.w, v.x, v.y) : v;
}

/* All threads of a block, after a barrier: rows c0 to c0 + 127 of the transpose, which has `rows`,
 * groups g0 on of `groups`. INSIDE: all of them exist, and pieces are aligned. */
template <class T, bool INSIDE = false>
static __device__ __forceinline__ void unload_strip(const strip24<T> *s, T *values, uint8_t *index,
                                                    int64_t c0, int64_t rows, int64_t g0,
                                                    int64_t groups) {
    typedef strip24<T> S;
    enum { AT_ONCE = S::THREADS / S::PIECES, IN_ROW = S::ROWS / 4 };
    const int left = groups - g0 < IN_ROW ? (int)(groups - g0) : (int)IN_ROW;
    const int piece = (int)threadIdx.x % S::PIECES, have = 2 * (left - piece * S::IN_PIECE);
#pragma unroll
    for (int i = 0; i < S::COLUMNS / AT_ONCE; i++) {
        const int r = i * AT_ONCE + (int)threadIdx.x / S::PIECES;
        const uint4 v = unswizzled(s->values[r][piece ^ (r / 4 & 7)],
                                   i * AT_ONCE / 32 & (S::IN_PIECE - 1), (T)0);
        T *to = values + 2 * ((c0 + r) * groups + g0 + piece * S::IN_PIECE);
        if (!INSIDE && c0 + r >= rows) continue;
        if (INSIDE || (have >= 2 * S::IN_PIECE && aligned(to, 16))) {
            __stcs((uint4 *)to, v);
            continue;
        }
        const uint32_t word[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int j = 0; j < 2 * S::IN_PIECE; j++)
            if (j < have) to[j] = (T)(word[j * sizeof(T) / 4] >> 8 * (j * sizeof(T) % 4));
    }
    if (threadIdx.x >= S::COLUMNS || (!INSIDE && c0 + threadIdx.x >= rows)) return;
    uint32_t word[S::WARPS / 2];
    const int64_t pitch = (groups + 1) / 2;
#pragma unroll
    for (int w = 0; w < S::WARPS / 2; w++)
        word[w] = (uint32_t)((const uint16_t *)s->index[2 * w])[threadIdx.x] |
                  (uint32_t)((const uint16_t *)s->index[2 * w + 1])[threadIdx.x] << 16;
    uint8_t *to = index + (c0 + threadIdx.x) * pitch + g0 / 2;
    if ((INSIDE || left == IN_ROW) && aligned(to, 2 * S::WARPS)) {
        if (S::WARPS == 8)
            *(uint4 *)to =
                make_uint4(word[0], word[1], word[S::WARPS / 2 - 2], word[S::WARPS / 2 - 1]);
        else
            *(uint2 *)to = make_uint2(word[0], word[1]);
        return;
    }
#pragma unroll
    for (int j = 0; j < 2 * S::WARPS; j++)
        if (INSIDE || 2 * j < left) to[j] = (uint8_t)(word[j / 4] >> 8 * (j % 4));
}

#endif
