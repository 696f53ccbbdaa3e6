// SPDX-License-Identifier: MIT
// Closed-form fits: one split by the SVDs of its blocks, then stage after stage from the left.
#include "sparse/kron_fit.h"
#include "base/fail.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// A matrix of the class of a product, [a,b,c,d] packed, and how it is split.
typedef struct split {
    const wn__linalg *family;
    wn__kron left, right, whole;
    int64_t s, t, r;
    const double *from;
    double *one, *two; // factors; NULL: errors alone
    double *discarded; // [blocks] squares
    char *scratch;     // of each worker
    size_t worker;
    _Atomic int failed;
} split;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static size_t line(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

// Bytes that a block needs: T, U, s, V^T, and the SVD's own.
static size_t block_bytes(const split *p) {
    size_t m = (size_t)p->left.b, n = (size_t)p->right.c, k = m < n ? m : n;
    return line(m * n * 8) + line(m * k * 8) + line(k * 8) + line(k * n * 8) +
           line(wn__linalg_svd_scratch(p->family, p->left.b, p->right.c));
}

typedef struct block {
    double *t, *u, *s, *vt;
    void *scratch;
} block;

static block carve(const split *p, char *at) {
    size_t m = (size_t)p->left.b, n = (size_t)p->right.c, k = m < n ? m : n;
    block b = {.t = (double *)(void *)at};
    at += line(m * n * 8);
    b.u = (double *)(void *)at;
    at += line(m * k * 8);
    b.s = (double *)(void *)at;
    at += line(k * 8);
    b.vt = (double *)(void *)at;
    b.scratch = at + line(k * n * 8);
    return b;
}

// Block (i, v, u, l): rows j t + u, columns v c2 + k of the whole's block (i, l).
static void gather(const split *p, int64_t i, int64_t v, int64_t u, int64_t l, double *to) {
    const wn__kron *w = &p->whole;
    for (int64_t j = 0; j < p->left.b; j++)
        for (int64_t k = 0; k < p->right.c; k++)
            *to++ = p->from[((i * w->b + j * p->t + u) * w->c + v * p->right.c + k) * w->d + l];
}

static void scatter(const split *p, int64_t i, int64_t v, int64_t u, int64_t l, const block *b) {
    int64_t m = least(p->left.b, p->right.c), kept = least(p->r, m), d2 = p->right.d;
    const wn__kron *one = &p->left, *two = &p->right;
    for (int64_t q = 0; q < p->r; q++) {
        for (int64_t j = 0; j < one->b; j++)
            p->one[((i * one->b + j) * one->c + v * p->r + q) * one->d + u * d2 + l] =
                q < kept ? b->u[j * m + q] : 0;
        for (int64_t k = 0; k < two->c; k++)
            p->two[(((i * p->s + v) * two->b + q * p->t + u) * two->c + k) * d2 + l] =
                q < kept ? b->s[q] * b->vt[q * two->c + k] : 0;
    }
}

static void split_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    split *p = ctx;
    block b = carve(p, p->scratch + (size_t)worker * p->worker);
    int64_t d2 = p->right.d, m = least(p->left.b, p->right.c);
    wn__exec alone = {0};
    for (int64_t g = begin; g < end; g++) {
        int64_t l = g % d2, u = g / d2 % p->t, v = g / d2 / p->t % p->s, i = g / d2 / p->t / p->s;
        gather(p, i, v, u, l, b.t);
        bool all = p->one != NULL;
        if (wn__linalg_svd(p->family, &alone, p->left.b, p->right.c, b.t, all ? b.u : NULL, b.s,
                           all ? b.vt : NULL, b.scratch) != WN_OK) {
            atomic_store(&p->failed, 1);
            return;
        }
        p->discarded[g] = 0;
        for (int64_t q = m; q-- > least(p->r, m);) // the small ones first
            p->discarded[g] += b.s[q] * b.s[q];
        if (all) scatter(p, i, v, u, l, &b);
    }
}

// Splits `from` of the class of left right; *error: the square of what is lost.
static wn_status run_split(split *p, wn__exec *x, double *error) {
    WN_TRY(wn__kron_product(&p->left, &p->right, &p->whole, &p->r));
    p->s = p->right.a / p->left.a;
    p->t = p->left.d / p->right.d;
    int64_t blocks = p->right.a * p->left.d;
    p->worker = block_bytes(p);
    p->scratch = aligned_alloc(64, p->worker * (size_t)wn__pool_threads(x->pool));
    p->discarded = malloc((size_t)blocks * sizeof *p->discarded);
    wn_status status = WN_OK;
    if (p->scratch == NULL || p->discarded == NULL) {
        status = wn__fail(WN_NOMEM, "out of memory for the blocks of a fit");
        goto out;
    }
    wn__parallel_for(x->pool, blocks, 1, split_blocks, p);
    if (atomic_load(&p->failed)) {
        status = wn__fail(WN_BUG, "the SVD of a block did not converge");
        goto out;
    }
    *error = 0;
    for (int64_t g = 0; g < blocks; g++)
        *error += p->discarded[g];
out:
    free(p->scratch);
    free(p->discarded);
    return status;
}

