// SPDX-License-Identifier: MIT
/* round16, round8 and rescale for F32, the reference's operations lane by lane. */
#include "kernels/numeric.h"
#include "kernels/op.h"
#include "kernels/simd/half.h"
#include "kernels/simd/rows.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define NUMERIC_CHUNK 4096 /* a packed tensor is cut into rows of this many elements */

/* x and y as rows; the last row of a packed tensor may be short. */
typedef struct numeric_rows {
    const float *x;
    float *y;
    int64_t rows, columns, last, x_stride, y_stride;
} numeric_rows;

static numeric_rows numeric_rows_of(const wn_tensor *x, const wn_tensor *y) {
    numeric_rows r = {.x = x->data, .y = y->data};
    if (!wn__tensor_packed(x) || !wn__tensor_packed(y)) { /* a matrix */
        r.rows = x->shape[0];
        r.columns = r.last = x->shape[1];
        r.x_stride = x->stride[0];
        r.y_stride = y->stride[0];
        return r;
    }
    int64_t count = wn__tensor_count(x);
    r.columns = r.x_stride = r.y_stride = NUMERIC_CHUNK;
    r.rows = (count + NUMERIC_CHUNK - 1) / NUMERIC_CHUNK;
    r.last = count - (r.rows - 1) * NUMERIC_CHUNK;
    return r;
}

static int64_t numeric_columns(const numeric_rows *r, int64_t row) {
    return row == r->rows - 1 ? r->last : r->columns;
}

static void round16_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const numeric_rows *r = ctx;
    for (int64_t i = begin; i < end; i++) {
        const float *x = r->x + i * r->x_stride;
        float *y = r->y + i * r->y_stride;
        int64_t n = numeric_columns(r, i), j = 0;
        for (; j + VF <= n; j += VF)
            vf_store(y + j, vf_round16(vf_load(x + j)));
        if (j < n) vf_store_n(y + j, vf_round16(vf_load_n(x + j, n - j)), n - j);
    }
}

static wn_status round16(const void *args, wn__exec *x) {
    const wn__round16 *p = args;
    numeric_rows r = numeric_rows_of(&p->x, &p->y);
    wn__parallel_for(x->pool, r.rows, wn__row_grain(r.columns), round16_rows, &r);
    return WN_OK;
}

typedef struct round8_job {
    numeric_rows rows;
    _Atomic uint32_t amax; /* bits of the largest magnitude: NaN above infinity above all else */
    float scale;
    int dropped;             /* bits of a significand that are rounded away */
    float normal, unit, per; /* smallest normal number, smallest subnormal, its inverse */
    float largest;
} round8_job;

static void amax_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    round8_job *job = ctx;
    const vi magnitude = vi_set(0x7FFFFFFF);
    vi most = vi_set(0);
    for (int64_t i = begin; i < end; i++) {
        const float *x = job->rows.x + i * job->rows.x_stride;
        int64_t n = numeric_columns(&job->rows, i), j = 0;
        for (; j + VF <= n; j += VF)
            most = vi_max(most, vi_and(vi_bits(vf_load(x + j)), magnitude));
        if (j < n) most = vi_max(most, vi_and(vi_bits(vf_load_n(x + j, n - j)), magnitude));
    }
    uint32_t mine = vi_largest(most), old = atomic_load(&job->amax);
    while (old < mine && !atomic_compare_exchange_weak(&job->amax, &old, mine)) {
    }
}

ALWAYS vf round8_lanes(const round8_job *job, vf x) {
    vf v = vf_mul(x, vf_set(job->scale)), a = vf_abs(v);
    vi bits = vi_bits(a), odd = vi_and(vi_shift_right(bits, job->dropped), vi_set(1));
    uint32_t below = (UINT32_C(1) << job->dropped) - 1;
    vi rounded = vi_and(vi_add(vi_add(bits, vi_set(below >> 1)), odd), vi_set(~below));
    vf subnormal = vf_mul(vf_round(vf_mul(a, vf_set(job->per))), vf_set(job->unit));
    a = vf_select(vm_lt(a, vf_set(job->normal)), subnormal, vf_of_bits(rounded));
    vi sign = vi_and(vi_bits(v), vi_set(0x80000000));
    return vf_of_bits(vi_or(vi_bits(vf_min(a, vf_set(job->largest))), sign));
}

