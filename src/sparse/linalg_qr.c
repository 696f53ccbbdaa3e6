// SPDX-License-Identifier: MIT
// QR by Householder reflections, the reference. It works on columns that lie contiguous, so a
// reflection is a dot product and an update of one column in cache; panels of reflections are
// applied to four columns at a time. The order of every sum is fixed by the sizes alone.
#include "base/fail.h"
#include "sparse/linalg_impl.h"

#include <math.h>
#include <string.h>

#define PANEL 32 // reflections applied to a column while it is in cache
#define GROUP 4  // columns that share the loads of a reflection (reflect_four)
// Sums of squares below this are taken as 0: their roots would have lost digits to underflow, and
// with numbers scaled to 1 they are far below rounding.
#define NOTHING 0x1p-900

// The reflection that maps x[n] to (beta, 0, ...): H = I - tau v v^T, v = (1, x[1..]) on return,
// beta in x[0]. (Golub & Van Loan, algorithm 5.1.1, with LAPACK's sign of beta.)
static double make_reflection(int64_t n, double *x) {
    double rest = wn__dot(n - 1, x + 1, x + 1);
    if (rest < NOTHING) {
        if (n > 1) memset(x + 1, 0, (size_t)(n - 1) * sizeof *x);
        return 0;
    }
    double alpha = x[0], beta = -copysign(sqrt(alpha * alpha + rest), alpha);
    for (int64_t i = 1; i < n; i++)
        x[i] /= alpha - beta;
    x[0] = beta;
    return (beta - alpha) / beta;
}

// c -= tau v (v^T c) for one column; v[0] stands for 1. Sums as reflect_four does.
static void reflect_one(int64_t n, const double *v, double tau, double *restrict c) {
    double sum[4] = {0};
    int64_t i = 1;
    for (; i + 4 <= n; i += 4)
        for (int l = 0; l < 4; l++)
            sum[l] += v[i + l] * c[i + l];
    for (int l = 0; i + l < n; l++)
        sum[l] += v[i + l] * c[i + l];
    double w = tau * (c[0] + ((sum[0] + sum[1]) + (sum[2] + sum[3])));
    c[0] -= w;
    for (i = 1; i < n; i++)
        c[i] -= w * v[i];
}

// The same for four columns, m apart.
static void reflect_four(int64_t n, const double *v, double tau, double *c, int64_t m) {
    double *restrict c0 = c, *restrict c1 = c + m, *restrict c2 = c1 + m, *restrict c3 = c2 + m;
    double s0[4] = {0}, s1[4] = {0}, s2[4] = {0}, s3[4] = {0};
    int64_t i = 1;
    for (; i + 4 <= n; i += 4)
        for (int l = 0; l < 4; l++) {
            s0[l] += v[i + l] * c0[i + l];
            s1[l] += v[i + l] * c1[i + l];
            s2[l] += v[i + l] * c2[i + l];
            s3[l] += v[i + l] * c3[i + l];
        }
    for (int l = 0; i + l < n; l++) {
        s0[l] += v[i + l] * c0[i + l];
        s1[l] += v[i + l] * c1[i + l];
        s2[l] += v[i + l] * c2[i + l];
        s3[l] += v[i + l] * c3[i + l];
    }
    double w0 = tau * (c0[0] + ((s0[0] + s0[1]) + (s0[2] + s0[3])));
    double w1 = tau * (c1[0] + ((s1[0] + s1[1]) + (s1[2] + s1[3])));
    double w2 = tau * (c2[0] + ((s2[0] + s2[1]) + (s2[2] + s2[3])));
    double w3 = tau * (c3[0] + ((s3[0] + s3[1]) + (s3[2] + s3[3])));
    c0[0] -= w0, c1[0] -= w1, c2[0] -= w2, c3[0] -= w3;
    for (i = 1; i < n; i++) {
        c0[i] -= w0 * v[i];
        c1[i] -= w1 * v[i];
        c2[i] -= w2 * v[i];
        c3[i] -= w3 * v[i];
    }
}

// Reflection k on `columns` columns from c on.
static void reflect_columns(int64_t m, int64_t k, const double *w, const double *tau,
                            int64_t columns, double *c) {
    const double *v = w + k * m + k;
    if (tau[k] == 0) return;
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4)
        reflect_four(m - k, v, tau[k], c + j * m + k, m);
    for (; j < columns; j++)
        reflect_one(m - k, v, tau[k], c + j * m + k);
}

typedef struct reflections {
    int64_t m, begin, end; // reflections [begin, end)
    const double *w, *tau;
    double *c; // the columns they go over
    bool unit;
} reflections;

// In order, as the factorisation needs them: H_{end-1} .. H_begin c.
static void forward(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const reflections *p = ctx;
    for (int64_t k = p->begin; k < p->end; k++)
        reflect_columns(p->m, k, p->w, p->tau, end - begin, p->c + begin * p->m);
}

// In reverse, as forming Q needs them.
static void backward(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const reflections *p = ctx;
    double *c = p->c + begin * p->m;
    int64_t last = p->end;
    if (p->unit) {
        memset(c, 0, (size_t)((end - begin) * p->m) * sizeof *c);
        for (int64_t j = begin; j < end; j++)
            p->c[j * p->m + j] = 1;
        if (end < last) last = end; // reflection k leaves the unit vectors before k alone
    }
    for (int64_t k = last; k-- > 0;)
        reflect_columns(p->m, k, p->w, p->tau, end - begin, c);
}

