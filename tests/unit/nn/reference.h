// SPDX-License-Identifier: MIT
/* The papers' formulas in plain double loops, written apart from the kernels: S-STE's soft
 * threshold and scale (Hu et al. 2024), MVUE along tokens (Chmiel et al. 2022), FP8, products. */
#ifndef WN_TESTS_NN_REFERENCE_H
#define WN_TESTS_NN_REFERENCE_H

#include "unit/nn/layer_test.h"

/* ---- S-STE ---- */

/* Place of |g[i]| among the four, 0 the largest; an earlier one wins a tie. */
static inline int rank_in_group(const double g[4], int i) {
    int rank = 0;
    for (int j = 0; j < 4; j++)
        rank += fabs(g[j]) > fabs(g[i]) || (j < i && fabs(g[j]) == fabs(g[i]));
    return rank;
}

/* S(W) of w[r,c] into s, kept places into keep. */
static inline void soft_threshold(const wn_tensor *w, double *s, bool *keep) {
    int64_t r = w->shape[0], c = w->shape[1];
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < c; j++) {
            double g[4] = {0}, tau = 0;
            int here = (int)(j % 4);
            for (int k = 0; k < 4 && j - here + k < c; k++)
                g[k] = at2(w, i, j - here + k);
            for (int k = 0; k < 4; k++)
                if (rank_in_group(g, k) == 2) tau = fabs(g[k]);
            keep[i * c + j] = rank_in_group(g, here) < 2;
            s[i * c + j] = keep[i * c + j] ? copysign(fabs(g[here]) - tau, g[here]) : 0;
        }
}

/* <W,S>/<S,S>, or ||W||/||S||. */
static inline double soft_scale(const wn_tensor *w, const double *s, bool norm) {
    double ws = 0, ss = 0, ww = 0;
    for (int64_t i = 0; i < wn__tensor_count(w); i++) {
        double v = wn__get(w, i);
        ws += v * s[i];
        ss += s[i] * s[i];
        ww += v * v;
    }
    return norm ? sqrt(ww / ss) : ws / ss;
}

/* ---- MVUE along rows ---- */

/* Inclusion probabilities that minimise the variance: 2|x|/sum, capped at 1. */
static inline void inclusion(const double x[4], double pi[4]) {
    double sum = 0;
    int zeros = 0, largest = 0;
    for (int i = 0; i < 4; i++) {
        sum += fabs(x[i]);
        zeros += x[i] == 0;
        if (fabs(x[i]) > fabs(x[largest])) largest = i;
    }
    bool capped = 2 * fabs(x[largest]) > sum;
    double rest = sum - fabs(x[largest]);
    for (int i = 0; i < 4; i++) {
        if (zeros >= 2)
            pi[i] = x[i] != 0;
        else
            pi[i] = !capped ? 2 * fabs(x[i]) / sum : i == largest ? 1 : fabs(x[i]) / rest;
    }
}

static inline void draw_exact(double x[4], double u) {
    double pi[4], before = 0;
    inclusion(x, pi);
    for (int i = 0; i < 4; i++) {
        double after = before + pi[i];
        bool in = (before <= u && u < after) || (before <= u + 1 && u + 1 < after);
        x[i] = in || pi[i] == 1 ? x[i] / pi[i] : 0;
        before = after;
    }
}

static inline int draw_one(const double t[4], double u) {
    double sum = t[0] + t[1] + t[2] + t[3], c = 0;
    for (int i = 0; i < 4; i++) {
        c += t[i];
        if (t[i] > 0 && u * sum < c) return i;
    }
    return 3;
}

static inline void draw_approx(double x[4], double u, double v) {
    double t[4], sum = 0, pi[4];
    int zeros = 0;
    for (int i = 0; i < 4; i++) {
        t[i] = fabs(x[i]);
        sum += t[i];
        zeros += t[i] == 0;
    }
    if (zeros >= 2) return;
    for (int i = 0; i < 4; i++) {
        pi[i] = t[i] / sum;
        for (int l = 0; l < 4; l++)
            if (l != i) pi[i] += t[i] * t[l] / sum / (sum - t[l]);
    }
    int first = draw_one(t, u);
    t[first] = 0;
    int second = draw_one(t, v);
    for (int i = 0; i < 4; i++)
        x[i] = i == first || i == second ? x[i] / pi[i] : 0;
}

