// SPDX-License-Identifier: MIT
/* spmm24_columns with tokens in lanes: x is transposed in, y is transposed out. A column's entries
 * are as many as they are: eight at a time, whose rows are one word that was read long before, then
 * one at a time. A slice of the lists is a slice of the panel. */
#include "kernels/columns24.h"
#include "kernels/simd/lanes24.inc.h"
#include "kernels/simd/pick8.h"

/* What a column of a slice keeps of BF16, as floats: broadcast from memory like others. */
typedef struct floats24 {
    _Alignas(64) float of[WN_COLUMNS24_SLICE + VF];
} floats24;

/* The values of a column. Eight at a time may be read beyond its end, as its rows are. */
ALWAYS const float *column_values(bool half, const void *values, int64_t first, int64_t count,
                                  floats24 *floats) {
    if (!half) return (const float *)values + first;
    for (int64_t i = 0; i < count; i += VF)
        vf_store(floats->of + i, VF == 8
                                     ? half_load((const uint16_t *)values + first + i)
                                     : half_get_n(values, true, first + i, at_most(count - i, VF)));
    return floats->of;
}

/* One column of a slice, and where its sums are. rows: of the next eight entries. It is read while
 * entries before them are multiplied, also beyond the column's end: loads of an FMA that wait for
 * their address fill the queue that a load of the rows would have to pass. */
typedef struct list24 {
    const float *values;
    const uint8_t *row, *following; /* of the column whose turn comes */
    int64_t count;
    float *sums;
    uint64_t rows;
} list24;

ALWAYS uint64_t eight_rows(const uint8_t *row) {
    uint64_t rows;
    memcpy(&rows, row, sizeof rows);
    return rows;
}

/* acc += the weight times row `row` of the panel. */
ALWAYS void add_entry(int vecs, vf weight, size_t row, const float *panel, vf *acc) {
    const float *at = panel + row * VF * (size_t)vecs;
    __asm__("" : "+r"(at));
    UNROLL
    for (int v = 0; v < vecs; v++)
        acc[v] = vf_fma(weight, vf_load(at + VF * v), acc[v]);
}

/* sums (+)= the entries of one or two columns times the slice of the panel. Two take turns, so that
 * narrow tiles have more independent sums. */
ALWAYS void add_lists(int lists, int vecs, list24 *list, const float *panel, bool first) {
    vf acc[2][VECS];
    UNROLL
    for (int l = 0; l < lists; l++) {
        UNROLL
        for (int v = 0; v < vecs; v++)
            acc[l][v] = first ? vf_zero() : vf_load(list[l].sums + VF * v);
    }
    int64_t e = 0, shorter = list[0].count;
    if (lists == 2) shorter = at_most(shorter, list[1].count);
    for (; e + 8 <= shorter; e += 8) {
        uint64_t rows[2];
        vf picked[2];
        UNROLL
        for (int l = 0; l < lists; l++) {
            rows[l] = list[l].rows;
            list[l].rows = eight_rows(list[l].row + e + 8);
        }
        UNROLL
        for (size_t i = 0; i < 8; i++) {
            UNROLL
            for (int l = 0; l < lists; l++) {
                const float *values = list[l].values + e + (int64_t)i;
                if (i % PICKED == 0) picked[l] = read_picked(values);
                vf weight = PICKS(i) ? pick(picked[l], i % PICKED) : vf_set(*values);
                add_entry(vecs, weight, rows[l] >> (8 * i) & 255, panel, acc[l]);
            }
        }
    }
    UNROLL
    for (int l = 0; l < lists; l++) {
        uint64_t rows = list[l].rows;
        list[l].rows = eight_rows(list[l].following);
        for (int64_t i = e; i < list[l].count; i++) {
            add_entry(vecs, vf_set(list[l].values[i]), rows & 255, panel, acc[l]);
            rows = (i - e) % 8 == 7 ? eight_rows(list[l].row + i + 1) : rows >> 8;
        }
    }
    UNROLL
    for (int l = 0; l < lists; l++) {
        UNROLL
        for (int v = 0; v < vecs; v++)
            vf_store(list[l].sums + VF * v, acc[l][v]);
    }
}

