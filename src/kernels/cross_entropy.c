// SPDX-License-Identifier: MIT
// The contract check of cross_entropy. Target values are checked where they are read.
#include "kernels/cross_entropy.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

#include <math.h>

wn_status wn__check_cross_entropy(const void *args) {
    const wn__cross_entropy *p = args;
    const wn__operand o[] = {
        {"logits", &p->logits, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"target", &p->target, 1, WN_DTYPE_I32, WN__PACKED, 0},
        {"loss", &p->loss, 1, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"dlogits", &p->dlogits, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED | WN__WRITTEN,
         WN__MAY_BE(0)},
        {"teacher", &p->teacher, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED, 0},
    };
    WN_TRY(wn__check_operands("cross_entropy", o, 5));
    WN_TRY(wn__check_same("cross_entropy", "row", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_same("cross_entropy", "row", o + 0, 0, o + 2, 0));
    WN_TRY(wn__check_shapes("cross_entropy", o + 0, o + 3));
    WN_TRY(wn__check_shapes("cross_entropy", o + 0, o + 4));
    if (!wn__given(&p->teacher)) return WN_OK;
    if (p->share >= 0 && p->share <= 1 && p->temperature > 0 && isfinite(p->temperature))
        return WN_OK;
    return wn__fail(WN_INVALID,
                    "cross_entropy: a share of %g for a teacher at a temperature of %g: 0 to 1, "
                    "and above 0",
                    p->share, p->temperature);
}
