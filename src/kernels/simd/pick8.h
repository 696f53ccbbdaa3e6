// SPDX-License-Identifier: MIT
/* Weights in a vector, each broadcast by a permutation instead of a load. Loads are as many as FMAs
 * already, and the tighter limit: where vectors are of 64 bytes a permutation takes a port of the
 * FMAs as well, so every other weight comes by one; of 32 bytes it takes none. Eight weights are a
 * vector, or with 16 registers, which have no room for the eight places, four, in either half. */
#ifndef WN_KERNELS_SIMD_PICK8_H
#define WN_KERNELS_SIMD_PICK8_H

#include "kernels/simd/vec.h"

#if VF == 16
#define PICKS(i) ((i) % 2 == 1)
#define PICKED   8 /* weights of a vector */
static inline vf read_picked(const float *weights) {
    vf picked = _mm512_castps256_ps512(_mm256_loadu_ps(weights));
    __asm__("" : "+v"(picked));
    return picked;
}
static inline vf pick(vf picked, size_t i) {
    return _mm512_permutexvar_ps(_mm512_set1_epi32((int)i), picked);
}
#elif VECTOR_REGISTERS == 32
#define PICKS(i) true
#define PICKED   8
static inline vf read_picked(const float *weights) {
    vf picked = _mm256_loadu_ps(weights);
    __asm__("" : "+v"(picked));
    return picked;
}
static inline vf pick(vf picked, size_t i) {
    return _mm256_permutexvar_ps(_mm256_set1_epi32((int)i), picked);
}
#else
#define PICKS(i) true
#define PICKED   4
static inline vf read_picked(const float *weights) {
    vf picked = _mm256_broadcast_ps((const __m128 *)(const void *)weights);
    __asm__("" : "+x"(picked));
    return picked;
}
ALWAYS vf pick(vf picked, size_t i) {
    switch (i) {
    case 0:
        return _mm256_permute_ps(picked, 0x00);
    case 1:
        return _mm256_permute_ps(picked, 0x55);
    case 2:
        return _mm256_permute_ps(picked, 0xAA);
    default:
        return _mm256_permute_ps(picked, 0xFF);
    }
}
#endif

#endif
