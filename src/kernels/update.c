// SPDX-License-Identifier: MIT
// The contract checks of axpby, adam_direction, adafactor and adam8bit.
#include "kernels/update.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

static bool inside(double x, double low, double below) {
    return x >= low && x < below;
}

static wn_status check_betas(const char *op, double beta1, double beta2) {
    if (inside(beta1, 0, 1) && inside(beta2, 0, 1)) return WN_OK;
    return wn__fail(WN_INVALID, "%s: beta1 = %g and beta2 = %g must be in [0, 1)", op, beta1,
                    beta2);
}

static wn_status check_step(const char *op, int64_t step) {
    if (step >= 1) return WN_OK;
    return wn__fail(WN_INVALID, "%s: step %lld; steps count from 1", op, (long long)step);
}

// Operands 0 .. count-1 have as many elements as the first, where they are given.
static wn_status check_counts(const char *op, const wn__operand *o, int count) {
    for (int i = 1; i < count; i++)
        if (wn__given(o[i].t) && wn__tensor_count(o[i].t) != wn__tensor_count(o[0].t))
            return wn__fail(WN_INVALID, "%s: %s has %lld elements, %s has %lld", op, o[0].name,
                            (long long)wn__tensor_count(o[0].t), o[i].name,
                            (long long)wn__tensor_count(o[i].t));
    return WN_OK;
}

static wn_status check_single_or_double(const char *op, const wn_tensor *w) {
    if (w->dtype == WN_DTYPE_F32 || w->dtype == WN_DTYPE_F64) return WN_OK;
    return wn__fail(WN_INVALID, "%s: w is %s; F32 and F64 are possible", op,
                    wn_dtype_name(w->dtype));
}

wn_status wn__check_axpby(const void *args) {
    const wn__axpby *p = args;
    const wn__operand o[] = {
        {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"y", &p->y, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("axpby", o, 2));
    return check_counts("axpby", o, 2);
}

wn_status wn__check_adam_direction(const void *args) {
    const wn__adam_direction *p = args;
    const wn__operand o[] = {
        {"m", &p->m, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"v", &p->v, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"g", &p->g, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"d", &p->d, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, WN__MAY_BE(2)},
    };
    WN_TRY(wn__check_operands("adam_direction", o, 4));
    WN_TRY(check_counts("adam_direction", o, 4));
    return check_betas("adam_direction", p->beta1, p->beta2);
}

// Either row and col of a matrix, or v.
static wn_status check_second_moments(const wn__adafactor *p, const wn__operand *o) {
    bool factored = wn__given(&p->row) && wn__given(&p->col);
    if (factored == wn__given(&p->v) || wn__given(&p->row) != wn__given(&p->col))
        return wn__fail(WN_INVALID, "adafactor: give row and col, or v");
    if (!factored) return WN_OK;
    if (p->w.ndim != 2)
        return wn__fail(WN_INVALID, "adafactor: w has %d dimensions; row and col need a matrix",
                        p->w.ndim);
    WN_TRY(wn__check_same("adafactor", "row", o + 0, 0, o + 4, 0));
    return wn__check_same("adafactor", "column", o + 0, 1, o + 5, 0);
}

wn_status wn__check_adafactor(const void *args) {
    const wn__adafactor *p = args;
    const unsigned state = WN__PACKED | WN__WRITTEN | WN__OPTIONAL;
    const wn__operand o[] = {
        {"w", &p->w, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"g", &p->g, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"m", &p->m, WN__ANY_RANK, WN_DTYPE_NONE, state, 0},
        {"v", &p->v, WN__ANY_RANK, WN_DTYPE_NONE, state, 0},
        {"row", &p->row, 1, WN_DTYPE_NONE, state, 0},
        {"col", &p->col, 1, WN_DTYPE_NONE, state, 0},
    };
    WN_TRY(check_single_or_double("adafactor", &p->w));
    WN_TRY(wn__check_operands("adafactor", o, 6));
    WN_TRY(check_counts("adafactor", o, 4));
    WN_TRY(check_second_moments(p, o));
    WN_TRY(check_betas("adafactor", p->beta1, 0));
    if (wn__given(&p->m) != (p->beta1 > 0))
        return wn__fail(WN_INVALID, "adafactor: beta1 = %g %s m", p->beta1,
                        p->beta1 > 0 ? "needs" : "has no");
    if (!(p->clip > 0)) return wn__fail(WN_INVALID, "adafactor: clip = %g; above 0", p->clip);
    return check_step("adafactor", p->step);
}

wn_status wn__check_adam8bit(const void *args) {
    const wn__adam8bit *p = args;
    const wn__operand o[] = {
        {"w", &p->w, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"g", &p->g, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"m", &p->m, WN__ANY_RANK, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN, 0},
        {"v", &p->v, WN__ANY_RANK, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN, 0},
        {"m_scale", &p->m_scale, 1, WN_DTYPE_F32, WN__PACKED | WN__WRITTEN, 0},
        {"v_scale", &p->v_scale, 1, WN_DTYPE_F32, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(check_single_or_double("adam8bit", &p->w));
    WN_TRY(wn__check_operands("adam8bit", o, 6));
    WN_TRY(check_counts("adam8bit", o, 4));
    int64_t blocks = wn__ceil_div(wn__tensor_count(&p->w), WN_BLOCK8);
    WN_TRY(wn__check_size("adam8bit", o + 4, 0, blocks, "blocks of 256 elements of w"));
    WN_TRY(wn__check_size("adam8bit", o + 5, 0, blocks, "blocks of 256 elements of w"));
    WN_TRY(check_betas("adam8bit", p->beta1, p->beta2));
    return check_step("adam8bit", p->step);
}
