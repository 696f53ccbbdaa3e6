// SPDX-License-Identifier: MIT
// The contract check of sddmm24. The index itself is trusted.
#include "kernels/sddmm24.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

wn_status wn__check_sddmm24(const void *args) {
    const wn__sddmm24 *p = args;
    const wn__operand o[] = {
        {"dy", &p->dy, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"v", &p->v, 2, wn__sums_dtype(&p->x, &p->v), WN__PACKED | WN__WRITTEN, 0},
    };
    const char *op = "sddmm24";
    WN_TRY(wn__check_operands(op, o, 4));
    int64_t groups = wn__ceil_div(p->x.shape[1], 4);
    WN_TRY(wn__check_same(op, "token", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_same(op, "row", o + 0, 1, o + 3, 0));
    WN_TRY(wn__check_size(op, o + 3, 1, 2 * groups, "2 ceil(k/4) with k columns of x"));
    WN_TRY(wn__check_size(op, o + 2, 1, wn__ceil_div(groups, 2), "ceil(ceil(k/4)/2)"));
    return wn__check_same(op, "row", o + 2, 0, o + 3, 0);
}
