// SPDX-License-Identifier: MIT
// The contract checks of columns24 and spmm24_columns. The lists themselves are trusted.
#include "kernels/columns24.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"
#include "kernels/pack24.h"

// start, values and row at o[0], o[1] and o[2] of a matrix of r rows and c columns.
static wn_status check_lists(const char *op, const wn__operand *o, int64_t r, int64_t c) {
    int64_t slices = wn__columns24_slices(r), room = wn__columns24_room(r, c);
    for (int i = 0; i < 3; i++)
        WN_TRY(wn__check_size(op, o + i, 0, slices, "the slices of the rows"));
    WN_TRY(wn__check_size(op, o + 0, 1, c + 1, "c + 1"));
    WN_TRY(wn__check_size(op, o + 1, 1, room, "the room of a slice"));
    return wn__check_size(op, o + 2, 1, room, "the room of a slice");
}

wn_status wn__check_columns24(const void *args) {
    const wn__columns24 *p = args;
    const unsigned out = WN__PACKED | WN__WRITTEN;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"mask", &p->mask, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"start", &p->start, 2, WN_DTYPE_I32, out, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, out, 0},
        {"row", &p->row, 2, WN_DTYPE_U8, out, 0},
    };
    WN_TRY(wn__check_operands("columns24", o, 5));
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    WN_TRY(wn__check_same("columns24", "row", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_size("columns24", o + 1, 1, wn__ceil_div(c, 4), "ceil(c/4) with c of w"));
    return check_lists("columns24", o + 2, r, c);
}

wn_status wn__check_spmm24_columns(const void *args) {
    const wn__spmm24_columns *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"start", &p->start, 2, WN_DTYPE_I32, WN__PACKED, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, WN__PACKED, 0},
        {"row", &p->row, 2, WN_DTYPE_U8, WN__PACKED, 0},
        {"y", &p->y, 2, wn__sums_dtype(&p->x, &p->y), WN__UNIT | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("spmm24_columns", o, 5));
    WN_TRY(wn__check_same("spmm24_columns", "row", o + 0, 0, o + 4, 0));
    return check_lists("spmm24_columns", o + 1, p->x.shape[1], p->y.shape[1]);
}

// 1 for more than two columns, or for bits above the fourth.
static unsigned crowded(unsigned mask) {
    unsigned pairs = mask - (mask >> 1 & 5);
    return ((pairs & 3) + (pairs >> 2 & 3) > 2) | (mask > 15);
}

wn_status wn__columns24_refuse(const wn__columns24 *p) {
    const uint8_t *mask = p->mask.data;
    int64_t r = p->mask.shape[0], groups = p->mask.shape[1], last = p->w.shape[1] % 4;
    unsigned bad = 0;
    for (int64_t i = 0; i < r * groups; i++)
        bad |= crowded(mask[i]);
    for (int64_t i = 0; last > 0 && i < r; i++)
        bad |= (unsigned)mask[i * groups + groups - 1] >> last;
    const wn__pack24 as_pack = {.w = p->w, .mask = p->mask};
    return bad ? wn__pack24_refuse_mask(&as_pack) : WN_OK;
}
