// SPDX-License-Identifier: MIT
// kron_pair_grad, the specification: a vector of the batch after the other, everything in double.
#include "kernels/kron_pair_grad.h"
#include "kernels/declare.h"
#include "kernels/element.h"

// row (+)= K column, or column (+)= K^T row.
static void apply(const wn_tensor *w, double *row, double *column, bool transposed) {
    const wn__kron_size s = wn__kron_size_of(w);
    for (int64_t i = 0; i < s.a; i++)
        for (int64_t j = 0; j < s.b; j++)
            for (int64_t k = 0; k < s.c; k++)
                for (int64_t l = 0; l < s.d; l++) {
                    double *r = row + (i * s.b + j) * s.d + l,
                           *c = column + (i * s.c + k) * s.d + l;
                    const double v = wn__get(w, wn__kron_at(w, i, j, k, l));
                    *(transposed ? c : r) += v * *(transposed ? r : c);
                }
}

static void add_products(const wn__kron_size *s, const double *row, const double *column,
                         double *sum) {
    for (int64_t i = 0; i < s->a; i++)
        for (int64_t j = 0; j < s->b; j++)
            for (int64_t k = 0; k < s->c; k++)
                for (int64_t l = 0; l < s->d; l++)
                    *sum++ += row[(i * s->b + j) * s->d + l] * column[(i * s->c + k) * s->d + l];
}

static void write(const wn_tensor *dw, const double *sum, bool accumulate) {
    const wn__kron_size s = wn__kron_size_of(dw);
    for (int64_t i = 0; i < s.a; i++)
        for (int64_t j = 0; j < s.b; j++)
            for (int64_t k = 0; k < s.c; k++)
                for (int64_t l = 0; l < s.d; l++) {
                    const int64_t at = wn__kron_at(dw, i, j, k, l);
                    wn__set(dw, at, (accumulate ? wn__get(dw, at) : 0) + *sum++);
                }
}

static int64_t numbers(const wn_tensor *w) {
    return w->shape[0] * w->shape[1] * w->shape[2] * w->shape[3];
}

// Sums of both factors; a vector before, between (twice) and behind them.
size_t wn__workspace_kron_pair_grad_ref(const void *args, int threads) {
    const wn__kron_pair_grad *p = args;
    const wn__kron_size s = wn__kron_size_of(&p->w0);
    (void)threads;
    return (size_t)(numbers(&p->w0) + numbers(&p->w1) + p->x.shape[1] + p->dy.shape[1] +
                    2 * s.a * s.b * s.d) *
           sizeof(double);
}

wn_status wn__kron_pair_grad_ref(const void *args, wn__exec *x) {
    const wn__kron_pair_grad *p = args;
    const wn__kron_size s0 = wn__kron_size_of(&p->w0), s1 = wn__kron_size_of(&p->w1);
    const int64_t in = p->x.shape[1], out = p->dy.shape[1], middle = s0.a * s0.b * s0.d;
    double *sum0 = (double *)(void *)x->scratch, *sum1 = sum0 + numbers(&p->w0);
    double *from = sum1 + numbers(&p->w1), *back = from + in, *h = back + out, *g = h + middle;
    for (double *sum = sum0; sum < from; sum++)
        *sum = 0;
    for (int64_t n = 0; n < p->x.shape[0]; n++) {
        for (int64_t i = 0; i < in; i++)
            from[i] = wn__get(&p->x, wn__at(&p->x, n, i));
        for (int64_t i = 0; i < out; i++)
            back[i] = wn__get(&p->dy, wn__at(&p->dy, n, i));
        for (int64_t i = 0; i < 2 * middle; i++)
            h[i] = 0;
        apply(&p->w0, h, from, false);
        apply(&p->w1, back, g, true);
        add_products(&s1, back, h, sum1);
        add_products(&s0, g, from, sum0);
    }
    write(&p->dw0, sum0, p->accumulate);
    write(&p->dw1, sum1, p->accumulate);
    return WN_OK;
}
