// SPDX-License-Identifier: MIT
// Magnitude pruning of one weight: a look for what is not finite, the mask, zeros where it keeps
// nothing. Sums are made row by row, so they do not depend on the threads.
#include "prune/magnitude.h"

#include "base/fail.h"
#include "prune/layers.h"
#include "prune/values.h"
#include <math.h>
#include <stdlib.h>

// Rows of a block, whatever the number of threads.
#define GRAIN INT64_C(16)

// Scales of sums are powers of two that are normal numbers, as their inverses are.
#define MAX_EXPONENT 1000

typedef struct row_sums {
    wn__prune_sums sums;
    int64_t bad; // first column that is not finite; -1: none
} row_sums;

typedef struct job {
    const wn_tensor *w, *mask;
    row_sums *row;
    double *values; // [threads][in]: a row at a time
} job;

static const double *values_of(const job *j, int64_t row, int worker) {
    int64_t width = j->w->shape[1];
    double *v = j->values + worker * width;
    wn__values(j->w, row * width, width, v);
    return v;
}

static int64_t first_not_finite(const double *v, int64_t n) {
    for (int64_t c = 0; c < n; c++)
        if (!isfinite(v[c])) return c;
    return -1;
}

// Finite doubles may have a sum that is not, and squares that are not or that vanish: sums are of
// w 2^-exponent, with the row's largest near 1. A power of two changes no rounding.
static int exponent_of(const double *v, int64_t n) {
    double largest = 0;
    int exponent;
    for (int64_t c = 0; c < n; c++)
        largest = fabs(v[c]) > largest ? fabs(v[c]) : largest;
    (void)frexp(largest, &exponent);
    if (exponent > MAX_EXPONENT) return MAX_EXPONENT;
    return exponent < -MAX_EXPONENT ? -MAX_EXPONENT : exponent;
}

// Before anything is changed: what is there.
static void look_at_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    const job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        const double *v = values_of(j, i, worker);
        row_sums *r = &j->row[i];
        int64_t width = j->w->shape[1];
        *r = (row_sums){.bad = first_not_finite(v, width)};
        if (r->bad >= 0) continue;
        r->sums.exponent = exponent_of(v, width);
        double scale = ldexp(1, -r->sums.exponent);
        for (int64_t c = 0; c < width; c++) {
            double scaled = v[c] * scale;
            r->sums.magnitude += fabs(scaled);
            r->sums.energy += scaled * scaled;
            r->sums.zeros_before += v[c] == 0;
        }
    }
}

static bool keeps(const uint8_t *bits, int64_t c) {
    return bits[c / 4] >> (c % 4) & 1;
}

// +0 is all bits zero in every dtype.
static void zero_row(const wn_tensor *w, int64_t row, const uint8_t *bits) {
    int64_t width = w->shape[1];
    size_t size = wn_dtype_size(w->dtype);
    if (size == 2) {
        uint16_t *p = (uint16_t *)w->data + row * width;
        for (int64_t c = 0; c < width; c++)
            p[c] = keeps(bits, c) ? p[c] : 0;
    } else {
        char *p = (char *)w->data + (size_t)(row * width) * size;
        for (int64_t c = 0; c < width; c++)
            if (!keeps(bits, c)) memset(p + (size_t)c * size, 0, size);
    }
}

static void prune_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    const job *j = ctx;
    for (int64_t i = begin; i < end; i++) {
        const double *v = values_of(j, i, worker);
        wn__prune_sums *s = &j->row[i].sums;
        const uint8_t *bits = wn__tensor_at(j->mask, i, 0);
        double scale = ldexp(1, -s->exponent);
        for (int64_t c = 0; c < j->w->shape[1]; c++) {
            double kept = keeps(bits, c) ? v[c] : 0, scaled = kept * scale;
            s->kept_magnitude += fabs(scaled);
            s->kept_energy += scaled * scaled;
            s->zeros += kept == 0;
        }
        zero_row(j->w, i, bits);
    }
}

static wn_status refuse_not_finite(const job *j) {
    for (int64_t i = 0; i < j->w->shape[0]; i++) {
        int64_t c = j->row[i].bad;
        if (c < 0) continue;
        double v;
        wn__values(j->w, i * j->w->shape[1] + c, 1, &v);
        return wn__fail(WN_INVALID, "%s at row %lld, column %lld: a weight must be finite",
                        isnan(v) ? "NaN"
                        : v > 0  ? "inf"
                                 : "-inf",
                        (long long)i, (long long)c);
    }
    return WN_OK;
}

static void scale_to(wn__prune_sums *s, int exponent) {
    int shift = s->exponent - exponent;
    s->magnitude = ldexp(s->magnitude, shift);
    s->kept_magnitude = ldexp(s->kept_magnitude, shift);
    s->energy = ldexp(s->energy, 2 * shift);
    s->kept_energy = ldexp(s->kept_energy, 2 * shift);
    s->exponent = exponent;
}

// The exponent of zeros says nothing.
void wn__prune_sums_add(wn__prune_sums *to, const wn__prune_sums *s) {
    wn__prune_sums added = *s;
    if (to->magnitude == 0) to->exponent = added.exponent;
    if (added.magnitude == 0) added.exponent = to->exponent;
    scale_to(to, to->exponent > added.exponent ? to->exponent : added.exponent);
    scale_to(&added, to->exponent);
    to->magnitude += added.magnitude;
    to->energy += added.energy;
    to->kept_magnitude += added.kept_magnitude;
    to->kept_energy += added.kept_energy;
    to->zeros_before += added.zeros_before;
    to->zeros += added.zeros;
}

wn_status wn__prune_magnitude(wn__runtime *rt, const wn_tensor *w, const wn_tensor *mask,
                              wn__mask24_method method, wn__prune_sums *out) {
    const wn__mask24 choose = {.w = *w, .mask = *mask, .method = method};
    int64_t rows = w->shape[0];
    wn_status status;
    *out = (wn__prune_sums){0};
    size_t threads = (size_t)wn__pool_threads(rt->pool), width = (size_t)w->shape[1];
    job j = {.w = w,
             .mask = mask,
             .row = calloc((size_t)rows + 1, sizeof *j.row),
             .values = calloc(threads * width + 1, sizeof *j.values)};
    if (j.row == NULL || j.values == NULL) {
        status = wn__fail(WN_NOMEM, "no memory for %lld rows", (long long)rows);
        goto out;
    }
    wn__parallel_for(rt->pool, rows, GRAIN, look_at_rows, &j);
    WN_TRY_OUT(refuse_not_finite(&j));
    WN_TRY_OUT(wn__runtime_run(rt, WN__OP_mask24, &choose));
    wn__parallel_for(rt->pool, rows, GRAIN, prune_rows, &j);
    for (int64_t i = 0; i < rows; i++)
        wn__prune_sums_add(out, &j.row[i].sums);
out:
    free(j.row);
    free(j.values);
    return status;
}