// The product of factors first .. last, which are chainable.
static wn__kron product_of(const wn__kron_chain *c, int first, int last) {
    wn__kron_chain part = {.count = last - first + 1};
    wn__kron all = c->factor[first];
    memcpy(part.factor, c->factor + first, (size_t)part.count * sizeof all);
    return wn__kron_chain_product(&part, &all) == WN_OK ? all : c->factor[first];
}

// W's entries in the support of a pattern, [a,b,c,d]; *outside: the squares of the others.
static void restrict_to(const wn__kron *p, const double *w, double norm, double *to,
                        double *outside) {
    int64_t columns = wn__kron_columns(p);
    double inside = 0;
    for (int64_t i = 0; i < p->a; i++)
        for (int64_t j = 0; j < p->b; j++)
            for (int64_t k = 0; k < p->c; k++)
                for (int64_t l = 0; l < p->d; l++, to++) {
                    *to = w[((i * p->b + j) * p->d + l) * columns + (i * p->c + k) * p->d + l];
                    inside += *to * *to;
                }
    *outside = p->a * p->d > 1 && norm > inside ? norm - inside : 0;
}

// All factors to the geometric mean of their norms.
static void balance(const wn__kron_chain *c, double *const *factor) {
    double norm[WN__KRON_MAX], mean = 0;
    for (int t = 0; t < c->count; t++) {
        double square = 0;
        for (int64_t i = 0; i < wn__kron_params(&c->factor[t]); i++)
            square += factor[t][i] * factor[t][i];
        norm[t] = sqrt(square);
        if (norm[t] == 0) return;
        mean += log(norm[t]) / c->count;
    }
    for (int t = 0; t < c->count; t++)
        for (int64_t i = 0; i < wn__kron_params(&c->factor[t]); i++)
            factor[t][i] *= exp(mean) / norm[t];
}

static wn_status from_left(const wn__linalg *family, wn__exec *x, const wn__kron_chain *c,
                           double *rest, double *next, double *const *factor, wn__kron_fit *r) {
    for (int t = c->count - 1; t > 0; t--) {
        split p = {.family = family,
                   .left = c->factor[t],
                   .right = product_of(c, 0, t - 1),
                   .from = rest,
                   .one = factor[t],
                   .two = next};
        double error = 0;
        WN_TRY(run_split(&p, x, &error));
        r->stage[c->count - 1 - t] = sqrt(error);
        r->error += error;
        double *swap = rest;
        rest = next;
        next = swap;
    }
    memcpy(factor[0], rest, (size_t)wn__kron_params(&c->factor[0]) * sizeof *rest);
    return WN_OK;
}

static wn_status lower_bound(const wn__linalg *family, wn__exec *x, const wn__kron_chain *c,
                             const double *all, double outside, wn__kron_fit *r) {
    double most = 0;
    for (int t = 1; t < c->count; t++) {
        split p = {.family = family,
                   .left = product_of(c, t, c->count - 1),
                   .right = product_of(c, 0, t - 1),
                   .from = all};
        double error = 0;
        WN_TRY(run_split(&p, x, &error));
        if (error > most) most = error;
    }
    r->least = sqrt(most + outside);
    return WN_OK;
}

// The most numbers that any rest of a chain has.
static int64_t widest(const wn__kron_chain *c) {
    int64_t most = 0;
    for (int t = c->count - 1; t >= 0; t--) {
        wn__kron rest = product_of(c, 0, t);
        if (wn__kron_params(&rest) > most) most = wn__kron_params(&rest);
    }
    return most;
}

