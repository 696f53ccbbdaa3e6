// SPDX-License-Identifier: MIT
// Dense linear algebra: what is checked before a family runs, and what both share.
#include "sparse/linalg.h"

#include "base/fail.h"
#include "sparse/linalg_impl.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define EDGE 32 // of a square that is transposed in cache

wn_status wn__doubles(wn__arena *arena, int64_t a, int64_t b, double **out) {
    void *p = NULL;
    size_t bytes;
    const int64_t shape[] = {a, b};
    *out = NULL;
    if (!wn__shape_bytes(WN_DTYPE_F64, 2, shape, &bytes))
        return wn__fail(WN_NOMEM, "no room for %lld x %lld numbers", (long long)a, (long long)b);
    WN_TRY(wn__arena_alloc(arena, bytes, &p));
    *out = p;
    return WN_OK;
}

wn__arena wn__arena_over(void *scratch) {
    return (wn__arena){.name = "scratch of linear algebra",
                       .base = scratch,
                       .size = SIZE_MAX,
                       .align = WN_ARENA_ALIGN};
}

typedef struct transposition {
    int64_t m, n;
    const double *src;
    double *dst;
} transposition;

static void transpose_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const transposition *t = ctx;
    for (int64_t j0 = 0; j0 < t->n; j0 += EDGE)
        for (int64_t j = j0; j < t->n && j < j0 + EDGE; j++)
            for (int64_t i = begin; i < end; i++)
                t->dst[j * t->m + i] = t->src[i * t->n + j];
}

void wn__transpose(wn__exec *x, int64_t m, int64_t n, const double *src, double *dst) {
    transposition t = {m, n, src, dst};
    wn__parallel_for(x->pool, m, EDGE, transpose_rows, &t);
}

double wn__dot(int64_t n, const double *a, const double *b) {
    double sum[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            sum[l] += a[i + l] * b[i + l];
    for (int l = 0; i + l < n; l++)
        sum[l] += a[i + l] * b[i + l];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

double wn__unit_scale(int64_t n, const double *a) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        if (fabs(a[i]) > largest) largest = fabs(a[i]);
    int exponent = 0;
    (void)frexp(largest, &exponent);
    if (exponent < -1000) exponent = -1000; // so that neither the scale nor its inverse overflows
    return ldexp(1, -exponent);
}

void wn__scale(int64_t n, double *a, double factor) {
    for (int64_t i = 0; factor != 1 && i < n; i++)
        a[i] *= factor;
}

const wn__linalg *wn__linalg_reference(void) {
    static const wn__linalg family = {.name = "reference",
                                      .qr_alloc = wn__qr_reference_alloc,
                                      .qr = wn__qr_reference,
                                      .svd_alloc = wn__svd_reference_alloc,
                                      .svd = wn__svd_reference,
                                      .product = wn__product_reference};
    return &family;
}

const wn__linalg *wn__linalg_best(void) {
#ifdef WN_HAVE_LAPACKE
    return wn__linalg_lapacke();
#else
    return wn__linalg_reference();
#endif
}

const char *wn__linalg_name(void) {
    return wn__linalg_best()->name;
}

static const wn__linalg *family_of(const wn__linalg *family) {
    return family != NULL ? family : wn__linalg_best();
}

static wn_status check_sizes(const char *what, int64_t m, int64_t n) {
    if (m >= 0 && n >= 0 && m <= INT_MAX && n <= INT_MAX) return WN_OK;
    return wn__fail(WN_INVALID, "%s of a %lld x %lld matrix: sizes go from 0 to %d", what,
                    (long long)m, (long long)n, INT_MAX);
}

static wn_status check_finite(const char *what, int64_t m, int64_t n, const double *a) {
    for (int64_t i = 0; i < m * n; i++)
        if (!isfinite(a[i]))
            return wn__fail(WN_INVALID, "%s: entry [%lld,%lld] of the %lld x %lld matrix is %g",
                            what, (long long)(i / n), (long long)(i % n), (long long)m,
                            (long long)n, a[i]);
    return WN_OK;
}

size_t wn__linalg_qr_scratch(const wn__linalg *family, int64_t m, int64_t n) {
    wn__arena counting;
    wn__arena_measure("QR", &counting);
    if (check_sizes("QR", m, n) != WN_OK) return SIZE_MAX;
    if (m == 0 || n == 0) return 0;
    return family_of(family)->qr_alloc(&counting, m, n) == WN_OK ? counting.used : SIZE_MAX;
}

wn_status wn__linalg_qr(const wn__linalg *family, wn__exec *x, int64_t m, int64_t n,
                        const double *a, double *q, double *r, void *scratch) {
    WN_TRY(check_sizes("QR", m, n));
    if (x->planning || m == 0 || n == 0) return WN_OK;
    WN_TRY(check_finite("QR", m, n, a));
    return family_of(family)->qr(x, m, n, a, q, r, scratch);
}

size_t wn__linalg_svd_scratch(const wn__linalg *family, int64_t m, int64_t n) {
    wn__arena counting;
    wn__arena_measure("SVD", &counting);
    if (check_sizes("SVD", m, n) != WN_OK) return SIZE_MAX;
    if (m == 0 || n == 0) return 0;
    return family_of(family)->svd_alloc(&counting, m, n) == WN_OK ? counting.used : SIZE_MAX;
}

wn_status wn__linalg_svd(const wn__linalg *family, wn__exec *x, int64_t m, int64_t n,
                         const double *a, double *u, double *s, double *vt, void *scratch) {
    WN_TRY(check_sizes("SVD", m, n));
    if (x->planning || m == 0 || n == 0) return WN_OK;
    if ((u == NULL) != (vt == NULL))
        return wn__fail(WN_INVALID, "SVD: u and vt come together or not at all");
    WN_TRY(check_finite("SVD", m, n, a));
    return family_of(family)->svd(x, m, n, a, u, s, vt, scratch);
}

typedef struct polar_buffers {
    double *u, *s, *vt;
} polar_buffers;

static wn_status alloc_polar(wn__arena *arena, int64_t n, polar_buffers *b) {
    WN_TRY(wn__doubles(arena, n, n, &b->u));
    WN_TRY(wn__doubles(arena, n, 1, &b->s));
    return wn__doubles(arena, n, n, &b->vt);
}

size_t wn__linalg_polar_scratch(const wn__linalg *family, int64_t n) {
    wn__arena counting;
    polar_buffers b;
    wn__arena_measure("polar factor", &counting);
    size_t svd = wn__linalg_svd_scratch(family, n, n);
    if (svd == SIZE_MAX || alloc_polar(&counting, n, &b) != WN_OK) return SIZE_MAX;
    return counting.used + svd;
}

wn_status wn__linalg_polar(const wn__linalg *family, wn__exec *x, int64_t n, const double *b,
                           double *q, void *scratch) {
    wn__arena arena = wn__arena_over(x->planning ? NULL : scratch);
    polar_buffers p;
    WN_TRY(check_sizes("polar factor", n, n));
    if (n == 0) return WN_OK;
    WN_TRY(alloc_polar(&arena, n, &p));
    void *rest = x->planning ? NULL : arena.base + arena.used;
    WN_TRY(wn__linalg_svd(family, x, n, n, b, p.u, p.s, p.vt, rest));
    wn_tensor u = wn__tensor2(p.u, WN_DTYPE_F64, n, n), vt = wn__tensor2(p.vt, WN_DTYPE_F64, n, n);
    wn_tensor out = wn__tensor2(q, WN_DTYPE_F64, n, n);
    return wn__linalg_product(family, x, &u, &vt, &out);
}

typedef struct solving {
    int64_t n, leading;
    const double *r;
    double *b;
} solving;

// Four rows at a time share the loads of R; row i of R is done with once x_i is known.
static void solve_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const solving *s = ctx;
    for (int64_t i = 0; i < s->n; i++) {
        const double *r = s->r + i * s->leading;
        for (int64_t row = begin; row < end; row++) {
            double *restrict b = s->b + row * s->n;
            double x = b[i] / r[i];
            b[i] = x;
            for (int64_t j = i + 1; j < s->n; j++)
                b[j] -= x * r[j];
        }
    }
}

