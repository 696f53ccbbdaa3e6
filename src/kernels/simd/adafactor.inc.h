// SPDX-License-Identifier: MIT
/* adafactor for F32: squares in float, their sums in double, in parts of the rows that depend on
 * the shape alone; u is computed twice rather than kept. */
#include "kernels/op.h"
#include "kernels/simd/rows.h"
#include "kernels/simd/vbits.h"
#include "kernels/update.h"

#include <math.h>

/* A tensor without row and col is one of rows of FLAT_COLUMNS elements, the last one shorter. */
#define FLAT_COLUMNS 1024

typedef struct factor_job {
    const wn__adafactor *p;
    int64_t rows, columns, last, part; /* part: rows of one */
    bool factored;
    float scale, eps1, rho, rest;  /* rest: 1 - rho */
    float inverse_over;            /* 1 / max(1, rms / clip) */
    float beta1, rest1, decay, lr; /* 1 - beta1, 1 - lr wd */
    float *by_row, *by_col;        /* sqrt(mean(row) / row), 1 / sqrt(col) */
    double *row_sum;               /* [rows] */
    double *col_sum;               /* [parts, columns] */
    double *square_sum;            /* [parts] of u */
} factor_job;

static int64_t factor_columns(const factor_job *job, int64_t row) {
    return row == job->rows - 1 ? job->last : job->columns;
}

ALWAYS vf factor_gradient(const factor_job *job, int64_t at, int64_t n) {
    return vf_mul(vf_set(job->scale), vf_get((const float *)job->p->g.data + at, n));
}

/* total[0 .. n) += a, in double. */
ALWAYS void add_lanes(double *total, vf a, int64_t n) {
    double lane[VF];
    float single[VF];
    vf_store(single, a);
    for (int i = 0; i < VF; i++)
        lane[i] = (double)single[i];
    for (int64_t i = 0; i < n; i++)
        total[i] += lane[i];
}

/* Sums of one row's squares, by row and by column. */
static double factor_sum_row(const factor_job *job, int64_t row, double *col_sum) {
    vd low = vd_zero(), high = vd_zero();
    for (int64_t j = 0; j < job->columns; j += VF) {
        int64_t n = job->columns - j < VF ? job->columns - j : VF;
        vf g = factor_gradient(job, row * job->columns + j, n);
        vf square = vf_add(vf_mul(g, g), vf_set(job->eps1));
        if (n < VF) square = vf_select(vm_first(n), square, vf_zero());
        low = vd_add(low, vd_low(square));
        high = vd_add(high, vd_high(square));
        if (n == VF)
            vd_accumulate(col_sum + j, square);
        else
            add_lanes(col_sum + j, square, n);
    }
    return vd_sum(vd_add(low, high));
}

static void factor_sum_part(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const factor_job *job = ctx;
    double *col_sum = job->col_sum + begin / job->part * job->columns;
    for (int64_t j = 0; j < job->columns; j++)
        col_sum[j] = 0;
    for (int64_t i = begin; i < end; i++)
        job->row_sum[i] = factor_sum_row(job, i, col_sum);
}

/* The averages, and what u takes from them. */
static void factor_averages(factor_job *job) {
    float *row = job->p->row.data, *col = job->p->col.data;
    double mean = 0, rho = 1 - pow((double)job->p->step, -0.8);
    int64_t parts = (job->rows + job->part - 1) / job->part;
    for (int64_t i = 0; i < job->rows; i++) {
        double fresh = job->row_sum[i] / (double)job->columns;
        row[i] = (float)(rho * (double)row[i] + (1 - rho) * fresh);
        mean += (double)row[i];
    }
    mean /= (double)job->rows;
    for (int64_t i = 0; i < job->rows; i++)
        job->by_row[i] = (float)sqrt(mean / (double)row[i]);
    for (int64_t j = 0; j < job->columns; j++) {
        double sum = 0;
        for (int64_t k = 0; k < parts; k++)
            sum += job->col_sum[k * job->columns + j];
        col[j] = (float)(rho * (double)col[j] + (1 - rho) * (sum / (double)job->rows));
        job->by_col[j] = (float)(1 / sqrt((double)col[j]));
    }
}

/* v of n elements from `at` on. */
ALWAYS void factor_whole(const factor_job *job, int64_t at, int64_t n) {
    float *v = (float *)job->p->v.data + at;
    vf g = factor_gradient(job, at, n), square = vf_add(vf_mul(g, g), vf_set(job->eps1));
    vf_put(v, vf_fma(vf_set(job->rho), vf_get(v, n), vf_mul(vf_set(job->rest), square)), n);
}

