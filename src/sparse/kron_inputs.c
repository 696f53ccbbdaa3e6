// SPDX-License-Identifier: MIT
// Everything in double and in strips of columns, so that what lies between two factors, which may
// be many times as wide as the weight, is never there as a whole.
#include "sparse/kron_inputs.h"

#include "base/fail.h"
#include "base/pool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STRIP = 128, GRADIENTS = 8 }; // columns at a time; steps of conjugate gradients a round
enum { NEAR = 16 };                  // rows of H that stay close; whole turns of add_rows

typedef struct fit {
    const wn__linalg *family;
    wn__exec *x;
    const wn__kron_chain *c;
    int64_t out, in, widest;
    const double *w, *h;
    double norm;            // of W under H, squared
    double *difference;     // [out, in] D = W - P
    double *weighted;       // [out, in] D H
    double *strip[2];       // [widest, STRIP]
    double *read;           // [widest, STRIP] what the leftmost factor reads of unit vectors
    double *seen;           // the same of columns of H
    double *one[4], *group; // of the rightmost factor: directions; of the leftmost: its equations
    double *root;           // of what each group of the rightmost factor reads, [a d][c, c]
} fit;

static double *doubles(int64_t n, bool *ok) {
    double *p = calloc((size_t)n + 1, sizeof *p);
    *ok = *ok && p != NULL;
    return p;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static double dot(const double *a, const double *b, int64_t n) {
    double s[4] = {0};
    for (int64_t i = 0; i < n; i++)
        s[i % 4] += a[i] * b[i];
    return s[0] + s[1] + (s[2] + s[3]);
}

// to[v] += sum of w[q] from[q step + v]: four terms at a time, since each pass reads and writes to.
static void add_rows(const double *w, int64_t w_step, const double *from, int64_t step,
                     int64_t terms, int64_t n, double *to) {
    int64_t q = 0;
    for (; q + 4 <= terms; q += 4, from += 4 * step) {
        double a = w[q * w_step], b = w[(q + 1) * w_step], c = w[(q + 2) * w_step],
               d = w[(q + 3) * w_step];
        for (int64_t v = 0; v < n; v++)
            to[v] += (a * from[v] + b * from[step + v]) +
                     (c * from[2 * step + v] + d * from[3 * step + v]);
    }
    for (; q < terms; q++, from += step)
        for (int64_t v = 0; v < n; v++)
            to[v] += w[q * w_step] * from[v];
}

// ---- factors times strips

typedef struct product {
    const wn__kron *p;
    const double *w, *from;
    double *to;
    int64_t n;
    bool transposed;
} product;

// Group (i, l): rows (i b + j) d + l of one side, (i c + k) d + l of the other.
static void product_groups(void *ctx, int64_t begin, int64_t end, int worker) {
    const product *s = ctx;
    const wn__kron *p = s->p;
    (void)worker;
    for (int64_t g = begin; g < end; g++) {
        int64_t i = g / p->d, l = g % p->d;
        int64_t rows = s->transposed ? p->c : p->b, columns = s->transposed ? p->b : p->c;
        for (int64_t r = 0; r < rows; r++) {
            double *to = s->to + ((i * rows + r) * p->d + l) * s->n;
            memset(to, 0, (size_t)s->n * sizeof *to);
            int64_t j = s->transposed ? 0 : r, k = s->transposed ? r : 0;
            add_rows(s->w + ((i * p->b + j) * p->c + k) * p->d + l,
                     s->transposed ? p->c * p->d : p->d, s->from + (i * columns * p->d + l) * s->n,
                     p->d * s->n, columns, s->n, to);
        }
    }
}

static void multiply(const fit *f, const wn__kron *p, const double *w, const double *from,
                     int64_t n, bool transposed, double *to) {
    product s = {.p = p, .w = w, .from = from, .to = to, .n = n, .transposed = transposed};
    wn__parallel_for(f->x->pool, p->a * p->d, 1, product_groups, &s);
}

// Factors first .. end-1 of n columns; `to` is neither of the strips.
static void run(const fit *f, double *const *factor, int first, int end, const double *from,
                int64_t n, double *to) {
    for (int t = first; t < end; t++) {
        double *into = t + 1 == end ? to : f->strip[t % 2];
        multiply(f, &f->c->factor[t], factor[t], from, n, false, into);
        from = into;
    }
    if (first == end) memcpy(to, from, (size_t)(f->in * n) * sizeof *to);
}

// Factors end-1 .. first, transposed; the result is in `to`.
static void run_back(const fit *f, double *const *factor, int first, int end, const double *from,
                     int64_t n, double *to) {
    for (int t = end - 1; t >= first; t--) {
        double *into = t == first ? to : f->strip[t % 2];
        multiply(f, &f->c->factor[t], factor[t], from, n, true, into);
        from = into;
    }
}

// Columns begin .. begin+n-1 of the identity, or of a matrix with rows of `in` numbers.
static void columns_of(const fit *f, const double *m, int64_t rows, int64_t begin, int64_t n,
                       double *to) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t v = 0; v < n; v++)
            to[r * n + v] = m != NULL ? m[r * f->in + begin + v] : r == begin + v;
}

