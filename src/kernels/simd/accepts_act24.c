// SPDX-License-Identifier: MIT
// The workspace of tokens24.
#include "kernels/act24.h"
#include "kernels/simd/accepts.h"

size_t wn__workspace_tokens24(const void *args, int threads) {
    (void)threads;
    const wn__tokens24 *p = args;
    return wn__given(&p->order) ? (size_t)p->x.shape[0] : 0;
}
