// SPDX-License-Identifier: MIT
// Alternating least squares: with all other factors held, the error is a quadratic in one of them,
// so each is solved for in turn, from the left, on the unit vectors or the root of a calibration,
// whose squared error is the objective itself and no sample of it. Blocks of the leftmost factor do
// not meet: each is the solution of its own normal equations, through the Gram matrix of what it
// takes. Of the others conjugate gradients solve them.
#include "base/fail.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "prune/ks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ENOUGH  1e-5  // of the error: a sweep that gains less is the last one
#define SOLVED  1e-10 // of the squared residual that conjugate gradients begin with
#define DAMPING 1e-9  // of a Gram matrix's mean diagonal
enum { STEPS = 60 };  // of conjugate gradients at most

typedef struct als {
    wn__ks *k;
    int64_t rows;          // vectors: no turned ones
    float *r, *p, *q;      // of conjugate gradients, as long as the largest factor
    float *gram;           // [a d][c][c] of the leftmost factor
    double *solve;         // [c][c] and [c], of a block
    float *first;          // the factors before, one behind the other
    double square, before; // of what is left over, now and a sweep ago
} als;

static wn_status multiply(wn__ks *k, int t, const float *w, bool turned, const wn_tensor *x,
                          const wn_tensor *y) {
    const wn_tensor view = wn__ks_factor(k, t, w);
    wn__kron_mul one = {.x = *x, .y = *y, .count = 1};
    one.w[0] = turned ? wn__kron_view_transpose(&view) : view;
    return wn__run(&k->x, WN__OP_kron_mul, &one);
}

// Vectors first .. first + n into h[0], and on through the factors before t.
static wn_status bring(als *a, int64_t first, int64_t n, int t) {
    wn__ks *k = a->k;
    for (int64_t i = 0; i < n && !k->x.planning; i++)
        k->order[i] = first + i;
    if (!k->x.planning) wn__ks_bring(k, &k->train, k->order, n);
    for (int f = 0; f < t; f++) {
        const wn_tensor x = wn__ks_between(k, f, n), y = wn__ks_between(k, f + 1, n);
        WN_TRY(multiply(k, f, k->used[f], false, &x, &y));
    }
    return WN_OK;
}

static double subtract(const wn__ks *k, int64_t n, float *y) {
    double sum = 0;
    for (int64_t i = 0; i < n * k->out; i++) {
        y[i] -= k->wanted[i];
        sum += (double)y[i] * (double)y[i];
    }
    return sum;
}

// out = A^T (A K B - Y) B^T where factor t is w; without Y unless `whole`, and then *square is the
// squared error.
static wn_status gradient(als *a, int t, const float *w, bool whole, float *out, double *square) {
    wn__ks *k = a->k;
    int last = k->chain.count - 1;
    double sum = 0;
    for (int64_t first = 0; first < a->rows; first += k->batch) {
        int64_t n = a->rows - first < k->batch ? a->rows - first : k->batch;
        WN_TRY(bring(a, first, n, t));
        for (int f = t; f <= last; f++) {
            const wn_tensor x = wn__ks_between(k, f, n), y = wn__ks_between(k, f + 1, n);
            WN_TRY(multiply(k, f, f == t ? w : k->used[f], false, &x, &y));
        }
        if (whole && !k->x.planning) sum += subtract(k, n, k->h[last + 1]);
        for (int f = last; f > t; f--) { // what went into f is not needed any more
            const wn_tensor dy = wn__ks_between(k, f + 1, n), dx = wn__ks_between(k, f, n);
            WN_TRY(multiply(k, f, k->used[f], true, &dy, &dx));
        }
        const wn__kron_grad g = {.x = wn__ks_between(k, t, n),
                                 .dy = wn__ks_between(k, t + 1, n),
                                 .dw = wn__ks_factor(k, t, out),
                                 .accumulate = first > 0};
        WN_TRY(wn__run(&k->x, WN__OP_kron_grad, &g));
    }
    if (square != NULL) *square = sum;
    return WN_OK;
}

static double dot(const float *x, const float *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

static void add(float *x, double scale, const float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] + scale * (double)y[i]);
}

