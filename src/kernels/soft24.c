// SPDX-License-Identifier: MIT
// The contract checks of soft24, soft24_dots, mvue24 and apply24.
#include "kernels/soft24.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

// A mask has a byte for each group, a scale is one number; both may be absent.
static wn_status check_mask_and_scale(const char *op, const wn__operand *w, const wn__operand *mask,
                                      const wn__operand *scale) {
    if (wn__given(mask->t)) {
        WN_TRY(wn__check_same(op, "row", w, 0, mask, 0));
        WN_TRY(wn__check_size(op, mask, 1, wn__ceil_div(w->t->shape[1], 4),
                              "ceil(c/4) with c columns"));
    }
    return wn__check_size(op, scale, 0, 1, "one scale");
}

wn_status wn__check_soft24(const void *args) {
    const wn__soft24 *p = args;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"out", &p->out, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, WN__MAY_BE(0)},
        {"mask", &p->mask, 2, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN | WN__OPTIONAL, 0},
        {"scale", &p->scale, 1, WN_DTYPE_F64, WN__OPTIONAL, 0},
    };
    WN_TRY(wn__check_operands("soft24", o, 4));
    WN_TRY(wn__check_shapes("soft24", o + 0, o + 1));
    return check_mask_and_scale("soft24", o + 0, o + 2, o + 3);
}

wn_status wn__check_soft24_dots(const void *args) {
    const wn__soft24_dots *p = args;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"out", &p->out, 1, WN_DTYPE_F64, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("soft24_dots", o, 2));
    return wn__check_size("soft24_dots", o + 1, 0, 3, "<w,S>, <S,S> and <w,w>");
}

// Draws are numbered in 32 bits, so that counter and number share the 64 of a Philox index.
static wn_status check_draws(const wn__mvue24 *p) {
    int64_t r = p->x.shape[0], c = p->x.shape[1];
    int64_t groups = p->axis == 1 ? r * wn__ceil_div(c, p->group) : wn__ceil_div(r, p->group) * c;
    int64_t words = p->group == 4 && p->method == WN_MVUE24_APPROX ? 2 : 1;
    if (p->counter > UINT32_MAX)
        return wn__fail(WN_INVALID, "mvue24: counter %llu must be below 2^32",
                        (unsigned long long)p->counter);
    if (groups * words > INT64_C(1) << 34)
        return wn__fail(WN_INVALID, "mvue24: %lld groups are more than 2^34 / %lld",
                        (long long)groups, (long long)words);
    return WN_OK;
}

wn_status wn__check_mvue24(const void *args) {
    const wn__mvue24 *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, WN__MAY_BE(0)},
    };
    WN_TRY(wn__check_operands("mvue24", o, 2));
    WN_TRY(wn__check_shapes("mvue24", o + 0, o + 1));
    if (p->axis != 0 && p->axis != 1)
        return wn__fail(WN_INVALID, "mvue24: axis %d must be 0 (rows) or 1 (columns)", p->axis);
    if (p->group != 4 && p->group != 2)
        return wn__fail(WN_INVALID, "mvue24: groups of %d; must be 4 or 2", p->group);
    if (p->method < WN_MVUE24_EXACT || p->method > WN_MVUE24_APPROX)
        return wn__fail(WN_INVALID, "mvue24: there is no method %d", (int)p->method);
    return check_draws(p);
}

wn_status wn__check_apply24(const void *args) {
    const wn__apply24 *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, WN__MAY_BE(0)},
        {"mask", &p->mask, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"scale", &p->scale, 1, WN_DTYPE_F64, WN__OPTIONAL, 0},
    };
    WN_TRY(wn__check_operands("apply24", o, 4));
    WN_TRY(wn__check_shapes("apply24", o + 0, o + 1));
    return check_mask_and_scale("apply24", o + 0, o + 2, o + 3);
}
