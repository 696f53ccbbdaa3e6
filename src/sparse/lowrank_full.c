// SPDX-License-Identifier: MIT
// The exact step where r exceeds out or in: W can then have full rank, its tangent space is all of
// [out,in], and the step is W - lr G itself. G follows from the factor of fewer rows, which stay
// independent from step to step: dN = G^T M gives G^T = dN M^+, dM = G N gives G = dM N^+.
#include "base/fail.h"
#include "sparse/lowrank_impl.h"

#include <math.h>

// A factor [rows,r] with rows <= r: its SVD U S V^T, and so its inverse from the right V S^-1 U^T.
typedef struct wide {
    wn_tensor u, s, vt; // [rows,rows], [rows], [rows,r]
    wn_tensor mixed;    // [the other side's rows, rows]: its direction times V, then times S^-1
} wide;

typedef struct full {
    const wn__linalg *family;
    int64_t out, in, r, k;  // k: min(out,in)
    wn_tensor m, n, dm, dn; // in double
    wide from_m, from_n;    // where M, or N, is wide
    wn_tensor w, g, other;  // [out,in]
    wn_tensor u, s, vt;     // of the new W
    wn_tensor new_m, new_n; // [out,r], [in,r]
    wn__gauge gauge;
    void *work;
} full;

static wn_status matrix(wn__arena *arena, int64_t a, int64_t b, wn_tensor *out) {
    return wn__tensor_alloc2(arena, WN_DTYPE_F64, a, b, out);
}

static wn_status alloc_wide(wn__arena *arena, int64_t rows, int64_t r, int64_t others, wide *f) {
    WN_TRY(matrix(arena, rows, rows, &f->u));
    WN_TRY(wn__tensor_alloc1(arena, WN_DTYPE_F64, rows, &f->s));
    WN_TRY(matrix(arena, rows, r, &f->vt));
    return matrix(arena, others, rows, &f->mixed);
}

