// SPDX-License-Identifier: MIT
// Whether stored weights are 2:4. A value is zero when all its bits but the sign are.
#include "infer/session.h"
#include <string.h>

// The mask of all bits but the sign, 0 for dtypes that are not looked at.
static uint64_t magnitude_bits(wn_dtype dtype) {
    switch (dtype) {
    case WN_DTYPE_F64:
        return UINT64_MAX >> 1;
    case WN_DTYPE_F32:
        return UINT32_MAX >> 1;
    case WN_DTYPE_BF16:
    case WN_DTYPE_F16:
        return UINT16_MAX >> 1;
    default:
        return 0;
    }
}

static bool group_is24(const unsigned char *p, int64_t n, size_t step, size_t width,
                       uint64_t bits) {
    int kept = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t v = 0;
        memcpy(&v, p + (size_t)i * step, width); // the low bytes: little-endian
        kept += (v & bits) != 0;
    }
    return kept <= 2;
}

bool wn__weight_is24(const wn_tensor *w, bool transposed) {
    uint64_t bits = magnitude_bits(w->dtype);
    if (w->ndim != 2 || bits == 0) return false;
    size_t width = wn_dtype_size(w->dtype);
    size_t step = width * (size_t)w->stride[transposed ? 0 : 1];
    size_t stride = width * (size_t)w->stride[transposed ? 1 : 0];
    int64_t lines = w->shape[transposed ? 1 : 0], length = w->shape[transposed ? 0 : 1];
    const unsigned char *data = w->data;
    for (int64_t g = 0; g < length; g += 4)
        for (int64_t line = 0; line < lines; line++) {
            const unsigned char *p = data + (size_t)line * stride + (size_t)g * step;
            if (!group_is24(p, length - g < 4 ? length - g : 4, step, width, bits)) return false;
        }
    return true;
}
