// SPDX-License-Identifier: MIT
/* adam8bit in REAL, float or double: included once for each, with names that NAME(x) makes. Every
 * operation is rounded to REAL by itself. */

typedef struct NAME(scalars) {
    REAL scale, beta1, rest1, beta2, rest2; /* rest: 1 - beta */
    REAL decay, step, inverse_root, eps;    /* 1 - lr wd, lr/(1-beta1^t), 1/sqrt(1-beta2^t) */
} NAME(scalars);

static NAME(scalars) NAME(scalars_of)(const wn__adam8bit *p) {
    return (NAME(scalars)){
        .scale = (REAL)p->grad_scale,
        .beta1 = (REAL)p->beta1,
        .rest1 = (REAL)(1 - p->beta1),
        .beta2 = (REAL)p->beta2,
        .rest2 = (REAL)(1 - p->beta2),
        .decay = (REAL)(1 - p->lr * p->weight_decay),
        .step = (REAL)(p->lr / (1 - pow(p->beta1, (double)p->step))),
        .inverse_root = (REAL)(1 / sqrt(1 - pow(p->beta2, (double)p->step))),
        .eps = (REAL)p->eps,
    };
}

/* Codes and scale of new moments. */
static void NAME(encode)(const float codes[256], const REAL *x, int64_t n, uint8_t *code,
                         float *scale) {
    REAL most = 0;
    for (int64_t i = 0; i < n; i++)
        if (NAME(magnitude)(x[i]) > most) most = NAME(magnitude)(x[i]);
    *scale = (float)most;
    for (int64_t i = 0; i < n; i++) {
        REAL q = *scale > 0 ? x[i] / (REAL)*scale : 0;
        code[i] = nearest(codes, (double)q);
    }
}

static void NAME(update_block)(const wn__adam8bit *p, const NAME(scalars) * s, int64_t block,
                               int64_t n) {
    float *m_scale = (float *)p->m_scale.data + block, *v_scale = (float *)p->v_scale.data + block;
    uint8_t *m_code = (uint8_t *)p->m.data + block * WN_BLOCK8;
    uint8_t *v_code = (uint8_t *)p->v.data + block * WN_BLOCK8;
    const REAL *g = (const REAL *)p->g.data + block * WN_BLOCK8;
    REAL *w = (REAL *)p->w.data + block * WN_BLOCK8, m[WN_BLOCK8], v[WN_BLOCK8];
    for (int64_t i = 0; i < n; i++) {
        REAL gradient = s->scale * g[i], square = s->rest2 * gradient * gradient;
        REAL old_m = (REAL)wn__dynamic8_signed[m_code[i]] * (REAL)*m_scale;
        REAL old_v = (REAL)wn__dynamic8_unsigned[v_code[i]] * (REAL)*v_scale;
        m[i] = s->beta1 * old_m + s->rest1 * gradient;
        v[i] = s->beta2 * old_v + square;
        w[i] = w[i] * s->decay - s->step * m[i] / (NAME(root)(v[i]) * s->inverse_root + s->eps);
    }
    NAME(encode)(wn__dynamic8_signed, m, n, m_code, m_scale);
    NAME(encode)(wn__dynamic8_unsigned, v, n, v_code, v_scale);
}

static void NAME(update)(const wn__adam8bit *p) {
    const NAME(scalars) s = NAME(scalars_of)(p);
    int64_t count = wn__tensor_count(&p->w);
    for (int64_t i = 0; i < count; i += WN_BLOCK8)
        NAME(update_block)(p, &s, i / WN_BLOCK8, count - i < WN_BLOCK8 ? count - i : WN_BLOCK8);
}

#undef REAL
#undef NAME