// ---- what is left over

typedef struct rows {
    const fit *f;
    double *square;
} rows;

// weighted = difference H; square[r]: of row r under H.
static void weigh_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    const rows *s = ctx;
    const fit *f = s->f;
    (void)worker;
    memset(f->weighted + begin * f->in, 0, (size_t)((end - begin) * f->in) * sizeof(double));
    for (int64_t k = 0; k < f->in; k += NEAR) // rows of H that all of these rows pass over at once
        for (int64_t r = begin; r < end; r++)
            add_rows(f->difference + r * f->in + k, 1, f->h + k * f->in, f->in,
                     least(NEAR, f->in - k), f->in, f->weighted + r * f->in);
    for (int64_t r = begin; r < end; r++)
        s->square[r] = dot(f->weighted + r * f->in, f->difference + r * f->in, f->in);
}

// Fills difference and weighted; the squared errors of the outputs and of the weight.
static void compare(fit *f, double *const *factor, double *outputs, double *weight) {
    double *unit = f->read, *column = f->seen, *square = f->group;
    *outputs = *weight = 0;
    for (int64_t begin = 0; begin < f->in; begin += STRIP) {
        int64_t n = least(STRIP, f->in - begin);
        if (factor != NULL) {
            columns_of(f, NULL, f->in, begin, n, unit);
            run(f, factor, 0, f->c->count, unit, n, column);
        }
        for (int64_t r = 0; r < f->out; r++)
            for (int64_t v = 0; v < n; v++) {
                int64_t at = r * f->in + begin + v;
                f->difference[at] = f->w[at] - (factor != NULL ? column[r * n + v] : 0);
            }
    }
    rows s = {.f = f, .square = square};
    wn__parallel_for(f->x->pool, f->out, 8, weigh_rows, &s);
    for (int64_t r = 0; r < f->out; r++) {
        *outputs += square[r];
        *weight += dot(f->difference + r * f->in, f->difference + r * f->in, f->in);
    }
}

// ---- the leftmost factor

// a = L L^T in place, its upper part untouched; false: not positive definite.
static bool cholesky(double *a, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = a[i * n + j] - dot(a + i * n, a + j * n, j);
            if (i == j && !(sum > 0)) return false;
            a[i * n + j] = i == j ? sqrt(sum) : sum / a[j * n + j];
        }
    return true;
}

// x L L^T = x in place.
static void solve(const double *l, int64_t n, double *x) {
    for (int64_t i = 0; i < n; i++)
        x[i] = (x[i] - dot(l + i * n, x, i)) / l[i * n + i];
    for (int64_t i = n; i-- > 0;) {
        for (int64_t q = i + 1; q < n; q++)
            x[i] -= l[q * n + i] * x[q];
        x[i] /= l[i * n + i];
    }
}

typedef struct equations {
    const fit *f;
    const wn__kron *p;
    double *factor;
    int64_t begin, n;
} equations;

