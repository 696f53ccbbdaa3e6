// SPDX-License-Identifier: MIT
// The contract check of mvue24_tokens.
#include "kernels/mvue24_tokens.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

wn_status wn__check_mvue24_tokens(const void *args) {
    const wn__mvue24_tokens *p = args;
    const unsigned out = WN__PACKED | WN__WRITTEN;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, out, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, out, 0},
    };
    WN_TRY(wn__check_operands("mvue24_tokens", o, 3));
    if (p->method != WN_MVUE24_EXACT && p->method != WN_MVUE24_APPROX)
        return wn__fail(WN_INVALID, "mvue24_tokens: there is no method %d", (int)p->method);
    if (p->counter >> 32)
        return wn__fail(WN_INVALID, "mvue24_tokens: counter %llu must be below 2^32",
                        (unsigned long long)p->counter);
    int64_t groups = wn__ceil_div(p->x.shape[0], 4), c = p->x.shape[1];
    WN_TRY(wn__check_size("mvue24_tokens", o + 1, 0, c, "the columns of x"));
    WN_TRY(wn__check_size("mvue24_tokens", o + 1, 1, 2 * groups, "two for each group of 4"));
    WN_TRY(wn__check_size("mvue24_tokens", o + 2, 0, c, "the columns of x"));
    return wn__check_size("mvue24_tokens", o + 2, 1, wn__ceil_div(groups, 2),
                          "half a byte for each group of 4");
}
