// SPDX-License-Identifier: MIT
// Single Kronecker-sparse factors: patterns, layouts, what one or two of them multiply to.
#include "sparse/kron.h"
#include "base/fail.h"
#include "kernels/element.h"

#include <stdio.h>
#include <string.h>

#define MOST ((int64_t)1 << 53) // entries; exact in double

const char *wn__kron_text(const wn__kron *p, char *out, size_t n) {
    (void)snprintf(out, n, "(%lld,%lld,%lld,%lld)", (long long)p->a, (long long)p->b,
                   (long long)p->c, (long long)p->d);
    return out;
}

// Whether the product of four numbers from 1 on stays within MOST.
static bool within(int64_t w, int64_t x, int64_t y, int64_t z) {
    if (w > MOST / x) return false;
    if (w * x > MOST / y) return false;
    return w * x * y <= MOST / z;
}

wn_status wn__kron_check(const wn__kron *p) {
    char text[WN__KRON_PATTERN_TEXT];
    if (p->a < 1 || p->b < 1 || p->c < 1 || p->d < 1)
        return wn__fail(WN_INVALID, "pattern %s: every number is at least 1",
                        wn__kron_text(p, text, sizeof text));
    if (!within(p->a, p->b, p->c, p->d))
        return wn__fail(WN_INVALID, "pattern %s has more than 2^53 entries",
                        wn__kron_text(p, text, sizeof text));
    return WN_OK;
}

// Why two factors, whose sizes meet, have no common pattern; NULL: they have.
static const char *unchainable(const wn__kron *left, const wn__kron *right) {
    if (right->a % left->a != 0) return "the left one's a does not divide the right one's";
    if (left->d % right->d != 0) return "the right one's d does not divide the left one's";
    if (left->a * left->c % right->a != 0) return "a c of the left one over a of the right one";
    return NULL;
}

wn_status wn__kron_product(const wn__kron *left, const wn__kron *right, wn__kron *out,
                           int64_t *rank) {
    char l[WN__KRON_PATTERN_TEXT], r[WN__KRON_PATTERN_TEXT];
    WN_TRY(wn__kron_check(left));
    WN_TRY(wn__kron_check(right));
    if (wn__kron_columns(left) != wn__kron_rows(right))
        return wn__fail(WN_INVALID, "%s takes %lld numbers, but %s to its right gives %lld",
                        wn__kron_text(left, l, sizeof l), (long long)wn__kron_columns(left),
                        wn__kron_text(right, r, sizeof r), (long long)wn__kron_rows(right));
    const char *why = unchainable(left, right);
    if (why != NULL)
        return wn__fail(WN_INVALID, "%s and %s to its right are not chainable: %s%s",
                        wn__kron_text(left, l, sizeof l), wn__kron_text(right, r, sizeof r), why,
                        why[0] == 'a' ? " is no integer" : "");
    const wn__kron product = {left->a, left->b * (left->d / right->d),
                              right->a / left->a * right->c, right->d};
    WN_TRY(wn__kron_check(&product));
    if (rank != NULL) *rank = left->a * left->c / right->a;
    *out = product;
    return WN_OK;
}

bool wn__kron_redundant(const wn__kron *left, const wn__kron *right) {
    if (wn__kron_columns(left) != wn__kron_rows(right) || unchainable(left, right) != NULL)
        return false;
    int64_t rank = left->a * left->c / right->a;
    return rank >= (left->b < right->c ? left->b : right->c);
}

static const char *const layout_name[] = {
#define NAME(name, text) text,
    WN__KRON_LAYOUTS(NAME)
#undef NAME
};
enum { LAYOUTS = sizeof layout_name / sizeof *layout_name };

const char *wn__kron_layout_name(wn__kron_layout layout) {
    return layout_name[layout];
}

wn_status wn__kron_layout_parse(const char *text, size_t n, wn__kron_layout *out) {
    for (int i = 0; i < LAYOUTS; i++)
        if (strlen(layout_name[i]) == n && memcmp(layout_name[i], text, n) == 0) {
            *out = (wn__kron_layout)i;
            return WN_OK;
        }
    return wn__fail(WN_INVALID, "no layout '%.*s': canonical, groups-bc or groups-cb expected",
                    (int)(n < 64 ? n : 64), text);
}

wn_tensor wn__kron_view(const wn__kron *p, wn__kron_layout layout, void *data, wn_dtype dtype) {
    wn_tensor w = wn__tensor4(data, dtype, p->a, p->b, p->c, p->d);
    if (layout == WN__KRON_CANONICAL) return w;
    w.stride[0] = p->d * p->b * p->c;
    w.stride[1] = layout == WN__KRON_ROWS ? p->c : 1;
    w.stride[2] = layout == WN__KRON_ROWS ? 1 : p->b;
    w.stride[3] = p->b * p->c;
    return w;
}

wn_tensor wn__kron_view_transpose(const wn_tensor *w) {
    wn_tensor t = *w;
    t.shape[1] = w->shape[2];
    t.shape[2] = w->shape[1];
    t.stride[1] = w->stride[2];
    t.stride[2] = w->stride[1];
    return t;
}

