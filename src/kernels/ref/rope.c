// SPDX-License-Identifier: MIT
// rope_table and rope, the specification.
#include "kernels/rope.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

wn_status wn__rope_table_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__rope_table *p = args;
    int64_t half = p->inv_freq.shape[0];
    const double *inv_freq = p->inv_freq.data;
    for (int64_t position = 0; position < p->cos.shape[0]; position++)
        for (int64_t i = 0; i < half; i++) {
            double angle = (double)position * inv_freq[i];
            wn__set(&p->cos, position * half + i, cos(angle) * p->scale);
            wn__set(&p->sin, position * half + i, sin(angle) * p->scale);
        }
    return WN_OK;
}

// One head at one position; at: its first element, table: the first of its row of cos and sin.
static void rotate(const wn__rope *p, int64_t at, int64_t table) {
    int64_t half = p->x.shape[3] / 2;
    for (int64_t i = 0; i < half; i++) {
        double c = wn__get(&p->cos, table + i), s = wn__get(&p->sin, table + i);
        if (p->inverse) s = -s;
        double a = wn__get(&p->x, at + i), b = wn__get(&p->x, at + i + half);
        wn__set(&p->x, at + i, a * c - b * s);
        wn__set(&p->x, at + i + half, b * c + a * s);
    }
}

// Positions, numbered (b, t).
static void positions(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__rope *p = ctx;
    const int64_t *stride = p->x.stride, T = p->x.shape[1];
    for (int64_t n = begin; n < end; n++) {
        int64_t b = n / T, t = n % T;
        for (int64_t h = 0; h < p->x.shape[2]; h++)
            rotate(p, b * stride[0] + t * stride[1] + h * stride[2],
                   (p->pos0 + t) * (p->x.shape[3] / 2));
    }
}

wn_status wn__rope_ref(const void *args, wn__exec *x) {
    const wn__rope *p = args;
    wn__parallel_for(x->pool, p->x.shape[0] * p->x.shape[1], 1, positions, (void *)args);
    return WN_OK;
}