// Of each group [c, c] and [b, c]: Q H Q^T, and D H Q^T, Q what the group reads of unit vectors.
static void add_equations(void *ctx, int64_t first, int64_t end, int worker) {
    const equations *s = ctx;
    const fit *f = s->f;
    const wn__kron *p = s->p;
    (void)worker;
    for (int64_t g = first; g < end; g++) {
        double *left = f->group + g * p->c * (p->b + p->c), *right = left + p->c * p->c;
        for (int64_t k = 0; k < p->c; k++) {
            int64_t row = (g / p->d * p->c + k) * p->d + g % p->d;
            const double *q = f->read + row * s->n;
            for (int64_t m = 0; m <= k; m++) {
                int64_t other = (g / p->d * p->c + m) * p->d + g % p->d;
                left[k * p->c + m] += dot(q, f->seen + other * s->n, s->n);
            }
            for (int64_t j = 0; j < p->b; j++) {
                int64_t to = (g / p->d * p->b + j) * p->d + g % p->d;
                right[j * p->c + k] += dot(q, f->weighted + to * f->in + s->begin, s->n);
            }
        }
    }
}

// A hair of ridge: groups may read less than they have numbers.
static void solve_groups(void *ctx, int64_t first, int64_t end, int worker) {
    const equations *s = ctx;
    const wn__kron *p = s->p;
    (void)worker;
    for (int64_t g = first; g < end; g++) {
        double *left = s->f->group + g * p->c * (p->b + p->c), *right = left + p->c * p->c;
        double trace = 0;
        for (int64_t k = 0; k < p->c; k++)
            trace += left[k * p->c + k];
        for (int64_t k = 0; k < p->c; k++)
            left[k * p->c + k] += 1e-12 * trace;
        if (!(trace > 0) || !cholesky(left, p->c)) continue;
        for (int64_t j = 0; j < p->b; j++) {
            solve(left, p->c, right + j * p->c);
            for (int64_t k = 0; k < p->c; k++)
                s->factor[((g / p->d * p->b + j) * p->c + k) * p->d + g % p->d] +=
                    right[j * p->c + k];
        }
    }
}

// Least squares of what compare left over.
static void improve_left(fit *f, double *const *factor) {
    int last = f->c->count - 1;
    equations s = {.f = f, .p = &f->c->factor[last], .factor = factor[last]};
    int64_t groups = s.p->a * s.p->d;
    memset(f->group, 0, (size_t)(groups * s.p->c * (s.p->b + s.p->c)) * sizeof(double));
    double *from = f->strip[1]; // `run` writes the other one first
    for (s.begin = 0; s.begin < f->in; s.begin += STRIP) {
        s.n = least(STRIP, f->in - s.begin);
        columns_of(f, NULL, f->in, s.begin, s.n, from);
        run(f, factor, 0, last, from, s.n, f->read);
        columns_of(f, f->h, f->in, s.begin, s.n, from);
        run(f, factor, 0, last, from, s.n, f->seen);
        wn__parallel_for(f->x->pool, groups, 1, add_equations, &s);
    }
    wn__parallel_for(f->x->pool, groups, 1, solve_groups, &s);
}

// ---- the rightmost factor

// to = the entries of the rightmost factor's support of A^T m, A the other factors' product and m
// [out, in]; or, of a direction instead of m, A^T A V H.
static void gradient(fit *f, double *const *factor, const double *direction, double *to) {
    const wn__kron *p = &f->c->factor[0];
    for (int64_t begin = 0; begin < f->in; begin += STRIP) {
        int64_t n = least(STRIP, f->in - begin);
        if (direction != NULL) {
            columns_of(f, f->h, f->in, begin, n, f->read);
            multiply(f, p, direction, f->read, n, false, f->seen);
            run(f, factor, 1, f->c->count, f->seen, n, f->read);
        } else {
            columns_of(f, f->weighted, f->out, begin, n, f->read);
        }
        run_back(f, factor, 1, f->c->count, f->read, n, f->seen);
        for (int64_t i = 0; i < p->a; i++)
            for (int64_t k = 0; k < p->c; k++)
                for (int64_t l = 0; l < p->d; l++) {
                    int64_t column = (i * p->c + k) * p->d + l - begin;
                    if (column < 0 || column >= n) continue;
                    for (int64_t j = 0; j < p->b; j++)
                        to[((i * p->b + j) * p->c + k) * p->d + l] =
                            f->seen[((i * p->b + j) * p->d + l) * n + column];
                }
    }
}

