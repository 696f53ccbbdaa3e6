// SPDX-License-Identifier: MIT
/* axpby and adam_direction, element by element, as adamw.inc.h does it. */
#include "kernels/op.h"
#include "kernels/simd/vec.h"
#include "kernels/update.h"

#define UPDATE_GRAIN 8192

typedef struct axpby_job {
    const float *x;
    float *y, a, b;
} axpby_job;

ALWAYS void axpby_step(const axpby_job *job, int64_t i, int64_t n) {
    vf scaled = vf_mul(vf_set(job->b), vf_get(job->y + i, n));
    vf_put(job->y + i, vf_fma(vf_set(job->a), vf_get(job->x + i, n), scaled), n);
}

static void axpby_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        axpby_step(ctx, i, VF);
    if (i < end) axpby_step(ctx, i, end - i);
}

ALWAYS void scale_step(const axpby_job *job, int64_t i, int64_t n) {
    vf_put(job->y + i, vf_mul(vf_set(job->a), vf_get(job->x + i, n)), n);
}

static void scale_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        scale_step(ctx, i, VF);
    if (i < end) scale_step(ctx, i, end - i);
}

static wn_status axpby(const void *args, wn__exec *x) {
    const wn__axpby *p = args;
    axpby_job job = {p->x.data, p->y.data, (float)p->a, (float)p->b};
    wn__range_fn *range = p->b == 0 ? scale_range : axpby_range;
    wn__parallel_for(x->pool, wn__tensor_count(&p->y), UPDATE_GRAIN, range, &job);
    return WN_OK;
}

typedef struct direction_job {
    const wn__adam_direction *p;
    float beta1, rest1, beta2, rest2, scale, eps; /* rest: 1 - beta */
} direction_job;

ALWAYS void direction_step(const direction_job *job, int64_t i, int64_t n) {
    float *m = (float *)job->p->m.data + i, *v = (float *)job->p->v.data + i;
    vf g = vf_mul(vf_set(job->scale), vf_get((const float *)job->p->g.data + i, n));
    vf mean = vf_fma(vf_set(job->beta1), vf_get(m, n), vf_mul(vf_set(job->rest1), g));
    vf square = vf_fma(vf_set(job->beta2), vf_get(v, n), vf_mul(vf_mul(vf_set(job->rest2), g), g));
    vf_put(m, mean, n);
    vf_put(v, square, n);
    vf_put((float *)job->p->d.data + i, vf_div(mean, vf_add(vf_sqrt(square), vf_set(job->eps))), n);
}

static void direction_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        direction_step(ctx, i, VF);
    if (i < end) direction_step(ctx, i, end - i);
}

static wn_status adam_direction(const void *args, wn__exec *x) {
    const wn__adam_direction *p = args;
    direction_job job = {.p = p,
                         .beta1 = (float)p->beta1,
                         .rest1 = (float)(1 - p->beta1),
                         .beta2 = (float)p->beta2,
                         .rest2 = (float)(1 - p->beta2),
                         .scale = (float)p->grad_scale,
                         .eps = (float)p->eps};
    wn__parallel_for(x->pool, wn__tensor_count(&p->m), UPDATE_GRAIN, direction_range, &job);
    return WN_OK;
}
