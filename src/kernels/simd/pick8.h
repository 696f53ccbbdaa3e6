// SPDX-License-Identifier: MIT
/* Eight weights in a vector, each broadcast by a permutation instead of a load. Loads are as many
 * as FMAs already, and the tighter limit with 32 registers: where vectors are of 64 bytes a
 * permutation takes a port of the FMAs as well, so every other weight comes by one; of 32 bytes it
 * takes none. With 16 registers there is none for the eight. */
#ifndef WN_KERNELS_SIMD_PICK8_H
#define WN_KERNELS_SIMD_PICK8_H

#include "kernels/simd/vec.h"

#if VF == 16
#define PICKS(i) ((i) % 2 == 1)
static inline vf read_eight(const float *weights) {
    vf eight = _mm512_castps256_ps512(_mm256_loadu_ps(weights));
    __asm__("" : "+v"(eight));
    return eight;
}
static inline vf pick_of_eight(vf eight, size_t i) {
    return _mm512_permutexvar_ps(_mm512_set1_epi32((int)i), eight);
}
#elif VECTOR_REGISTERS == 32
#define PICKS(i) true
static inline vf read_eight(const float *weights) {
    vf eight = _mm256_loadu_ps(weights);
    __asm__("" : "+v"(eight));
    return eight;
}
static inline vf pick_of_eight(vf eight, size_t i) {
    return _mm256_permutexvar_ps(_mm256_set1_epi32((int)i), eight);
}
#else
#define PICKS(i) false
static inline vf read_eight(const float *weights) {
    (void)weights;
    return vf_zero();
}
static inline vf pick_of_eight(vf eight, size_t i) {
    (void)i;
    return eight;
}
#endif

#endif
