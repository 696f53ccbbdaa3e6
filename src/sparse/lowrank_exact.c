// SPDX-License-Identifier: MIT
// The exact Riemannian step of a low-rank weight. QR of [M dM] = [U Q2] [R_M S_M; 0 T_M] gives M's
// basis, a basis of what dM adds to it and both in coordinates; the same for N. So all that follows
// is of size 2r: Z_B = dM R_N^-1 is S_M R_N^-1 in U and K2 = T_M R_N^-1 in Q2, and the new weight
// is [U Q2] C [V Q1]^T with the core C, whose SVD is cut at r.
#include "base/fail.h"
#include "sparse/lowrank_impl.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void wn__exact_fall_back(wn__exact_report *report, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(report->why, sizeof report->why, fmt, args) < 0) report->why[0] = '\0';
    va_end(args);
    report->fell_back = true;
}

void wn__exact_judge(const char *name, wn_status svd, int64_t n, const double *s,
                     double least_ratio, double *condition, wn__exact_report *report) {
    if (svd != WN_OK) {
        wn__exact_fall_back(report, "%s: %s", name, wn_last_error());
        return;
    }
    *condition = s[n - 1] > 0 ? s[0] / s[n - 1] : INFINITY;
    if (s[n - 1] > least_ratio * s[0]) return;
    wn__exact_fall_back(report,
                        "%s: smallest over largest singular value %.3g, at least %.3g needed", name,
                        s[0] > 0 ? s[n - 1] / s[0] : 0, least_ratio);
}

void wn__exact_store(const wn_tensor *left, const wn_tensor *right, const wn_tensor *m,
                     const wn_tensor *n, wn__exact_report *report) {
    if (!wn__lowrank_storable(left, m) || !wn__lowrank_storable(right, n)) {
        wn__exact_fall_back(report, "the new factors leave the range of %s",
                            wn_dtype_name(m->dtype));
        return;
    }
    wn__lowrank_store(left, m);
    wn__lowrank_store(right, n);
}

static wn_status matrix(wn__arena *arena, int64_t a, int64_t b, wn_tensor *out) {
    return wn__tensor_alloc2(arena, WN_DTYPE_F64, a, b, out);
}

wn_status wn__gauge_alloc(wn__arena *arena, const wn__linalg *family, int64_t a, int64_t b,
                          int64_t r, wn__gauge *g) {
    WN_TRY(matrix(arena, r, r, &g->overlap));
    WN_TRY(matrix(arena, r, r, &g->turn));
    WN_TRY(matrix(arena, a, r, &g->left));
    WN_TRY(matrix(arena, b, r, &g->right));
    return wn__arena_alloc(arena, wn__linalg_polar_scratch(family, r), &g->work);
}

wn_status wn__gauge_turn(const wn__gauge *g, const wn__linalg *family, wn__exec *x,
                         const wn_tensor *old_left, const wn_tensor *old_right,
                         const wn_tensor *left, const wn_tensor *right, wn__exact_report *report) {
    wn_tensor left_t = wn__tensor_transpose(left), right_t = wn__tensor_transpose(right);
    int64_t r = left->shape[1];
    double *overlap = g->overlap.data, *turn = g->turn.data;
    WN_TRY(wn__linalg_product(family, x, &left_t, old_left, &g->overlap));
    WN_TRY(wn__linalg_product(family, x, &right_t, old_right, &g->turn));
    for (int64_t i = 0; !x->planning && i < r * r; i++)
        overlap[i] += turn[i];
    if (wn__linalg_polar(family, x, r, overlap, turn, g->work) != WN_OK) {
        wn__exact_fall_back(report, "gauge: %s", wn_last_error());
        return WN_OK;
    }
    WN_TRY(wn__linalg_product(family, x, left, &g->turn, &g->left));
    return wn__linalg_product(family, x, right, &g->turn, &g->right);
}

static double *at(const wn_tensor *t, int64_t i, int64_t j) {
    return (double *)t->data + i * t->stride[0] + j * t->stride[1];
}

static double column_dot(const wn_tensor *a, const wn_tensor *b, int64_t j) {
    double sum = 0;
    for (int64_t i = 0; i < a->shape[0]; i++)
        sum += *at(a, i, j) * *at(b, i, j);
    return sum;
}

void wn__gauge_signs(const wn__exec *x, const wn_tensor *old_left, const wn_tensor *old_right,
                     const wn_tensor *left, const wn_tensor *right) {
    for (int64_t j = 0; !x->planning && j < left->shape[1]; j++) {
        if (column_dot(old_left, left, j) + column_dot(old_right, right, j) >= 0) continue;
        for (int64_t i = 0; i < left->shape[0]; i++)
            *at(left, i, j) = -*at(left, i, j);
        for (int64_t i = 0; i < right->shape[0]; i++)
            *at(right, i, j) = -*at(right, i, j);
    }
}

