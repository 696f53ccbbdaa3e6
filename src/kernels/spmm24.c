// SPDX-License-Identifier: MIT
// The contract check of spmm24. The index itself is trusted.
#include "kernels/spmm24.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

wn_status wn__check_spmm24(const void *args) {
    const wn__spmm24 *p = args;
    wn_dtype sums = wn__sums_dtype(&p->x, &p->y);
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"bias", &p->bias, 1, sums, WN__OPTIONAL | WN__PACKED, 0},
        {"y", &p->y, 2, sums, WN__UNIT | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("spmm24", o, 5));
    int64_t groups = wn__ceil_div(p->x.shape[1], 4);
    WN_TRY(wn__check_size("spmm24", o + 1, 1, 2 * groups, "2 ceil(k/4) with k of x"));
    WN_TRY(wn__check_size("spmm24", o + 2, 1, wn__ceil_div(groups, 2), "ceil(ceil(k/4)/2)"));
    WN_TRY(wn__check_same("spmm24", "row", o + 1, 0, o + 2, 0));
    WN_TRY(wn__check_same("spmm24", "row", o + 0, 0, o + 4, 0));
    WN_TRY(wn__check_same("spmm24", "output", o + 1, 0, o + 4, 1));
    return wn__check_same("spmm24", "output", o + 3, 0, o + 4, 1);
}
