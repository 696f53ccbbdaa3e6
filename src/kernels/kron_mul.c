// SPDX-License-Identifier: MIT
// The contract checks of kron_mul, kron_grad and kron_pair_grad.
#include "kernels/kron_mul.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_pack.h"
#include "kernels/kron_pair_grad.h"

#include <stdio.h>

// A factor has no empty side, and neither rows nor columns are more than 2^31 - 1.
static wn_status check_factor(const char *op, const char *name, const wn_tensor *w) {
    int64_t outer, rows, columns;
    for (int i = 0; i < 4; i++)
        if (w->shape[i] < 1)
            return wn__fail(WN_INVALID, "%s: %s has a size of %lld, at least 1 expected", op, name,
                            (long long)w->shape[i]);
    if (__builtin_mul_overflow(w->shape[0], w->shape[3], &outer) ||
        __builtin_mul_overflow(outer, w->shape[1], &rows) ||
        __builtin_mul_overflow(outer, w->shape[2], &columns) || rows > INT32_MAX ||
        columns > INT32_MAX)
        return wn__fail(WN_INVALID, "%s: %s has more than 2^31 - 1 rows or columns", op, name);
    return WN_OK;
}

static int64_t rows_of(const wn_tensor *w) {
    return w->shape[0] * w->shape[1] * w->shape[3];
}

static int64_t columns_of(const wn_tensor *w) {
    return w->shape[0] * w->shape[2] * w->shape[3];
}

static wn_status check_layout(const char *op, const char *name, const wn_tensor *t) {
    for (int i = 0; i < 2; i++)
        if (t->stride[i] == 1 || t->shape[i] < 2) return WN_OK;
    return wn__fail(WN_INVALID, "%s: %s has strides [%lld, %lld], unit stride along one expected",
                    op, name, (long long)t->stride[0], (long long)t->stride[1]);
}

wn_status wn__check_kron_chain(const char *op, const wn_tensor *w, int count) {
    char name[16];
    for (int t = 0; t < count; t++) {
        (void)snprintf(name, sizeof name, "w[%d]", t);
        WN_TRY(check_factor(op, name, &w[t]));
    }
    for (int t = 1; t < count; t++)
        if (columns_of(&w[t]) != rows_of(&w[t - 1]))
            return wn__fail(WN_INVALID, "%s: w[%d] takes %lld numbers, w[%d] gives %lld", op, t,
                            (long long)columns_of(&w[t]), t - 1, (long long)rows_of(&w[t - 1]));
    return WN_OK;
}

static wn_status check_packed(const char *op, const wn__kron_mul *p, const wn__operand *packed) {
    if (!wn__given(&p->packed)) return WN_OK;
    if (p->count < 2) return wn__fail(WN_INVALID, "%s: one factor alone is not packed", op);
    return wn__check_size(op, packed, 0, wn__kron_packed_bytes(p->w, p->count),
                          "the packed factors");
}

wn_status wn__check_kron_mul(const void *args) {
    const wn__kron_mul *p = args;
    const char *op = "kron_mul";
    if (p->count < 1 || p->count > WN__KRON_FACTORS)
        return wn__fail(WN_INVALID, "%s: %d factors, 1 to %d expected", op, p->count,
                        WN__KRON_FACTORS);
    wn__operand o[WN__KRON_FACTORS + 3] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, 0, 0},
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__WRITTEN, 0},
        {"packed", &p->packed, 1, WN_DTYPE_U8, WN__OPTIONAL | WN__UNIT, 0},
    };
    char name[WN__KRON_FACTORS][16];
    for (int t = 0; t < p->count; t++) {
        (void)snprintf(name[t], sizeof name[t], "w[%d]", t);
        o[t + 3] = (wn__operand){name[t], &p->w[t], 4, WN_DTYPE_NONE, 0, 0};
    }
    WN_TRY(wn__check_operands(op, o, p->count + 3));
    WN_TRY(wn__check_kron_chain(op, p->w, p->count));
    WN_TRY(check_packed(op, p, o + 2));
    WN_TRY(wn__check_size(op, o, 1, columns_of(&p->w[0]), "the columns of w[0]"));
    WN_TRY(
        wn__check_size(op, o + 1, 1, rows_of(&p->w[p->count - 1]), "the rows of the last factor"));
    WN_TRY(wn__check_same(op, "batch", o, 0, o + 1, 0));
    WN_TRY(check_layout(op, "x", &p->x));
    return check_layout(op, "y", &p->y);
}

int64_t wn__kron_mul_width(const wn__kron_mul *p) {
    int64_t most = p->x.shape[1];
    for (int t = 0; t < p->count; t++)
        if (rows_of(&p->w[t]) > most) most = rows_of(&p->w[t]);
    return most;
}

wn_status wn__check_kron_grad(const void *args) {
    const wn__kron_grad *p = args;
    const char *op = "kron_grad";
    const bool mixed = p->dw.dtype == WN_DTYPE_F32 && wn_dtype_size(p->x.dtype) == 2;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, 0, 0},
        {"dy", &p->dy, 2, WN_DTYPE_NONE, 0, 0},
        {"dw", &p->dw, 4, mixed ? WN_DTYPE_F32 : WN_DTYPE_NONE, WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands(op, o, 3));
    WN_TRY(check_factor(op, "dw", &p->dw));
    WN_TRY(wn__check_size(op, o, 1, columns_of(&p->dw), "the columns of the factor"));
    WN_TRY(wn__check_size(op, o + 1, 1, rows_of(&p->dw), "the rows of the factor"));
    WN_TRY(wn__check_same(op, "batch", o, 0, o + 1, 0));
    WN_TRY(check_layout(op, "x", &p->x));
    return check_layout(op, "dy", &p->dy);
}

wn_status wn__check_kron_pair_grad(const void *args) {
    const wn__kron_pair_grad *p = args;
    const char *op = "kron_pair_grad";
    const bool mixed = p->dw0.dtype == WN_DTYPE_F32 && wn_dtype_size(p->x.dtype) == 2;
    const wn_dtype sums = mixed ? WN_DTYPE_F32 : WN_DTYPE_NONE;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, 0, 0},      {"dy", &p->dy, 2, WN_DTYPE_NONE, 0, 0},
        {"w0", &p->w0, 4, WN_DTYPE_NONE, 0, 0},    {"w1", &p->w1, 4, WN_DTYPE_NONE, 0, 0},
        {"dw0", &p->dw0, 4, sums, WN__WRITTEN, 0}, {"dw1", &p->dw1, 4, sums, WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands(op, o, 6));
    for (int i = 2; i < 6; i++)
        WN_TRY(check_factor(op, o[i].name, o[i].t));
    for (int i = 0; i < 4; i++) {
        WN_TRY(wn__check_same(op, "factor", o + 2, i, o + 4, i));
        WN_TRY(wn__check_same(op, "factor", o + 3, i, o + 5, i));
    }
    if (columns_of(&p->w1) != rows_of(&p->w0))
        return wn__fail(WN_INVALID, "%s: w1 takes %lld numbers, w0 gives %lld", op,
                        (long long)columns_of(&p->w1), (long long)rows_of(&p->w0));
    WN_TRY(wn__check_size(op, o, 1, columns_of(&p->w0), "the columns of w0"));
    WN_TRY(wn__check_size(op, o + 1, 1, rows_of(&p->w1), "the rows of w1"));
    WN_TRY(wn__check_same(op, "batch", o, 0, o + 1, 0));
    WN_TRY(check_layout(op, "x", &p->x));
    return check_layout(op, "dy", &p->dy);
}
