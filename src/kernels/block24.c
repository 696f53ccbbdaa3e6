// SPDX-License-Identifier: MIT
// The contract check of block24, and reading its blocks.
#include "kernels/block24.h"
#include "base/fail.h"
#include "kernels/cuda/block24.h"
#include "kernels/declare.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"

#include <string.h>

wn_tensor wn__block24_tensor(int64_t rows, int64_t columns) {
    return wn__tensor3(NULL, WN_DTYPE_U8, wn__ceil_div(rows, WN_BLOCK24_ROWS),
                       wn__ceil_div(columns, WN_BLOCK24_COLUMNS), WN_BLOCK24_BYTES);
}

wn_status wn__check_aligned16(const char *op, const wn__operand *o) {
    if (!wn__given(o->t) || (uintptr_t)o->t->data % 16 == 0) return WN_OK;
    return wn__fail(WN_INVALID, "%s: %s begins %d bytes after a multiple of 16", op, o->name,
                    (int)((uintptr_t)o->t->data % 16));
}

wn_status wn__block24_check(const char *op, const wn__operand *o, int64_t rows, int64_t columns) {
    WN_TRY(wn__check_size(op, o, 0, wn__ceil_div(rows, WN_BLOCK24_ROWS), "one for 64 rows"));
    WN_TRY(
        wn__check_size(op, o, 1, wn__ceil_div(columns, WN_BLOCK24_COLUMNS), "one for 64 columns"));
    WN_TRY(wn__check_size(op, o, 2, WN_BLOCK24_BYTES, "the bytes of a block"));
    return wn__check_aligned16(op, o);
}

static wn_status refuse_dtype(const wn_tensor *w) {
    if (w->dtype == WN_DTYPE_BF16 || w->dtype == WN_DTYPE_F16) return WN_OK;
    return wn__fail(WN_INVALID, "block24: w is %s, blocks hold BF16 or F16",
                    wn_dtype_name(w->dtype));
}

wn_status wn__check_block24(const void *args) {
    const wn__block24 *p = args;
    const unsigned out = WN__OPTIONAL | WN__PACKED | WN__WRITTEN;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"mask", &p->mask, 2, WN_DTYPE_U8, WN__OPTIONAL | WN__PACKED, 0},
        {"blocks", &p->blocks, 3, WN_DTYPE_U8, out, 0},
        {"blocks_t", &p->blocks_t, 3, WN_DTYPE_U8, out, 0},
        {"tiles", &p->tiles, 2, WN_DTYPE_U8, out, 0},
    };
    WN_TRY(wn__check_operands("block24", o, 5));
    WN_TRY(refuse_dtype(&p->w));
    if (!wn__given(&p->blocks) && !wn__given(&p->blocks_t))
        return wn__fail(WN_INVALID, "block24: no output is given");
    if (wn__given(&p->tiles) && wn__given(&p->mask))
        return wn__fail(WN_INVALID, "block24: tiles are chosen where no mask is given");
    if (wn__given(&p->blocks_t) && !wn__given(&p->mask) && !wn__given(&p->tiles))
        return wn__fail(WN_INVALID, "block24: blocks_t needs a transposable mask, or tiles");
    if (wn__given(&p->tiles)) WN_TRY(wn__check_tiles24("block24", &p->w));
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    WN_TRY(wn__check_same("block24", "row", o + 0, 0, o + 1, 0));
    WN_TRY(wn__check_size("block24", o + 1, 1, wn__ceil_div(c, 4), "ceil(c/4) with c of w"));
    WN_TRY(wn__check_same("block24", "row", o + 0, 0, o + 4, 0));
    WN_TRY(wn__check_size("block24", o + 4, 1, c / 4, "c/4 with c of w"));
    WN_TRY(wn__block24_check("block24", o + 2, r, c));
    return wn__block24_check("block24", o + 3, c, r);
}

wn_status wn__block24_refuse(const wn__block24 *p) {
    if (!wn__given(&p->mask)) {
        const wn__mask24 m = {.w = p->w};
        return wn__mask24_refuse_nan(&m);
    }
    const wn__pack24 pack = {.w = p->w, .mask = p->mask, .values_t = p->blocks_t};
    return wn__pack24_refuse_mask(&pack);
}

void wn__block24_group(const uint8_t *block, int row, int group, int column[2], uint16_t value[2]) {
    uint32_t word;
    memcpy(&word, block + WN_BLOCK24_VALUES + 4 * WN_BLOCK24_WORD(row, group / 4), sizeof word);
    word >>= 16 * (row / 8 % 2) + 4 * (group % 4);
    for (int i = 0; i < 2; i++) {
        column[i] = (int)(word >> (2 * i) & 3);
        memcpy(&value[i], block + WN_BLOCK24_VALUE(row, 2 * group + i), sizeof value[i]);
    }
}