// Factor t by conjugate gradients.
static wn_status solve_inner(als *a, int t) {
    int64_t n = wn__kron_params(&a->k->chain.factor[t]);
    float *w = a->k->used[t];
    WN_TRY(gradient(a, t, w, true, a->r, &a->square));
    for (int64_t i = 0; i < n; i++)
        a->p[i] = a->r[i] = -a->r[i];
    double square = dot(a->r, a->r, n), enough = SOLVED * square;
    for (int step = 0; step < STEPS && square > enough; step++) {
        WN_TRY(gradient(a, t, a->p, false, a->q, NULL));
        double curve = dot(a->p, a->q, n);
        if (!(curve > 0)) break;
        double length = square / curve, next;
        add(w, length, a->p, n);
        add(a->r, -length, a->q, n);
        next = dot(a->r, a->r, n);
        for (int64_t i = 0; i < n; i++)
            a->p[i] = (float)((double)a->r[i] + next / square * (double)a->p[i]);
        square = next;
    }
    return WN_OK;
}

// g = L L^T in place; false where it is not positive.
static bool factorize(double *g, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = g[i * n + j];
            for (int64_t q = 0; q < j; q++)
                sum -= g[i * n + q] * g[j * n + q];
            if (i == j && !(sum > 0)) return false;
            g[i * n + j] = i == j ? sqrt(sum) : sum / g[j * n + j];
        }
    return true;
}

static void substitute(const double *l, int64_t n, double *x) {
    for (int64_t i = 0; i < n; i++) {
        for (int64_t q = 0; q < i; q++)
            x[i] -= l[i * n + q] * x[q];
        x[i] /= l[i * n + i];
    }
    for (int64_t i = n; i-- > 0;) {
        for (int64_t q = i + 1; q < n; q++)
            x[i] -= l[q * n + i] * x[q];
        x[i] /= l[i * n + i];
    }
}

// Row j of a block: K_g[j] G = R[j], R in a->r as [c][b].
static void solve_block(als *a, int64_t g, float *w) {
    const wn__kron *p = &a->k->chain.factor[a->k->chain.count - 1];
    int64_t b = p->b, c = p->c;
    double *l = a->solve, *x = l + c * c, mean = 0;
    for (int64_t i = 0; i < c * c; i++)
        l[i] = (double)a->gram[g * c * c + i];
    for (int64_t i = 0; i < c; i++)
        mean += l[i * c + i] / (double)c;
    for (int64_t i = 0; i < c; i++)
        l[i * c + i] += DAMPING * mean;
    if (!factorize(l, c)) return; // nothing comes in: the block stays
    for (int64_t j = 0; j < b; j++) {
        for (int64_t i = 0; i < c; i++)
            x[i] = (double)a->r[(g * c + i) * b + j];
        substitute(l, c, x);
        for (int64_t i = 0; i < c; i++)
            w[(g * c + i) * b + j] = (float)x[i];
    }
}

static wn_status solve_left(als *a) {
    wn__ks *k = a->k;
    int t = k->chain.count - 1;
    const wn__kron *p = &k->chain.factor[t], square = {p->a, p->c, p->c, p->d};
    for (int64_t first = 0; first < a->rows; first += k->batch) {
        int64_t n = a->rows - first < k->batch ? a->rows - first : k->batch;
        WN_TRY(bring(a, first, n, t));
        const wn_tensor x = wn__ks_between(k, t, n);
        const wn__kron_grad right = {.x = x,
                                     .dy = wn__ks_batch(k, k->wanted, n, k->out),
                                     .dw = wn__ks_factor(k, t, a->r),
                                     .accumulate = first > 0};
        const wn__kron_grad gram = {
            .x = x,
            .dy = x,
            .dw = wn__kron_view(&square, WN__KRON_COLUMNS, a->gram, WN_DTYPE_F32),
            .accumulate = first > 0};
        WN_TRY(wn__run(&k->x, WN__OP_kron_grad, &right));
        WN_TRY(wn__run(&k->x, WN__OP_kron_grad, &gram));
    }
    for (int64_t g = 0; g < p->a * p->d && !k->x.planning; g++)
        solve_block(a, g, k->used[t]);
    return WN_OK;
}

