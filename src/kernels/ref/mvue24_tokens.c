// SPDX-License-Identifier: MIT
// mvue24_tokens, the specification: mvue24 into the workspace, then pack24_tokens.
#include "kernels/mvue24_tokens.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/pack24_tokens.h"

wn_status wn__mvue24_tokens_ref(const void *args, wn__exec *x) {
    const wn__mvue24_tokens *p = args;
    const wn__mvue24 draw = {.x = p->x,
                             .y = wn__tensor2(x->scratch, p->x.dtype, p->x.shape[0], p->x.shape[1]),
                             .axis = 0,
                             .group = 4,
                             .method = p->method,
                             .seed = p->seed,
                             .stream = p->stream,
                             .counter = p->counter};
    const wn__pack24_tokens pack = {.x = draw.y, .values = p->values, .index = p->index};
    WN_TRY(wn__mvue24_ref(&draw, x));
    return wn__pack24_tokens_ref(&pack, x);
}
