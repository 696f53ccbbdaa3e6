// SPDX-License-Identifier: MIT
// Column lists of a 2:4 weight: room for them, and making them.
#include "sparse/lists24.h"
#include "base/fail.h"
#include "kernels/columns24.h"

wn_status wn__lists24_alloc(wn__arena *arena, wn_dtype dtype, int64_t r, int64_t c,
                            wn__lists24 *out) {
    int64_t slices = wn__columns24_slices(r), room = wn__columns24_room(r, c);
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_I32, slices, c + 1, &out->start));
    WN_TRY(wn__tensor_alloc2(arena, dtype, slices, room, &out->values));
    return wn__tensor_alloc2(arena, WN_DTYPE_U8, slices, room, &out->row);
}

wn_status wn__lists24_make(const wn__lists24 *lists, wn__exec *x, const wn_tensor *w,
                           const wn_tensor *mask) {
    const wn__columns24 make = {
        .w = *w, .mask = *mask, .start = lists->start, .values = lists->values, .row = lists->row};
    return wn__run(x, WN__OP_columns24, &make);
}

size_t wn__lists24_bytes(const wn__lists24 *lists) {
    return wn__tensor_bytes(&lists->start) + wn__tensor_bytes(&lists->values) +
           wn__tensor_bytes(&lists->row);
}

int64_t wn__lists24_kept(int64_t r, int64_t c) {
    int64_t last = c % 4;
    return r * (c / 4 * 2 + (last < 2 ? last : 2));
}