// Workspace of what training does not run.
static wn_status plan(als *a) {
    wn__exec *x = &a->k->x;
    x->planning = true;
    wn_status status = solve_left(a);
    for (int t = 0; status == WN_OK && t < a->k->chain.count; t++)
        status = gradient(a, t, a->k->used[t], false, a->q, NULL);
    x->planning = false;
    WN_TRY(status);
    if (x->need <= x->scratch_size) return WN_OK;
    free(x->scratch);
    x->scratch_size = x->need;
    x->scratch = aligned_alloc(64, (x->need + 127) / 64 * 64);
    if (x->scratch != NULL) return WN_OK;
    x->scratch_size = 0;
    return wn__fail(WN_NOMEM, "out of memory for %zu bytes of workspace", x->need);
}

static wn_status reserve(als *a) {
    const wn__kron_chain *c = &a->k->chain;
    const wn__kron *left = &c->factor[c->count - 1];
    size_t most = 0, block = (size_t)left->c * (size_t)left->c;
    for (int t = 0; t < c->count; t++)
        if ((size_t)wn__kron_params(&c->factor[t]) > most)
            most = (size_t)wn__kron_params(&c->factor[t]);
    a->r = malloc(most * sizeof *a->r);
    a->p = malloc(most * sizeof *a->p);
    a->q = malloc(most * sizeof *a->q);
    a->gram = malloc((size_t)(left->a * left->d) * block * sizeof *a->gram);
    a->solve = malloc((block + (size_t)left->c) * sizeof *a->solve);
    if (a->r && a->p && a->q && a->gram && a->solve) return WN_OK;
    return wn__fail(WN_NOMEM, "out of memory for least squares");
}

static size_t bytes_of(const wn__ks *k, int t) {
    return (size_t)wn__kron_params(&k->chain.factor[t]) * sizeof(float);
}

// Masters into what products see: nothing is rounded in between.
static wn_status start(als *a, double *loss) {
    wn__ks *k = a->k;
    size_t all = 0;
    for (int t = 0; t < k->chain.count; t++)
        all += bytes_of(k, t);
    a->first = malloc(all);
    if (a->first == NULL) return wn__fail(WN_NOMEM, "out of memory for least squares");
    char *to = (char *)a->first;
    for (int t = 0; t < k->chain.count; to += bytes_of(k, t++)) {
        const float *master = k->params.item[t + 1].w.data;
        memcpy(to, master, bytes_of(k, t));
        if (k->used[t] != master) memcpy(k->used[t], master, bytes_of(k, t));
    }
    return wn__ks_loss(k, &k->train, loss, NULL);
}

// What products see into masters, or what they began with where that is as near: solving in
// float32 loses where numbers are about its largest or its least.
static wn_status end(als *a, double start_loss) {
    wn__ks *k = a->k;
    double loss;
    const char *from = (const char *)a->first;
    WN_TRY(wn__ks_loss(k, &k->train, &loss, NULL));
    bool nearer = loss < start_loss;
    for (int t = 0; t < k->chain.count; from += bytes_of(k, t++)) {
        float *master = k->params.item[t + 1].w.data;
        if (!nearer)
            memcpy(master, from, bytes_of(k, t));
        else if (k->used[t] != master)
            memcpy(master, k->used[t], bytes_of(k, t));
    }
    wn__ks_round(k);
    return WN_OK;
}

wn_status wn__ks_als(wn__ks *k, int64_t sweeps, int64_t *done) {
    als a = {.k = k, .rows = k->in, .before = INFINITY};
    double first;
    wn_status status;
    *done = 0;
    WN_TRY_OUT(reserve(&a));
    WN_TRY_OUT(plan(&a));
    WN_TRY_OUT(start(&a, &first));
    while (*done < sweeps) {
        WN_TRY_OUT(solve_left(&a));
        for (int t = k->chain.count - 2; t >= 0; t--)
            WN_TRY_OUT(solve_inner(&a, t)); // which first says what the others left over
        ++*done;
        if (k->chain.count < 2 || a.square >= (1 - ENOUGH) * a.before) break;
        a.before = a.square;
    }
    WN_TRY_OUT(end(&a, first));
out:
    free(a.first);
    free(a.r);
    free(a.p);
    free(a.q);
    free(a.gram);
    free(a.solve);
    return status;
}
