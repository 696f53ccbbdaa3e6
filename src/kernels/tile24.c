// SPDX-License-Identifier: MIT
// The contract check of tile24.
#include "kernels/tile24.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"
#include "kernels/mask24.h"

// r rows, c columns in packed form: values is o[0], index o[1].
static wn_status check_packed(const wn__operand *o, int64_t r, int64_t c) {
    WN_TRY(wn__check_size("tile24", o, 0, r, "the packed rows"));
    WN_TRY(wn__check_size("tile24", o, 1, c / 2, "two for each group of 4"));
    WN_TRY(wn__check_size("tile24", o + 1, 0, r, "the packed rows"));
    return wn__check_size("tile24", o + 1, 1, wn__ceil_div(c, 8),
                          "half a byte for each group of 4");
}

wn_status wn__check_tile24(const void *args) {
    const wn__tile24 *p = args;
    const unsigned out = WN__PACKED | WN__WRITTEN;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"mask", &p->mask, 2, WN_DTYPE_U8, out, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, out, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, out, 0},
        {"values_t", &p->values_t, 2, WN_DTYPE_NONE, out, 0},
        {"index_t", &p->index_t, 2, WN_DTYPE_U8, out, 0},
    };
    WN_TRY(wn__check_operands("tile24", o, 6));
    WN_TRY(wn__check_tiles24("tile24", &p->w));
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    WN_TRY(wn__check_same("tile24", "row", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_size("tile24", o + 1, 1, c / 4, "c/4 with c of w"));
    WN_TRY(check_packed(o + 2, r, c));
    return check_packed(o + 4, c, r);
}
