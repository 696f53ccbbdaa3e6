// SPDX-License-Identifier: MIT
// soft24, soft24_dots and apply24, the specification. Differences and products are taken in double
// and rounded to the dtype, which for F32 is the rounding of a float operation.
#include "kernels/soft24.h"
#include "base/fail.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/mask24.h"

#include <math.h>

// Once to the dtype.
static double rounded(wn_dtype dtype, double value) {
    uint64_t element = 0;
    const wn_tensor one = {.data = &element, .dtype = dtype};
    wn__set(&one, 0, value);
    return wn__get(&one, 0);
}

static double scale_of(const wn_tensor *scale, wn_dtype dtype) {
    if (!wn__given(scale)) return 1;
    double value = *(const double *)scale->data;
    return dtype == WN_DTYPE_F64 ? value : (double)(float)value;
}

// Whether entry i comes before entry j in the total order.
static bool before(const double *magnitude, int i, int j) {
    return magnitude[i] > magnitude[j] || (magnitude[i] == magnitude[j] && i < j);
}

// The n <= 4 entries of a group from column j on, then zeros.
static int load_group(const wn_tensor *w, int64_t i, int64_t j, double group[4]) {
    int n = w->shape[1] - j < 4 ? (int)(w->shape[1] - j) : 4;
    for (int k = 0; k < 4; k++)
        group[k] = k < n ? wn__get(w, wn__at(w, i, j + k)) : 0;
    return n;
}

// S of a group with scale 1, and which positions it keeps.
static unsigned soften(wn_dtype dtype, const double group[4], double out[4]) {
    double magnitude[4], tau = 0;
    unsigned mask = 0;
    int rank[4] = {0};
    for (int i = 0; i < 4; i++)
        magnitude[i] = fabs(group[i]);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++)
            rank[i] += before(magnitude, j, i);
        if (rank[i] == 2) tau = magnitude[i];
    }
    for (int i = 0; i < 4; i++) {
        out[i] = 0;
        if (rank[i] >= 2) continue;
        mask |= 1U << i;
        out[i] = copysign(rounded(dtype, magnitude[i] - tau), group[i]);
    }
    return mask;
}

static void soften_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__soft24 *p = ctx;
    int64_t c = p->w.shape[1], groups = (c + 3) / 4;
    double scale = scale_of(&p->scale, p->w.dtype);
    for (int64_t i = begin; i < end; i++)
        for (int64_t g = 0; g < groups; g++) {
            double group[4], out[4];
            int n = load_group(&p->w, i, 4 * g, group);
            unsigned mask = soften(p->w.dtype, group, out);
            for (int k = 0; k < n; k++)
                wn__set(&p->out, wn__at(&p->out, i, 4 * g + k), mask >> k & 1 ? scale * out[k] : 0);
            if (wn__given(&p->mask))
                ((uint8_t *)p->mask.data)[i * groups + g] = (uint8_t)(mask & ((1U << n) - 1));
        }
}

wn_status wn__soft24_ref(const void *args, wn__exec *x) {
    const wn__soft24 *p = args;
    WN_TRY(wn__mask24_refuse_nan(&(wn__mask24){.w = p->w}));
    wn__parallel_for(x->pool, p->w.shape[0], 1, soften_rows, (void *)args);
    return WN_OK;
}

static double dot4(const double a[4], const double b[4]) {
    return ((a[0] * b[0] + a[1] * b[1]) + a[2] * b[2]) + a[3] * b[3];
}

// Adds the three sums of row i.
static void add_row(const wn_tensor *w, int64_t i, double total[3]) {
    double part[3][16] = {{0}};
    for (int64_t j = 0; j < w->shape[1]; j += 4) {
        double group[4], out[4];
        int64_t at = j / 4 % 16;
        (void)load_group(w, i, j, group);
        (void)soften(w->dtype, group, out);
        part[0][at] += dot4(group, out);
        part[1][at] += dot4(out, out);
        part[2][at] += dot4(group, group);
    }
    for (int k = 0; k < 3; k++) {
        double sum = 0;
        for (int at = 0; at < 16; at++)
            sum += part[k][at];
        total[k] += sum;
    }
}

wn_status wn__soft24_dots_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__soft24_dots *p = args;
    double *out = p->out.data;
    WN_TRY(wn__mask24_refuse_nan(&(wn__mask24){.w = p->w}));
    out[0] = out[1] = out[2] = 0;
    for (int64_t i = 0; i < p->w.shape[0]; i++)
        add_row(&p->w, i, out);
    return WN_OK;
}

static void apply_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__apply24 *p = ctx;
    const uint8_t *mask = p->mask.data;
    int64_t c = p->x.shape[1], groups = p->mask.shape[1];
    double scale = scale_of(&p->scale, p->x.dtype);
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < c; j++) {
            double v = wn__get(&p->x, wn__at(&p->x, i, j));
            bool kept = mask[i * groups + j / 4] >> (j % 4) & 1;
            wn__set(&p->y, wn__at(&p->y, i, j), kept ? scale * v : 0);
        }
}

wn_status wn__apply24_ref(const void *args, wn__exec *x) {
    const wn__apply24 *p = args;
    wn__parallel_for(x->pool, p->x.shape[0], 1, apply_rows, (void *)args);
    return WN_OK;
}