/* Columns j to end - 1 of a slice in turns of `lists`, whose sums follow each other; returns the
 * first that is left over. */
ALWAYS int64_t add_columns(int lists, int vecs, bool half, const wn__spmm24_columns *p,
                           int64_t slice, int64_t j, int64_t end, const float *panel, float *sums) {
    int64_t room = p->row.shape[1];
    const int32_t *start = (const int32_t *)p->start.data + slice * p->start.shape[1];
    const void *values = half_at(p->values.data, half, slice * room);
    const uint8_t *row = (const uint8_t *)p->row.data + slice * room;
    list24 list[2];
    floats24 floats[2];
    UNROLL
    for (int l = 0; l < lists; l++)
        list[l].rows = eight_rows(row + start[j + l < end ? j + l : j]);
    for (; j + lists <= end; j += lists, sums += lists * VF * vecs) {
        UNROLL
        for (int l = 0; l < lists; l++) {
            int64_t first = start[j + l], next = start[j + l + (j + 2 * lists <= end ? lists : 0)];
            int64_t count = start[j + l + 1] - first;
            list[l] = (list24){column_values(half, values, first, count, floats + l),
                               row + first,
                               row + next,
                               count,
                               sums + l * VF * vecs,
                               list[l].rows};
        }
        add_lists(lists, vecs, list, panel, slice == 0);
    }
    return j;
}

/* All columns of a block, slice after slice. */
ALWAYS void columns_block(int vecs, bool half, const wn__spmm24_columns *p, const float *panel,
                          int64_t j0, int64_t columns, float *sums) {
    const int turns = VECTOR_REGISTERS == 16 && vecs > 4 ? 1 : 2;
    for (int64_t s = 0; s < p->start.shape[0]; s++) {
        const float *rows = panel + s * WN_COLUMNS24_SLICE * VF * vecs;
        int64_t j = add_columns(turns, vecs, half, p, s, j0, j0 + columns, rows, sums);
        add_columns(1, vecs, half, p, s, j, j0 + columns, rows, sums + (j - j0) * VF * vecs);
    }
}

/* One function for each width of a tile, so that its sums are registers. */
#define COLUMNS24(vecs)                                                                            \
    static void columns_##vecs(const wn__spmm24_columns *p, const float *panel, int64_t j0,        \
                               int64_t columns, float *sums) {                                     \
        if (p->values.dtype == WN_DTYPE_BF16)                                                      \
            columns_block(vecs, true, p, panel, j0, columns, sums);                                \
        else                                                                                       \
            columns_block(vecs, false, p, panel, j0, columns, sums);                               \
    }
COLUMNS24(8)
COLUMNS24(7)
COLUMNS24(6)
COLUMNS24(5)
COLUMNS24(4)
COLUMNS24(3)
COLUMNS24(2)
COLUMNS24(1)

static void spmm24_columns_block(const void *args, int64_t width, const float *panel, int64_t j0,
                                 int64_t columns, rows24 sums, rows24 out) {
    (void)out; /* never by lanes */
    static void (*const of[])(const wn__spmm24_columns *, const float *, int64_t, int64_t,
                              float *) = {columns_1, columns_2, columns_3, columns_4,
                                          columns_5, columns_6, columns_7, columns_8};
    of[width / VF - 1](args, panel, j0, columns, sums.at);
}

static wn_status spmm24_columns(const void *args, wn__exec *x) {
    const wn__spmm24_columns *p = args;
    lanes24 job = {
        .args = args,
        .block = spmm24_columns_block,
        .in = {.data = p->x.data, .stride = p->x.stride[0], .half = p->x.dtype == WN_DTYPE_BF16},
        .out = {.data = p->y.data, .stride = p->y.stride[0], .half = p->y.dtype == WN_DTYPE_BF16},
        .lanes = p->x.shape[0],
        .depth = p->x.shape[1],
        .outputs = p->y.shape[1],
        .accumulate = p->accumulate};
    run_lanes(&job, x);
    return WN_OK;
}
