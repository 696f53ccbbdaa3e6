// SPDX-License-Identifier: MIT
// The contract check of relu24_blocks. The places in W's blocks are trusted.
#include "kernels/relu24_blocks.h"
#include "base/fail.h"
#include "kernels/block24.h"
#include "kernels/declare.h"

wn_status wn__check_relu24_blocks(const void *args) {
    static const char op[] = "relu24_blocks";
    const wn__relu24_blocks *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"blocks", &p->blocks, 3, WN_DTYPE_U8, WN__PACKED, 0},
        {"out", &p->out, 3, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands(op, o, 3));
    if (p->values != WN_DTYPE_BF16 && p->values != WN_DTYPE_F16)
        return wn__fail(WN_INVALID, "%s: values are %s, blocks hold BF16 or F16", op,
                        wn_dtype_name(p->values));
    if (p->n < 0) return wn__fail(WN_INVALID, "%s: n is %lld", op, (long long)p->n);
    WN_TRY(wn__check_aligned16(op, o));
    WN_TRY(wn__block24_check(op, o + 1, p->n, p->x.shape[1]));
    return wn__block24_check(op, o + 2, p->x.shape[0], p->n);
}