static void round8_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const round8_job *job = ctx;
    const numeric_rows *r = &job->rows;
    for (int64_t i = begin; i < end; i++) {
        const float *x = r->x + i * r->x_stride;
        float *y = r->y + i * r->y_stride;
        int64_t n = numeric_columns(r, i), j = 0;
        for (; j + VF <= n; j += VF)
            vf_store(y + j, round8_lanes(job, vf_load(x + j)));
        if (j < n) vf_store_n(y + j, round8_lanes(job, vf_load_n(x + j, n - j)), n - j);
    }
}

static void nan_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const numeric_rows *r = &((const round8_job *)ctx)->rows;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < numeric_columns(r, i); j++)
            r->y[i * r->y_stride + j] = NAN;
}

static wn_status round8(const void *args, wn__exec *x) {
    const wn__round8 *p = args;
    wn__fp8_format f = wn__fp8_of(p->format);
    round8_job job = {.rows = numeric_rows_of(&p->x, &p->y),
                      .dropped = 23 - f.mantissa,
                      .normal = ldexpf(1, f.least_exponent),
                      .unit = ldexpf(1, f.least_exponent - f.mantissa),
                      .per = ldexpf(1, f.mantissa - f.least_exponent),
                      .largest = (float)f.largest};
    int64_t grain = wn__row_grain(job.rows.columns);
    wn__parallel_for(x->pool, job.rows.rows, grain, amax_rows, &job);
    uint32_t bits = atomic_load(&job.amax);
    float amax;
    memcpy(&amax, &bits, sizeof amax);
    double s = isfinite(amax) ? wn__round8_scale(p->format, WN_DTYPE_F32, (double)amax) : NAN;
    *(double *)p->scale.data = s;
    job.scale = (float)s;
    wn__parallel_for(x->pool, job.rows.rows, grain, isnan(s) ? nan_rows : round8_rows, &job);
    return WN_OK;
}

typedef struct rescale_job {
    numeric_rows rows;
    double a, b; /* inverses */
    bool accumulate;
} rescale_job;

ALWAYS void rescale_lanes(const rescale_job *job, const float *x, float *y, int64_t n) {
    vf v = vf_get(x, n);
    vd a = vd_set(job->a), b = vd_set(job->b);
    v = vf_narrow(vd_mul(vd_mul(vd_low(v), a), b), vd_mul(vd_mul(vd_high(v), a), b));
    vf_put(y, job->accumulate ? vf_add(vf_get(y, n), v) : v, n);
}

static void rescale_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rescale_job *job = ctx;
    const numeric_rows *r = &job->rows;
    for (int64_t i = begin; i < end; i++) {
        const float *x = r->x + i * r->x_stride;
        float *y = r->y + i * r->y_stride;
        int64_t n = numeric_columns(r, i), j = 0;
        for (; j + VF <= n; j += VF)
            rescale_lanes(job, x + j, y + j, VF);
        if (j < n) rescale_lanes(job, x + j, y + j, n - j);
    }
}

static wn_status rescale(const void *args, wn__exec *x) {
    const wn__rescale *p = args;
    rescale_job job = {.rows = numeric_rows_of(&p->x, &p->y),
                       .a = 1 / *(const double *)p->a.data,
                       .b = 1 / *(const double *)p->b.data,
                       .accumulate = p->accumulate};
    wn__parallel_for(x->pool, job.rows.rows, wn__row_grain(job.rows.columns), rescale_rows, &job);
    return WN_OK;
}
