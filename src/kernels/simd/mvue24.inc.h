// SPDX-License-Identifier: MIT
/* mvue24 for F32 in groups of 4, on the groups of mvue24_groups.h. */
#include "kernels/simd/accepts.h"
#include "kernels/simd/mvue24_groups.h"

/* ---- axis 1 */

ALWAYS void columns_step(const draws24 *d, wn__mvue24_method method, const float *x, float *y,
                         int64_t j, int64_t n) {
    vf column[4];
    vd u[2], v[2];
    load_columns(x + j, n, column);
    draws_at(d, method, true, j / 4, u, v);
    prune(method, column, u, v);
    store_columns(y + j, n, column);
}

ALWAYS void prune_columns(const draws24 *d, wn__mvue24_method method, const float *x, float *y,
                          int64_t n) {
    int64_t j = 0;
    for (; j + STEP_COLUMNS <= n; j += STEP_COLUMNS)
        columns_step(d, method, x, y, j, STEP_COLUMNS);
    if (j < n) columns_step(d, method, x, y, j, n - j);
}

typedef struct mvue24_job {
    const wn__mvue24 *p;
    cut24 cut;      /* of axis 1 */
    int64_t pieces; /* of a block of rows, for axis 0 */
} mvue24_job;

static void prune_pieces(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const mvue24_job *job = ctx;
    const wn__mvue24 *p = job->p;
    int64_t groups = (job->cut.columns + 3) / 4;
    draws24 d = draws_of(p);
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / job->cut.pieces, j = i % job->cut.pieces * PIECE;
        int64_t stop = j + clamp24(job->cut.columns - j, PIECE);
        const float *x = (const float *)p->x.data + row * p->x.stride[0];
        float *y = (float *)p->y.data + row * p->y.stride[0];
        for (; j < stop; j += 4 * SPAN) {
            int64_t n = clamp24(stop - j, 4 * SPAN);
            draw_words(&d, row * groups + j / 4, (n + 3) / 4);
            if (p->method == WN_MVUE24_EXACT)
                prune_columns(&d, WN_MVUE24_EXACT, x + j, y + j, n);
            else
                prune_columns(&d, WN_MVUE24_APPROX, x + j, y + j, n);
        }
    }
}

/* ---- axis 0 */

static void prune_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const mvue24_job *job = ctx;
    const wn__mvue24 *p = job->p;
    int64_t r = p->x.shape[0], c = p->x.shape[1];
    draws24 d = draws_of(p);
    for (int64_t i = begin; i < end; i++) {
        int64_t block = i / job->pieces, j = i % job->pieces * SPAN;
        int64_t rows = r - 4 * block, n = clamp24(c - j, SPAN);
        const float *x = (const float *)p->x.data + 4 * block * p->x.stride[0] + j;
        float *y = (float *)p->y.data + 4 * block * p->y.stride[0] + j;
        draw_words(&d, block * c + j, n);
        if (p->method == WN_MVUE24_EXACT)
            prune_block(&d, p, WN_MVUE24_EXACT, x, y, rows, n);
        else
            prune_block(&d, p, WN_MVUE24_APPROX, x, y, rows, n);
    }
}

static wn_status mvue24(const void *args, wn__exec *x) {
    const wn__mvue24 *p = args;
    int64_t r = p->x.shape[0], c = p->x.shape[1];
    mvue24_job job = {.p = p};
    if (p->axis == 1) {
        job.cut = cut24_of(r, c, p->x.stride[0] == c && p->y.stride[0] == c);
        wn__parallel_for(x->pool, job.cut.count, job.cut.grain, prune_pieces, &job);
    } else {
        job.pieces = (c + SPAN - 1) / SPAN;
        int64_t width = c < SPAN ? c : SPAN;
        wn__parallel_for(x->pool, (r + 3) / 4 * job.pieces, PIECE / (4 * width + 1) + 1,
                         prune_blocks, &job);
    }
    return WN_OK;
}
