// SPDX-License-Identifier: MIT
/* Runs of float values as doubles, a loop for each dtype. */
#ifndef WN_PRUNE_VALUES_H
#define WN_PRUNE_VALUES_H

#include "base/half.h"
#include "winnow/tensor.h"

/* Elements begin .. begin + n of packed, aligned data of F64, F32, BF16 or F16; exact. */
static inline void wn__values(const wn_tensor *t, int64_t begin, int64_t n, double *out) {
    switch (t->dtype) {
    case WN_DTYPE_F64:
        memcpy(out, (const double *)t->data + begin, (size_t)n * sizeof *out);
        break;
    case WN_DTYPE_F32:
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)((const float *)t->data)[begin + i];
        break;
    case WN_DTYPE_BF16:
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)wn__bf16_to_f32(((const uint16_t *)t->data)[begin + i]);
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)wn__f16_to_f32(((const uint16_t *)t->data)[begin + i]);
    }
}

#endif
