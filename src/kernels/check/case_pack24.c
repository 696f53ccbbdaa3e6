// SPDX-License-Identifier: MIT
// Cases of pack24, tile24 and unpack24: every mask, straight and transposed outputs, bytes that
// mean nothing as numbers, masks with three or four bits, indices that do not ascend and padding
// that is not zero. Bit for bit.
#include "kernels/check/masks24.h"
#include "kernels/contract.h"
#include "kernels/pack24.h"
#include "kernels/tile24.h"

#include <math.h>
#include <string.h>

enum { R, C, DTYPE, DATA, MASKS, OUTPUTS, PAD, PACK_FIELDS };

static const char *const output_words[] = {"straight", "transposed", "both", NULL};

static const wn__field pack_fields[PACK_FIELDS] = {
    WN__FIELD_SIZE("r", 0, 1024, 129, 600),
    WN__FIELD_SIZE("c", 0, 1024, 129, 600),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("masks", WN__MASKS_BAD, WN__MASKS_TILE, wn__masks_words),
    WN__FIELD_WORDS("outputs", 2, 0, output_words),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
};

// Transposed outputs want transposable masks; one in some cases is left to be refused.
static void pack_settle(wn__problem *p) {
    if (p->value[OUTPUTS] > 0 && p->value[MASKS] == WN__MASKS_FULL)
        p->value[MASKS] = WN__MASKS_TILE;
}

// values and index of `rows` rows of `columns` columns.
static void declare_packed(wn__case *c, const char *const names[2], wn_tensor *values,
                           wn_tensor *index, wn__role role, int64_t rows, int64_t columns) {
    int64_t groups = wn__ceil_div(columns, 4);
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    wn__case_part(c, names[0], values, role, wn__tensor2(NULL, dtype, rows, 2 * groups));
    wn__case_part(c, names[1], index, role,
                  wn__tensor2(NULL, WN_DTYPE_U8, rows, wn__ceil_div(groups, 2)));
}

static void pack_declare(wn__case *c) {
    static const char *const straight[2] = {"values", "index"};
    static const char *const transposed[2] = {"values_t", "index_t"};
    wn__pack24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn__case_part(c, "w", &p->w, WN__READ, wn__view2(wn__case_dtype(c, DTYPE), v[R], v[C], v[PAD]));
    wn__case_part(c, "mask", &p->mask, WN__READ,
                  wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4)));
    if (v[OUTPUTS] != 1) declare_packed(c, straight, &p->values, &p->index, WN__WRITE, v[R], v[C]);
    if (v[OUTPUTS] != 0)
        declare_packed(c, transposed, &p->values_t, &p->index_t, WN__WRITE, v[C], v[R]);
}

// Random bytes: NaN with payloads, subnormals, anything.
static void fill_bytes(wn__case *c, wn__part *p) {
    uint8_t *byte = p->image;
    size_t n = (size_t)p->count * wn_dtype_size(p->view.dtype);
    for (size_t i = 0; i < n; i++)
        byte[i] = (uint8_t)wn__case_draw(c, 0, 255);
}

static void fill_values(wn__case *c, wn__part *p) {
    wn__data kind = (wn__data)c->problem.value[DATA];
    if (kind == WN__DATA_WILD)
        fill_bytes(c, p);
    else
        wn__part_fill(c, p, kind);
}

static void pack_fill(wn__case *c) {
    fill_values(c, wn__case_find(c, "w"));
    wn__masks_fill(c, wn__case_find(c, "mask"), c->problem.value[C],
                   (wn__masks)c->problem.value[MASKS]);
}

const wn__case_type wn__cases_pack24 = {.op = WN__OP_pack24,
                                        .args_size = sizeof(wn__pack24),
                                        .fields = pack_fields,
                                        .field_count = PACK_FIELDS,
                                        .compare = WN__SAME_BITS,
                                        .settle = pack_settle,
                                        .declare = pack_declare,
                                        .fill = pack_fill};

enum { TILE_PAD = DATA + 1, TILE_FIELDS };

static const wn__field tile_fields[TILE_FIELDS] = {
    WN__FIELD_SIZE("r", 0, 1024, 129, 600), WN__FIELD_SIZE("c", 0, 1024, 129, 600), WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_NAN),           WN__FIELD_CHOICE("pad", 0, 9, 0),
};

static void tile_settle(wn__problem *p) {
    p->value[R] = wn__ceil_div(p->value[R], 4) * 4;
    p->value[C] = wn__ceil_div(p->value[C], 4) * 4;
}

