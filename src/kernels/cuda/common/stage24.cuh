// SPDX-License-Identifier: MIT
/* What a 4x4 tile keeps, for four groups at once. */
#ifndef WN_KERNELS_CUDA_COMMON_STAGE24_CUH
#define WN_KERNELS_CUDA_COMMON_STAGE24_CUH

#include "kernels/cuda/args24.h"
#include "kernels/cuda/common/group24.cuh"

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
#endif
