// SPDX-License-Identifier: MIT
/* The two largest magnitudes of each of four groups of 16-bit numbers, two groups at a time: the
 * numbers in each place of two groups share a word, and a magnitude of 15 bits with the sixteenth
 * set less another leaves that bit set where it is not smaller. */
#ifndef WN_KERNELS_CUDA_COMMON_CHOOSE24_CUH
#define WN_KERNELS_CUDA_COMMON_CHOOSE24_CUH

#include <stdint.h>

/* Where two of three agree. */
static __device__ __forceinline__ uint32_t most_of(uint32_t a, uint32_t b, uint32_t c) {
    return (a & b) | (a & c) | (b & c);
}

/* Of groups a and b; masks in bits 12 to 15 and 28 to 31. *beyond: sixteenth bits are set where a
 * magnitude is more than `infinity`. */
static __device__ __forceinline__ uint32_t keep_two_of_two(uint2 a, uint2 b, int infinity,
                                                           uint32_t *beyond) {
    const uint32_t BIT = 0x80008000u, more = (0x7FFFu - (uint32_t)infinity) * 0x10001u;
    const uint32_t v[4] = {__byte_perm(a.x, b.x, 0x5410), __byte_perm(a.x, b.x, 0x7632),
                           __byte_perm(a.y, b.y, 0x5410), __byte_perm(a.y, b.y, 0x7632)};
    uint32_t size[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        size[i] = v[i] & ~BIT;
        *beyond |= size[i] + more;
    }
    const uint32_t c01 = (v[0] | BIT) - size[1], c02 = (v[0] | BIT) - size[2];
    const uint32_t c03 = (v[0] | BIT) - size[3], c12 = (v[1] | BIT) - size[2];
    const uint32_t c13 = (v[1] | BIT) - size[3], c23 = (v[2] | BIT) - size[3];
    const uint32_t keep[4] = {most_of(c01, c02, c03), most_of(~c01, c12, c13),
                              most_of(~c02, ~c12, c23), most_of(~c03, ~c13, ~c23)};
    uint32_t masks = 0;
#pragma unroll
    for (int i = 0; i < 4; i++)
        masks = masks >> 1 | (keep[i] & BIT);
    return masks;
}

/* Masks of four groups, four bits each; false: a magnitude is more than `infinity`. */
static __device__ __forceinline__ bool keep_two_of_four(const uint2 v[4], int infinity,
                                                        unsigned *masks) {
    uint32_t beyond = 0;
    const uint32_t low = keep_two_of_two(v[0], v[1], infinity, &beyond);
    const uint32_t high = keep_two_of_two(v[2], v[3], infinity, &beyond);
    *masks =
        (low >> 12 & 0xFu) | (low >> 24 & 0xF0u) | (high >> 4 & 0xF00u) | (high >> 16 & 0xF000u);
    return (beyond & 0x80008000u) == 0;
}

#endif
