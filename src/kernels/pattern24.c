// SPDX-License-Identifier: MIT
// What every variant of the 2:4 ops shares: the constant tables, and the searches through data that
// name what is wrong with it.
#include "base/fail.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"

#include <math.h>

const uint8_t wn__nibble_of_mask24[16] = {0xE, 0xC, 0xD, 0x4,  0xE, 0x8,  0x9,  0xFF,
                                          0xE, 0xC, 0xD, 0xFF, 0xE, 0xFF, 0xFF, 0xFF};

const uint8_t wn__mask_of_nibble24[16] = {0,   0,   0, 0, 0x3, 0,   0,   0,
                                          0x5, 0x6, 0, 0, 0x9, 0xA, 0xC, 0};

// Rows run through 3 5 9 6 A C (bit j is column j), the last row fastest.
const uint16_t wn__tile_masks24[90] = {
    0xCC33, 0xCA53, 0xAC53, 0xC693, 0x6C93, 0xC963, 0x9C63, 0xC5A3, 0x5CA3, 0xC3C3, 0xA5C3, 0x69C3,
    0x96C3, 0x5AC3, 0x3CC3, 0xCA35, 0xAC35, 0xAA55, 0xA695, 0x6A95, 0xA965, 0x9A65, 0xC3A5, 0xA5A5,
    0x69A5, 0x96A5, 0x5AA5, 0x3CA5, 0xA3C5, 0x3AC5, 0xC639, 0x6C39, 0xA659, 0x6A59, 0x6699, 0xC369,
    0xA569, 0x6969, 0x9669, 0x5A69, 0x3C69, 0x65A9, 0x56A9, 0x63C9, 0x36C9, 0xC936, 0x9C36, 0xA956,
    0x9A56, 0xC396, 0xA596, 0x6996, 0x9696, 0x5A96, 0x3C96, 0x9966, 0x95A6, 0x59A6, 0x93C6, 0x39C6,
    0xC53A, 0x5C3A, 0xC35A, 0xA55A, 0x695A, 0x965A, 0x5A5A, 0x3C5A, 0x659A, 0x569A, 0x956A, 0x596A,
    0x55AA, 0x53CA, 0x35CA, 0xC33C, 0xA53C, 0x693C, 0x963C, 0x5A3C, 0x3C3C, 0xA35C, 0x3A5C, 0x639C,
    0x369C, 0x936C, 0x396C, 0x53AC, 0x35AC, 0x33CC,
};

static bool is_nan(const wn_tensor *t, int64_t i) {
    switch (t->dtype) {
    case WN_DTYPE_F64:
        return isnan(((const double *)t->data)[i]);
    case WN_DTYPE_F32:
        return isnan(((const float *)t->data)[i]);
    case WN_DTYPE_BF16:
        return (((const uint16_t *)t->data)[i] & 0x7FFF) > 0x7F80;
    default:
        return (((const uint16_t *)t->data)[i] & 0x7FFF) > 0x7C00;
    }
}

wn_status wn__mask24_refuse_nan(const wn__mask24 *p) {
    for (int64_t i = 0; i < p->w.shape[0]; i++)
        for (int64_t j = 0; j < p->w.shape[1]; j++)
            if (is_nan(&p->w, i * p->w.stride[0] + j))
                return wn__fail(WN_INVALID, "NaN at row %lld, column %lld", (long long)i,
                                (long long)j);
    return WN_OK;
}

static int kept(unsigned mask) {
    return (int)((mask & 1) + (mask >> 1 & 1) + (mask >> 2 & 1) + (mask >> 3 & 1));
}

static wn_status refuse_group(const wn__pack24 *p, int64_t row, int64_t group) {
    unsigned mask = ((const uint8_t *)p->mask.data)[row * p->mask.shape[1] + group];
    int64_t c = p->w.shape[1], columns = c - 4 * group < 4 ? c - 4 * group : 4;
    if (mask >> columns)
        return wn__fail(WN_INVALID,
                        "mask 0x%02X at row %lld, group %lld has bits beyond its %lld columns",
                        mask, (long long)row, (long long)group, (long long)columns);
    if (kept(mask) > 2)
        return wn__fail(WN_INVALID,
                        "mask at row %lld, group %lld keeps %d of 4 columns; at most 2 fit",
                        (long long)row, (long long)group, kept(mask));
    return WN_OK;
}

// Column j of the block of rows 4 block .. 4 block + 3.
static wn_status refuse_column(const wn__pack24 *p, int64_t block, int64_t j) {
    int64_t r = p->w.shape[0], groups = p->mask.shape[1];
    const uint8_t *mask = (const uint8_t *)p->mask.data + 4 * block * groups + j / 4;
    int count = 0;
    for (int64_t i = 0; i < 4 && 4 * block + i < r; i++)
        count += mask[i * groups] >> (j % 4) & 1;
    if (count <= 2) return WN_OK;
    return wn__fail(
        WN_INVALID,
        "mask is not transposable: rows %lld to %lld keep column %lld %d times; at most 2 fit",
        (long long)(4 * block), (long long)(4 * block + 3), (long long)j, count);
}

wn_status wn__pack24_refuse_mask(const wn__pack24 *p) {
    for (int64_t i = 0; i < p->mask.shape[0]; i++)
        for (int64_t g = 0; g < p->mask.shape[1]; g++)
            WN_TRY(refuse_group(p, i, g));
    if (!wn__given(&p->values_t)) return WN_OK;
    for (int64_t block = 0; 4 * block < p->w.shape[0]; block++)
        for (int64_t j = 0; j < p->w.shape[1]; j++)
            WN_TRY(refuse_column(p, block, j));
    return WN_OK;
}

static bool is_zero(const wn_tensor *t, int64_t i) {
    switch (t->dtype) {
    case WN_DTYPE_F64:
        return ((const double *)t->data)[i] == 0;
    case WN_DTYPE_F32:
        return ((const float *)t->data)[i] == 0;
    default:
        return (((const uint16_t *)t->data)[i] & 0x7FFF) == 0;
    }
}

static wn_status refuse_nibble(const wn__unpack24 *p, int64_t row, int64_t group) {
    int64_t groups = p->values.shape[1] / 2, c = p->w.shape[1];
    const uint8_t *index = (const uint8_t *)p->index.data + row * p->index.shape[1];
    unsigned byte = index[group / 2], nibble = byte >> (group % 2 * 4) & 15;
    if (!wn__mask_of_nibble24[nibble])
        return wn__fail(WN_INVALID, "index 0x%X at row %lld, group %lld does not ascend", nibble,
                        (long long)row, (long long)group);
    for (int slot = 0; slot < 2; slot++) {
        int64_t column = 4 * group + (nibble >> (2 * slot) & 3);
        if (column >= c && !is_zero(&p->values, 2 * (row * groups + group) + slot))
            return wn__fail(WN_INVALID,
                            "index at row %lld, group %lld puts a value in column %lld of %lld",
                            (long long)row, (long long)group, (long long)column, (long long)c);
    }
    return WN_OK;
}

wn_status wn__unpack24_refuse_index(const wn__unpack24 *p) {
    for (int64_t i = 0; i < p->w.shape[0]; i++)
        for (int64_t g = 0; g < p->values.shape[1] / 2; g++)
            WN_TRY(refuse_nibble(p, i, g));
    return WN_OK;
}
