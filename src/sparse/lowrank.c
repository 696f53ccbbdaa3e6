// SPDX-License-Identifier: MIT
// Low-rank weights: tensors in and out of double, factors of a dense matrix, GaLore's projectors.
#include "sparse/lowrank.h"

#include "base/fail.h"
#include "kernels/element.h"
#include "sparse/lowrank_impl.h"

#include <math.h>

wn_status wn__lowrank_check(const wn__exec *x, const char *name, const wn_tensor *t) {
    char text[64];
    wn__tensor_describe(t, text, sizeof text);
    if (t->ndim != 2 || (t->dtype != WN_DTYPE_F32 && t->dtype != WN_DTYPE_F64))
        return wn__fail(WN_INVALID, "%s is %s; an F32 or F64 matrix is needed", name, text);
    if (t->device.kind != WN_DEVICE_CPU)
        return wn__fail(WN_UNSUPPORTED, "%s is not on the CPU, where low-rank steps run", name);
    if (!x->planning && t->data == NULL && wn__tensor_count(t) > 0)
        return wn__fail(WN_INVALID, "%s (%s) has no data", name, text);
    return WN_OK;
}

wn_status wn__lowrank_check_shape(const char *name, const wn_tensor *t, int64_t a, int64_t b) {
    char text[64];
    if (t->shape[0] == a && t->shape[1] == b) return WN_OK;
    return wn__fail(WN_INVALID, "%s is %s; [%lld, %lld] is needed", name,
                    wn__tensor_describe(t, text, sizeof text), (long long)a, (long long)b);
}

static double *f64(const wn_tensor *t, int64_t i, int64_t j) {
    return (double *)t->data + i * t->stride[0] + j * t->stride[1];
}

wn_status wn__lowrank_load(const wn__exec *x, const char *name, const wn_tensor *t,
                           const wn_tensor *dst) {
    if (x->planning) return WN_OK;
    for (int64_t i = 0; i < t->shape[0]; i++)
        for (int64_t j = 0; j < t->shape[1]; j++) {
            double value = wn__get(t, wn__at(t, i, j));
            if (!isfinite(value))
                return wn__fail(WN_INVALID, "%s[%lld,%lld] is %g", name, (long long)i, (long long)j,
                                value);
            *f64(dst, i, j) = value;
        }
    return WN_OK;
}

bool wn__lowrank_storable(const wn_tensor *src, const wn_tensor *t) {
    for (int64_t i = 0; i < t->shape[0]; i++)
        for (int64_t j = 0; j < t->shape[1]; j++) {
            double value = *f64(src, i, j);
            if (!isfinite(t->dtype == WN_DTYPE_F32 ? (double)(float)value : value)) return false;
        }
    return true;
}

void wn__lowrank_store(const wn_tensor *src, const wn_tensor *t) {
    for (int64_t i = 0; i < t->shape[0]; i++)
        for (int64_t j = 0; j < t->shape[1]; j++)
            wn__set(t, wn__at(t, i, j), *f64(src, i, j));
}

void wn__lowrank_balance(const wn_tensor *u, const double *s, const wn_tensor *vt, int64_t rank,
                         const wn_tensor *left, const wn_tensor *right) {
    for (int64_t j = 0; j < left->shape[1]; j++) {
        double root = j < rank ? sqrt(s[j]) : 0;
        for (int64_t i = 0; i < left->shape[0]; i++)
            *f64(left, i, j) = j < rank ? *f64(u, i, j) * root : 0;
        for (int64_t i = 0; i < right->shape[0]; i++)
            *f64(right, i, j) = j < rank ? *f64(vt, j, i) * root : 0;
    }
}

typedef struct svd_room {
    wn_tensor a, u, s, vt; // [m,n], [m,k], [k], [k,n]
    wn_tensor left, right; // [m,r], [n,r]
    void *work;
} svd_room;

static wn_status alloc_svd(wn__arena *arena, const wn__linalg *family, int64_t m, int64_t n,
                           int64_t r, svd_room *b) {
    int64_t k = m < n ? m : n;
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_F64, m, n, &b->a));
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_F64, m, k, &b->u));
    WN_TRY(wn__tensor_alloc1(arena, WN_DTYPE_F64, k, &b->s));
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_F64, k, n, &b->vt));
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_F64, m, r, &b->left));
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_F64, n, r, &b->right));
    return wn__arena_alloc(arena, wn__linalg_svd_scratch(family, m, n), &b->work);
}

// For whichever family needs more.
static size_t svd_bytes(int64_t m, int64_t n, int64_t r) {
    const wn__linalg *families[2] = {wn__linalg_reference(), wn__linalg_best()};
    size_t most = 0;
    for (int i = 0; i < 2; i++) {
        wn__arena arena;
        svd_room b;
        wn__arena_measure("SVD", &arena);
        if (alloc_svd(&arena, families[i], m, n, r, &b) != WN_OK) return SIZE_MAX;
        if (arena.used > most) most = arena.used;
    }
    return most;
}

