// SPDX-License-Identifier: MIT
// Cases of rows8 and block8: scales that are found and such that are given, every mask and none,
// tails of both sizes, numbers that are none. Bit for bit.
#include "kernels/block8.h"
#include "kernels/check/masks24.h"

#include <math.h>

enum { R, C, DTYPE, DATA, PAD, SCALES, MASKS, FIELDS };

static const char *const dtype_words[] = {"bf16", "f16", NULL};
static const char *const scale_words[] = {"found", "one", "rows", NULL};
static const char *const mask_words[] = {"full", "short", "tile", "bad", "none", NULL};
enum { FOUND, ONE, OF_ROWS };
enum { NO_MASK = WN__MASKS_BAD + 1 };

#define COMMON                                                                                     \
    WN__FIELD_WORDS("dtype", 1, 0, dtype_words), WN__FIELD_DATA(WN__DATA_NAN),                     \
        WN__FIELD_CHOICE("pad", 0, 9, 0), WN__FIELD_WORDS("scales", OF_ROWS, FOUND, scale_words)

static wn_dtype dtype_of(const wn__case *c) {
    return c->problem.value[DTYPE] == 0 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
}

static void declare_scale(wn__case *c, wn_tensor *scale) {
    const int64_t *v = c->problem.value;
    wn__case_part(c, "scale", scale, v[SCALES] == FOUND ? WN__WRITE : WN__READ,
                  wn__tensor1(NULL, WN_DTYPE_F32, v[SCALES] == ONE ? 1 : v[R]));
}

// Scales of about the size that rows want: some numbers are beyond the largest, some far below.
static void fill_scale(wn__case *c) {
    wn__part *scale = wn__case_find(c, "scale");
    for (int64_t i = 0; c->problem.value[SCALES] != FOUND && i < scale->count; i++)
        wn__part_set(scale, i, ldexp((double)wn__case_draw(c, 0x80, 0xFF), -17));
}

static const wn__field rows8_fields[MASKS] = {WN__FIELD_SIZE("T", 0, 512, 65, 300),
                                              WN__FIELD_SIZE("k", 0, 512, 260, 3000), COMMON};

static void rows8_declare(wn__case *c) {
    wn__rows8 *p = c->args;
    const int64_t *v = c->problem.value;
    p->given = v[SCALES] != FOUND;
    wn__case_part(c, "x", &p->x, WN__READ, wn__view2(dtype_of(c), v[R], v[C], v[PAD]));
    declare_scale(c, &p->scale);
    wn__case_part(c, "y", &p->y, WN__WRITE, wn__view2(WN_DTYPE_U8, v[R], v[C], v[PAD] / 2));
}

static void rows8_fill(wn__case *c) {
    wn__part_fill(c, wn__case_find(c, "x"), (wn__data)c->problem.value[DATA]);
    fill_scale(c);
}

const wn__case_type wn__cases_rows8 = {.op = WN__OP_rows8,
                                       .args_size = sizeof(wn__rows8),
                                       .fields = rows8_fields,
                                       .field_count = MASKS,
                                       .compare = WN__SAME_BITS,
                                       .declare = rows8_declare,
                                       .fill = rows8_fill};

static const wn__field block8_fields[FIELDS] = {
    WN__FIELD_SIZE("r", 0, 512, 129, 400), WN__FIELD_SIZE("c", 0, 512, 260, 1000), COMMON,
    WN__FIELD_WORDS("masks", NO_MASK, WN__MASKS_FULL, mask_words)};

static void block8_declare(wn__case *c) {
    wn__block8 *p = c->args;
    const int64_t *v = c->problem.value;
    p->given = v[SCALES] != FOUND;
    wn__case_part(c, "w", &p->w, WN__READ, wn__view2(dtype_of(c), v[R], v[C], v[PAD]));
    if (v[MASKS] != NO_MASK)
        wn__case_part(c, "mask", &p->mask, WN__READ,
                      wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4)));
    declare_scale(c, &p->scale);
    wn__case_part(c, "blocks", &p->blocks, WN__WRITE, wn__block8_tensor(v[R], v[C]));
}

static void block8_fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__part *w = wn__case_find(c, "w");
    wn__part_fill(c, w, (wn__data)v[DATA]);
    fill_scale(c);
    if (v[MASKS] != NO_MASK) {
        wn__masks_fill(c, wn__case_find(c, "mask"), v[C], (wn__masks)v[MASKS]);
        return;
    }
    // a NaN is refused; infinities are to be seen too
    for (int64_t i = 0; v[DATA] == WN__DATA_INFINITE && i < w->count; i++)
        if (isnan(wn__part_get(w, i))) wn__part_set(w, i, -INFINITY);
}

const wn__case_type wn__cases_block8 = {.op = WN__OP_block8,
                                        .args_size = sizeof(wn__block8),
                                        .fields = block8_fields,
                                        .field_count = FIELDS,
                                        .compare = WN__SAME_BITS,
                                        .align = 16,
                                        .declare = block8_declare,
                                        .fill = block8_fill};
