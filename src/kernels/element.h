// SPDX-License-Identifier: MIT
/* One element of a float tensor as a double and back. Loading is exact; storing rounds once, to
 * nearest even. i counts elements from data, strides already applied. */
#ifndef WN_KERNELS_ELEMENT_H
#define WN_KERNELS_ELEMENT_H

#include "base/half.h"
#include "tensor/tensor.h"

/* A BF16 or F16 number. */
static inline double wn__number16(uint16_t bits, wn_dtype dtype) {
    return (double)(dtype == WN_DTYPE_BF16 ? wn__bf16_to_f32(bits) : wn__f16_to_f32(bits));
}

static inline double wn__get(const wn_tensor *t, int64_t i) {
    switch (t->dtype) {
    case WN_DTYPE_F64:
        return ((const double *)t->data)[i];
    case WN_DTYPE_F32:
        return (double)((const float *)t->data)[i];
    case WN_DTYPE_BF16:
        return (double)wn__bf16_to_f32(((const uint16_t *)t->data)[i]);
    default:
        return (double)wn__f16_to_f32(((const uint16_t *)t->data)[i]);
    }
}

static inline void wn__set(const wn_tensor *t, int64_t i, double value) {
    switch (t->dtype) {
    case WN_DTYPE_F64:
        ((double *)t->data)[i] = value;
        break;
    case WN_DTYPE_F32:
        ((float *)t->data)[i] = (float)value;
        break;
    case WN_DTYPE_BF16:
        ((uint16_t *)t->data)[i] = wn__bf16_from_f64(value);
        break;
    default:
        ((uint16_t *)t->data)[i] = wn__f16_from_f64(value);
    }
}

/* Where element (i,j) of a matrix stands. */
static inline int64_t wn__at(const wn_tensor *t, int64_t i, int64_t j) {
    return i * t->stride[0] + j * t->stride[1];
}

#endif