static void tile_declare(wn__case *c) {
    static const char *const straight[2] = {"values", "index"};
    static const char *const transposed[2] = {"values_t", "index_t"};
    wn__tile24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn__case_part(c, "w", &p->w, WN__READ,
                  wn__view2(wn__case_dtype(c, DTYPE), v[R], v[C], v[TILE_PAD]));
    wn__case_part(c, "mask", &p->mask, WN__WRITE, wn__tensor2(NULL, WN_DTYPE_U8, v[R], v[C] / 4));
    declare_packed(c, straight, &p->values, &p->index, WN__WRITE, v[R], v[C]);
    declare_packed(c, transposed, &p->values_t, &p->index_t, WN__WRITE, v[C], v[R]);
}

static void tile_fill(wn__case *c) {
    wn__data kind = (wn__data)c->problem.value[DATA];
    wn__part *w = wn__case_find(c, "w");
    wn__part_fill(c, w, kind);
    for (int64_t i = 0; i < w->count; i++)
        if (kind == WN__DATA_INFINITE && isnan(wn__part_get(w, i))) wn__part_set(w, i, -INFINITY);
}

const wn__case_type wn__cases_tile24 = {.op = WN__OP_tile24,
                                        .args_size = sizeof(wn__tile24),
                                        .fields = tile_fields,
                                        .field_count = TILE_FIELDS,
                                        .compare = WN__SAME_BITS,
                                        .settle = tile_settle,
                                        .declare = tile_declare,
                                        .fill = tile_fill};

enum { INDEX = DATA + 1, UNPACK_PAD, UNPACK_FIELDS };

static const char *const index_words[] = {"good", "disordered", "padding", NULL};

static const wn__field unpack_fields[UNPACK_FIELDS] = {
    WN__FIELD_SIZE("r", 0, 1024, 129, 600),
    WN__FIELD_SIZE("c", 0, 1024, 129, 600),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("index", 2, 0, index_words),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
};

static void unpack_declare(wn__case *c) {
    static const char *const names[2] = {"values", "index"};
    wn__unpack24 *p = c->args;
    const int64_t *v = c->problem.value;
    declare_packed(c, names, &p->values, &p->index, WN__READ, v[R], v[C]);
    wn__case_part(c, "w", &p->w, WN__WRITE,
                  wn__view2(wn__case_dtype(c, DTYPE), v[R], v[C], v[UNPACK_PAD]));
}

// Both slots of one group, where `mask` is kept.
static void set_group(wn__part *values, wn__part *index, int64_t row, int64_t g, unsigned mask) {
    unsigned nibble = wn__nibble_of_mask24[mask];
    int64_t groups = values->view.shape[1] / 2;
    uint8_t *byte = (uint8_t *)index->image + row * index->view.shape[1] + g / 2;
    for (int slot = 0; slot < 2; slot++)
        if (!(mask >> (nibble >> (2 * slot) & 3) & 1))
            wn__part_set(values, 2 * (row * groups + g) + slot, 0);
    *byte = (uint8_t)(g % 2 ? (*byte & 0x0F) | nibble << 4 : nibble | 0xE0);
}

// One wrong group: its indices descend, or a slot that names no column is not zero.
static void spoil(wn__case *c, wn__part *values, wn__part *index) {
    int64_t rows = values->view.shape[0], groups = values->view.shape[1] / 2;
    if (rows == 0 || groups == 0) return;
    int64_t row = wn__case_draw(c, 0, rows - 1);
    int64_t bytes = index->view.shape[1];
    if (c->problem.value[INDEX] == 1)
        ((uint8_t *)index->image)[row * bytes + wn__case_draw(c, 0, bytes - 1)] = 0x11;
    else
        wn__part_set(values, 2 * (row * groups + groups) - 1, 1);
}

static void unpack_fill(wn__case *c) {
    wn__part *values = wn__case_find(c, "values"), *index = wn__case_find(c, "index");
    int64_t groups = values->view.shape[1] / 2, columns = c->problem.value[C];
    fill_values(c, values);
    for (int64_t row = 0; row < values->view.shape[0]; row++)
        for (int64_t g = 0; g < groups; g++)
            set_group(values, index, row, g, wn__mask_draw(c, columns - 4 * g, false));
    if (c->problem.value[INDEX]) spoil(c, values, index);
}

const wn__case_type wn__cases_unpack24 = {.op = WN__OP_unpack24,
                                          .args_size = sizeof(wn__unpack24),
                                          .fields = unpack_fields,
                                          .field_count = UNPACK_FIELDS,
                                          .compare = WN__SAME_BITS,
                                          .declare = unpack_declare,
                                          .fill = unpack_fill};
