// SPDX-License-Identifier: MIT
/* What the blocks of outputs of packed weights have in common: packed24.inc.h, of floats, and
 * pairs24.inc.h, of pairs of bfloat16 numbers. */
#ifndef WN_KERNELS_SIMD_PACKED24_H
#define WN_KERNELS_SIMD_PACKED24_H

#include "kernels/simd/vec.h"
#include "tensor/tensor.h"

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

/* The packed rows that are outputs; and extra ones, each added to the output that `extra`,
 * ascending, names. */
typedef struct packed24 {
    const void *values;
    const uint8_t *index;
    int64_t groups, bytes; /* of a row */
    const int32_t *extra;
    int64_t extras, first_extra;
} packed24;

static packed24 packed24_of(const wn_tensor *values, const wn_tensor *index) {
    return (packed24){.values = values->data,
                      .index = index->data,
                      .groups = values->shape[1] / 2,
                      .bytes = index->shape[1]};
}

#endif
