// SPDX-License-Identifier: MIT
// The contract check of spmm24_blocks_columns. The places in its blocks are trusted.
#include "kernels/spmm24_blocks_columns.h"
#include "base/fail.h"
#include "kernels/block24.h"
#include "kernels/declare.h"

wn_status wn__check_spmm24_blocks_columns(const void *args) {
    static const char op[] = "spmm24_blocks_columns";
    const wn__spmm24_blocks_columns *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"blocks", &p->blocks, 3, WN_DTYPE_U8, WN__PACKED, 0},
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands(op, o, 3));
    if (p->values != WN_DTYPE_BF16 && p->values != WN_DTYPE_F16)
        return wn__fail(WN_INVALID, "%s: values are %s, blocks hold BF16 or F16", op,
                        wn_dtype_name(p->values));
    WN_TRY(wn__check_same(op, "row", o + 0, 0, o + 2, 0));
    for (int i = 0; i < 3; i++)
        WN_TRY(wn__check_aligned16(op, o + i));
    return wn__block24_check(op, o + 1, p->x.shape[1], p->y.shape[1]);
}
