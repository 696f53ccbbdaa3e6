// SPDX-License-Identifier: MIT
// adam8bit, the specification. Every operation is rounded to the dtype by itself; of two floats it
// may be made in double first, whose rounding never changes the float's.
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/update.h"

#include <math.h>

typedef struct scalars {
    bool single;
    double scale, beta1, rest1, beta2, rest2; /* rest: 1 - beta */
    double decay, step, inverse_root, eps;    /* 1 - lr wd, lr/(1-beta1^t), 1/sqrt(1-beta2^t) */
} scalars;

static double fit(const scalars *s, double x) {
    return s->single ? (double)(float)x : x;
}

static scalars scalars_of(const wn__adam8bit *p) {
    scalars s = {.single = p->w.dtype == WN_DTYPE_F32};
    s.scale = fit(&s, p->grad_scale);
    s.beta1 = fit(&s, p->beta1);
    s.rest1 = fit(&s, 1 - p->beta1);
    s.beta2 = fit(&s, p->beta2);
    s.rest2 = fit(&s, 1 - p->beta2);
    s.decay = fit(&s, 1 - p->lr * p->weight_decay);
    s.step = fit(&s, p->lr / (1 - pow(p->beta1, (double)p->step)));
    s.inverse_root = fit(&s, 1 / sqrt(1 - pow(p->beta2, (double)p->step)));
    s.eps = fit(&s, p->eps);
    return s;
}

static double decode(const scalars *s, const float codes[256], const wn_tensor *t, int64_t i,
                     float scale) {
    return fit(s, (double)codes[((const uint8_t *)t->data)[i]] * (double)scale);
}

// The nearest code, ties to the lower: the first whose middle to the next one is not below q.
static uint8_t encode(const float codes[256], double q) {
    int low = 0, high = 255;
    while (low < high) {
        int middle = (low + high) / 2;
        if (q > ((double)codes[middle] + (double)codes[middle + 1]) / 2)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint8_t)low;
}

static float largest(const double *x, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(x[i]));
    return (float)most;
}

static void encode_block(const scalars *s, const float codes[256], const double *x, int64_t n,
                         uint8_t *code, float *scale) {
    *scale = largest(x, n);
    for (int64_t i = 0; i < n; i++)
        code[i] = encode(codes, *scale > 0 ? fit(s, x[i] / (double)*scale) : 0);
}

static void update_block(const wn__adam8bit *p, const scalars *s, int64_t block, int64_t n) {
    float *m_scale = (float *)p->m_scale.data + block, *v_scale = (float *)p->v_scale.data + block;
    int64_t begin = block * WN_BLOCK8;
    double m[WN_BLOCK8], v[WN_BLOCK8];
    for (int64_t k = 0; k < n; k++) {
        int64_t i = begin + k;
        double g = fit(s, s->scale * wn__get(&p->g, i));
        double old_m = decode(s, wn__dynamic8_signed, &p->m, i, *m_scale);
        double old_v = decode(s, wn__dynamic8_unsigned, &p->v, i, *v_scale);
        double square = fit(s, fit(s, s->rest2 * g) * g);
        m[k] = fit(s, fit(s, s->beta1 * old_m) + fit(s, s->rest1 * g));
        v[k] = fit(s, fit(s, s->beta2 * old_v) + square);
        double below = fit(s, fit(s, fit(s, sqrt(v[k])) * s->inverse_root) + s->eps);
        double step = fit(s, fit(s, s->step * m[k]) / below);
        wn__set(&p->w, i, fit(s, wn__get(&p->w, i) * s->decay) - step);
    }
    encode_block(s, wn__dynamic8_signed, m, n, (uint8_t *)p->m.data + begin, m_scale);
    encode_block(s, wn__dynamic8_unsigned, v, n, (uint8_t *)p->v.data + begin, v_scale);
}

wn_status wn__adam8bit_ref(const void *args, wn__exec *x) {
    (void)x;
    const wn__adam8bit *p = args;
    const scalars s = scalars_of(p);
    int64_t count = wn__tensor_count(&p->w);
    for (int64_t i = 0; i < count; i += WN_BLOCK8)
        update_block(p, &s, i / WN_BLOCK8, count - i < WN_BLOCK8 ? count - i : WN_BLOCK8);
    return WN_OK;
}
