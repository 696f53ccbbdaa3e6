// SPDX-License-Identifier: MIT
// Cases of columns24 and spmm24_columns: masks of every kind, columns that keep everything or
// nothing, bytes that mean nothing as numbers. The lists bit for bit; products within matmul's
// bound with as many terms as the longest column can have. sums as in matmul's.
#include "kernels/check/masks24.h"
#include "kernels/columns24.h"
#include "kernels/contract.h"

#include <stdio.h>
#include <string.h>

enum { R, C, DTYPE, DATA, MASKS, PAD, LIST_FIELDS };

static const wn__field list_fields[LIST_FIELDS] = {
    WN__FIELD_SIZE("r", 0, 1024, 129, 600),
    WN__FIELD_SIZE("c", 0, 1024, 129, 600),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("masks", WN__MASKS_BAD, WN__MASKS_FULL, wn__masks_words),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
};

static void declare_lists(wn__case *k, wn_tensor *start, wn_tensor *values, wn_tensor *row,
                          wn_dtype dtype, int64_t r, int64_t c, wn__role role) {
    int64_t slices = wn__columns24_slices(r), room = wn__columns24_room(r, c);
    wn__case_part(k, "start", start, role, wn__tensor2(NULL, WN_DTYPE_I32, slices, c + 1));
    wn__case_part(k, "values", values, role, wn__tensor2(NULL, dtype, slices, room));
    wn__case_part(k, "row", row, role, wn__tensor2(NULL, WN_DTYPE_U8, slices, room));
}

static void list_declare(wn__case *k) {
    wn__columns24 *p = k->args;
    const int64_t *v = k->problem.value;
    wn_dtype dtype = wn__case_dtype(k, DTYPE);
    wn__case_part(k, "w", &p->w, WN__READ, wn__view2(dtype, v[R], v[C], v[PAD]));
    wn__case_part(k, "mask", &p->mask, WN__READ,
                  wn__tensor2(NULL, WN_DTYPE_U8, v[R], wn__ceil_div(v[C], 4)));
    declare_lists(k, &p->start, &p->values, &p->row, dtype, v[R], v[C], WN__WRITE);
}

static void list_fill(wn__case *k) {
    const int64_t *v = k->problem.value;
    wn__part_fill(k, wn__case_find(k, "w"), (wn__data)v[DATA]);
    wn__masks_fill(k, wn__case_find(k, "mask"), v[C], (wn__masks)v[MASKS]);
}

const wn__case_type wn__cases_columns24 = {.op = WN__OP_columns24,
                                           .args_size = sizeof(wn__columns24),
                                           .fields = list_fields,
                                           .field_count = LIST_FIELDS,
                                           .compare = WN__SAME_BITS,
                                           .declare = list_declare,
                                           .fill = list_fill};

// ---- spmm24_columns

enum { T, ROWS, COLUMNS, P_DTYPE, P_DATA, KEPT, ACCUMULATE, XPAD, YPAD, SUMS, FIELDS };

enum { EVEN, SHORT, UNEVEN };
static const char *const kept_words[] = {"even", "short", "uneven", NULL};

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("T", 0, 512, 129, 400), WN__FIELD_SIZE("r", 0, 512, 129, 1100),
    WN__FIELD_SIZE("c", 0, 512, 129, 400), WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),     WN__FIELD_WORDS("kept", UNEVEN, EVEN, kept_words),
    WN__FIELD_FLAG("accumulate", 0),       WN__FIELD_CHOICE("xpad", 0, 9, 0),
    WN__FIELD_CHOICE("ypad", 0, 9, 0),     WN__FIELD_FLAG("sums", 0),
};

static void settle(wn__problem *p) {
    p->value[SUMS] = p->value[SUMS] && p->value[P_DTYPE] == WN_DTYPE_BF16 - 1;
}

static void declare(wn__case *k) {
    wn__spmm24_columns *p = k->args;
    const int64_t *v = k->problem.value;
    wn_dtype dtype = wn__case_dtype(k, P_DTYPE);
    p->accumulate = v[ACCUMULATE];
    wn__case_part(k, "x", &p->x, WN__READ, wn__view2(dtype, v[T], v[ROWS], v[XPAD]));
    declare_lists(k, &p->start, &p->values, &p->row, dtype, v[ROWS], v[COLUMNS], WN__READ);
    wn__case_part(k, "y", &p->y, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE,
                  wn__view2(v[SUMS] ? WN_DTYPE_F32 : dtype, v[T], v[COLUMNS], v[YPAD]));
}