// One factor and its direction.
typedef struct side {
    int64_t rows, basis; // of the factor; columns of its basis, min(rows, 2r)
    wn_tensor both;      // [rows, 2r]: factor and direction; later the new factor
    wn_tensor q, t;      // [rows, basis], [basis, 2r]: their QR
    wn_tensor r;         // [r, r] R of the factor alone
    wn_tensor old;       // [basis, r] the factor in its basis: R over zeros
    wn_tensor z;         // [basis, r] the direction in its basis over the other factor's R
    wn_tensor cut;       // [basis, r] the new factor in the basis
} side;

typedef struct exact {
    const wn__linalg *family;
    int64_t r;
    side m, n;
    wn_tensor w;              // [r, r] R_M R_N^T
    wn_tensor core, p, s, qt; // [basis_m, basis_n] and its SVD
    wn__gauge gauge;
    void *work;
} exact;

static wn_status alloc_side(wn__arena *arena, int64_t rows, int64_t r, side *s) {
    s->rows = rows;
    s->basis = rows < 2 * r ? rows : 2 * r;
    WN_TRY(matrix(arena, rows, 2 * r, &s->both));
    WN_TRY(matrix(arena, rows, s->basis, &s->q));
    WN_TRY(matrix(arena, s->basis, 2 * r, &s->t));
    WN_TRY(matrix(arena, r, r, &s->r));
    WN_TRY(matrix(arena, s->basis, r, &s->old));
    WN_TRY(matrix(arena, s->basis, r, &s->z));
    return matrix(arena, s->basis, r, &s->cut);
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

static wn_status alloc_exact(wn__arena *arena, const wn__linalg *family, int64_t out, int64_t in,
                             int64_t r, exact *e) {
    *e = (exact){.family = family, .r = r};
    WN_TRY(alloc_side(arena, out, r, &e->m));
    WN_TRY(alloc_side(arena, in, r, &e->n));
    int64_t a = e->m.basis, b = e->n.basis, k = a < b ? a : b;
    WN_TRY(matrix(arena, r, r, &e->w));
    WN_TRY(matrix(arena, a, b, &e->core));
    WN_TRY(matrix(arena, a, k, &e->p));
    WN_TRY(wn__tensor_alloc1(arena, WN_DTYPE_F64, k, &e->s));
    WN_TRY(matrix(arena, k, b, &e->qt));
    WN_TRY(wn__gauge_alloc(arena, family, a, b, r, &e->gauge));
    size_t work =
        most(wn__linalg_qr_scratch(family, out, 2 * r), wn__linalg_qr_scratch(family, in, 2 * r));
    work = most(work, wn__linalg_svd_scratch(family, a, b));
    return wn__arena_alloc(arena, most(work, wn__linalg_svd_scratch(family, r, r)), &e->work);
}

size_t wn__lowrank_exact_scratch(int64_t out, int64_t in, int64_t r) {
    const wn__linalg *families[2] = {wn__linalg_reference(), wn__linalg_best()};
    size_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        wn__arena arena;
        exact e;
        wn__arena_measure("exact step", &arena);
        wn_status status = WN_INVALID;
        if (r >= 1 && r <= INT64_MAX / 2)
            status = r > out || r > in ? wn__exact_full_alloc(&arena, families[i], out, in, r)
                                       : alloc_exact(&arena, families[i], out, in, r, &e);
        if (status != WN_OK) return SIZE_MAX;
        bytes = most(bytes, arena.used);
    }
    return bytes;
}

static bool has_zero_column(const wn_tensor *t, const char *name, wn__exact_report *report) {
    for (int64_t j = 0; j < t->shape[1]; j++) {
        int64_t i = 0;
        while (i < t->shape[0] && *at(t, i, j) == 0)
            i++;
        if (i < t->shape[0]) continue;
        wn__exact_fall_back(report, "column %lld of %s is zero", (long long)j, name);
        return true;
    }
    return false;
}

// Factor and direction side by side.
static wn_status load_side(const wn__exec *x, int64_t r, const wn_tensor *factor,
                           const wn_tensor *direction, const char *names[2], const side *s) {
    wn_tensor left = wn__tensor_slice(&s->both, 1, 0, r);
    wn_tensor right = wn__tensor_slice(&s->both, 1, r, r);
    WN_TRY(wn__lowrank_load(x, names[0], factor, &left));
    return wn__lowrank_load(x, names[1], direction, &right);
}

