// SPDX-License-Identifier: MIT
// Masks for cases of the 2:4 ops: each of the six pairs, every short row, tiles, and bad ones.
#include "kernels/check/masks24.h"
#include "kernels/contract.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"

#include <string.h>

const char *const wn__masks_words[] = {"full", "short", "tile", "bad", NULL};
const char *const wn__dense_words[] = {"none", "given", "gaps", NULL};

unsigned wn__mask_draw(wn__case *k, int64_t columns, bool full) {
    static const uint8_t pairs[6] = {0x3, 0x5, 0x9, 0x6, 0xA, 0xC};
    static const uint8_t all[11] = {0x0, 0x1, 0x2, 0x4, 0x8, 0x3, 0x5, 0x9, 0x6, 0xA, 0xC};
    if (columns >= 4) return full ? pairs[wn__case_draw(k, 0, 5)] : all[wn__case_draw(k, 0, 10)];
    unsigned kept = 3;
    if (columns == 3) kept = 7U & ~(1U << wn__case_draw(k, 0, 2));
    if (columns < 2) kept = (1U << columns) - 1;
    return full ? kept : kept & (unsigned)wn__case_draw(k, 0, 15);
}

static int64_t columns_of(int64_t c, int64_t group) {
    return c - 4 * group < 4 ? c - 4 * group : 4;
}

// One block of four rows: a transposable mask, cut where the matrix ends, now and then thinned.
static void fill_tile(wn__case *k, uint8_t *mask, int64_t rows, int64_t groups, int64_t g,
                      int64_t columns) {
    unsigned tile = wn__tile_masks24[wn__case_draw(k, 0, 89)];
    if (wn__case_draw(k, 0, 3) == 0) tile &= (unsigned)wn__case_draw(k, 0, 0xFFFF);
    for (int64_t i = 0; i < rows; i++)
        mask[i * groups + g] = (uint8_t)(tile >> (4 * i) & ((1U << columns) - 1));
}

void wn__masks_fill(wn__case *k, wn__part *mask, int64_t c, wn__masks kind) {
    int64_t r = mask->view.shape[0], groups = mask->view.shape[1];
    uint8_t *m = mask->image;
    for (int64_t i = 0; i < r; i++)
        for (int64_t g = 0; g < groups; g++) {
            if (kind != WN__MASKS_TILE)
                m[i * groups + g] =
                    (uint8_t)wn__mask_draw(k, columns_of(c, g), kind == WN__MASKS_FULL);
            else if (i % 4 == 0)
                fill_tile(k, m + i * groups, r - i < 4 ? r - i : 4, groups, g, columns_of(c, g));
        }
    if (kind == WN__MASKS_BAD && r > 0 && groups > 0) {
        static const uint8_t bad[5] = {0x7, 0xB, 0xD, 0xE, 0xF};
        m[wn__case_draw(k, 0, r * groups - 1)] = bad[wn__case_draw(k, 0, 4)];
    }
}

// One row: the index, and zeros in the slots that a short group leaves free.
static void pack_row(wn__case *k, wn__part *values, uint8_t *index, int64_t row, int64_t c,
                     bool full) {
    int64_t groups = wn__ceil_div(c, 4);
    for (int64_t g = 0; g < groups; g++) {
        unsigned mask = wn__mask_draw(k, columns_of(c, g), full);
        unsigned nibble = wn__nibble_of_mask24[mask];
        for (int slot = 0; slot < 2; slot++)
            if (values != NULL && !(mask >> (nibble >> (2 * slot) & 3) & 1))
                wn__part_set(values, 2 * (row * groups + g) + slot, 0);
        if (g % 2 == 0)
            index[g / 2] = (uint8_t)(nibble | 0xE0);
        else
            index[g / 2] = (uint8_t)((index[g / 2] & 0x0F) | nibble << 4);
    }
}

void wn__packed_fill(wn__case *k, wn__part *values, wn__part *index, int64_t c, bool full) {
    for (int64_t row = 0; row < index->view.shape[0]; row++)
        pack_row(k, values, (uint8_t *)index->image + row * index->view.shape[1], row, c, full);
}
