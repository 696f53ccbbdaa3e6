// SPDX-License-Identifier: MIT
// tile24, the specification: mask24 and then pack24.
#include "kernels/tile24.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"

#include <string.h>

wn_status wn__tile24_ref(const void *args, wn__exec *x) {
    const wn__tile24 *p = args;
    const wn__mask24 choose = {.w = p->w, .mask = p->mask, .method = WN_MASK24_TILE};
    const wn__pack24 pack = {.w = p->w,
                             .mask = p->mask,
                             .values = p->values,
                             .index = p->index,
                             .values_t = p->values_t,
                             .index_t = p->index_t};
    if (wn__tensor_bytes(&p->mask) > 0) memset(p->mask.data, 0, wn__tensor_bytes(&p->mask));
    WN_TRY(wn__mask24_ref(&choose, x));
    return wn__pack24_ref(&pack, x);
}
