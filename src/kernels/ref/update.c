// SPDX-License-Identifier: MIT
// axpby, adam_direction and adafactor, the specification: in double, rounded when stored.
#include "kernels/update.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <math.h>

wn_status wn__axpby_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__axpby *p = args;
    for (int64_t i = 0; i < wn__tensor_count(&p->y); i++) {
        double before = p->b != 0 ? p->b * wn__get(&p->y, i) : 0;
        wn__set(&p->y, i, p->a * wn__get(&p->x, i) + before);
    }
    return WN_OK;
}

wn_status wn__adam_direction_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__adam_direction *p = args;
    for (int64_t i = 0; i < wn__tensor_count(&p->m); i++) {
        double g = p->grad_scale * wn__get(&p->g, i);
        double m = p->beta1 * wn__get(&p->m, i) + (1 - p->beta1) * g;
        double v = p->beta2 * wn__get(&p->v, i) + (1 - p->beta2) * g * g;
        wn__set(&p->m, i, m);
        wn__set(&p->v, i, v);
        wn__set(&p->d, i, m / (sqrt(v) + p->eps));
    }
    return WN_OK;
}

static double square(const wn__adafactor *p, int64_t i) {
    double g = p->grad_scale * wn__get(&p->g, i);
    return g * g + p->eps1;
}

// state[i] = rho state[i] + (1 - rho) of the mean of n squares from `at` on, `apart` elements
// apart.
static void average(const wn__adafactor *p, const wn_tensor *state, int64_t i, int64_t at,
                    int64_t apart, int64_t n, double rho) {
    double sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += square(p, at + k * apart);
    wn__set(state, i, rho * wn__get(state, i) + (1 - rho) * (sum / (double)n));
}

static void second_moments(const wn__adafactor *p) {
    double rho = 1 - pow((double)p->step, -0.8);
    if (wn__given(&p->v)) {
        for (int64_t i = 0; i < wn__tensor_count(&p->v); i++)
            average(p, &p->v, i, i, 1, 1, rho);
        return;
    }
    int64_t rows = p->w.shape[0], columns = p->w.shape[1];
    for (int64_t i = 0; i < rows; i++)
        average(p, &p->row, i, i * columns, 1, columns, rho);
    for (int64_t j = 0; j < columns; j++)
        average(p, &p->col, j, j, columns, rows, rho);
}

static double mean(const wn_tensor *t) {
    double sum = 0;
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        sum += wn__get(t, i);
    return sum / (double)wn__tensor_count(t);
}

// u of element i before clipping.
static double normalised(const wn__adafactor *p, double row_mean, int64_t i) {
    double g = p->grad_scale * wn__get(&p->g, i);
    if (wn__given(&p->v)) return g / sqrt(wn__get(&p->v, i));
    int64_t columns = p->w.shape[1];
    return g / sqrt(wn__get(&p->row, i / columns) / row_mean * wn__get(&p->col, i % columns));
}

wn_status wn__adafactor_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__adafactor *p = args;
    int64_t count = wn__tensor_count(&p->w);
    if (count == 0) return WN_OK;
    second_moments(p);
    double row_mean = wn__given(&p->row) ? mean(&p->row) : 0, sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double u = normalised(p, row_mean, i);
        sum += u * u;
    }
    double over = fmax(1, sqrt(sum / (double)count) / p->clip);
    for (int64_t i = 0; i < count; i++) {
        double u = normalised(p, row_mean, i) / over;
        if (p->beta1 > 0) {
            u = p->beta1 * wn__get(&p->m, i) + (1 - p->beta1) * u;
            wn__set(&p->m, i, u);
        }
        wn__set(&p->w, i, wn__get(&p->w, i) * (1 - p->lr * p->weight_decay) - p->lr * u);
    }
    return WN_OK;
}
