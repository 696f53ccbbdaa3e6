// SPDX-License-Identifier: MIT
/* The index of a 2:4 block of F32 and BF16 weights: a dword for each slot in a stream, for each row
 * in the packed form, two bits an element. */
#ifndef WN_KERNELS_SIMD_STREAM_INDEX_H
#define WN_KERNELS_SIMD_STREAM_INDEX_H

#include <stdint.h>

/* Transposes a 16 x 16 matrix of two bits: halves, quarters, eighths and neighbours change places.
 */
static inline void wn__stream_turn_index(uint32_t m[16]) {
    static const uint32_t low[] = {0x0000FFFF, 0x00FF00FF, 0x0F0F0F0F, 0x33333333};
    for (int stage = 0; stage < 4; stage++) {
        const int apart = 8 >> stage, shift = 2 * apart;
        for (int pair = 0; pair < 8; pair++) {
            int i = (pair & -apart) * 2 + (pair & (apart - 1));
            uint32_t t = (m[i] >> shift ^ m[i + apart]) & low[stage];
            m[i + apart] ^= t;
            m[i] ^= t << shift;
        }
    }
}

#endif
