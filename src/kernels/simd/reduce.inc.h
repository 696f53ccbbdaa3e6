// SPDX-License-Identifier: MIT
/* sum, sumsq, nonfinite and colsum. Every chunk is reduced by whoever comes to it; their results
 * are combined in order. */
#include "kernels/reduce.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/vec.h"

#define COLSUM_VECS  (64 / VF) /* of columns in a block */
#define COLSUM_CHUNK 256       /* rows summed in float before they join the total */

typedef struct reduce_job {
    const wn__reduce *p;
    void *chunk; /* one result each */
} reduce_job;

/* Four accumulators of doubles, so that additions overlap. */
ALWAYS double chunk_sum(const float *x, int64_t count, bool square) {
    vd acc[4] = {vd_zero(), vd_zero(), vd_zero(), vd_zero()};
    for (int64_t i = 0; i < count; i += 2 * VF) {
        for (int half = 0; half < 2; half++) {
            int64_t left = count - i - half * VF, n = left < VF ? left : VF;
            if (n <= 0) continue;
            vf v = vf_get(x + i + half * VF, n);
            vd low = vd_low(v), high = vd_high(v);
            acc[2 * half] = square ? vd_fma(low, low, acc[2 * half]) : vd_add(acc[2 * half], low);
            acc[2 * half + 1] =
                square ? vd_fma(high, high, acc[2 * half + 1]) : vd_add(acc[2 * half + 1], high);
        }
    }
    return vd_sum(vd_add(vd_add(acc[0], acc[1]), vd_add(acc[2], acc[3])));
}

static void sum_chunk(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const reduce_job *job = ctx;
    ((double *)job->chunk)[begin / WN_REDUCE_CHUNK] =
        chunk_sum((const float *)job->p->x.data + begin, end - begin, false);
}

static void sumsq_chunk(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const reduce_job *job = ctx;
    ((double *)job->chunk)[begin / WN_REDUCE_CHUNK] =
        chunk_sum((const float *)job->p->x.data + begin, end - begin, true);
}

static wn_status sum_chunks(const wn__reduce *p, wn__exec *x, wn__range_fn *fn) {
    reduce_job job = {p, x->scratch};
    const double *chunk = job.chunk;
    int64_t count = wn__tensor_count(&p->x);
    double sum = 0;
    wn__parallel_for(x->pool, count, WN_REDUCE_CHUNK, fn, &job);
    for (int64_t i = 0; i * WN_REDUCE_CHUNK < count; i++)
        sum += chunk[i];
    *(double *)p->out.data = sum;
    return WN_OK;
}

/* The first element of a chunk that is not finite, or -1. */
static void nonfinite_chunk(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const reduce_job *job = ctx;
    const float *x = job->p->x.data;
    const unsigned all = (1U << VF) - 1U;
    int64_t *first = (int64_t *)job->chunk + begin / WN_REDUCE_CHUNK;
    *first = -1;
    for (int64_t i = begin; i < end; i += VF) {
        unsigned finite = vm_bits(vm_finite(vf_get(x + i, end - i < VF ? end - i : VF)));
        if (finite == all) continue;
        *first = i + __builtin_ctz(~finite);
        return;
    }
}

static wn_status nonfinite(const void *args, wn__exec *x) {
    const wn__reduce *p = args;
    reduce_job job = {p, x->scratch};
    const int64_t *chunk = job.chunk;
    int64_t count = wn__tensor_count(&p->x), first = -1;
    wn__parallel_for(x->pool, count, WN_REDUCE_CHUNK, nonfinite_chunk, &job);
    for (int64_t i = 0; first < 0 && i * WN_REDUCE_CHUNK < count; i++)
        first = chunk[i];
    *(int64_t *)p->out.data = first;
    return WN_OK;
}

/* total[v] += the rows n0 .. n1 of `columns` columns from x on, which are COLSUM_VECS vectors or
 * part of them. */
ALWAYS void colsum_chunk(const float *x, int64_t C, int64_t n0, int64_t n1, int64_t columns,
                         vf total[COLSUM_VECS]) {
    vf sum[COLSUM_VECS];
    UNROLL
    for (int v = 0; v < COLSUM_VECS; v++)
        sum[v] = vf_zero();
    for (int64_t n = n0; n < n1; n++) {
        UNROLL
        for (int v = 0; v < COLSUM_VECS; v++) {
            int64_t lanes = columns - v * VF;
            if (lanes > 0)
                sum[v] = vf_add(sum[v], vf_get(x + n * C + v * VF, lanes < VF ? lanes : VF));
        }
    }
    UNROLL
    for (int v = 0; v < COLSUM_VECS; v++)
        total[v] = vf_add(total[v], sum[v]);
}

static void colsum_columns(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__colsum *p = ctx;
    int64_t N = p->x.shape[0], C = p->x.shape[1], columns = end - begin;
    const float *x = (const float *)p->x.data + begin;
    vf total[COLSUM_VECS];
    for (int v = 0; v < COLSUM_VECS; v++)
        total[v] = vf_zero();
    for (int64_t n = 0; n < N; n += COLSUM_CHUNK) {
        int64_t next = N - n < COLSUM_CHUNK ? N : n + COLSUM_CHUNK;
        if (columns == COLSUM_VECS * VF)
            colsum_chunk(x, C, n, next, COLSUM_VECS * VF, total);
        else
            colsum_chunk(x, C, n, next, columns, total);
    }
    for (int64_t v = 0; v * VF < columns; v++) {
        int64_t lanes = columns - v * VF < VF ? columns - v * VF : VF;
        float *out = (float *)p->out.data + begin + v * VF;
        vf_put(out, vf_add(vf_get(out, lanes), total[v]), lanes);
    }
}

static wn_status colsum(const void *args, wn__exec *x) {
    const wn__colsum *p = args;
    wn__parallel_for(x->pool, p->x.shape[1], COLSUM_VECS * VF, colsum_columns, (void *)args);
    return WN_OK;
}
