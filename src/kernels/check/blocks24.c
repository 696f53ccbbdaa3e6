// SPDX-License-Identifier: MIT
// Packed blocks of cases: made from draws, not from a matrix, so that every mask there is comes up.
#include "kernels/check/blocks24.h"

#include "kernels/block24.h"
#include "kernels/contract.h"
#include "kernels/cuda/block24.h"
#include "kernels/element.h"
#include "kernels/pack24.h"

#include <string.h>

// What a group of a row is drawn of.
typedef struct drawing {
    wn_dtype dtype;
    wn__data data;
    bool full;
} drawing;

// One group of a row: its kept columns, its values, zeros in free slots.
static void fill_group(wn__case *c, const drawing *d, uint8_t *block, int r, int g,
                       int64_t columns) {
    const unsigned mask = columns > 0 ? wn__mask_draw(c, columns, d->full) : 0;
    const uint32_t nibble = wn__nibble_of_mask24[mask];
    uint8_t *at = block + WN_BLOCK24_VALUES + 4 * WN_BLOCK24_WORD(r, g / 4);
    uint32_t word;
    memcpy(&word, at, sizeof word);
    word |= nibble << (16 * (r / 8 % 2) + 4 * (g % 4));
    memcpy(at, &word, sizeof word);
    for (int slot = 0; slot < 2; slot++) {
        if (!(mask >> (nibble >> (2 * slot) & 3) & 1)) continue;
        wn_tensor one = wn__tensor1(block + WN_BLOCK24_VALUE(r, 2 * g + slot), d->dtype, 1);
        wn__set(&one, 0, wn__case_value(c, d->data, d->dtype));
    }
}

void wn__blocks24_fill(wn__case *c, wn__part *blocks, int64_t rows, int64_t columns, wn_dtype dtype,
                       wn__data data, bool full) {
    const drawing d = {dtype, data, full};
    const int64_t across = blocks->view.shape[1];
    memset(blocks->image, 0, (size_t)blocks->count);
    for (int64_t row = 0; row < 64 * blocks->view.shape[0]; row++)
        for (int64_t g = 0; g < 16 * across; g++)
            fill_group(c, &d,
                       (uint8_t *)blocks->image + (row / 64 * across + g / 16) * WN_BLOCK24_BYTES,
                       (int)(row % 64), (int)(g % 16), row < rows ? columns - 4 * g : 0);
}

int64_t wn__blocks24_row(const wn__part *blocks, int64_t row, int64_t columns, wn_dtype dtype,
                         wn__kept *out) {
    const int64_t across = blocks->view.shape[1];
    int64_t count = 0;
    for (int64_t g = 0; g < wn__ceil_div(columns, 4); g++) {
        int place[2];
        uint16_t value[2];
        wn__block24_group((const uint8_t *)blocks->image +
                              (row / 64 * across + g / 16) * WN_BLOCK24_BYTES,
                          (int)(row % 64), (int)(g % 16), place, value);
        for (int slot = 0; slot < 2; slot++) {
            const wn_tensor one = wn__tensor1(&value[slot], dtype, 1);
            if (4 * g + place[slot] < columns)
                out[count++] = (wn__kept){4 * g + place[slot], wn__get(&one, 0)};
        }
    }
    return count;
}
