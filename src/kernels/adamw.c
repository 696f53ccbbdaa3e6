// SPDX-License-Identifier: MIT
// The contract check of adamw.
#include "kernels/adamw.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

static bool inside(double x, double low, double below) {
    return x >= low && x < below;
}

wn_status wn__adamw_check_scalars(const char *op, const wn__adamw *p) {
    if (p->step < 1)
        return wn__fail(WN_INVALID, "%s: step %lld; steps count from 1", op, (long long)p->step);
    if (!inside(p->beta1, 0, 1) || !inside(p->beta2, 0, 1))
        return wn__fail(WN_INVALID, "%s: beta1 = %g and beta2 = %g must be in [0, 1)", op, p->beta1,
                        p->beta2);
    return WN_OK;
}

wn_status wn__check_adamw(const void *args) {
    const wn__adamw *p = args;
    const wn__operand o[] = {
        {"w", &p->w, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"m", &p->m, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"v", &p->v, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"g", &p->g, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
    };
    WN_TRY(wn__check_operands("adamw", o, 4));
    for (int i = 1; i < 4; i++)
        if (wn__tensor_count(o[i].t) != wn__tensor_count(&p->w))
            return wn__fail(WN_INVALID, "adamw: w has %lld elements, %s has %lld",
                            (long long)wn__tensor_count(&p->w), o[i].name,
                            (long long)wn__tensor_count(o[i].t));
    return wn__adamw_check_scalars("adamw", p);
}
