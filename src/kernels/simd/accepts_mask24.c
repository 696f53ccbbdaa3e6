// SPDX-License-Identifier: MIT
// What the vector variants of mask24 refuse: other types, and the one method that is a sequence of
// choices.
#include "kernels/mask24.h"
#include "kernels/simd/accepts.h"

#include <stdio.h>

bool wn__accepts_f32_mask24(const void *args, char *why, size_t n) {
    const wn__mask24 *p = args;
    if (p->method != WN_MASK24_GREEDY) return wn__accepts_f32(args, why, n);
    snprintf(why, n, "greedy chooses one entry after the other, nothing to do at once");
    return false;
}