// to = from times the inverse of H's block of each group: what makes the equations nearly round.
static void precondition(const fit *f, const double *from, double *to) {
    const wn__kron *p = &f->c->factor[0];
    double *row = f->read; // of at least `in` numbers
    for (int64_t g = 0; g < p->a * p->d; g++)
        for (int64_t j = 0; j < p->b; j++) {
            int64_t at = (g / p->d * p->b + j) * p->c * p->d + g % p->d;
            for (int64_t k = 0; k < p->c; k++)
                row[k] = from[at + k * p->d];
            solve(f->root + g * p->c * p->c, p->c, row);
            for (int64_t k = 0; k < p->c; k++)
                to[at + k * p->d] = row[k];
        }
}

// Conjugate gradients from where it stands; the quadratic form falls with every step.
static void improve_right(fit *f, double *const *factor) {
    int64_t n = wn__kron_params(&f->c->factor[0]);
    double *rest = f->one[0], *way = f->one[1], *image = f->one[2], *round = f->one[3];
    gradient(f, factor, NULL, rest);
    precondition(f, rest, way);
    double square = dot(rest, way, n), begin = square;
    for (int i = 0; i < GRADIENTS && square > 1e-12 * begin; i++) {
        gradient(f, factor, way, image);
        double curve = dot(way, image, n);
        if (!(curve > 0)) break;
        double step = square / curve, old = square;
        for (int64_t v = 0; v < n; v++) {
            factor[0][v] += step * way[v];
            rest[v] -= step * image[v];
        }
        precondition(f, rest, round);
        square = dot(rest, round, n);
        for (int64_t v = 0; v < n; v++)
            way[v] = round[v] + square / old * way[v];
    }
}

// ---- where to begin

// The roots of what the groups of the rightmost factor read: rows and columns (i c + k) d + l of H.
static wn_status make_roots(const fit *f) {
    const wn__kron *p = &f->c->factor[0];
    for (int64_t g = 0; g < p->a * p->d; g++) {
        double *root = f->root + g * p->c * p->c;
        for (int64_t k = 0; k < p->c; k++)
            for (int64_t m = 0; m < p->c; m++) {
                int64_t row = (g / p->d * p->c + k) * p->d + g % p->d;
                int64_t column = (g / p->d * p->c + m) * p->d + g % p->d;
                root[k * p->c + m] = f->h[row * f->in + column];
            }
        if (!cholesky(root, p->c))
            return wn__fail(WN_INVALID, "second moments that are not positive definite");
    }
    return WN_OK;
}

// to = w times the roots of the groups' blocks of H.
static void whiten(const fit *f, double *to) {
    const wn__kron *p = &f->c->factor[0];
    for (int64_t g = 0; g < p->a * p->d; g++) {
        const double *root = f->root + g * p->c * p->c;
        int64_t first = g / p->d * p->c * p->d + g % p->d;
        for (int64_t r = 0; r < f->out; r++) {
            const double *from = f->w + r * f->in + first;
            double *sum = to + r * f->in + first;
            for (int64_t m = 0; m < p->c; m++)
                sum[m * p->d] = 0;
            for (int64_t k = 0; k < p->c; k++)
                for (int64_t m = 0; m <= k; m++)
                    sum[m * p->d] += from[k * p->d] * root[k * p->c + m];
        }
    }
}

// Takes it back: v L = the rightmost factor's rows, group by group.
static void unwhiten(const fit *f, double *factor) {
    const wn__kron *p = &f->c->factor[0];
    for (int64_t g = 0; g < p->a * p->d; g++) {
        const double *root = f->root + g * p->c * p->c;
        for (int64_t j = 0; j < p->b; j++) {
            double *row = factor + (g / p->d * p->b + j) * p->c * p->d + g % p->d;
            for (int64_t m = p->c; m-- > 0;) {
                for (int64_t k = m + 1; k < p->c; k++)
                    row[m * p->d] -= row[k * p->d] * root[k * p->c + m];
                row[m * p->d] /= root[m * p->c + m];
            }
        }
    }
}

