// SPDX-License-Identifier: MIT
// The contract checks of add, fill, copy and normal.
#include "kernels/elementwise.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

wn_status wn__check_add(const void *args) {
    const wn__add *p = args;
    const wn__operand o[] = {
        {"a", &p->a, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"b", &p->b, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"c", &p->c, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN,
         WN__MAY_BE(0) | WN__MAY_BE(1)},
    };
    WN_TRY(wn__check_operands("add", o, 3));
    WN_TRY(wn__check_shapes("add", o + 0, o + 1));
    return wn__check_shapes("add", o + 0, o + 2);
}

wn_status wn__check_fill(const void *args) {
    const wn__fill *p = args;
    const wn__operand o = {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0};
    return wn__check_operands("fill", &o, 1);
}

static bool is_float(wn_dtype dtype) {
    return dtype == WN_DTYPE_F64 || dtype == WN_DTYPE_F32 || dtype == WN_DTYPE_BF16 ||
           dtype == WN_DTYPE_F16;
}

static bool is_integer(wn_dtype dtype) {
    return dtype >= WN_DTYPE_I64 && dtype <= WN_DTYPE_U64;
}

wn_status wn__check_copy(const void *args) {
    const wn__copy *p = args;
    const wn__operand o[] = {
        {"src", &p->src, WN__ANY_RANK, p->src.dtype, 0, 0},
        {"dst", &p->dst, WN__ANY_RANK, p->dst.dtype, WN__WRITTEN, 0},
    };
    wn_dtype from = p->src.dtype, to = p->dst.dtype;
    if (!(is_float(from) && is_float(to)) && !(is_integer(from) && from == to))
        return wn__fail(WN_INVALID,
                        "copy: %s to %s; only float types convert, integers keep their type",
                        wn_dtype_name(from), wn_dtype_name(to));
    WN_TRY(wn__check_operands("copy", o, 2));
    return wn__check_shapes("copy", o + 0, o + 1);
}

wn_status wn__check_normal(const void *args) {
    const wn__normal *p = args;
    const wn__operand o = {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0};
    return wn__check_operands("normal", &o, 1);
}
