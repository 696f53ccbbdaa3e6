// SPDX-License-Identifier: MIT
// embed and embed_grad on 512-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/embed.inc.h"

wn_status wn__embed_avx512(const void *args, wn__exec *x) {
    return embed(args, x);
}

wn_status wn__embed_grad_avx512(const void *args, wn__exec *x) {
    return embed_grad(args, x);
}