// The bases and coordinates of one side, and how well its factor is conditioned.
static wn_status factor_side(const exact *e, wn__exec *x, const side *s, const char *name,
                             double least_ratio, double *condition, wn__exact_report *report) {
    int64_t r = e->r;
    if (x->planning) return WN_OK;
    WN_TRY(
        wn__linalg_qr(e->family, x, s->rows, 2 * r, s->both.data, s->q.data, s->t.data, e->work));
    for (int64_t i = 0; i < s->basis; i++)
        for (int64_t j = 0; j < r; j++) {
            *at(&s->old, i, j) = *at(&s->t, i, j);
            *at(&s->z, i, j) = *at(&s->t, i, r + j);
            if (i < r) *at(&s->r, i, j) = *at(&s->t, i, j);
        }
    wn_status svd = wn__linalg_svd(e->family, x, r, r, s->r.data, NULL, e->s.data, NULL, e->work);
    wn__exact_judge(name, svd, r, e->s.data, least_ratio, condition, report);
    return WN_OK;
}

// C = [R_M R_N^T - lr K0, -lr K1^T; -lr K2, 0]. z of M holds U^T Z_B over K2, that of N (Z_A V)^T
// over K1. False where it overflows.
static bool fill_core(const exact *e, double lr, bool symmetric) {
    int64_t r = e->r;
    memset(e->core.data, 0, wn__tensor_bytes(&e->core));
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < r; j++) {
            double k0 = *at(&e->n.z, j, i);
            if (symmetric) k0 = k0 / 2 + *at(&e->m.z, i, j) / 2;
            *at(&e->core, i, j) = *at(&e->w, i, j) - lr * k0;
        }
    for (int64_t i = r; i < e->m.basis; i++)
        for (int64_t j = 0; j < r; j++)
            *at(&e->core, i, j) = -lr * *at(&e->m.z, i, j);
    for (int64_t i = r; i < e->n.basis; i++)
        for (int64_t j = 0; j < r; j++)
            *at(&e->core, j, i) = -lr * *at(&e->n.z, i, j);
    const double *c = e->core.data;
    for (int64_t i = 0; i < e->m.basis * e->n.basis; i++)
        if (!isfinite(c[i])) return false;
    return true;
}

// The core from both sides.
static wn_status form_core(const exact *e, wn__exec *x, double lr, bool symmetric,
                           wn__exact_report *report) {
    int64_t r = e->r;
    wn_tensor rn_t = wn__tensor_transpose(&e->n.r);
    WN_TRY(wn__linalg_product(e->family, x, &e->m.r, &rn_t, &e->w));
    if (x->planning) return WN_OK;
    WN_TRY(wn__linalg_solve(x, e->m.basis, r, e->n.r.data, r, e->m.z.data));
    WN_TRY(wn__linalg_solve(x, e->n.basis, r, e->m.r.data, r, e->n.z.data));
    if (!fill_core(e, lr, symmetric)) wn__exact_fall_back(report, "the step overflows");
    return WN_OK;
}

// Its SVD cut at r, as balanced factors in the bases.
static wn_status cut_core(const exact *e, wn__exec *x, wn__exact_report *report) {
    int64_t r = e->r, count = e->s.shape[0];
    if (x->planning) return WN_OK;
    if (wn__linalg_svd(e->family, x, e->m.basis, e->n.basis, e->core.data, e->p.data, e->s.data,
                       e->qt.data, e->work) != WN_OK) {
        wn__exact_fall_back(report, "%s", wn_last_error());
        return WN_OK;
    }
    const double *value = e->s.data;
    report->sigma_max = value[0];
    report->sigma_min = value[r - 1];
    report->dropped = count > r ? value[r] : 0;
    wn__lowrank_balance(&e->p, value, &e->qt, r, &e->m.cut, &e->n.cut);
    return WN_OK;
}

// ||W_new - W||_F, which the bases keep. The core is not needed any more.
static wn_status measure_move(const exact *e, wn__exec *x, wn__exact_report *report) {
    wn_tensor cut_t = wn__tensor_transpose(&e->n.cut);
    double sum = 0;
    WN_TRY(wn__linalg_product(e->family, x, &e->m.cut, &cut_t, &e->core));
    for (int64_t i = 0; !x->planning && i < e->m.basis; i++)
        for (int64_t j = 0; j < e->n.basis; j++) {
            double old = i < e->r && j < e->r ? *at(&e->w, i, j) : 0;
            double moved = *at(&e->core, i, j) - old;
            sum += moved * moved;
        }
    report->moved = sqrt(sum);
    return WN_OK;
}

