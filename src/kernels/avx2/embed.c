// SPDX-License-Identifier: MIT
// embed and embed_grad on 256-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/embed.inc.h"

wn_status wn__embed_avx2(const void *args, wn__exec *x) {
    return embed(args, x);
}

wn_status wn__embed_grad_avx2(const void *args, wn__exec *x) {
    return embed_grad(args, x);
}
