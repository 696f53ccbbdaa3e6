// SPDX-License-Identifier: MIT
// The contract checks of the ops on 8-bit operands, and reading their blocks.
#include "kernels/block8.h"
#include "base/fail.h"
#include "kernels/block24.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"

#include <math.h>
#include <string.h>

wn_tensor wn__block8_tensor(int64_t rows, int64_t columns) {
    return wn__tensor3(NULL, WN_DTYPE_U8, wn__ceil_div(rows, WN_BLOCK24_ROWS),
                       wn__ceil_div(columns, WN_BLOCK8_COLUMNS), WN_BLOCK8_BYTES);
}

void wn__block8_group(const uint8_t *block, int row, int group, int column[2], uint8_t value[2]) {
    uint32_t word;
    memcpy(&word, block + WN_BLOCK24_VALUES + 4 * WN_BLOCK8_WORD(row, group / 8), sizeof word);
    for (int i = 0; i < 2; i++) {
        column[i] = (int)(word >> (4 * (group % 8) + 2 * i) & 3);
        value[i] = block[WN_BLOCK8_VALUE(row, (2 * group + i))];
    }
}

float wn__scale8(float largest) {
    if (!isfinite(largest)) return NAN;
    if (largest == 0) return 1;
    const float s = largest / 448;
    return s < 0x1p-120F ? 0x1p-120F : s;
}

static wn_status check_16bit(const char *op, const char *name, const wn_tensor *t) {
    if (t->dtype == WN_DTYPE_BF16 || t->dtype == WN_DTYPE_F16) return WN_OK;
    return wn__fail(WN_INVALID, "%s: %s is %s, not BF16 or F16", op, name, wn_dtype_name(t->dtype));
}

// One for each row of a matrix, or one for all.
static wn_status check_scale(const char *op, const wn__operand *scale, int64_t rows, bool single) {
    if (single && scale->t->shape[0] == 1) return WN_OK;
    return wn__check_size(op, scale, 0, rows, single ? "one for each row, or 1" : "one a row");
}

static wn_status check_blocks(const char *op, const wn__operand *o, int64_t rows, int64_t columns) {
    WN_TRY(wn__check_size(op, o, 0, wn__ceil_div(rows, WN_BLOCK24_ROWS), "one for 64 rows"));
    WN_TRY(
        wn__check_size(op, o, 1, wn__ceil_div(columns, WN_BLOCK8_COLUMNS), "one for 128 columns"));
    WN_TRY(wn__check_size(op, o, 2, WN_BLOCK8_BYTES, "the bytes of a block"));
    return wn__check_aligned16(op, o);
}

wn_status wn__check_rows8(const void *args) {
    const wn__rows8 *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"scale", &p->scale, 1, WN_DTYPE_F32, WN__PACKED | (p->given ? 0U : WN__WRITTEN), 0},
        {"y", &p->y, 2, WN_DTYPE_U8, WN__UNIT | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("rows8", o, 3));
    WN_TRY(check_16bit("rows8", "x", &p->x));
    WN_TRY(wn__check_shapes("rows8", o + 2, o + 0));
    return check_scale("rows8", o + 1, p->x.shape[0], p->given);
}

wn_status wn__check_block8(const void *args) {
    const wn__block8 *p = args;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"mask", &p->mask, 2, WN_DTYPE_U8, WN__OPTIONAL | WN__PACKED, 0},
        {"scale", &p->scale, 1, WN_DTYPE_F32, WN__PACKED | (p->given ? 0U : WN__WRITTEN), 0},
        {"blocks", &p->blocks, 3, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(wn__check_operands("block8", o, 4));
    WN_TRY(check_16bit("block8", "w", &p->w));
    const int64_t r = p->w.shape[0], c = p->w.shape[1];
    WN_TRY(wn__check_same("block8", "row", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_size("block8", o + 1, 1, wn__ceil_div(c, 4), "ceil(c/4) with c of w"));
    WN_TRY(check_scale("block8", o + 2, r, p->given));
    return check_blocks("block8", o + 3, r, c);
}

wn_status wn__block8_refuse(const wn__block8 *p) {
    const wn__block24 as24 = {.w = p->w, .mask = p->mask};
    return wn__block24_refuse(&as24);
}

wn_status wn__check_spmm24_blocks8(const void *args) {
    static const char op[] = "spmm24_blocks8";
    const wn__spmm24_blocks8 *p = args;
    const wn_dtype scales = p->x_scale.dtype == WN_DTYPE_F64 ? WN_DTYPE_F64 : WN_DTYPE_F32;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_U8, WN__UNIT, 0},
        {"x_scale", &p->x_scale, 1, scales, WN__PACKED, 0},
        {"blocks", &p->blocks, 3, WN_DTYPE_U8, WN__PACKED, 0},
        {"w_scale", &p->w_scale, 1, scales, WN__PACKED, 0},
        {"bias", &p->bias, 1, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED, 0},
        {"residual", &p->residual, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__UNIT, 0},
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, WN__MAY_BE(5)},
        {"dense", &p->dense, 2, WN_DTYPE_U8, WN__OPTIONAL | WN__UNIT, 0},
    };
    WN_TRY(wn__check_operands(op, o, 8));
    WN_TRY(wn__check_same(op, "row", o + 0, 0, o + 6, 0));
    WN_TRY(wn__check_same(op, "output", o + 4, 0, o + 6, 1));
    if (wn__given(&p->residual)) WN_TRY(wn__check_shapes(op, o + 5, o + 6));
    WN_TRY(check_scale(op, o + 1, p->x.shape[0], true));
    WN_TRY(wn__check_same(op, "output", o + 7, 0, o + 6, 1));
    WN_TRY(wn__check_same(op, "inner", o + 7, 1, o + 0, 1));
    WN_TRY(check_scale(op, o + 3, p->y.shape[1], true));
    for (int i = 0; i < 8; i++)
        WN_TRY(wn__check_aligned16(op, o + i));
    return check_blocks(op, o + 2, p->y.shape[1], p->x.shape[1]);
}