void wn__reflect(wn__exec *x, int64_t m, int64_t n, double *w, double *tau) {
    int64_t count = m < n ? m : n;
    for (int64_t k0 = 0; k0 < count; k0 += PANEL) {
        int64_t k1 = count - k0 < PANEL ? count : k0 + PANEL;
        for (int64_t k = k0; k < k1; k++) {
            tau[k] = make_reflection(m - k, w + k * m + k);
            reflect_columns(m, k, w, tau, k1 - k - 1, w + (k + 1) * m);
        }
        reflections rest = {.m = m, .begin = k0, .end = k1, .w = w, .tau = tau, .c = w + k1 * m};
        if (k1 < n) wn__parallel_for(x->pool, n - k1, GROUP, forward, &rest);
    }
}

void wn__apply_reflections(wn__exec *x, int64_t m, int64_t k, const double *w, const double *tau,
                           int64_t columns, double *c, bool unit) {
    reflections all = {.m = m, .end = k, .w = w, .tau = tau, .c = c, .unit = unit};
    wn__parallel_for(x->pool, columns, GROUP, backward, &all);
}

typedef struct pivoting {
    reflections step;
    double *norms; // squares of what is left of each column; then their value when last summed
    int64_t n;
} pivoting;

// One reflection over the columns after it, and what is left of their norms. Where the difference
// has lost half its digits the norm is summed anew (LAPACK Working Note 176).
static void forward_and_norms(void *ctx, int64_t begin, int64_t end, int worker) {
    pivoting *p = ctx;
    int64_t m = p->step.m, k = p->step.begin, first = k + 1;
    forward(&p->step, begin, end, worker);
    for (int64_t j = first + begin; j < first + end; j++) {
        const double *column = p->step.w + j * m;
        p->norms[j] -= column[k] * column[k];
        if (p->norms[j] > 0x1p-26 * p->norms[p->n + j]) continue;
        p->norms[j] = wn__dot(m - first, column + first, column + first);
        p->norms[p->n + j] = p->norms[j];
    }
}

static void exchange(int64_t m, double *a, double *b) {
    for (int64_t i = 0; i < m; i++) {
        double t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

// Brings the largest column from k on to place k.
static void pivot_column(pivoting *p, double *w, int64_t k, int64_t *pivot) {
    int64_t largest = k, n = p->n, m = p->step.m;
    for (int64_t j = k + 1; j < n; j++)
        if (p->norms[j] > p->norms[largest]) largest = j;
    if (largest == k) return;
    exchange(m, w + k * m, w + largest * m);
    p->norms[largest] = p->norms[k];
    p->norms[n + largest] = p->norms[n + k];
    int64_t place = pivot[k];
    pivot[k] = pivot[largest];
    pivot[largest] = place;
}

void wn__reflect_pivoted(wn__exec *x, int64_t m, int64_t n, double *w, double *tau, int64_t *pivot,
                         double *norms) {
    int64_t count = m < n ? m : n;
    for (int64_t j = 0; j < n; j++) {
        norms[j] = norms[n + j] = wn__dot(m, w + j * m, w + j * m);
        pivot[j] = j;
    }
    pivoting p = {.step = {.m = m, .w = w, .tau = tau}, .norms = norms, .n = n};
    for (int64_t k = 0; k < count; k++) {
        pivot_column(&p, w, k, pivot);
        tau[k] = make_reflection(m - k, w + k * m + k);
        p.step.begin = k;
        p.step.end = k + 1;
        p.step.c = w + (k + 1) * m;
        wn__parallel_for(x->pool, n - k - 1, 4 * GROUP, forward_and_norms, &p);
    }
}

typedef struct qr_buffers {
    double *w, *q, *tau; // columns [n][m], columns of Q [k][m], [k]
} qr_buffers;

static wn_status alloc_buffers(wn__arena *arena, int64_t m, int64_t n, qr_buffers *b) {
    int64_t k = m < n ? m : n;
    WN_TRY(wn__doubles(arena, n, m, &b->w));
    WN_TRY(wn__doubles(arena, k, m, &b->q));
    return wn__doubles(arena, k, 1, &b->tau);
}

wn_status wn__qr_reference_alloc(wn__arena *arena, int64_t m, int64_t n) {
    qr_buffers b;
    return alloc_buffers(arena, m, n, &b);
}

wn_status wn__qr_reference(wn__exec *x, int64_t m, int64_t n, const double *a, double *q, double *r,
                           void *scratch) {
    wn__arena arena = wn__arena_over(scratch);
    qr_buffers b;
    WN_TRY(alloc_buffers(&arena, m, n, &b));
    int64_t k = m < n ? m : n;
    double scale = wn__unit_scale(m * n, a);
    wn__transpose(x, m, n, a, b.w);
    wn__scale(m * n, b.w, scale);
    wn__reflect(x, m, n, b.w, b.tau);
    wn__apply_reflections(x, m, k, b.w, b.tau, k, b.q, true);
    wn__transpose(x, k, m, b.q, q);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++)
            r[i * n + j] = j < i ? 0 : b.w[j * m + i] / scale;
    return WN_OK;
}
