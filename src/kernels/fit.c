// SPDX-License-Identifier: MIT
// The contract checks of squared_error, gradient_norms and fit_update.
#include "kernels/fit.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

static wn_dtype sums_of(const wn_tensor *t) {
    return t->dtype == WN_DTYPE_F64 ? WN_DTYPE_F64 : WN_DTYPE_F32;
}

wn_status wn__check_squared_error(const void *args) {
    const wn__squared_error *p = args;
    const wn_dtype s = sums_of(&p->y);
    const wn__operand o[] = {
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"target", &p->target, 2, s, WN__UNIT, 0},
        {"bias", &p->bias, 1, s, WN__PACKED | WN__OPTIONAL, 0},
        {"gradient", &p->gradient, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN | WN__OPTIONAL,
         WN__MAY_BE(0)},
        {"dbias", &p->dbias, 1, s, WN__PACKED | WN__WRITTEN | WN__OPTIONAL, 0},
        {"sum", &p->sum, 1, WN_DTYPE_F64, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("squared_error", o, 6));
    WN_TRY(wn__check_shapes("squared_error", o + 0, o + 1));
    if (wn__given(&p->bias)) WN_TRY(wn__check_same("squared_error", "column", o + 0, 1, o + 2, 0));
    if (wn__given(&p->gradient)) WN_TRY(wn__check_shapes("squared_error", o + 0, o + 3));
    if (wn__given(&p->dbias)) WN_TRY(wn__check_same("squared_error", "column", o + 0, 1, o + 4, 0));
    return wn__check_size("squared_error", o + 5, 0, 1, "one sum");
}

static wn_status check_ends(const wn__gradient_norms *p) {
    int64_t at = 0, count = wn__tensor_count(&p->g);
    if (p->parts < 1 || p->parts > WN__FIT_PARTS)
        return wn__fail(WN_INVALID, "gradient_norms: %d parts, 1 to %d expected", p->parts,
                        (int)WN__FIT_PARTS);
    for (int i = 0; i < p->parts; i++) {
        if (p->end[i] < at || p->end[i] > count)
            return wn__fail(WN_INVALID, "gradient_norms: part %d ends at %lld, not in %lld to %lld",
                            i, (long long)p->end[i], (long long)at, (long long)count);
        at = p->end[i];
    }
    if (at == count) return WN_OK;
    return wn__fail(WN_INVALID, "gradient_norms: the parts end at %lld, the numbers at %lld",
                    (long long)at, (long long)count);
}

wn_status wn__check_gradient_norms(const void *args) {
    const wn__gradient_norms *p = args;
    const wn__operand o[] = {
        {"g", &p->g, 1, sums_of(&p->g), WN__PACKED, 0},
        {"sums", &p->sums, 1, WN_DTYPE_F64, WN__PACKED | WN__WRITTEN, 0},
        {"factor", &p->factor, 1, WN_DTYPE_F64, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("gradient_norms", o, 3));
    WN_TRY(check_ends(p));
    WN_TRY(wn__check_size("gradient_norms", o + 1, 0, p->parts + 1, "the parts, and one"));
    return wn__check_size("gradient_norms", o + 2, 0, 1, "one factor");
}

wn_status wn__check_fit_update(const void *args) {
    const wn__fit_update *p = args;
    const wn_dtype s = sums_of(&p->w);
    const bool sgd = p->rule == WN__FIT_SGD;
    const wn__operand o[] = {
        {"w", &p->w, 1, s, WN__PACKED | WN__WRITTEN, 0},
        {"m", &p->m, 1, s, WN__PACKED | WN__WRITTEN, 0},
        {"v", &p->v, 1, s, WN__PACKED | WN__WRITTEN | (sgd ? WN__OPTIONAL : 0), 0},
        {"g", &p->g, 1, s, WN__PACKED, 0},
        {"step", &p->step, 1, WN_DTYPE_F64, WN__PACKED, 0},
        {"factor", &p->factor, 1, WN_DTYPE_F64, WN__PACKED, 0},
        {"rounded", &p->rounded, 1, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN | WN__OPTIONAL, 0},
    };
    WN_TRY(wn__check_operands("fit_update", o, 7));
    for (int i = 1; i < 7; i++)
        if (i != 4 && i != 5 && wn__given(o[i].t))
            WN_TRY(wn__check_same("fit_update", "only", o + 0, 0, o + i, 0));
    WN_TRY(wn__check_size("fit_update", o + 4, 0, 3, "lr and two corrections"));
    WN_TRY(wn__check_size("fit_update", o + 5, 0, 1, "one factor"));
    if (p->rule >= WN__FIT_ADAMW && p->rule <= WN__FIT_SGD) return WN_OK;
    return wn__fail(WN_INVALID, "fit_update: rule %d is not one of three", (int)p->rule);
}
