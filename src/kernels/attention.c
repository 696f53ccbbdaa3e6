// SPDX-License-Identifier: MIT
// The contract checks of attention and attention_grad.
#include "kernels/attention.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

// q [B,T,H,D], k and v [B,S,Hk,D]: the rules of both ops. o holds them in this order.
static wn_status check_heads(const char *op, const wn__operand o[3]) {
    const int64_t *q = o[0].t->shape, *k = o[1].t->shape;
    WN_TRY(wn__check_shapes(op, o + 1, o + 2));
    WN_TRY(wn__check_same(op, "batch", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_same(op, "head", o + 0, 3, o + 1, 3));
    if (q[1] < 1 || k[1] < q[1])
        return wn__fail(WN_INVALID, "%s: T = %lld queries and S = %lld keys; S >= T >= 1", op,
                        (long long)q[1], (long long)k[1]);
    if (k[2] < 1 || q[2] % k[2] != 0)
        return wn__fail(WN_INVALID,
                        "%s: %lld query heads are no multiple of %lld key and value heads", op,
                        (long long)q[2], (long long)k[2]);
    return WN_OK;
}

// lse is [B,H,T] where q is [B,T,H,D].
static wn_status check_lse(const char *op, const wn__operand *q, const wn__operand *lse) {
    WN_TRY(wn__check_same(op, "batch", q, 0, lse, 0));
    WN_TRY(wn__check_same(op, "head count", q, 2, lse, 1));
    return wn__check_same(op, "query", q, 1, lse, 2);
}

wn_status wn__check_attention(const void *args) {
    const wn__attention *p = args;
    const wn__operand o[] = {
        {"q", &p->q, 4, WN_DTYPE_NONE, WN__UNIT, 0},
        {"k", &p->k, 4, WN_DTYPE_NONE, WN__UNIT, 0},
        {"v", &p->v, 4, WN_DTYPE_NONE, WN__UNIT, 0},
        {"out", &p->out, 4, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, 0},
        {"lse", &p->lse, 3, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("attention", o, 5));
    WN_TRY(check_heads("attention", o));
    WN_TRY(wn__check_shapes("attention", o + 0, o + 3));
    return check_lse("attention", o + 0, o + 4);
}

wn_status wn__check_attention_grad(const void *args) {
    const wn__attention_grad *p = args;
    const wn__operand o[] = {
        {"q", &p->q, 4, WN_DTYPE_NONE, WN__UNIT, 0},
        {"k", &p->k, 4, WN_DTYPE_NONE, WN__UNIT, 0},
        {"v", &p->v, 4, WN_DTYPE_NONE, WN__UNIT, 0},
        {"out", &p->out, 4, WN_DTYPE_NONE, WN__UNIT, 0},
        {"lse", &p->lse, 3, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dout", &p->dout, 4, WN_DTYPE_NONE, WN__UNIT, 0},
        {"dq", &p->dq, 4, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, 0},
        {"dk", &p->dk, 4, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, 0},
        {"dv", &p->dv, 4, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("attention_grad", o, 9));
    WN_TRY(check_heads("attention_grad", o));
    WN_TRY(wn__check_shapes("attention_grad", o + 0, o + 3));
    WN_TRY(wn__check_shapes("attention_grad", o + 0, o + 5));
    WN_TRY(wn__check_shapes("attention_grad", o + 0, o + 6));
    WN_TRY(wn__check_shapes("attention_grad", o + 1, o + 7));
    WN_TRY(wn__check_shapes("attention_grad", o + 2, o + 8));
    return check_lse("attention_grad", o + 0, o + 4);
}
