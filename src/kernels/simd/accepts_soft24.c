// SPDX-License-Identifier: MIT
// What the vector variants of mvue24 refuse, and the workspace of soft24_dots.
#include "kernels/mvue24_tokens.h"
#include "kernels/simd/accepts.h"
#include "kernels/soft24.h"

#include <stdio.h>

bool wn__accepts_f32_mvue24(const void *args, char *why, size_t n) {
    const wn__mvue24 *p = args;
    if (p->group == 4) return wn__accepts_f32(args, why, n);
    snprintf(why, n, "groups of %d, not 4", p->group);
    return false;
}

size_t wn__workspace_soft24_dots(const void *args, int threads) {
    (void)threads;
    const wn__soft24_dots *p = args;
    return (size_t)p->w.shape[0] * 3 * sizeof(double);
}

size_t wn__workspace_mvue24_tokens_ref(const void *args, int threads) {
    const wn__mvue24_tokens *p = args;
    (void)threads;
    return (size_t)(p->x.shape[0] * p->x.shape[1]) * wn_dtype_size(p->x.dtype);
}
