// SPDX-License-Identifier: MIT
// The contract check of mvue24_blocks.
#include "kernels/mvue24_blocks.h"
#include "base/fail.h"
#include "kernels/block24.h"
#include "kernels/declare.h"

wn_status wn__check_mvue24_blocks(const void *args) {
    static const char op[] = "mvue24_blocks";
    const wn__mvue24_blocks *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"blocks", &p->blocks, 3, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands(op, o, 2));
    if (p->x.dtype != WN_DTYPE_BF16 && p->x.dtype != WN_DTYPE_F16)
        return wn__fail(WN_INVALID, "%s: x is %s, blocks hold BF16 or F16", op,
                        wn_dtype_name(p->x.dtype));
    if (p->method != WN_MVUE24_EXACT && p->method != WN_MVUE24_APPROX)
        return wn__fail(WN_INVALID, "%s: there is no method %d", op, (int)p->method);
    if (p->counter >> 32)
        return wn__fail(WN_INVALID, "%s: counter %llu must be below 2^32", op,
                        (unsigned long long)p->counter);
    return wn__block24_check(op, o + 1, p->x.shape[1], p->x.shape[0]);
}