/* u before it is clipped; lanes beyond n are 0. */
ALWAYS vf factor_u(const factor_job *job, int64_t row, int64_t j, int64_t n) {
    int64_t at = row * job->columns + j;
    vf g = factor_gradient(job, at, n);
    if (job->factored)
        return vf_mul(vf_mul(g, vf_set(job->by_row[row])), vf_get(job->by_col + j, n));
    vf v = vf_get((const float *)job->p->v.data + at, n);
    vf u = vf_div(g, vf_sqrt(v));
    return n == VF ? u : vf_select(vm_first(n), u, vf_zero());
}

/* New second moments where each element has one, and the sum of u^2, of some rows. */
static void factor_square_part(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const factor_job *job = ctx;
    vd low = vd_zero(), high = vd_zero();
    for (int64_t i = begin; i < end; i++) {
        int64_t columns = factor_columns(job, i);
        for (int64_t j = 0; j < columns; j += VF) {
            int64_t n = columns - j < VF ? columns - j : VF;
            if (!job->factored) factor_whole(job, i * job->columns + j, n);
            vf u = factor_u(job, i, j, n);
            low = vd_fma(vd_low(u), vd_low(u), low);
            high = vd_fma(vd_high(u), vd_high(u), high);
        }
    }
    job->square_sum[begin / job->part] = vd_sum(vd_add(low, high));
}

ALWAYS void factor_move(const factor_job *job, int64_t row, int64_t j, int64_t n) {
    int64_t at = row * job->columns + j;
    float *w = (float *)job->p->w.data + at;
    vf u = vf_mul(factor_u(job, row, j, n), vf_set(job->inverse_over));
    if (job->beta1 > 0) {
        float *m = (float *)job->p->m.data + at;
        u = vf_fma(vf_set(job->beta1), vf_get(m, n), vf_mul(vf_set(job->rest1), u));
        vf_put(m, u, n);
    }
    vf_put(w, vf_fnma(vf_set(job->lr), u, vf_mul(vf_get(w, n), vf_set(job->decay))), n);
}

static void factor_move_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const factor_job *job = ctx;
    for (int64_t i = begin; i < end; i++) {
        int64_t columns = factor_columns(job, i), j = 0;
        for (; j + VF <= columns; j += VF)
            factor_move(job, i, j, VF);
        if (j < columns) factor_move(job, i, j, columns - j);
    }
}

static factor_job factor_job_of(const wn__adafactor *p, void *scratch) {
    int64_t count = wn__tensor_count(&p->w);
    double rho = 1 - pow((double)p->step, -0.8);
    factor_job job = {.p = p,
                      .factored = wn__given(&p->row),
                      .scale = (float)p->grad_scale,
                      .eps1 = (float)p->eps1,
                      .rho = (float)rho,
                      .rest = (float)(1 - rho),
                      .beta1 = (float)p->beta1,
                      .rest1 = (float)(1 - p->beta1),
                      .decay = (float)(1 - p->lr * p->weight_decay),
                      .lr = (float)p->lr};
    job.columns = job.factored ? p->w.shape[1] : FLAT_COLUMNS;
    job.rows = job.factored ? p->w.shape[0] : (count + FLAT_COLUMNS - 1) / FLAT_COLUMNS;
    job.last = count - (job.rows - 1) * job.columns;
    job.part = wn__row_part(job.rows);
    job.square_sum = scratch;
    if (!job.factored) return job;
    job.row_sum = job.square_sum + WN_ROW_PARTS;
    job.col_sum = job.row_sum + job.rows;
    job.by_row = (float *)(job.col_sum + WN_ROW_PARTS * job.columns);
    job.by_col = job.by_row + job.rows;
    return job;
}

static wn_status adafactor(const void *args, wn__exec *x) {
    const wn__adafactor *p = args;
    int64_t count = wn__tensor_count(&p->w);
    if (count == 0) return WN_OK;
    factor_job job = factor_job_of(p, x->scratch);
    if (job.factored) {
        wn__parallel_for(x->pool, job.rows, job.part, factor_sum_part, &job);
        factor_averages(&job);
    }
    wn__parallel_for(x->pool, job.rows, job.part, factor_square_part, &job);
    double sum = 0;
    for (int64_t k = 0; k * job.part < job.rows; k++)
        sum += job.square_sum[k];
    job.inverse_over = (float)(1 / fmax(1, sqrt(sum / (double)count) / p->clip));
    wn__parallel_for(x->pool, job.rows, wn__row_grain(job.columns), factor_move_rows, &job);
    return WN_OK;
}
