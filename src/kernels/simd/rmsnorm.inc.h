// SPDX-License-Identifier: MIT
/* rmsnorm by rows. Its gradient takes rows in a fixed number of parts: each part writes its dx and
 * sums its own dweight, which are added to the total part after part. */
#include "kernels/rmsnorm.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/rows.h"
#include "kernels/simd/vec.h"

#include <math.h>

/* sum_c a[c] b[c], or sum_c a[c] b[c] scale[c], in double: neither the squares nor the sum leave
 * its range. */
ALWAYS double row_dot(const float *a, const float *b, const float *scale, int64_t C) {
    vd low = vd_zero(), high = vd_zero();
    for (int64_t c = 0; c < C; c += VF) {
        int64_t n = C - c < VF ? C - c : VF;
        vf av = vf_get(a + c, n), bv = vf_get(b + c, n);
        vd al = vd_low(av), ah = vd_high(av);
        if (scale) {
            vf s = vf_get(scale + c, n);
            al = vd_mul(al, vd_low(s));
            ah = vd_mul(ah, vd_high(s));
        }
        low = vd_fma(al, vd_low(bv), low);
        high = vd_fma(ah, vd_high(bv), high);
    }
    return vd_sum(vd_add(low, high));
}

static void rmsnorm_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__rmsnorm *p = ctx;
    int64_t C = p->x.shape[1];
    const float *weight = p->weight.data;
    for (int64_t row = begin; row < end; row++) {
        const float *x = (const float *)p->x.data + row * C;
        float *y = (float *)p->y.data + row * C;
        double mean = row_dot(x, x, NULL, C) / (double)C;
        float rstd = (float)(1 / sqrt(mean + p->eps));
        if (wn__given(&p->rstd)) ((float *)p->rstd.data)[row] = rstd;
        vf scale = vf_set(rstd);
        for (int64_t c = 0; c < C; c += VF) {
            int64_t n = C - c < VF ? C - c : VF;
            vf_put(y + c, vf_mul(vf_mul(vf_get(x + c, n), scale), vf_get(weight + c, n)), n);
        }
    }
}

static wn_status rmsnorm(const void *args, wn__exec *x) {
    const wn__rmsnorm *p = args;
    wn__parallel_for(x->pool, p->x.shape[0], wn__row_grain(p->x.shape[1]), rmsnorm_rows,
                     (void *)args);
    return WN_OK;
}

typedef struct rmsnorm_grad_job {
    const wn__rmsnorm_grad *p;
    int64_t part;   /* rows of one */
    float *dweight; /* [parts, C] */
} rmsnorm_grad_job;

/* One row: dx, and the row's share of dweight. */
static void rmsnorm_grad_row(const wn__rmsnorm_grad *p, int64_t row, float *dweight) {
    int64_t C = p->x.shape[1];
    const float *x = (const float *)p->x.data + row * C, *dy = (const float *)p->dy.data + row * C;
    const float *weight = p->weight.data;
    float *dx = (float *)p->dx.data + row * C, rstd = ((const float *)p->rstd.data)[row];
    double mean = row_dot(dy, x, weight, C) / (double)C;
    vf r = vf_set(rstd), slope = vf_set((float)((double)rstd * (double)rstd * mean)),
       old = vf_zero();
    for (int64_t c = 0; c < C; c += VF) {
        int64_t n = C - c < VF ? C - c : VF;
        vf xv = vf_get(x + c, n), dyv = vf_get(dy + c, n);
        vf_put(dweight + c, vf_fma(vf_mul(xv, r), dyv, vf_get(dweight + c, n)), n);
        if (p->accumulate) old = vf_get(dx + c, n);
        vf h = vf_fnma(xv, slope, vf_mul(dyv, vf_get(weight + c, n)));
        vf_put(dx + c, p->accumulate ? vf_fma(r, h, old) : vf_mul(r, h), n);
    }
}

static void rmsnorm_grad_part(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rmsnorm_grad_job *job = ctx;
    int64_t C = job->p->x.shape[1];
    float *dweight = job->dweight + begin / job->part * C;
    for (int64_t c = 0; c < C; c++)
        dweight[c] = 0;
    for (int64_t row = begin; row < end; row++)
        rmsnorm_grad_row(job->p, row, dweight);
}

static void rmsnorm_grad_total(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rmsnorm_grad_job *job = ctx;
    int64_t N = job->p->x.shape[0], C = job->p->x.shape[1];
    float *total = job->p->dweight.data;
    for (int64_t c = begin; c < end; c += VF) {
        int64_t n = end - c < VF ? end - c : VF;
        vf sum = vf_zero();
        for (int64_t row = 0; row < N; row += job->part)
            sum = vf_add(sum, vf_get(job->dweight + row / job->part * C + c, n));
        vf_put(total + c, vf_add(vf_get(total + c, n), sum), n);
    }
}

static wn_status rmsnorm_grad(const void *args, wn__exec *x) {
    const wn__rmsnorm_grad *p = args;
    int64_t N = p->x.shape[0], C = p->x.shape[1];
    rmsnorm_grad_job job = {p, wn__row_part(N), (float *)(void *)x->scratch};
    wn__parallel_for(x->pool, N, job.part, rmsnorm_grad_part, &job);
    wn__parallel_for(x->pool, C, 16 * VF, rmsnorm_grad_total, &job);
    return WN_OK;
}
