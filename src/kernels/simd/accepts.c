// SPDX-License-Identifier: MIT
// What the vector variants refuse, each with its reason. Shapes and strides have passed the op's
// own check.
#include "kernels/simd/accepts.h"

#include <stdio.h>

bool wn__accepts_f32(const void *args, char *why, size_t n) {
    const wn_tensor *first = args; // a pointer to a struct is one to its first member
    if (first->dtype == WN_DTYPE_F32) return true;
    snprintf(why, n, "dtype %s is not F32", wn_dtype_name(first->dtype));
    return false;
}
