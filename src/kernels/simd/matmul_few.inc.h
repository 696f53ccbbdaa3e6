// SPDX-License-Identifier: MIT
/* Products of few rows, as in decoding: b is read once, straight from where it stands. Where b is
 * contiguous along k every element is a dot product (lanes along k); where it is contiguous along
 * n, lanes are columns. Tiles of FEW_M rows of a and FEW_N columns of b share their loads. */
#include "kernels/matmul.h"
#include "kernels/op.h"
#include "kernels/simd/vec.h"

#define FEW_M     4
#define FEW_N     4
#define FEW_BLOCK 64                 /* columns of a block */
#define FEW_LANES (VF == 16 ? 4 : 2) /* vectors of columns that share a row of b */

/* n <= VF sums of row i from column j on: adds what was there and the bias, in the order of the
 * contract's formula. */
ALWAYS void few_store(const wn__matmul *p, int64_t i, int64_t j, vf sum, int64_t n) {
    float *c = (float *)p->c.data + i * p->c.stride[0] + j;
    if (p->accumulate) sum = vf_add(sum, vf_load_n(c, n));
    if (wn__given(&p->bias)) sum = vf_add(sum, vf_load_n((const float *)p->bias.data + j, n));
    vf_store_n(c, sum, n);
}

/* acc[r][q] += a row times b column, n <= VF steps of k. Called with n a constant but for the last
 * step. */
ALWAYS void few_dots_step(int rows, const float *a, int64_t down, const float *const b[FEW_N],
                          int64_t l, int64_t n, vf acc[FEW_M][FEW_N]) {
    vf column[FEW_N];
    UNROLL
    for (int q = 0; q < FEW_N; q++)
        column[q] = n == VF ? vf_load(b[q] + l) : vf_load_n(b[q] + l, n);
    UNROLL
    for (int r = 0; r < rows; r++) {
        vf row = n == VF ? vf_load(a + r * down + l) : vf_load_n(a + r * down + l, n);
        UNROLL
        for (int q = 0; q < FEW_N; q++)
            acc[r][q] = vf_fma(row, column[q], acc[r][q]);
    }
}

/* Dot products along k of `rows` rows of a with FEW_N columns of b, of which `columns` exist
 * (pointers beyond repeat the last). */
ALWAYS void few_dots(const wn__matmul *p, int rows, int64_t i, int64_t j, int64_t columns) {
    int64_t k = p->a.shape[1], down = p->a.stride[0], l = 0;
    const float *a = (const float *)p->a.data + i * down, *b[FEW_N];
    for (int64_t q = 0; q < FEW_N; q++)
        b[q] = (const float *)p->b.data + (j + (q < columns ? q : columns - 1)) * p->b.stride[1];
    vf acc[FEW_M][FEW_N];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int q = 0; q < FEW_N; q++)
            acc[r][q] = vf_zero();
    }
    for (; l + VF <= k; l += VF)
        few_dots_step(rows, a, down, b, l, VF, acc);
    if (l < k) few_dots_step(rows, a, down, b, l, k - l, acc);
    UNROLL
    for (int r = 0; r < rows; r++) {
        few_store(p, i + r, j, vf_sum4_lanes(acc[r]), columns);
    }
}

/* Rows of b times scalars of a, over FEW_LANES vectors of columns. */
ALWAYS void few_rows_whole(const wn__matmul *p, int rows, int64_t i, int64_t j,
                           vf acc[FEW_M][FEW_LANES]) {
    int64_t k = p->a.shape[1], down = p->b.stride[0], across = p->a.stride[0],
            along = p->a.stride[1];
    const float *a = (const float *)p->a.data + i * across, *b = (const float *)p->b.data + j;
    for (int64_t l = 0; l < k; l++, a += along, b += down) {
        vf row[FEW_LANES];
        UNROLL
        for (int q = 0; q < FEW_LANES; q++)
            row[q] = vf_load(b + q * VF);
        UNROLL
        for (int r = 0; r < rows; r++) {
            vf scalar = vf_set(a[r * across]);
            UNROLL
            for (int q = 0; q < FEW_LANES; q++)
                acc[r][q] = vf_fma(scalar, row[q], acc[r][q]);
        }
    }
}

/* The same where only `columns` of them exist: one vector after the other. */
ALWAYS void few_rows_part(const wn__matmul *p, int rows, int64_t i, int64_t j, int64_t columns,
                          vf acc[FEW_M][FEW_LANES]) {
    int64_t k = p->a.shape[1], across = p->a.stride[0];
    for (int q = 0; q < FEW_LANES && q * VF < columns; q++) {
        int64_t n = columns - q * VF < VF ? columns - q * VF : VF;
        const float *a = (const float *)p->a.data + i * across,
                    *b = (const float *)p->b.data + j + q * VF;
        for (int64_t l = 0; l < k; l++, a += p->a.stride[1], b += p->b.stride[0]) {
            vf row = vf_load_n(b, n);
            UNROLL
            for (int r = 0; r < rows; r++)
                acc[r][q] = vf_fma(vf_set(a[r * across]), row, acc[r][q]);
        }
    }
}

ALWAYS void few_rows(const wn__matmul *p, int rows, int64_t i, int64_t j, int64_t columns) {
    vf acc[FEW_M][FEW_LANES];
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int q = 0; q < FEW_LANES; q++)
            acc[r][q] = vf_zero();
    }
    if (columns == FEW_LANES * VF)
        few_rows_whole(p, rows, i, j, acc);
    else
        few_rows_part(p, rows, i, j, columns, acc);
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int q = 0; q < FEW_LANES; q++) {
            int64_t n = columns - q * VF;
            if (n > 0) few_store(p, i + r, j + q * VF, acc[r][q], n < VF ? n : VF);
        }
    }
}

/* One row count at a time, so that the accumulators of a tile are registers. */
#define FEW_SWITCH(call, rows, ...)                                                                \
    switch (rows) {                                                                                \
    case 1:                                                                                        \
        call(p, 1, __VA_ARGS__);                                                                   \
        break;                                                                                     \
    case 2:                                                                                        \
        call(p, 2, __VA_ARGS__);                                                                   \
        break;                                                                                     \
    case 3:                                                                                        \
        call(p, 3, __VA_ARGS__);                                                                   \
        break;                                                                                     \
    default:                                                                                       \
        call(p, 4, __VA_ARGS__);                                                                   \
    }

static void few_columns(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__matmul *p = ctx;
    bool across = p->b.stride[1] == 1;
    int64_t m = p->c.shape[0], width = across ? FEW_LANES * VF : FEW_N;
    for (int64_t j = begin; j < end; j += width) {
        int64_t columns = end - j < width ? end - j : width;
        for (int64_t i = 0; i < m; i += FEW_M) {
            if (across) {
                FEW_SWITCH(few_rows, m - i, i, j, columns)
            } else {
                FEW_SWITCH(few_dots, m - i, i, j, columns)
            }
        }
    }
}
