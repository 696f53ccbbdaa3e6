// SPDX-License-Identifier: MIT
// kron_mul, the specification: a vector of the batch goes through all factors in double.
#include "kernels/kron_mul.h"
#include "kernels/declare.h"
#include "kernels/element.h"

static void apply(const wn_tensor *w, const double *from, double *to) {
    wn__kron_size s = wn__kron_size_of(w);
    for (int64_t i = 0; i < s.a; i++)
        for (int64_t j = 0; j < s.b; j++)
            for (int64_t l = 0; l < s.d; l++) {
                double sum = 0;
                for (int64_t k = 0; k < s.c; k++)
                    sum += wn__get(w, wn__kron_at(w, i, j, k, l)) * from[(i * s.c + k) * s.d + l];
                to[(i * s.b + j) * s.d + l] = sum;
            }
}

typedef struct job {
    const wn__kron_mul *p;
    double *scratch; // two vectors for each worker
    int64_t width;
} job;

static void vectors(void *ctx, int64_t begin, int64_t end, int worker) {
    const job *j = ctx;
    const wn__kron_mul *p = j->p;
    double *now = j->scratch + 2 * worker * j->width, *next = now + j->width;
    for (int64_t n = begin; n < end; n++) {
        for (int64_t c = 0; c < p->x.shape[1]; c++)
            now[c] = wn__get(&p->x, wn__at(&p->x, n, c));
        for (int t = 0; t < p->count; t++) {
            apply(&p->w[t], now, next);
            double *swap = now;
            now = next;
            next = swap;
        }
        for (int64_t r = 0; r < p->y.shape[1]; r++) {
            int64_t at = wn__at(&p->y, n, r);
            wn__set(&p->y, at, (p->accumulate ? wn__get(&p->y, at) : 0) + now[r]);
        }
    }
}

wn_status wn__kron_mul_ref(const void *args, wn__exec *x) {
    job j = {args, (double *)(void *)x->scratch, wn__kron_mul_width(args)};
    wn__parallel_for(x->pool, j.p->x.shape[0], 1, vectors, &j);
    return WN_OK;
}