/* T(dy) of dy[n,c] in groups of four rows, drawn as nn/product.h says. */
static inline void prune_tokens(const wn_tensor *dy, bool approx, uint64_t stream, uint64_t counter,
                                double *out) {
    int64_t n = dy->shape[0], c = dy->shape[1];
    for (int64_t block = 0; 4 * block < n; block++)
        for (int64_t j = 0; j < c; j++) {
            uint32_t word[4];
            double x[4] = {0};
            uint64_t k = (uint64_t)(c * block + j);
            for (int i = 0; i < 4 && 4 * block + i < n; i++)
                x[i] = at2(dy, 4 * block + i, j);
            wn__philox_draw(77, stream, counter << 32 | (approx ? k / 2 : k / 4), word);
            if (approx)
                draw_approx(x, word[2 * (k % 2)] * 0x1p-32, word[2 * (k % 2) + 1] * 0x1p-32);
            else
                draw_exact(x, word[k % 4] * 0x1p-32);
            for (int i = 0; i < 4 && 4 * block + i < n; i++)
                out[(4 * block + i) * c + j] = x[i];
        }
}

/* ---- FP8 ---- */

/* The nearest number with that many mantissa bits and that least exponent, even on a tie. */
static inline double nearest8(double v, int mantissa, int least_exponent, double largest) {
    int e;
    if (v == 0) return 0;
    (void)frexp(v, &e); /* |v| in [2^(e-1), 2^e) */
    if (e - 1 < least_exponent) e = least_exponent + 1;
    double quantum = ldexp(1, e - 1 - mantissa), r = nearbyint(v / quantum) * quantum;
    return r > largest ? largest : r < -largest ? -largest : r;
}

/* What n numbers stand for once they are FP8 with one scale. */
static inline void round8(const double *v, int64_t n, bool e4m3, double *out) {
    double amax = 0, largest = e4m3 ? 448 : 57344;
    for (int64_t i = 0; i < n; i++)
        amax = fmax(amax, fabs(v[i]));
    double s = amax > 0 ? largest / amax : 1;
    for (int64_t i = 0; i < n; i++)
        out[i] = nearest8(v[i] * s, e4m3 ? 3 : 2, e4m3 ? -6 : -14, largest) / s;
}

/* ---- products ---- */

/* c[m,n] += sum_k a b; a by [i * ai + k * ak], b by [k * bk + j * bj]. */
static inline void add_product(double *c, int64_t m, int64_t n, int64_t depth, const double *a,
                               int64_t ai, int64_t ak, const double *b, int64_t bk, int64_t bj) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < depth; k++)
                c[i * n + j] += a[i * ai + k * ak] * b[k * bk + j * bj];
}

static inline void values_of(const wn_tensor *t, double *out) {
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        out[i] = wn__get(t, i);
}

/* One weight w[out,in] and one training pass over it, by the formulas. */
typedef struct weight_case {
    int64_t rows, in, out;
    const double *w; /* what is multiplied by */
    bool fp8, prune, approx;
    uint64_t stream, counter;
} weight_case;

/* y += x w^T */
static inline void want_forward(const weight_case *c, const double *x, double *y) {
    double qx[ROOM], qw[MOST * MOST];
    memcpy(qx, x, sizeof(double) * (size_t)(c->rows * c->in));
    memcpy(qw, c->w, sizeof(double) * (size_t)(c->out * c->in));
    if (c->fp8) {
        round8(x, c->rows * c->in, true, qx);
        round8(c->w, c->out * c->in, true, qw);
    }
    add_product(y, c->rows, c->out, c->in, qx, c->in, 1, qw, 1, c->in);
}

/* dx += dy w */
static inline void want_input(const weight_case *c, const double *dy, double *dx) {
    double qdy[ROOM], qw[MOST * MOST];
    memcpy(qdy, dy, sizeof(double) * (size_t)(c->rows * c->out));
    memcpy(qw, c->w, sizeof(double) * (size_t)(c->out * c->in));
    if (c->fp8) {
        round8(dy, c->rows * c->out, false, qdy);
        round8(c->w, c->out * c->in, false, qw);
    }
    add_product(dx, c->rows, c->in, c->out, qdy, c->out, 1, qw, c->in, 1);
}

/* g += T(dy)^T x: pruned first, rounded then */
static inline void want_weight(const weight_case *c, const double *x, const double *dy, double *g) {
    double qx[ROOM], t[ROOM];
    const wn_tensor view = wn__tensor2((void *)(uintptr_t)dy, WN_DTYPE_F64, c->rows, c->out);
    memcpy(qx, x, sizeof(double) * (size_t)(c->rows * c->in));
    memcpy(t, dy, sizeof(double) * (size_t)(c->rows * c->out));
    if (c->prune) prune_tokens(&view, c->approx, c->stream, c->counter, t);
    if (c->fp8) {
        round8(x, c->rows * c->in, false, qx);
        round8(t, c->rows * c->out, false, t);
    }
    add_product(g, c->out, c->in, c->rows, t, 1, c->out, qx, c->in, 1);
}

#endif
