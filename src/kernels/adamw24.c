// SPDX-License-Identifier: MIT
// The contract check of adamw24.
#include "kernels/adamw24.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

static wn_status check_packed(const wn__operand *o, int64_t rows, int64_t columns) {
    int64_t groups = wn__ceil_div(columns, 4);
    WN_TRY(wn__check_size("adamw24", o, 0, rows, "the packed rows"));
    WN_TRY(wn__check_size("adamw24", o, 1, 2 * groups, "two for each group of 4"));
    WN_TRY(wn__check_size("adamw24", o + 1, 0, rows, "the packed rows"));
    return wn__check_size("adamw24", o + 1, 1, wn__ceil_div(groups, 2),
                          "half a byte for each group of 4");
}

wn_status wn__check_adamw24(const void *args) {
    const wn__adamw24 *p = args;
    const wn__adamw *u = &p->update;
    const unsigned changed = WN__PACKED | WN__WRITTEN, also = changed | WN__OPTIONAL;
    const wn__operand o[] = {
        {"w", &u->w, 2, WN_DTYPE_NONE, changed, 0},
        {"m", &u->m, 2, WN_DTYPE_NONE, changed, 0},
        {"v", &u->v, 2, WN_DTYPE_NONE, changed, 0},
        {"g", &u->g, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"mask", &p->mask, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, changed, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, changed, 0},
        {"values_t", &p->values_t, 2, WN_DTYPE_NONE, also, 0},
        {"index_t", &p->index_t, 2, WN_DTYPE_U8, also, 0},
    };
    if (wn__given(&p->values_t) != wn__given(&p->index_t))
        return wn__fail(WN_INVALID,
                        "adamw24: values_t and index_t must both be given or both absent; there is "
                        "no tensor for one of them");
    WN_TRY(wn__check_operands("adamw24", o, 9));
    int64_t r = u->w.shape[0], c = u->w.shape[1];
    for (int i = 1; i < 4; i++)
        WN_TRY(wn__check_shapes("adamw24", o + i, o));
    WN_TRY(wn__check_same("adamw24", "row", o, 0, o + 4, 0));
    WN_TRY(wn__check_size("adamw24", o + 4, 1, wn__ceil_div(c, 4), "ceil(c/4) with c of w"));
    WN_TRY(check_packed(o + 5, r, c));
    if (wn__given(&p->values_t)) WN_TRY(check_packed(o + 7, c, r));
    return wn__adamw_check_scalars("adamw24", u);
}