// uneven: most groups keep their first two columns.
static unsigned draw_mask(wn__case *k, int64_t columns) {
    int64_t kind = k->problem.value[KEPT];
    if (kind == UNEVEN && columns > 1 && wn__case_draw(k, 0, 15) != 0) return 3;
    return wn__mask_draw(k, columns, kind == EVEN);
}

// The rows that a column keeps, as its list has them: of BF16 pairs of four rows first.
static int32_t fill_column(const wn__case *k, const unsigned *mask, int64_t j, int64_t rows,
                           uint8_t *row, int32_t count) {
    const bool paired = wn__case_dtype(k, P_DTYPE) == WN_DTYPE_BF16;
    uint8_t single[WN_COLUMNS24_SLICE];
    int32_t singles = 0;
    for (int64_t i = 0; i < rows;) {
        int64_t end = i / 4 * 4 + 4 < rows ? i / 4 * 4 + 4 : rows;
        uint8_t kept[4], n = 0;
        for (; i < end; i++)
            if (mask[i] >> j & 1) kept[n++] = (uint8_t)i;
        for (uint8_t e = 0; e < n; e++)
            if (!paired || e < n / 2 * 2)
                row[count++] = kept[e];
            else
                single[singles++] = kept[e];
    }
    for (int32_t e = 0; e < singles; e++)
        row[count++] = single[e];
    return count;
}

// Lists of one slice, from masks drawn row by row.
static void fill_slice(wn__case *k, int64_t s, int32_t *start, uint8_t *row) {
    static const int64_t slice = WN_COLUMNS24_SLICE;
    const int64_t *v = k->problem.value;
    int64_t c = v[COLUMNS], rows = v[ROWS] - s * slice < slice ? v[ROWS] - s * slice : slice;
    int32_t count = 0;
    for (int64_t g = 0; g < wn__ceil_div(c, 4); g++) {
        unsigned mask[WN_COLUMNS24_SLICE];
        int64_t columns = c - 4 * g < 4 ? c - 4 * g : 4;
        for (int64_t i = 0; i < rows; i++)
            mask[i] = draw_mask(k, columns);
        for (int64_t j = 0; j < columns; j++) {
            start[4 * g + j] = count;
            count = fill_column(k, mask, j, rows, row, count);
        }
    }
    start[c] = count;
}

static void fill(wn__case *k) {
    wn__part *start = wn__case_find(k, "start"), *row = wn__case_find(k, "row");
    wn__case_fill(k, (wn__data)k->problem.value[P_DATA]);
    if (row->count > 0) memset(row->image, 0, (size_t)row->count);
    for (int64_t s = 0; s < start->view.shape[0]; s++)
        fill_slice(k, s, (int32_t *)start->image + s * start->view.shape[1],
                   (uint8_t *)row->image + s * row->view.shape[1]);
}

static void bound(wn__case *k, const wn__round *r) {
    const int64_t *v = k->problem.value;
    wn__part *p = wn__case_find(k, "y");
    wn__round stored = wn__round_stored(r, p);
    wn__bound_sum(p, &stored, (double)(v[ROWS] + v[ACCUMULATE]), v[P_DATA] == WN__DATA_INTEGERS);
}

// Half of what the matrix has, where every group keeps two.
static double flops(const wn__problem *p) {
    return 4.0 * (double)p->value[T] * (double)p->value[ROWS] *
           (double)wn__ceil_div(p->value[COLUMNS], 4);
}

static void baseline(const wn__problem *p, wn__op *op, char *text, size_t n) {
    const int64_t *v = p->value;
    *op = WN__OP_matmul;
    (void)snprintf(text, n, "m=%lld,n=%lld,k=%lld,dtype=%s,accumulate=%lld,sums=%lld",
                   (long long)v[T], (long long)v[COLUMNS], (long long)v[ROWS],
                   wn__dtype_words[v[P_DTYPE]], (long long)v[ACCUMULATE], (long long)v[SUMS]);
}

const wn__case_type wn__cases_spmm24_columns = {.op = WN__OP_spmm24_columns,
                                                .args_size = sizeof(wn__spmm24_columns),
                                                .fields = fields,
                                                .field_count = FIELDS,
                                                .multilinear = true,
                                                .settle = settle,
                                                .declare = declare,
                                                .fill = fill,
                                                .bound = bound,
                                                .flops = flops,
                                                .baseline = baseline};