// The new factors out of their bases, into the room of the old ones.
static wn_status lift(const exact *e, wn__exec *x, const side *s, const wn_tensor *cut,
                      wn_tensor *out) {
    *out = wn__tensor2(s->both.data, WN_DTYPE_F64, s->rows, e->r);
    return wn__linalg_product(e->family, x, &s->q, cut, out);
}

static wn_status step(const exact *e, wn__exec *x, const wn_tensor *m, const wn_tensor *n,
                      double lr, const wn__exact_options *o, wn__exact_report *report) {
    double least = o->least_ratio > 0 ? o->least_ratio : WN__EXACT_LEAST_RATIO;
    WN_TRY(factor_side(e, x, &e->m, "M", least, &report->condition_m, report));
    WN_TRY(factor_side(e, x, &e->n, "N", least, &report->condition_n, report));
    if (report->fell_back) return WN_OK;
    WN_TRY(form_core(e, x, lr, o->symmetric, report));
    if (report->fell_back) return WN_OK;
    WN_TRY(cut_core(e, x, report));
    if (report->fell_back) return WN_OK;
    WN_TRY(measure_move(e, x, report));
    wn_tensor cut_m = e->m.cut, cut_n = e->n.cut, new_m, new_n;
    if (o->gauge) {
        WN_TRY(
            wn__gauge_turn(&e->gauge, e->family, x, &e->m.old, &e->n.old, &cut_m, &cut_n, report));
        if (report->fell_back) return WN_OK;
        cut_m = e->gauge.left;
        cut_n = e->gauge.right;
    } else {
        wn__gauge_signs(x, &e->m.old, &e->n.old, &cut_m, &cut_n);
    }
    WN_TRY(lift(e, x, &e->m, &cut_m, &new_m));
    WN_TRY(lift(e, x, &e->n, &cut_n, &new_n));
    if (!x->planning) wn__exact_store(&new_m, &new_n, m, n, report);
    return WN_OK;
}

static wn_status check(const wn__exec *x, const wn_tensor *m, const wn_tensor *n,
                       const wn_tensor *dm, const wn_tensor *dn, double lr) {
    WN_TRY(wn__lowrank_check(x, "M", m));
    WN_TRY(wn__lowrank_check(x, "N", n));
    WN_TRY(wn__lowrank_check(x, "dM", dm));
    WN_TRY(wn__lowrank_check(x, "dN", dn));
    int64_t r = m->shape[1];
    WN_TRY(wn__lowrank_check_shape("N", n, n->shape[0], r));
    WN_TRY(wn__lowrank_check_shape("dM", dm, m->shape[0], r));
    WN_TRY(wn__lowrank_check_shape("dN", dn, n->shape[0], r));
    if (r < 1 || m->shape[0] < 1 || n->shape[0] < 1)
        return wn__fail(WN_INVALID, "exact step: [%lld, %lld] of rank %lld; at least 1 of each",
                        (long long)m->shape[0], (long long)n->shape[0], (long long)r);
    if (!isfinite(lr)) return wn__fail(WN_INVALID, "exact step: learning rate %g", lr);
    return WN_OK;
}

wn_status wn__lowrank_exact_step(wn__exec *x, const wn_tensor *m, const wn_tensor *n,
                                 const wn_tensor *dm, const wn_tensor *dn, double lr,
                                 const wn__exact_options *o, void *scratch,
                                 wn__exact_report *report) {
    const wn__exact_options defaults = {0};
    if (o == NULL) o = &defaults;
    *report = (wn__exact_report){0};
    WN_TRY(check(x, m, n, dm, dn, lr));
    int64_t out = m->shape[0], in = n->shape[0], r = m->shape[1];
    if (x->planning) scratch = NULL;
    if (r > out || r > in) return wn__exact_full(x, m, n, dm, dn, lr, o, scratch, report);
    wn__arena arena = wn__arena_over(scratch);
    exact e;
    WN_TRY(alloc_exact(&arena, o->family, out, in, r, &e));
    const char *names[2][2] = {{"M", "dM"}, {"N", "dN"}};
    WN_TRY(load_side(x, r, m, dm, names[0], &e.m));
    WN_TRY(load_side(x, r, n, dn, names[1], &e.n));
    if (!x->planning) {
        wn_tensor old_m = wn__tensor_slice(&e.m.both, 1, 0, r);
        wn_tensor old_n = wn__tensor_slice(&e.n.both, 1, 0, r);
        if (has_zero_column(&old_m, "M", report) || has_zero_column(&old_n, "N", report))
            return WN_OK;
    }
    return step(&e, x, m, n, lr, o, report);
}
