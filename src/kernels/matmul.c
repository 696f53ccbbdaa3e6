// SPDX-License-Identifier: MIT
// The contract check of matmul.
#include "kernels/matmul.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

// Kernels read rows or columns of a and b, never anything else.
static wn_status check_unit_stride(const wn__operand *a) {
    if (a->t->stride[0] == 1 || a->t->stride[1] == 1) return WN_OK;
    return wn__fail(WN_INVALID, "matmul: %s has strides %lld and %lld; one of them must be 1",
                    a->name, (long long)a->t->stride[0], (long long)a->t->stride[1]);
}

wn_status wn__check_matmul(const void *args) {
    const wn__matmul *p = args;
    wn_dtype sums = wn__sums_dtype(&p->a, &p->c);
    const wn__operand o[] = {
        {"a", &p->a, 2, WN_DTYPE_NONE, 0, 0},
        {"b", &p->b, 2, WN_DTYPE_NONE, 0, 0},
        {"bias", &p->bias, 1, sums, WN__OPTIONAL | WN__PACKED, 0},
        {"c", &p->c, 2, sums, WN__UNIT | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("matmul", o, 4));
    WN_TRY(check_unit_stride(o + 0));
    WN_TRY(check_unit_stride(o + 1));
    WN_TRY(wn__check_same("matmul", "inner", o + 0, 1, o + 1, 0));
    WN_TRY(wn__check_same("matmul", "row", o + 0, 0, o + 3, 0));
    WN_TRY(wn__check_same("matmul", "column", o + 1, 1, o + 3, 1));
    return wn__check_same("matmul", "column", o + 2, 0, o + 3, 1);
}
