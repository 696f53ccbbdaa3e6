// SPDX-License-Identifier: MIT
// The contract checks of mask24, flips24 and decay24.
#include "kernels/mask24.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

wn_status wn__check_tiles24(const char *op, const wn_tensor *w) {
    int64_t r = w->shape[0], c = w->shape[1];
    if (r % 4 == 0 && c % 4 == 0) return WN_OK;
    return wn__fail(WN_INVALID,
                    "%s: w is %lld x %lld, 4x4 tiles need multiples of 4; the nearest are "
                    "%lld x %lld and %lld x %lld",
                    op, (long long)r, (long long)c, (long long)(r / 4 * 4), (long long)(c / 4 * 4),
                    (long long)(wn__ceil_div(r, 4) * 4), (long long)(wn__ceil_div(c, 4) * 4));
}

wn_status wn__check_mask24(const void *args) {
    const wn__mask24 *p = args;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"mask", &p->mask, 2, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("mask24", o, 2));
    if (p->method < WN_MASK24_ROW || p->method > WN_MASK24_GREEDY)
        return wn__fail(WN_INVALID, "mask24: there is no method %d", (int)p->method);
    if (p->method != WN_MASK24_ROW) WN_TRY(wn__check_tiles24("mask24", &p->w));
    WN_TRY(wn__check_same("mask24", "row", o + 0, 0, o + 1, 0));
    return wn__check_size("mask24", o + 1, 1, wn__ceil_div(p->w.shape[1], 4),
                          "ceil(c/4) with c of w");
}

wn_status wn__check_flips24(const void *args) {
    const wn__flips24 *p = args;
    const wn__operand o[] = {
        {"a", &p->a, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"b", &p->b, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"count", &p->count, 1, WN_DTYPE_I64, WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("flips24", o, 3));
    WN_TRY(wn__check_shapes("flips24", o + 0, o + 1));
    return wn__check_size("flips24", o + 2, 0, 1, "one count");
}

wn_status wn__check_decay24(const void *args) {
    const wn__decay24 *p = args;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"mask", &p->mask, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"g", &p->g, 2, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("decay24", o, 3));
    WN_TRY(wn__check_shapes("decay24", o + 0, o + 2));
    WN_TRY(wn__check_same("decay24", "row", o + 0, 0, o + 1, 0));
    return wn__check_size("decay24", o + 1, 1, wn__ceil_div(p->w.shape[1], 4),
                          "ceil(c/4) with c of w");
}