// Both closed forms; the better one into factor. Neither of a norm of zero.
static wn_status begin(fit *f, double *const *factor, double *const *other, wn__kron_inputs *report,
                       double *outputs) {
    wn__kron_fit fitted;
    double weight, whole, plain;
    WN_TRY(make_roots(f));
    compare(f, NULL, &f->norm, &whole);
    if (!isfinite(f->norm)) return wn__fail(WN_INVALID, "a weight that is not finite");
    if (f->norm == 0) return WN_OK;
    WN_TRY(wn__kron_fit_dense(f->family, f->x, f->c, f->w, factor, false, &fitted));
    compare(f, factor, &plain, &weight);
    report->plain_weight = sqrt(weight / whole);
    report->plain_outputs = sqrt(fmax(plain, 0) / f->norm);
    double *white = f->difference; // made again by compare
    whiten(f, white);
    WN_TRY(wn__kron_fit_dense(f->family, f->x, f->c, white, other, false, &fitted));
    unwhiten(f, other[0]);
    compare(f, other, outputs, &weight);
    report->closed_outputs = sqrt(fmax(*outputs, 0) / f->norm);
    if (plain < *outputs) {
        *outputs = plain;
        return WN_OK;
    }
    for (int t = 0; t < f->c->count; t++)
        memcpy(factor[t], other[t], (size_t)wn__kron_params(&f->c->factor[t]) * sizeof *factor[t]);
    return WN_OK;
}

// All of one norm; the product stays.
static void balance(const fit *f, double *const *factor) {
    double log_all = 0;
    for (int t = 0; t < f->c->count; t++) {
        int64_t n = wn__kron_params(&f->c->factor[t]);
        double square = dot(factor[t], factor[t], n);
        if (!(square > 0)) return;
        log_all += 0.5 * log(square) / f->c->count;
    }
    for (int t = 0; t < f->c->count; t++) {
        int64_t n = wn__kron_params(&f->c->factor[t]);
        double scale = exp(log_all) / sqrt(dot(factor[t], factor[t], n));
        for (int64_t i = 0; i < n; i++)
            factor[t][i] *= scale;
    }
}

// ---- all of it

static wn_status fit_all(fit *f, int most, double *const *factor, double *const *kept,
                         wn__kron_inputs *r) {
    double outputs, weight, now;
    WN_TRY(begin(f, factor, kept, r, &outputs));
    if (f->norm == 0) { // zeros are exact, and no error is relative to them
        for (int t = 0; t < f->c->count; t++)
            memset(factor[t], 0, (size_t)wn__kron_params(&f->c->factor[t]) * sizeof *factor[t]);
        return WN_OK;
    }
    compare(f, factor, &outputs, &weight);
    while (r->rounds < most) {
        for (int t = 0; t < f->c->count; t++)
            memcpy(kept[t], factor[t], (size_t)wn__kron_params(&f->c->factor[t]) * sizeof *kept[t]);
        improve_left(f, factor);
        compare(f, factor, &now, &weight);
        if (f->c->count > 1) improve_right(f, factor);
        compare(f, factor, &now, &weight);
        if (!(now < outputs)) { // rounding alone: the one before
            for (int t = 0; t < f->c->count; t++)
                memcpy(factor[t], kept[t],
                       (size_t)wn__kron_params(&f->c->factor[t]) * sizeof *kept[t]);
            break;
        }
        double gain = sqrt(fmax(now, 0) / outputs);
        outputs = now;
        r->rounds++;
        if (gain > 0.998) break;
    }
    balance(f, factor);
    compare(f, factor, &outputs, &weight);
    double whole = dot(f->w, f->w, f->out * f->in);
    r->outputs = sqrt(fmax(outputs, 0) / f->norm);
    r->weight = sqrt(weight / whole);
    return WN_OK;
}

static int64_t room_of(const fit *f) {
    const wn__kron *last = &f->c->factor[f->c->count - 1];
    int64_t group = last->a * last->d * last->c * (last->b + last->c);
    return group > f->out ? group : f->out;
}

