// SPDX-License-Identifier: MIT
// The contract checks of rmsnorm and rmsnorm_grad.
#include "kernels/rmsnorm.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

wn_status wn__check_rmsnorm(const void *args) {
    const wn__rmsnorm *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"weight", &p->weight, 1, WN_DTYPE_NONE, WN__PACKED, 0},
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, WN__MAY_BE(0)},
        {"rstd", &p->rstd, 1, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("rmsnorm", o, 4));
    WN_TRY(wn__check_shapes("rmsnorm", o + 0, o + 2));
    WN_TRY(wn__check_same("rmsnorm", "column", o + 0, 1, o + 1, 0));
    return wn__check_same("rmsnorm", "row", o + 0, 0, o + 3, 0);
}

wn_status wn__check_rmsnorm_grad(const void *args) {
    const wn__rmsnorm_grad *p = args;
    const unsigned may_be = p->accumulate ? 0 : WN__MAY_BE(3);
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"weight", &p->weight, 1, WN_DTYPE_NONE, WN__PACKED, 0},
        {"rstd", &p->rstd, 1, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dy", &p->dy, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dx", &p->dx, 2, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, may_be},
        {"dweight", &p->dweight, 1, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("rmsnorm_grad", o, 6));
    WN_TRY(wn__check_shapes("rmsnorm_grad", o + 0, o + 3));
    WN_TRY(wn__check_shapes("rmsnorm_grad", o + 0, o + 4));
    WN_TRY(wn__check_same("rmsnorm_grad", "column", o + 0, 1, o + 1, 0));
    WN_TRY(wn__check_same("rmsnorm_grad", "row", o + 0, 0, o + 2, 0));
    return wn__check_same("rmsnorm_grad", "column", o + 0, 1, o + 5, 0);
}
