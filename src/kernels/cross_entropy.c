// SPDX-License-Identifier: MIT
// The contract check of cross_entropy. Target values are checked where they are read.
#include "kernels/cross_entropy.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

wn_status wn__check_cross_entropy(const void *args) {
    const wn__cross_entropy *p = args;
    const wn__operand o[] = {
        {"logits", &p->logits, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"target", &p->target, 1, WN_DTYPE_I32, WN__PACKED, 0},
        {"loss", &p->loss, 1, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"dlogits", &p->dlogits, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED | WN__WRITTEN,
         WN__MAY_BE(0)},
    };
    WN_TRY(wn__check_operands("cross_entropy", o, 4));
    WN_TRY(wn__check_same("cross_entropy", "row", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_same("cross_entropy", "row", o + 0, 0, o + 2, 0));
    return wn__check_shapes("cross_entropy", o + 0, o + 3);
}
