// SPDX-License-Identifier: MIT
// The contract check of spmm24_rows. The index itself is trusted.
#include "kernels/spmm24_rows.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

static bool unit(const wn_tensor *t, int dimension) {
    return t->stride[dimension] == 1 || t->shape[dimension] < 2;
}

static wn_status check_layout(const char *name, const wn_tensor *t) {
    if (unit(t, 0) || unit(t, 1)) return WN_OK;
    return wn__fail(WN_INVALID,
                    "spmm24_rows: %s has strides [%lld, %lld], unit stride along one expected",
                    name, (long long)t->stride[0], (long long)t->stride[1]);
}

static wn_status check_order(const wn__spmm24_rows *p) {
    if (!wn__given(&p->order) || unit(&p->b, 1)) return WN_OK;
    return wn__fail(WN_INVALID,
                    "spmm24_rows: an order of the rows of b needs unit stride along its columns, "
                    "not %lld",
                    (long long)p->b.stride[1]);
}

wn_status wn__check_spmm24_rows(const void *args) {
    const wn__spmm24_rows *p = args;
    const wn__operand o[] = {
        {"b", &p->b, 2, WN_DTYPE_NONE, 0, 0},
        {"values", &p->values, 2, wn__sums_dtype(&p->b, &p->values), WN__PACKED, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"order", &p->order, 1, WN_DTYPE_I32, WN__OPTIONAL | WN__PACKED, 0},
        {"extra", &p->extra, 1, WN_DTYPE_I32, WN__OPTIONAL | WN__PACKED, 0},
        {"c", &p->c, 2, wn__sums_dtype(&p->b, &p->c), WN__WRITTEN, 0},
    };
    const char *op = "spmm24_rows";
    WN_TRY(wn__check_operands(op, o, 6));
    int64_t groups = wn__ceil_div(p->b.shape[0], 4);
    int64_t rows = p->c.shape[0] + (wn__given(&p->extra) ? p->extra.shape[0] : 0);
    WN_TRY(wn__check_size(op, o + 1, 0, rows, "the rows of c and the extra ones"));
    WN_TRY(wn__check_size(op, o + 1, 1, 2 * groups, "2 ceil(k/4) with k rows of b"));
    WN_TRY(wn__check_size(op, o + 2, 1, wn__ceil_div(groups, 2), "ceil(ceil(k/4)/2)"));
    WN_TRY(wn__check_same(op, "row", o + 1, 0, o + 2, 0));
    WN_TRY(wn__check_same(op, "inner", o + 3, 0, o + 0, 0));
    WN_TRY(wn__check_same(op, "column", o + 0, 1, o + 5, 1));
    WN_TRY(check_layout("b", &p->b));
    WN_TRY(check_layout("c", &p->c));
    return check_order(p);
}

wn_status wn__order24_refuse(const wn_tensor *order, int64_t k) {
    const int32_t *row = order->data;
    for (int64_t l = 0; wn__given(order) && l < k; l++)
        if (row[l] < 0 || row[l] >= k)
            return wn__fail(WN_INVALID, "order[%lld] is %d, 0 to %lld expected", (long long)l,
                            (int)row[l], (long long)k - 1);
    return WN_OK;
}

wn_status wn__spmm24_rows_refuse(const wn__spmm24_rows *p) {
    const int32_t *extra = p->extra.data;
    int64_t n = p->c.shape[0], last = -1;
    for (int64_t i = 0; wn__given(&p->extra) && i < p->extra.shape[0]; last = extra[i++])
        if (extra[i] <= last || extra[i] >= n)
            return wn__fail(WN_INVALID,
                            "extra[%lld] is %d, more than %lld and less than %lld expected",
                            (long long)i, (int)extra[i], (long long)last, (long long)n);
    return wn__order24_refuse(&p->order, p->b.shape[0]);
}
