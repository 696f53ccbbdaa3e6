// SPDX-License-Identifier: MIT
// The contract checks of embed and embed_grad. Token values are checked where they are read.
#include "kernels/embed.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

wn_status wn__check_embed(const void *args) {
    const wn__embed *p = args;
    const wn__operand o[] = {
        {"token", &p->token, 1, WN_DTYPE_I32, WN__PACKED, 0},
        {"table", &p->table, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"out", &p->out, 2, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("embed", o, 3));
    WN_TRY(wn__check_same("embed", "token", o + 0, 0, o + 2, 0));
    return wn__check_same("embed", "column", o + 1, 1, o + 2, 1);
}

wn_status wn__check_embed_grad(const void *args) {
    const wn__embed_grad *p = args;
    const wn__operand o[] = {
        {"token", &p->token, 1, WN_DTYPE_I32, WN__PACKED, 0},
        {"dout", &p->dout, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"dtable", &p->dtable, 2, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("embed_grad", o, 3));
    WN_TRY(wn__check_same("embed_grad", "token", o + 0, 0, o + 1, 0));
    return wn__check_same("embed_grad", "column", o + 1, 1, o + 2, 1);
}