// The SVD of a tensor into scratch.
static wn_status svd_of(const wn__linalg *family, wn__exec *x, const char *name, const wn_tensor *t,
                        int64_t r, void *scratch, svd_room *b) {
    wn__arena arena = wn__arena_over(scratch);
    WN_TRY(alloc_svd(&arena, family, t->shape[0], t->shape[1], r, b));
    WN_TRY(wn__lowrank_load(x, name, t, &b->a));
    wn_status status = wn__linalg_svd(family, x, t->shape[0], t->shape[1], b->a.data, b->u.data,
                                      b->s.data, b->vt.data, b->work);
    return status == WN_OK ? WN_OK : wn__fail_in(status, "%s", name);
}

// The part of the squares of the singular values that is in the first r.
static double share(const wn_tensor *s, int64_t r) {
    const double *value = s->data;
    double all = 0, part = 0;
    for (int64_t i = 0; i < s->shape[0] && value[0] > 0; i++) {
        double ratio = value[i] / value[0]; // whose square cannot overflow
        all += ratio * ratio;
        if (i < r) part = all;
    }
    return all > 0 ? part / all : 1;
}

size_t wn__lowrank_from_dense_scratch(int64_t out, int64_t in, int64_t r) {
    return svd_bytes(out, in, r);
}

wn_status wn__lowrank_from_dense(const wn__linalg *family, wn__exec *x, const wn_tensor *w,
                                 const wn_tensor *m, const wn_tensor *n, void *scratch,
                                 double *kept) {
    svd_room b;
    WN_TRY(wn__lowrank_check(x, "W", w));
    WN_TRY(wn__lowrank_check(x, "M", m));
    WN_TRY(wn__lowrank_check(x, "N", n));
    int64_t r = m->shape[1], k = w->shape[0] < w->shape[1] ? w->shape[0] : w->shape[1];
    WN_TRY(wn__lowrank_check_shape("M", m, w->shape[0], r));
    WN_TRY(wn__lowrank_check_shape("N", n, w->shape[1], r));
    if (x->planning) return WN_OK;
    WN_TRY(svd_of(family, x, "W", w, r, scratch, &b));
    wn__lowrank_balance(&b.u, b.s.data, &b.vt, k < r ? k : r, &b.left, &b.right);
    if (!wn__lowrank_storable(&b.left, m) || !wn__lowrank_storable(&b.right, n))
        return wn__fail(WN_INVALID, "the factors of W leave the range of %s and %s",
                        wn_dtype_name(m->dtype), wn_dtype_name(n->dtype));
    wn__lowrank_store(&b.left, m);
    wn__lowrank_store(&b.right, n);
    if (kept != NULL) *kept = share(&b.s, r);
    return WN_OK;
}

wn__side wn__lowrank_side(int64_t m, int64_t n) {
    return m >= n ? WN__SIDE_RIGHT : WN__SIDE_LEFT;
}

size_t wn__lowrank_projector_scratch(int64_t m, int64_t n) {
    return svd_bytes(m, n, 0);
}

// Makes the largest entry of each row of v positive.
static void fix_signs(const wn_tensor *v) {
    for (int64_t i = 0; i < v->shape[0]; i++) {
        double largest = 0;
        for (int64_t j = 0; j < v->shape[1]; j++)
            if (fabs(*f64(v, i, j)) > fabs(largest)) largest = *f64(v, i, j);
        for (int64_t j = 0; largest < 0 && j < v->shape[1]; j++)
            *f64(v, i, j) = -*f64(v, i, j);
    }
}

wn_status wn__lowrank_projector(const wn__linalg *family, wn__exec *x, const wn_tensor *g,
                                wn__side side, const wn_tensor *p, void *scratch, double *kept) {
    svd_room b;
    WN_TRY(wn__lowrank_check(x, "G", g));
    WN_TRY(wn__lowrank_check(x, "P", p));
    int64_t m = g->shape[0], n = g->shape[1], least = m < n ? m : n;
    bool right = side == WN__SIDE_RIGHT;
    wn_tensor rows = right ? *p : wn__tensor_transpose(p); // one singular vector each
    int64_t r = rows.shape[0];
    if (r > least)
        return wn__fail(WN_INVALID, "P asks for %lld singular vectors of G, which has %lld",
                        (long long)r, (long long)least);
    WN_TRY(wn__lowrank_check_shape("P", p, right ? r : m, right ? n : r));
    if (x->planning) return WN_OK;
    WN_TRY(svd_of(family, x, "G", g, 0, scratch, &b));
    wn_tensor vectors = right ? b.vt : wn__tensor_transpose(&b.u);
    vectors.shape[0] = r;
    fix_signs(&vectors);
    wn__lowrank_store(&vectors, &rows);
    if (kept != NULL) *kept = share(&b.s, r);
    return WN_OK;
}
