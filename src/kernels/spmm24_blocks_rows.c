// SPDX-License-Identifier: MIT
// The contract check of spmm24_blocks_rows. The places in its blocks are trusted.
#include "kernels/spmm24_blocks_rows.h"
#include "base/fail.h"
#include "kernels/block24.h"
#include "kernels/declare.h"

wn_status wn__check_spmm24_blocks_rows(const void *args) {
    static const char op[] = "spmm24_blocks_rows";
    const wn__spmm24_blocks_rows *p = args;
    const wn__operand o[] = {
        {"b", &p->b, 2, WN_DTYPE_NONE, 0, 0},
        {"blocks", &p->blocks, 3, WN_DTYPE_U8, WN__PACKED, 0},
        {"c", &p->c, 2, wn__sums_dtype(&p->b, &p->c), WN__UNIT | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands(op, o, 3));
    if (p->values != WN_DTYPE_BF16 && p->values != WN_DTYPE_F16)
        return wn__fail(WN_INVALID, "%s: values are %s, blocks hold BF16 or F16", op,
                        wn_dtype_name(p->values));
    if (p->b.stride[0] != 1 && p->b.stride[1] != 1)
        return wn__fail(WN_INVALID,
                        "%s: b has strides [%lld, %lld], unit stride along one expected", op,
                        (long long)p->b.stride[0], (long long)p->b.stride[1]);
    WN_TRY(wn__check_same(op, "column", o + 0, 1, o + 2, 1));
    for (int i = 0; i < 3; i++)
        WN_TRY(wn__check_aligned16(op, o + i));
    return wn__block24_check(op, o + 1, p->c.shape[0], p->b.shape[0]);
}
