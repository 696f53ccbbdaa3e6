// SPDX-License-Identifier: MIT
// The contract checks of pack24 and unpack24.
#include "kernels/pack24.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

// values and index come in pairs, one pair at least.
static wn_status check_presence(const wn__pack24 *p) {
    bool values = wn__given(&p->values), values_t = wn__given(&p->values_t);
    if (values != wn__given(&p->index))
        return wn__fail(WN_INVALID, "pack24: values and index must both be given or both absent");
    if (values_t != wn__given(&p->index_t))
        return wn__fail(WN_INVALID,
                        "pack24: values_t and index_t must both be given or both absent");
    if (!values && !values_t) return wn__fail(WN_INVALID, "pack24: no output is given");
    return WN_OK;
}

// The packed form of a matrix of rows x columns: values is o[0], index o[1].
static wn_status check_packed(const char *op, const wn__operand *o, int64_t rows, int64_t columns) {
    int64_t groups = wn__ceil_div(columns, 4);
    WN_TRY(wn__check_size(op, o, 0, rows, "the packed rows"));
    WN_TRY(wn__check_size(op, o, 1, 2 * groups, "two for each group of 4"));
    WN_TRY(wn__check_size(op, o + 1, 0, rows, "the packed rows"));
    return wn__check_size(op, o + 1, 1, wn__ceil_div(groups, 2), "half a byte for each group of 4");
}

wn_status wn__check_pack24(const void *args) {
    const wn__pack24 *p = args;
    const unsigned out = WN__OPTIONAL | WN__PACKED | WN__WRITTEN;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"mask", &p->mask, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, out, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, out, 0},
        {"values_t", &p->values_t, 2, WN_DTYPE_NONE, out, 0},
        {"index_t", &p->index_t, 2, WN_DTYPE_U8, out, 0},
    };
    WN_TRY(check_presence(p));
    WN_TRY(wn__check_operands("pack24", o, 6));
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    WN_TRY(wn__check_same("pack24", "row", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_size("pack24", o + 1, 1, wn__ceil_div(c, 4), "ceil(c/4) with c of w"));
    WN_TRY(check_packed("pack24", o + 2, r, c));
    return check_packed("pack24", o + 4, c, r);
}

wn_status wn__check_unpack24(const void *args) {
    const wn__unpack24 *p = args;
    const wn__operand o[] = {
        {"values", &p->values, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("unpack24", o, 3));
    return check_packed("unpack24", o, p->w.shape[0], p->w.shape[1]);
}
