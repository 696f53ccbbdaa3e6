// SPDX-License-Identifier: MIT
/* What the blocks of outputs of packed weights have in common: packed24.inc.h, of floats, and
 * pairs24.inc.h, of pairs of bfloat16 numbers. */
#ifndef WN_KERNELS_SIMD_PACKED24_H
#define WN_KERNELS_SIMD_PACKED24_H

#include "kernels/simd/each_output.h"
#include "kernels/simd/vec.h"
#include "tensor/tensor.h"

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

/* The extra rows of outputs o0 .. o0 + outputs - 1: from *begin to the end that is returned. */
ALWAYS int64_t extras_of(const packed24 *p, int64_t o0, int64_t outputs, int64_t *begin) {
    int64_t e = 0;
    while (e < p->extras && p->extra[e] < o0)
        e++;
    for (*begin = e; e < p->extras && p->extra[e] < o0 + outputs;)
        e++;
    return e;
}

/* add_block for one width of a tile, so that its sums are registers; half: values are of BF16. */
#define BLOCK24(vecs)                                                                              \
    static void block_##vecs(bool half, const packed24 *p, const float *panel, int64_t o0,         \
                             int64_t outputs, rows24 sums, rows24 out) {                           \
        if (half)                                                                                  \
            add_block(vecs, true, p, panel, o0, outputs, sums, out);                               \
        else                                                                                       \
            add_block(vecs, false, p, panel, o0, outputs, sums, out);                              \
    }

#endif
