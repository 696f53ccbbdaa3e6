// SPDX-License-Identifier: MIT
// squared_error, gradient_norms and fit_update, the specification: sums in double, one element at a
// time, rounded when stored.
#include "kernels/fit.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

static double difference(const wn__squared_error *p, int64_t i, int64_t j) {
    const double bias = wn__given(&p->bias) ? p->bias_scale * wn__get(&p->bias, j) : 0;
    return wn__get(&p->y, wn__at(&p->y, i, j)) + bias -
           wn__get(&p->target, wn__at(&p->target, i, j));
}

wn_status wn__squared_error_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__squared_error *p = args;
    const int64_t n = p->y.shape[0], m = p->y.shape[1];
    double all = 0;
    for (int64_t j = 0; j < m; j++) {
        double column = 0;
        for (int64_t i = 0; i < n; i++) {
            const double e = difference(p, i, j);
            all += e * e;
            column += e;
            if (wn__given(&p->gradient))
                wn__set(&p->gradient, wn__at(&p->gradient, i, j), p->gradient_scale * e);
        }
        if (wn__given(&p->dbias)) wn__set(&p->dbias, j, p->dbias_scale * column);
    }
    wn__set(&p->sum, 0, p->sum_scale * all + (p->accumulate ? wn__get(&p->sum, 0) : 0));
    return WN_OK;
}

wn_status wn__gradient_norms_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__gradient_norms *p = args;
    double first = 0, others = 0;
    int64_t i = 0;
    for (int part = 0; part < p->parts; part++) {
        double square = 0;
        for (; i < p->end[part]; i++)
            square += p->scale * wn__get(&p->g, i) * (p->scale * wn__get(&p->g, i));
        *(part == 0 ? &first : &others) += square;
        wn__set(&p->sums, part, wn__get(&p->sums, part) + sqrt(square));
    }
    wn__set(&p->sums, p->parts, wn__get(&p->sums, p->parts) + sqrt(others));
    const double norm = sqrt(first + others);
    const bool clipped = p->most > 0 && norm > p->most;
    wn__set(&p->factor, 0, p->scale * (clipped ? p->most / (norm + 1e-6) : 1));
    return WN_OK;
}

wn_status wn__fit_update_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__fit_update *p = args;
    const double lr = wn__get(&p->step, 0), rate = wn__get(&p->step, 1);
    const double root = wn__get(&p->step, 2), factor = wn__get(&p->factor, 0);
    for (int64_t i = 0; i < wn__tensor_count(&p->w); i++) {
        double w = wn__get(&p->w, i), g = factor * wn__get(&p->g, i), m = wn__get(&p->m, i);
        if (p->rule == WN__FIT_ADAMW)
            w *= 1 - lr * p->decay;
        else
            g += p->decay * w;
        if (p->rule == WN__FIT_SGD) {
            m = p->beta1 * m + g;
            w -= lr * m;
        } else {
            const double v = p->beta2 * wn__get(&p->v, i) + (1 - p->beta2) * g * g;
            m = p->beta1 * m + (1 - p->beta1) * g;
            w -= rate * m / (sqrt(v) / root + p->eps);
            wn__set(&p->v, i, v);
        }
        wn__set(&p->m, i, m);
        wn__set(&p->w, i, w);
        if (wn__given(&p->rounded)) wn__set(&p->rounded, i, wn__get(&p->w, i));
    }
    return WN_OK;
}