wn_status wn__linalg_solve(wn__exec *x, int64_t rows, int64_t n, const double *r, int64_t leading,
                           double *b) {
    WN_TRY(check_sizes("triangular solve", rows, n));
    if (leading < n)
        return wn__fail(WN_INVALID, "triangular solve: rows of %lld in a leading dimension of %lld",
                        (long long)n, (long long)leading);
    if (x->planning || rows == 0) return WN_OK;
    for (int64_t i = 0; i < n; i++)
        if (r[i * leading + i] == 0)
            return wn__fail(WN_INVALID, "triangular solve: R[%lld,%lld] is 0", (long long)i,
                            (long long)i);
    for (int64_t i = 0; i < n; i++)
        WN_TRY(check_finite("triangular solve", 1, n - i, r + i * leading + i));
    WN_TRY(check_finite("triangular solve", rows, n, b));
    solving s = {n, leading, r, b};
    wn__parallel_for(x->pool, rows, 4, solve_rows, &s);
    return WN_OK;
}

wn_status wn__linalg_product(const wn__linalg *family, wn__exec *x, const wn_tensor *a,
                             const wn_tensor *b, const wn_tensor *c) {
    bool f64 = a->dtype == WN_DTYPE_F64 && b->dtype == WN_DTYPE_F64 && c->dtype == WN_DTYPE_F64;
    bool fits = a->ndim == 2 && b->ndim == 2 && c->ndim == 2 && a->shape[1] == b->shape[0] &&
                c->shape[0] == a->shape[0] && c->shape[1] == b->shape[1];
    char ta[64], tb[64], tc[64];
    if (!f64 || !fits)
        return wn__fail(WN_INVALID, "product of %s and %s in %s: F64 matrices that fit are needed",
                        wn__tensor_describe(a, ta, sizeof ta),
                        wn__tensor_describe(b, tb, sizeof tb),
                        wn__tensor_describe(c, tc, sizeof tc));
    return family_of(family)->product(x, a, b, c);
}
