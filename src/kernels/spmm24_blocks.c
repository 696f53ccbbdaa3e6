// SPDX-License-Identifier: MIT
// The contract check of spmm24_blocks. The places in its blocks are trusted.
#include "kernels/spmm24_blocks.h"
#include "base/fail.h"
#include "kernels/block24.h"
#include "kernels/declare.h"

wn_status wn__check_spmm24_blocks(const void *args) {
    static const char op[] = "spmm24_blocks";
    const wn__spmm24_blocks *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"blocks", &p->blocks, 3, WN_DTYPE_U8, WN__PACKED, 0},
        {"bias", &p->bias, 1, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED, 0},
        {"residual", &p->residual, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__UNIT, 0},
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, WN__MAY_BE(3)},
        {"dense", &p->dense, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__UNIT, 0},
    };
    WN_TRY(wn__check_operands(op, o, 6));
    if (p->values != WN_DTYPE_BF16 && p->values != WN_DTYPE_F16)
        return wn__fail(WN_INVALID, "%s: values are %s, blocks hold BF16 or F16", op,
                        wn_dtype_name(p->values));
    if (p->gate && (p->relu2 || !wn__given(&p->residual)))
        return wn__fail(WN_INVALID, "%s: a gate needs a residual and no relu2", op);
    WN_TRY(wn__check_same(op, "row", o + 0, 0, o + 4, 0));
    WN_TRY(wn__check_same(op, "output", o + 2, 0, o + 4, 1));
    if (wn__given(&p->residual)) WN_TRY(wn__check_shapes(op, o + 3, o + 4));
    WN_TRY(wn__check_same(op, "output", o + 5, 0, o + 4, 1));
    WN_TRY(wn__check_same(op, "inner", o + 5, 1, o + 0, 1));
    for (int i = 0; i < 6; i++)
        WN_TRY(wn__check_aligned16(op, o + i));
    return wn__block24_check(op, o + 1, p->y.shape[1], p->x.shape[1]);
}