static wn_status alloc_factors(wn__arena *arena, int64_t out, int64_t in, int64_t r, full *f) {
    WN_TRY(matrix(arena, out, r, &f->m));
    WN_TRY(matrix(arena, in, r, &f->n));
    WN_TRY(matrix(arena, out, r, &f->dm));
    WN_TRY(matrix(arena, in, r, &f->dn));
    WN_TRY(matrix(arena, out, r, &f->new_m));
    WN_TRY(matrix(arena, in, r, &f->new_n));
    if (out <= in) WN_TRY(alloc_wide(arena, out, r, in, &f->from_m));
    if (in <= out) WN_TRY(alloc_wide(arena, in, r, out, &f->from_n));
    return WN_OK;
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static wn_status alloc_full(wn__arena *arena, const wn__linalg *family, int64_t out, int64_t in,
                            int64_t r, full *f) {
    *f = (full){.family = family, .out = out, .in = in, .r = r, .k = out < in ? out : in};
    WN_TRY(alloc_factors(arena, out, in, r, f));
    WN_TRY(matrix(arena, out, in, &f->w));
    WN_TRY(matrix(arena, out, in, &f->g));
    WN_TRY(matrix(arena, out, in, &f->other));
    WN_TRY(matrix(arena, out, f->k, &f->u));
    WN_TRY(wn__tensor_alloc1(arena, WN_DTYPE_F64, f->k, &f->s));
    WN_TRY(matrix(arena, f->k, in, &f->vt));
    WN_TRY(wn__gauge_alloc(arena, family, out, in, r, &f->gauge));
    size_t work = wn__linalg_svd_scratch(family, out, in);
    if (out <= in) work = most(work, wn__linalg_svd_scratch(family, out, r));
    if (in <= out) work = most(work, wn__linalg_svd_scratch(family, in, r));
    return wn__arena_alloc(arena, work, &f->work);
}

wn_status wn__exact_full_alloc(wn__arena *arena, const wn__linalg *family, int64_t out, int64_t in,
                               int64_t r) {
    full f;
    return alloc_full(arena, family, out, in, r, &f);
}

// g[rows, others] = the gradient, or its transpose, from a wide factor and the other side's
// direction: U S^-1 (direction V)^T.
static wn_status recover(const full *f, wn__exec *x, const wn_tensor *factor,
                         const wn_tensor *direction, const char *name, const wide *from,
                         const wn_tensor *g, double least, double *condition,
                         wn__exact_report *report) {
    int64_t rows = factor->shape[0];
    wn_tensor v = wn__tensor_transpose(&from->vt), mixed_t = wn__tensor_transpose(&from->mixed);
    wn_status svd = wn__linalg_svd(f->family, x, rows, f->r, factor->data, from->u.data,
                                   from->s.data, from->vt.data, f->work);
    if (!x->planning) wn__exact_judge(name, svd, rows, from->s.data, least, condition, report);
    if (report->fell_back) return WN_OK;
    WN_TRY(wn__linalg_product(f->family, x, direction, &v, &from->mixed));
    double *mixed = from->mixed.data;
    for (int64_t i = 0; !x->planning && i < direction->shape[0]; i++)
        for (int64_t j = 0; j < rows; j++)
            mixed[i * rows + j] /= ((double *)from->s.data)[j];
    return wn__linalg_product(f->family, x, &from->u, &mixed_t, g);
}

// G by the factor of fewer rows; with as many in both from dN, as the paper's K0, or the mean of
// both when symmetric.
static wn_status gradient(const full *f, wn__exec *x, const wn__exact_options *o,
                          wn__exact_report *report) {
    double least = o->least_ratio > 0 ? o->least_ratio : WN__EXACT_LEAST_RATIO;
    bool by_m = f->out <= f->in, by_n = !by_m || (f->out == f->in && o->symmetric);
    wn_tensor other_t = wn__tensor_reshape(&f->other, 2, (const int64_t[]){f->in, f->out});
    if (by_m)
        WN_TRY(recover(f, x, &f->m, &f->dn, "M", &f->from_m, &f->g, least, &report->condition_m,
                       report));
    if (by_n && !report->fell_back)
        WN_TRY(recover(f, x, &f->n, &f->dm, "N", &f->from_n, &other_t, least, &report->condition_n,
                       report));
    if (!by_n || x->planning || report->fell_back) return WN_OK;
    double *g = f->g.data;
    const double *other = f->other.data;
    for (int64_t i = 0; i < f->out; i++)
        for (int64_t j = 0; j < f->in; j++) {
            double value = other[j * f->out + i];
            g[i * f->in + j] = by_m ? g[i * f->in + j] / 2 + value / 2 : value;
        }
    return WN_OK;
}

// w -= lr g; false where that overflows. The length of the way goes to the report.
static bool walk(const full *f, double lr, wn__exact_report *report) {
    double *w = f->w.data, sum = 0;
    const double *g = f->g.data;
    bool finite = true;
    for (int64_t i = 0; i < f->out * f->in; i++) {
        sum += lr * g[i] * (lr * g[i]);
        w[i] -= lr * g[i];
        finite = finite && isfinite(w[i]);
    }
    report->moved = sqrt(sum);
    return finite;
}

static wn_status split(const full *f, wn__exec *x, wn__exact_report *report) {
    if (wn__linalg_svd(f->family, x, f->out, f->in, f->w.data, f->u.data, f->s.data, f->vt.data,
                       f->work) != WN_OK) {
        wn__exact_fall_back(report, "%s", wn_last_error());
        return WN_OK;
    }
    if (x->planning) return WN_OK;
    report->sigma_max = ((double *)f->s.data)[0];
    report->sigma_min = ((double *)f->s.data)[f->k - 1];
    wn__lowrank_balance(&f->u, f->s.data, &f->vt, f->k, &f->new_m, &f->new_n);
    return WN_OK;
}

wn_status wn__exact_full(wn__exec *x, const wn_tensor *m, const wn_tensor *n, const wn_tensor *dm,
                         const wn_tensor *dn, double lr, const wn__exact_options *o, void *scratch,
                         wn__exact_report *report) {
    wn__arena arena = wn__arena_over(scratch);
    full f;
    WN_TRY(alloc_full(&arena, o->family, m->shape[0], n->shape[0], m->shape[1], &f));
    WN_TRY(wn__lowrank_load(x, "M", m, &f.m));
    WN_TRY(wn__lowrank_load(x, "N", n, &f.n));
    WN_TRY(wn__lowrank_load(x, "dM", dm, &f.dm));
    WN_TRY(wn__lowrank_load(x, "dN", dn, &f.dn));
    wn_tensor n_t = wn__tensor_transpose(&f.n), new_m = f.new_m, new_n = f.new_n;
    WN_TRY(wn__linalg_product(f.family, x, &f.m, &n_t, &f.w));
    WN_TRY(gradient(&f, x, o, report));
    if (report->fell_back) return WN_OK;
    if (!x->planning && !walk(&f, lr, report)) wn__exact_fall_back(report, "the step overflows");
    if (report->fell_back) return WN_OK;
    WN_TRY(split(&f, x, report));
    if (report->fell_back) return WN_OK;
    if (o->gauge) {
        WN_TRY(wn__gauge_turn(&f.gauge, f.family, x, &f.m, &f.n, &f.new_m, &f.new_n, report));
        if (report->fell_back) return WN_OK;
        new_m = f.gauge.left;
        new_n = f.gauge.right;
    } else {
        wn__gauge_signs(x, &f.m, &f.n, &new_m, &new_n);
    }
    if (!x->planning) wn__exact_store(&new_m, &new_n, m, n, report);
    return WN_OK;
}
