// SPDX-License-Identifier: MIT
// pack24 and unpack24, the specification. Elements move as bytes, so every bit of them is kept.
#include "kernels/pack24.h"
#include "base/fail.h"
#include "kernels/declare.h"

#include <string.h>

// A matrix in packed form, being written or read.
typedef struct packed {
    char *values;
    uint8_t *index;
    int64_t groups; // of one row
    size_t size;    // of one element
} packed;

static packed packed_view(const wn_tensor *values, const wn_tensor *index) {
    return (packed){values->data, index->data, values->shape[1] / 2, wn_dtype_size(values->dtype)};
}

static char *slot_at(const packed *p, int64_t row, int64_t group, int slot) {
    return p->values + (size_t)(2 * (row * p->groups + group) + slot) * p->size;
}

// Writes one group; from is its column 0 and step the bytes from one of its columns to the next.
static void put_group(const packed *p, int64_t row, int64_t group, unsigned mask, const char *from,
                      int64_t step) {
    unsigned nibble = wn__nibble_of_mask24[mask];
    for (int slot = 0; slot < 2; slot++) {
        unsigned column = nibble >> (2 * slot) & 3;
        char *to = slot_at(p, row, group, slot);
        if (mask >> column & 1)
            memcpy(to, from + (int64_t)column * step, p->size);
        else
            memset(to, 0, p->size);
    }
    uint8_t *byte = p->index + row * ((p->groups + 1) / 2) + group / 2;
    if (group % 2)
        *byte = (uint8_t)((*byte & 0x0F) | nibble << 4);
    else
        *byte = (uint8_t)(nibble | 0xE0);
}

static void pack_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__pack24 *p = ctx;
    packed out = packed_view(&p->values, &p->index);
    int64_t step = (int64_t)out.size;
    const uint8_t *mask = p->mask.data;
    for (int64_t i = begin; i < end; i++)
        for (int64_t g = 0; g < out.groups; g++) {
            const char *from = (const char *)p->w.data + (i * p->w.stride[0] + 4 * g) * step;
            put_group(&out, i, g, mask[i * out.groups + g], from, step);
        }
}

// Columns of w, which are the rows of the transposed form.
static void pack_columns(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__pack24 *p = ctx;
    packed out = packed_view(&p->values_t, &p->index_t);
    int64_t r = p->w.shape[0], stride = p->w.stride[0], size = (int64_t)out.size;
    for (int64_t j = begin; j < end; j++)
        for (int64_t g = 0; g < out.groups; g++) {
            const uint8_t *mask = (const uint8_t *)p->mask.data + j / 4;
            unsigned column = 0;
            for (int i = 0; i < 4 && 4 * g + i < r; i++)
                column |= (mask[(4 * g + i) * p->mask.shape[1]] >> (j % 4) & 1U) << i;
            const char *from = (const char *)p->w.data + (4 * g * stride + j) * size;
            put_group(&out, j, g, column, from, stride * size);
        }
}

wn_status wn__pack24_ref(const void *args, wn__exec *x) {
    const wn__pack24 *p = args;
    WN_TRY(wn__pack24_refuse_mask(p));
    if (wn__given(&p->values)) wn__parallel_for(x->pool, p->w.shape[0], 1, pack_rows, (void *)args);
    if (wn__given(&p->values_t))
        wn__parallel_for(x->pool, p->w.shape[1], 1, pack_columns, (void *)args);
    return WN_OK;
}

static unsigned nibble_at(const packed *p, int64_t row, int64_t group) {
    unsigned byte = p->index[row * ((p->groups + 1) / 2) + group / 2];
    return byte >> (group % 2 * 4) & 15;
}

wn_status wn__unpack24_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__unpack24 *p = args;
    WN_TRY(wn__unpack24_refuse_index(p));
    packed in = packed_view(&p->values, &p->index);
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    for (int64_t i = 0; i < r; i++) {
        char *row = (char *)p->w.data + (size_t)(i * p->w.stride[0]) * in.size;
        if (c > 0) memset(row, 0, (size_t)c * in.size);
        for (int64_t g = 0; g < in.groups; g++)
            for (int slot = 0; slot < 2; slot++) {
                int64_t column = 4 * g + (nibble_at(&in, i, g) >> (2 * slot) & 3);
                if (column < c)
                    memcpy(row + (size_t)column * in.size, slot_at(&in, i, g, slot), in.size);
            }
    }
    return WN_OK;
}
