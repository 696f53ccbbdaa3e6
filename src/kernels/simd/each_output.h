// SPDX-License-Identifier: MIT
/* Outputs that take turns. */
#ifndef WN_KERNELS_SIMD_EACH_OUTPUT_H
#define WN_KERNELS_SIMD_EACH_OUTPUT_H

#include "kernels/simd/vec.h"

/* What is said of an output o, for each of a few. clang 14 takes arrays apart into registers before
 * it unrolls loops, so it needs the numbers of outputs as they are written: else every FMA of
 * vectors of 32 bytes stores its sum, and the product takes twice as long. */
#if defined(__clang__)
#define WITH_OUTPUT_(outputs, n, ...)                                                              \
    if ((n) < (outputs)) {                                                                         \
        enum { o = n };                                                                            \
        __VA_ARGS__;                                                                               \
    }
#define EACH_OUTPUT(outputs, ...)                                                                  \
    {                                                                                              \
        WITH_OUTPUT_(outputs, 0, __VA_ARGS__)                                                      \
        WITH_OUTPUT_(outputs, 1, __VA_ARGS__)                                                      \
        WITH_OUTPUT_(outputs, 2, __VA_ARGS__)                                                      \
        WITH_OUTPUT_(outputs, 3, __VA_ARGS__)                                                      \
    }
#else
#define EACH_OUTPUT(outputs, ...)                                                                  \
    UNROLL                                                                                         \
    for (int o = 0; o < (outputs); o++) {                                                          \
        __VA_ARGS__;                                                                               \
    }
#endif

#endif