static wn_status fit_chainable(const wn__linalg *family, wn__exec *x, const wn__kron_chain *c,
                               const double *w, double *const *factor, bool bound,
                               wn__kron_fit *r) {
    wn__kron whole;
    double outside = 0;
    WN_TRY(wn__kron_chain_product(c, &whole));
    size_t bytes = (size_t)widest(c) * sizeof(double);
    double *rest = malloc(bytes), *next = malloc(bytes);
    wn_status status = WN_OK;
    if (rest == NULL || next == NULL) {
        status = wn__fail(WN_NOMEM, "out of memory for twice %zu bytes", bytes);
        goto out;
    }
    restrict_to(&whole, w, r->norm * r->norm, rest, &outside);
    r->outside = sqrt(outside);
    r->error = outside;
    if (bound) WN_TRY_OUT(lower_bound(family, x, c, rest, outside, r));
    WN_TRY_OUT(from_left(family, x, c, rest, next, factor, r));
    r->error = sqrt(r->error);
    balance(c, factor);
out:
    free(rest);
    free(next);
    return status;
}

// ---- the original's chains

// factor = the identity, as far as it goes; of butterflies too.
static void identity(const wn__kron *p, double *factor) {
    for (int64_t i = 0; i < p->a; i++)
        for (int64_t j = 0; j < p->b; j++)
            for (int64_t k = 0; k < p->c; k++)
                for (int64_t l = 0; l < p->d; l++)
                    *factor++ = j == k;
}

// sqrt(S) V^T of rank p->b, or U sqrt(S) of rank p->c; zeros beyond the k that exist.
static void put_right(const wn__kron *p, int64_t k, const double *s, const double *vt, double *to) {
    for (int64_t q = 0; q < p->b; q++)
        for (int64_t c = 0; c < p->c; c++)
            *to++ = q < k ? sqrt(s[q]) * vt[q * p->c + c] : 0;
}

static void put_left(const wn__kron *p, int64_t k, const double *s, const double *u, double *to) {
    for (int64_t r = 0; r < p->b; r++)
        for (int64_t q = 0; q < p->c; q++)
            *to++ = q < k ? u[r * k + q] * sqrt(s[q]) : 0;
}

static wn_status fit_legacy(const wn__linalg *family, wn__exec *x, const wn__kron_chain *c,
                            int64_t rank, const double *w, double *const *factor, wn__kron_fit *r) {
    int64_t m = wn__kron_chain_rows(c), n = wn__kron_chain_columns(c), k = least(m, n);
    size_t scratch = line(wn__linalg_svd_scratch(family, m, n));
    double *u = malloc((size_t)(m * k) * 8), *s = malloc((size_t)k * 8);
    double *vt = malloc((size_t)(k * n) * 8);
    void *own = aligned_alloc(64, scratch > 0 ? scratch : 64);
    int last = c->count - 1;
    bool narrow_in = c->factor[0].b == rank && c->factor[0].c == n && c->factor[0].a == 1;
    bool narrow_out = c->factor[last].c == rank && c->factor[last].b == m && last > 0 &&
                      c->factor[last - 1].b == rank && c->factor[last - 1].d == 1;
    wn_status status = WN_OK;
    if (u == NULL || s == NULL || vt == NULL || own == NULL) {
        status = wn__fail(WN_NOMEM, "out of memory for an SVD");
        goto out;
    }
    WN_TRY_OUT(wn__linalg_svd(family, x, m, n, w, u, s, vt, own));
    for (int t = 0; t <= last; t++)
        identity(&c->factor[t], factor[t]);
    int right = narrow_in ? 0 : last - 1, left = narrow_out ? last : 1;
    put_right(&c->factor[right], k, s, vt, factor[right]);
    put_left(&c->factor[left], k, s, u, factor[left]);
    for (int64_t q = k; q-- > least(rank, k);)
        r->error += s[q] * s[q];
    r->error = sqrt(r->error);
    r->stage[0] = r->least = r->error; // of that rank nothing is nearer
out:
    free(u);
    free(s);
    free(vt);
    free(own);
    return status;
}

wn_status wn__kron_fit_dense(const wn__linalg *family, wn__exec *x, const wn__kron_chain *c,
                             const double *w, double *const *factor, bool bound,
                             wn__kron_fit *report) {
    wn__kron whole;
    *report = (wn__kron_fit){0};
    WN_TRY(wn__kron_chain_check(c));
    int64_t rows = wn__kron_chain_rows(c), columns = wn__kron_chain_columns(c);
    double square = 0;
    for (int64_t i = 0; i < rows * columns; i++) {
        if (!isfinite(w[i]))
            return wn__fail(WN_INVALID, "row %lld, column %lld is %g", (long long)(i / columns),
                            (long long)(i % columns), w[i]);
        square += w[i] * w[i];
    }
    report->norm = sqrt(square);
    int64_t rank = wn__kron_chain_legacy_rank(c);
    if (rank > 0) return fit_legacy(family, x, c, rank, w, factor, report);
    WN_TRY(wn__kron_chain_product(c, &whole));
    return fit_chainable(family, x, c, w, factor, bound, report);
}
