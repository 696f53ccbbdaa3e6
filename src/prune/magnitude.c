// SPDX-License-Identifier: MIT
// Magnitude pruning of one weight: a look for what is not finite, the mask, zeros where it keeps
// nothing. Sums are made row by row, so they do not depend on the threads.
#include "prune/magnitude.h"

#include "base/fail.h"
#include "kernels/element.h"
#include "prune/layers.h"
#include <math.h>
#include <stdlib.h>

// Rows of a block, whatever the number of threads.
#define GRAIN INT64_C(16)

typedef struct row_sums {
    wn__prune_sums sums;
    int64_t bad; // first column that is not finite; -1: none
} row_sums;

typedef struct job {
    const wn_tensor *w, *mask;
    row_sums *row;
} job;

// Before anything is changed: what is there.
static void look_at_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    const job *j = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        row_sums *r = &j->row[i];
        *r = (row_sums){.bad = -1};
        for (int64_t c = 0; c < j->w->shape[1]; c++) {
            double v = wn__get(j->w, wn__at(j->w, i, c));
            if (!isfinite(v) && r->bad < 0) r->bad = c;
            r->sums.magnitude += fabs(v);
            r->sums.energy += v * v;
            r->sums.zeros_before += v == 0;
        }
    }
}

static void prune_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    const job *j = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        wn__prune_sums *s = &j->row[i].sums;
        const uint8_t *bits = wn__tensor_at(j->mask, i, 0);
        for (int64_t c = 0; c < j->w->shape[1]; c++) {
            int64_t at = wn__at(j->w, i, c);
            if (bits[c / 4] >> (c % 4) & 1) {
                double v = wn__get(j->w, at);
                s->kept_magnitude += fabs(v);
                s->kept_energy += v * v;
                s->zeros += v == 0;
            } else {
                wn__set(j->w, at, 0);
                s->zeros++;
            }
        }
    }
}

static wn_status refuse_not_finite(const job *j) {
    for (int64_t i = 0; i < j->w->shape[0]; i++) {
        int64_t c = j->row[i].bad;
        if (c < 0) continue;
        double v = wn__get(j->w, wn__at(j->w, i, c));
        return wn__fail(WN_INVALID, "%s at row %lld, column %lld: a weight must be finite",
                        isnan(v) ? "NaN"
                        : v > 0  ? "inf"
                                 : "-inf",
                        (long long)i, (long long)c);
    }
    return WN_OK;
}

static void add_up(const job *j, wn__prune_sums *out) {
    *out = (wn__prune_sums){0};
    for (int64_t i = 0; i < j->w->shape[0]; i++) {
        const wn__prune_sums *s = &j->row[i].sums;
        out->magnitude += s->magnitude;
        out->energy += s->energy;
        out->kept_magnitude += s->kept_magnitude;
        out->kept_energy += s->kept_energy;
        out->zeros_before += s->zeros_before;
        out->zeros += s->zeros;
    }
}

wn_status wn__prune_magnitude(wn__runtime *rt, const wn_tensor *w, const wn_tensor *mask,
                              wn__mask24_method method, wn__prune_sums *out) {
    const wn__mask24 choose = {.w = *w, .mask = *mask, .method = method};
    int64_t rows = w->shape[0];
    wn_status status;
    *out = (wn__prune_sums){0};
    job j = {.w = w, .mask = mask, .row = calloc((size_t)rows + 1, sizeof *j.row)};
    if (j.row == NULL) return wn__fail(WN_NOMEM, "no memory for %lld rows", (long long)rows);
    wn__parallel_for(rt->pool, rows, GRAIN, look_at_rows, &j);
    WN_TRY_OUT(refuse_not_finite(&j));
    WN_TRY_OUT(wn__prune_run(rt, WN__OP_mask24, &choose));
    wn__parallel_for(rt->pool, rows, GRAIN, prune_rows, &j);
    add_up(&j, out);
out:
    free(j.row);
    return status;
}
