// SPDX-License-Identifier: MIT
// The contract check of pack24_tokens, and which columns take two packed rows.
#include "kernels/pack24_tokens.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"
#include "kernels/spmm24_rows.h"

wn_status wn__check_pack24_tokens(const void *args) {
    const wn__pack24_tokens *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"order", &p->order, 1, WN_DTYPE_I32, WN__OPTIONAL | WN__PACKED, 0},
        {"dense", &p->dense, 1, WN_DTYPE_U8, WN__OPTIONAL | WN__PACKED, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, WN__PACKED | WN__WRITTEN, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN, 0},
        {"extra", &p->extra, 1, WN_DTYPE_I32, WN__OPTIONAL | WN__PACKED | WN__WRITTEN, 0},
    };
    const char *op = "pack24_tokens";
    WN_TRY(wn__check_operands(op, o, 6));
    int64_t groups = wn__ceil_div(p->x.shape[0], 4);
    bool marked = wn__given(&p->dense);
    if (marked != wn__given(&p->extra))
        return wn__fail(WN_INVALID,
                        "pack24_tokens: dense and extra must both be given or both absent");
    int64_t rows = p->x.shape[1] + (marked ? p->extra.shape[0] : 0);
    WN_TRY(wn__check_same(op, "row", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_same(op, "column", o + 0, 1, o + 2, 0));
    WN_TRY(wn__check_size(op, o + 3, 0, rows, "the columns of x and the extra ones"));
    WN_TRY(wn__check_size(op, o + 3, 1, 2 * groups, "2 ceil(r/4) with r rows of x"));
    WN_TRY(wn__check_same(op, "row", o + 3, 0, o + 4, 0));
    return wn__check_size(op, o + 4, 1, wn__ceil_div(groups, 2), "ceil(ceil(r/4)/2)");
}

wn_status wn__pack24_tokens_refuse(const wn__pack24_tokens *p) {
    const uint8_t *dense = p->dense.data;
    int64_t c = p->x.shape[1], e = wn__given(&p->extra) ? p->extra.shape[0] : 0, marked = 0;
    WN_TRY(wn__order24_refuse(&p->order, p->x.shape[0]));
    for (int64_t j = 0; wn__given(&p->dense) && j < c; j++)
        marked += dense[j] != 0;
    if (marked == e) return WN_OK;
    return wn__fail(WN_INVALID, "%lld columns are marked, room for %lld is given",
                    (long long)marked, (long long)e);
}

wn_status wn__pack24_tokens_begin(const wn__pack24_tokens *p) {
    const uint8_t *dense = p->dense.data;
    int32_t *extra = p->extra.data;
    WN_TRY(wn__pack24_tokens_refuse(p));
    for (int64_t j = 0, i = 0; wn__given(&p->dense) && j < p->x.shape[1]; j++)
        if (dense[j]) extra[i++] = (int32_t)j;
    return WN_OK;
}
