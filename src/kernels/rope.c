// SPDX-License-Identifier: MIT
// The contract checks of rope_table and rope.
#include "kernels/rope.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"

wn_status wn__check_rope_table(const void *args) {
    const wn__rope_table *p = args;
    const wn__operand o[] = {
        {"inv_freq", &p->inv_freq, 1, WN_DTYPE_F64, WN__PACKED, 0},
        {"cos", &p->cos, 2, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"sin", &p->sin, 2, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("rope_table", o, 3));
    WN_TRY(wn__check_shapes("rope_table", o + 1, o + 2));
    return wn__check_same("rope_table", "frequency", o + 0, 0, o + 1, 1);
}

wn_status wn__check_rope(const void *args) {
    const wn__rope *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 4, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, 0},
        {"cos", &p->cos, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"sin", &p->sin, 2, WN_DTYPE_NONE, WN__PACKED, 0},
    };
    WN_TRY(wn__check_operands("rope", o, 3));
    WN_TRY(wn__check_shapes("rope", o + 1, o + 2));
    int64_t T = p->x.shape[1], D = p->x.shape[3], P = p->cos.shape[0];
    if (D % 2 != 0)
        return wn__fail(WN_INVALID, "rope: head size %lld is odd; the nearest are %lld and %lld",
                        (long long)D, (long long)D - 1, (long long)D + 1);
    WN_TRY(wn__check_size("rope", o + 1, 1, D / 2, "D/2 with D of x"));
    if (p->pos0 < 0 || p->pos0 > P || T > P - p->pos0)
        return wn__fail(WN_INVALID,
                        "rope: positions %lld to %lld are outside the table of %lld positions",
                        (long long)p->pos0, (long long)p->pos0 + (long long)T - 1, (long long)P);
    return WN_OK;
}