wn_status wn__kron_fit_inputs(const wn__linalg *family, wn__exec *x, const wn__kron_chain *c,
                              const double *w, const double *h, int most, double *const *factor,
                              wn__kron_inputs *report) {
    fit f = {.family = family,
             .x = x,
             .c = c,
             .out = wn__kron_chain_rows(c),
             .in = wn__kron_chain_columns(c),
             .w = w,
             .h = h};
    double *kept[WN__KRON_MAX] = {NULL};
    bool ok = true;
    *report = (wn__kron_inputs){0};
    f.widest = f.in > f.out ? f.in : f.out;
    for (int t = 0; t < c->count; t++) {
        if (wn__kron_rows(&c->factor[t]) > f.widest) f.widest = wn__kron_rows(&c->factor[t]);
        kept[t] = doubles(wn__kron_params(&c->factor[t]), &ok);
    }
    for (int i = 0; i < 2; i++)
        f.strip[i] = doubles(f.widest * STRIP, &ok);
    for (int i = 0; i < 4; i++)
        f.one[i] = doubles(wn__kron_params(&c->factor[0]), &ok);
    f.root = doubles(f.in * c->factor[0].c, &ok);
    f.read = doubles(f.widest * STRIP, &ok);
    f.seen = doubles(f.widest * STRIP, &ok);
    f.difference = doubles(f.out * f.in, &ok);
    f.weighted = doubles(f.out * f.in, &ok);
    f.group = doubles(room_of(&f), &ok);
    wn_status status = ok ? fit_all(&f, most, factor, kept, report)
                          : wn__fail(WN_NOMEM, "out of memory for a fit");
    for (int t = 0; t < c->count; t++)
        free(kept[t]);
    double *const all[] = {f.strip[0], f.strip[1], f.one[0],     f.one[1],   f.one[2], f.one[3],
                           f.read,     f.seen,     f.difference, f.weighted, f.group,  f.root};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    return status;
}

wn_status wn__kron_inputs_square(wn__exec *x, int64_t out, int64_t in, const double *d,
                                 const double *h, double *square) {
    fit f = {.x = x, .out = out, .in = in, .h = h};
    bool ok = true;
    *square = 0;
    if (h == NULL) {
        for (int64_t r = 0; r < out; r++)
            *square += dot(d + r * in, d + r * in, in);
        return WN_OK;
    }
    double *of_row = doubles(out, &ok);
    f.difference = doubles(out * in, &ok);
    f.weighted = doubles(out * in, &ok);
    if (ok) {
        rows s = {.f = &f, .square = of_row};
        memcpy(f.difference, d, (size_t)(out * in) * sizeof *d);
        wn__parallel_for(x->pool, out, 8, weigh_rows, &s);
        for (int64_t r = 0; r < out; r++)
            *square += of_row[r];
    }
    free(of_row);
    free(f.difference);
    free(f.weighted);
    return ok ? WN_OK : wn__fail(WN_NOMEM, "out of memory for a matrix of errors");
}

wn_status wn__kron_lowrank_inputs(const wn__linalg *family, wn__exec *x, int64_t out, int64_t in,
                                  const double *w, const double *h, int64_t rank, double *outputs) {
    wn__kron_chain dense = {.factor = {{1, out, in, 1}}, .count = 1};
    fit f = {.family = family, .x = x, .c = &dense, .out = out, .in = in, .w = w, .h = h};
    bool ok = true;
    size_t scratch = wn__linalg_svd_scratch(family, out, in);
    double *white = doubles(out * in, &ok), *s = doubles(least(out, in), &ok);
    f.root = doubles(in * in, &ok);
    void *room = aligned_alloc(64, (scratch + 127) / 64 * 64);
    double rest = 0, whole = 0;
    wn_status status =
        ok && room != NULL ? make_roots(&f) : wn__fail(WN_NOMEM, "out of memory for an SVD");
    if (status == WN_OK) whiten(&f, white);
    if (status == WN_OK) status = wn__linalg_svd(family, x, out, in, white, NULL, s, NULL, room);
    for (int64_t i = 0; status == WN_OK && i < least(out, in); i++) {
        whole += s[i] * s[i];
        if (i >= rank) rest += s[i] * s[i];
    }
    *outputs = whole > 0 ? sqrt(rest / whole) : 0;
    free(f.root);
    free(white);
    free(s);
    free(room);
    return status;
}
