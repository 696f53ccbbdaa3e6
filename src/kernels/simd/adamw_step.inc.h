// SPDX-License-Identifier: MIT
/* An update of adamw, element by element. What does not depend on the element is computed in double
 * and rounded once. */
#include "kernels/adamw.h"
#include "kernels/simd/vec.h"

#include <math.h>

typedef struct adamw_job {
    const wn__adamw *p;
    float decay, beta1, rest1, beta2, rest2, scale; /* 1 - lr wd; rest: 1 - beta */
    float step, inverse_root, eps;                  /* lr/(1 - beta1^t), 1/sqrt(1 - beta2^t) */
} adamw_job;

ALWAYS void adamw_step(const adamw_job *job, int64_t i, int64_t n) {
    float *w = (float *)job->p->w.data + i, *m = (float *)job->p->m.data + i,
          *v = (float *)job->p->v.data + i;
    vf g = vf_mul(vf_set(job->scale), vf_get((const float *)job->p->g.data + i, n));
    vf mean = vf_fma(vf_set(job->beta1), vf_get(m, n), vf_mul(vf_set(job->rest1), g));
    vf square = vf_fma(vf_set(job->beta2), vf_get(v, n), vf_mul(vf_mul(vf_set(job->rest2), g), g));
    vf_put(m, mean, n);
    vf_put(v, square, n);
    vf below = vf_fma(vf_sqrt(square), vf_set(job->inverse_root), vf_set(job->eps));
    vf step = vf_div(vf_mul(vf_set(job->step), mean), below);
    vf_put(w, vf_sub(vf_mul(vf_get(w, n), vf_set(job->decay)), step), n);
}

static void adamw_elements(const adamw_job *job, int64_t i, int64_t end) {
    for (; i + VF <= end; i += VF)
        adamw_step(job, i, VF);
    if (i < end) adamw_step(job, i, end - i);
}

static adamw_job adamw_job_of(const wn__adamw *p) {
    return (adamw_job){
        .p = p,
        .decay = (float)(1 - p->lr * p->weight_decay),
        .beta1 = (float)p->beta1,
        .rest1 = (float)(1 - p->beta1),
        .beta2 = (float)p->beta2,
        .rest2 = (float)(1 - p->beta2),
        .scale = (float)p->grad_scale,
        .step = (float)(p->lr / (1 - pow(p->beta1, (double)p->step))),
        .inverse_root = (float)(1 / sqrt(1 - pow(p->beta2, (double)p->step))),
        .eps = (float)p->eps,
    };
}
