// SPDX-License-Identifier: MIT
// The contract checks of swiglu, relu2 and their gradients: packed tensors of one shape.
#include "kernels/mlp.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

// Packed tensors of one shape and dtype, inputs first: o is the operands of an elementwise op.
static wn_status check_elementwise(const char *op, const wn__operand *o, int count) {
    WN_TRY(wn__check_operands(op, o, count));
    for (int i = 1; i < count; i++)
        WN_TRY(wn__check_shapes(op, o, o + i));
    return WN_OK;
}

wn_status wn__check_swiglu(const void *args) {
    const wn__swiglu *p = args;
    const wn__operand o[] = {
        {"gate", &p->gate, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"up", &p->up, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"y", &p->y, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN,
         WN__MAY_BE(0) | WN__MAY_BE(1)},
    };
    return check_elementwise("swiglu", o, 3);
}

wn_status wn__check_swiglu_grad(const void *args) {
    const wn__swiglu_grad *p = args;
    const wn__operand o[] = {
        {"gate", &p->gate, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"up", &p->up, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dy", &p->dy, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dgate", &p->dgate, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN,
         WN__MAY_BE(0) | WN__MAY_BE(2)},
        {"dup", &p->dup, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN,
         WN__MAY_BE(1) | WN__MAY_BE(2)},
    };
    return check_elementwise("swiglu_grad", o, 5);
}

wn_status wn__check_relu2(const void *args) {
    const wn__relu2 *p = args;
    const wn__operand o[] = {
        {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"y", &p->y, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, WN__MAY_BE(0)},
    };
    return check_elementwise("relu2", o, 2);
}

wn_status wn__check_relu2_grad(const void *args) {
    const wn__relu2_grad *p = args;
    const wn__operand o[] = {
        {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dy", &p->dy, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dx", &p->dx, WN__ANY_RANK, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN,
         WN__MAY_BE(0) | WN__MAY_BE(1)},
    };
    return check_elementwise("relu2_grad", o, 3);
}
