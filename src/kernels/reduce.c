// SPDX-License-Identifier: MIT
// The contract checks of sum, sumsq, colsum and nonfinite.
#include "kernels/reduce.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

static wn_status check_reduce(const char *op, const wn__reduce *p, wn_dtype out) {
    const wn__operand o[] = {
        {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"out", &p->out, 1, out, WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands(op, o, 2));
    return wn__check_size(op, o + 1, 0, 1, "one result");
}

wn_status wn__check_sum(const void *args) {
    return check_reduce("sum", args, WN_DTYPE_F64);
}

wn_status wn__check_sumsq(const void *args) {
    return check_reduce("sumsq", args, WN_DTYPE_F64);
}

wn_status wn__check_nonfinite(const void *args) {
    return check_reduce("nonfinite", args, WN_DTYPE_I64);
}

wn_status wn__check_colsum(const void *args) {
    const wn__colsum *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"out", &p->out, 1, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("colsum", o, 2));
    return wn__check_same("colsum", "column", o + 0, 1, o + 1, 0);
}
