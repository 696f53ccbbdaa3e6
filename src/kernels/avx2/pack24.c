// SPDX-License-Identifier: MIT
// pack24, pack24_tokens, mvue24_tokens, tile24, adamw24 and unpack24, 8 groups at once.
#include "kernels/declare.h"
#include "kernels/simd/pack24.inc.h"

#include "kernels/simd/pack24_tokens.inc.h"

#include "kernels/simd/adamw24.inc.h"
#include "kernels/simd/mvue24_tokens.inc.h"
#include "kernels/simd/tile24.inc.h"
#include "kernels/simd/unpack24.inc.h"

wn_status wn__pack24_avx2(const void *args, wn__exec *x) {
    return pack24(args, x);
}

wn_status wn__unpack24_avx2(const void *args, wn__exec *x) {
    return unpack24(args, x);
}

wn_status wn__pack24_tokens_avx2(const void *args, wn__exec *x) {
    return pack24_tokens(args, x);
}

wn_status wn__tile24_avx2(const void *args, wn__exec *x) {
    return tile24(args, x);
}

wn_status wn__mvue24_tokens_avx2(const void *args, wn__exec *x) {
    return mvue24_tokens(args, x);
}

wn_status wn__adamw24_avx2(const void *args, wn__exec *x) {
    return adamw24(args, x);
}
