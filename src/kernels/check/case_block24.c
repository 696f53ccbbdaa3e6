// SPDX-License-Identifier: MIT
// Cases of block24: every mask, none, and exact tiles that it chooses, straight and transposed
// blocks, tails of both sizes, bytes that mean nothing as numbers, masks that do not fit and NaN.
// Bit for bit.
#include "kernels/block24.h"
#include "kernels/check/masks24.h"

#include <math.h>

enum { R, C, DTYPE, DATA, MASKS, OUTPUTS, PAD, FIELDS };

static const char *const dtype_words[] = {"bf16", "f16", NULL};
static const char *const output_words[] = {"straight", "transposed", "both", NULL};
static const char *const mask_words[] = {"full", "short", "tile", "bad", "none", "chosen", NULL};
enum { NO_MASK = WN__MASKS_BAD + 1, CHOSEN };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("r", 0, 1024, 129, 600),
    WN__FIELD_SIZE("c", 0, 1024, 129, 600),
    WN__FIELD_WORDS("dtype", 1, 0, dtype_words),
    WN__FIELD_DATA(WN__DATA_NAN),
    WN__FIELD_WORDS("masks", CHOSEN, WN__MASKS_TILE, mask_words),
    WN__FIELD_WORDS("outputs", 2, 0, output_words),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
};

// Transposed outputs want transposable masks; one in some cases is left to be refused.
static void settle(wn__problem *p) {
    if (p->value[MASKS] == CHOSEN) {
        p->value[R] = wn__ceil_div(p->value[R], 4) * 4;
        p->value[C] = wn__ceil_div(p->value[C], 4) * 4;
        return;
    }
    if (p->value[OUTPUTS] > 0 && p->value[MASKS] != WN__MASKS_BAD &&
        p->value[MASKS] != WN__MASKS_SHORT)
        p->value[MASKS] = WN__MASKS_TILE;
}

static void declare(wn__case *c) {
    wn__block24 *p = c->args;
    const int64_t *v = c->problem.value;
    const wn_dtype dtype = v[DTYPE] == 0 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
    wn__case_part(c, "w", &p->w, WN__READ, wn__view2(dtype, v[R], v[C], v[PAD]));
    if (v[MASKS] < NO_MASK)
        wn__case_part(c, "mask", &p->mask, WN__READ,
                      wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4)));
    if (v[MASKS] == CHOSEN)
        wn__case_part(c, "tiles", &p->tiles, WN__WRITE,
                      wn__tensor2(NULL, WN_DTYPE_U8, v[R], v[C] / 4));
    if (v[OUTPUTS] != 1)
        wn__case_part(c, "blocks", &p->blocks, WN__WRITE, wn__block24_tensor(v[R], v[C]));
    if (v[OUTPUTS] != 0)
        wn__case_part(c, "blocks_t", &p->blocks_t, WN__WRITE, wn__block24_tensor(v[C], v[R]));
}

static void fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__part *w = wn__case_find(c, "w");
    wn__part_fill(c, w, (wn__data)v[DATA]);
    if (v[MASKS] < NO_MASK) {
        wn__masks_fill(c, wn__case_find(c, "mask"), v[C], (wn__masks)v[MASKS]);
        return;
    }
    // a NaN is refused; infinities are to be seen too
    for (int64_t i = 0; v[DATA] == WN__DATA_INFINITE && i < w->count; i++)
        if (isnan(wn__part_get(w, i))) wn__part_set(w, i, -INFINITY);
}

const wn__case_type wn__cases_block24 = {.op = WN__OP_block24,
                                         .args_size = sizeof(wn__block24),
                                         .fields = fields,
                                         .field_count = FIELDS,
                                         .compare = WN__SAME_BITS,
                                         .align = 16,
                                         .settle = settle,
                                         .declare = declare,
                                         .fill = fill};
