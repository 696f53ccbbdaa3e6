// SPDX-License-Identifier: MIT
// The contract checks of relu, relu_grad, column_zeros, densest and tokens24, and the look at an
// order of tokens that every variant of tokens24 takes.
#include "kernels/act24.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

#include <string.h>

wn_status wn__check_relu(const void *args) {
    const wn__relu *p = args;
    const wn__operand o[] = {
        {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"y", &p->y, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, WN__MAY_BE(0)},
    };
    WN_TRY(wn__check_operands("relu", o, 2));
    return wn__check_shapes("relu", o + 0, o + 1);
}

wn_status wn__check_relu_grad(const void *args) {
    const wn__relu_grad *p = args;
    const wn__operand o[] = {
        {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dy", &p->dy, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dx", &p->dx, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN,
         WN__MAY_BE(0) | WN__MAY_BE(1)},
    };
    WN_TRY(wn__check_operands("relu_grad", o, 3));
    WN_TRY(wn__check_shapes("relu_grad", o + 0, o + 1));
    return wn__check_shapes("relu_grad", o + 0, o + 2);
}

// Rows are counted and named in 32 bits.
static wn_status check_rows(const char *op, const wn_tensor *x) {
    if (x->shape[0] <= INT32_MAX) return WN_OK;
    return wn__fail(WN_INVALID, "%s: x has %lld rows, at most %d", op, (long long)x->shape[0],
                    INT32_MAX);
}

wn_status wn__check_column_zeros(const void *args) {
    const wn__column_zeros *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"zeros", &p->zeros, 1, WN_DTYPE_I32, WN__PACKED | WN__WRITTEN, 0},
        {"total", &p->total, 1, WN_DTYPE_I64, WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("column_zeros", o, 3));
    WN_TRY(check_rows("column_zeros", &p->x));
    WN_TRY(wn__check_same("column_zeros", "column", o + 0, 1, o + 1, 0));
    return wn__check_size("column_zeros", o + 2, 0, 1, "one total");
}

wn_status wn__check_densest(const void *args) {
    const wn__densest *p = args;
    const wn__operand o[] = {
        {"zeros", &p->zeros, 1, WN_DTYPE_I32, WN__PACKED, 0},
        {"dense", &p->dense, 1, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("densest", o, 2));
    WN_TRY(wn__check_same("densest", "column", o + 0, 0, o + 1, 0));
    if (p->count >= 0 && p->count <= p->zeros.shape[0]) return WN_OK;
    return wn__fail(WN_INVALID, "densest: count %lld must be 0 to %lld, the columns",
                    (long long)p->count, (long long)p->zeros.shape[0]);
}

wn_status wn__check_tokens24(const void *args) {
    const wn__tokens24 *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, WN__MAY_BE(0)},
        {"order", &p->order, 1, WN_DTYPE_I32, WN__PACKED | WN__OPTIONAL, 0},
        {"dense", &p->dense, 1, WN_DTYPE_U8, WN__PACKED | WN__OPTIONAL, 0},
    };
    WN_TRY(wn__check_operands("tokens24", o, 4));
    WN_TRY(check_rows("tokens24", &p->x));
    WN_TRY(wn__check_shapes("tokens24", o + 0, o + 1));
    if (wn__given(&p->order)) WN_TRY(wn__check_same("tokens24", "row", o + 0, 0, o + 2, 0));
    if (wn__given(&p->dense)) WN_TRY(wn__check_same("tokens24", "column", o + 0, 1, o + 3, 0));
    return WN_OK;
}

wn_status wn__tokens24_check_order(const wn__tokens24 *p, uint8_t *seen) {
    if (!wn__given(&p->order)) return WN_OK;
    const int32_t *order = p->order.data;
    int64_t n = p->x.shape[0];
    if (n > 0) memset(seen, 0, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        if (order[i] < 0 || order[i] >= n)
            return wn__fail(WN_INVALID, "tokens24: order[%lld] is %d, there are %lld rows",
                            (long long)i, (int)order[i], (long long)n);
        if (seen[order[i]])
            return wn__fail(WN_INVALID, "tokens24: order[%lld] is row %d once more", (long long)i,
                            (int)order[i]);
        seen[order[i]] = 1;
    }
    return WN_OK;
}