wn_status wn__kron_of(const wn_tensor *w, wn__kron *out) {
    char text[160];
    *out = (wn__kron){0};
    if (w->ndim != 4 || w->dtype < WN_DTYPE_F64 || w->dtype > WN_DTYPE_F16)
        return wn__fail(WN_INVALID, "a factor is floats [a, b, c, d], not %s",
                        wn__tensor_describe(w, text, sizeof text));
    const wn__kron p = {w->shape[0], w->shape[1], w->shape[2], w->shape[3]};
    WN_TRY(wn__kron_check(&p));
    *out = p;
    return WN_OK;
}

static int64_t at4(const wn_tensor *t, int64_t i, int64_t j, int64_t k, int64_t l) {
    return i * t->stride[0] + j * t->stride[1] + k * t->stride[2] + l * t->stride[3];
}

wn_status wn__kron_copy(const wn_tensor *from, const wn_tensor *to) {
    char f[WN__KRON_PATTERN_TEXT], t[WN__KRON_PATTERN_TEXT];
    wn__kron p, q;
    WN_TRY(wn__kron_of(from, &p));
    WN_TRY(wn__kron_of(to, &q));
    if (!wn__kron_same(&p, &q))
        return wn__fail(WN_INVALID, "a factor %s does not fit into %s",
                        wn__kron_text(&p, f, sizeof f), wn__kron_text(&q, t, sizeof t));
    for (int64_t i = 0; i < p.a; i++)
        for (int64_t j = 0; j < p.b; j++)
            for (int64_t k = 0; k < p.c; k++)
                for (int64_t l = 0; l < p.d; l++)
                    wn__set(to, at4(to, i, j, k, l), wn__get(from, at4(from, i, j, k, l)));
    return WN_OK;
}

static wn_status check_matrix(const wn_tensor *t, const char *name, int64_t rows, int64_t columns) {
    char text[160];
    if (t->ndim == 2 && t->shape[0] == rows && t->shape[1] == columns && t->dtype >= WN_DTYPE_F64 &&
        t->dtype <= WN_DTYPE_F16)
        return WN_OK;
    return wn__fail(WN_INVALID, "%s is floats [%lld, %lld], not %s", name, (long long)rows,
                    (long long)columns, wn__tensor_describe(t, text, sizeof text));
}

wn_status wn__kron_dense(const wn_tensor *w, const wn_tensor *out) {
    wn__kron p;
    WN_TRY(wn__kron_of(w, &p));
    int64_t rows = wn__kron_rows(&p), columns = wn__kron_columns(&p);
    WN_TRY(check_matrix(out, "the dense factor", rows, columns));
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            wn__set(out, wn__at(out, r, c), 0);
    for (int64_t i = 0; i < p.a; i++)
        for (int64_t j = 0; j < p.b; j++)
            for (int64_t k = 0; k < p.c; k++)
                for (int64_t l = 0; l < p.d; l++)
                    wn__set(out, wn__at(out, (i * p.b + j) * p.d + l, (i * p.c + k) * p.d + l),
                            wn__get(w, at4(w, i, j, k, l)));
    return WN_OK;
}

// The two factors of a product and their inner indices: row j t + u and column v c2 + k of block
// (i, l) go through q < r.
typedef struct pair {
    const wn_tensor *left, *right;
    wn__kron one, two;
    int64_t s, t, r;
} pair;

static double entry(const pair *p, int64_t i, int64_t row, int64_t column, int64_t l) {
    int64_t j = row / p->t, u = row % p->t, v = column / p->two.c, k = column % p->two.c;
    double sum = 0;
    for (int64_t q = 0; q < p->r; q++)
        sum += wn__get(p->left, at4(p->left, i, j, v * p->r + q, u * p->two.d + l)) *
               wn__get(p->right, at4(p->right, i * p->s + v, q * p->t + u, k, l));
    return sum;
}

wn_status wn__kron_merge(const wn_tensor *left, const wn_tensor *right, const wn_tensor *out) {
    pair p = {.left = left, .right = right};
    wn__kron product = {0}, given;
    char want[WN__KRON_PATTERN_TEXT], found[WN__KRON_PATTERN_TEXT];
    WN_TRY(wn__kron_of(left, &p.one));
    WN_TRY(wn__kron_of(right, &p.two));
    WN_TRY(wn__kron_of(out, &given));
    WN_TRY(wn__kron_product(&p.one, &p.two, &product, &p.r));
    if (!wn__kron_same(&product, &given))
        return wn__fail(WN_INVALID, "the product is %s, not %s",
                        wn__kron_text(&product, want, sizeof want),
                        wn__kron_text(&given, found, sizeof found));
    p.s = p.two.a / p.one.a;
    p.t = p.one.d / p.two.d;
    for (int64_t i = 0; i < product.a; i++)
        for (int64_t row = 0; row < product.b; row++)
            for (int64_t column = 0; column < product.c; column++)
                for (int64_t l = 0; l < product.d; l++)
                    wn__set(out, at4(out, i, row, column, l), entry(&p, i, row, column, l));
    return WN_OK;
}
