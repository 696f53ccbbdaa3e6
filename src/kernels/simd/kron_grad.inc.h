// SPDX-License-Identifier: MIT
/* kron_grad: a task owns some rows of VF neighbouring blocks (or, where too
 * few interleave, of one), gathers their inputs and gradients for a few tokens at a time and adds
 * the outer products to sums that stay in the cache. The batch is never shared out. */
#include "kernels/simd/kron_plan.h"
#include "kernels/simd/number.h"

#include <string.h>

typedef struct kron_task {
    const wn__kron_grad *p;
    wn__kron_cut cut;
    wn__kron_size size;
    float *workers;
} kron_task;

static int64_t kron_few(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Where line k of token t stands among VF blocks: register tile after register tile, in each all
 * tokens, so that one of them reads one stretch of memory, whatever power of two the lines are. */
ALWAYS int64_t kron_line_at(int64_t tile, int64_t t, int64_t k) {
    return ((k / tile * WN_KRON_TOKENS + t) * tile + k % tile) * VF;
}

/* Lines columns first + line d + lane of some tokens, zeros up to `room` lines: to[token][line] of
 * one block; of VF blocks as kron_line_at says, in tiles of so many lines. */
ALWAYS void kron_gather_as(const wn_dtype dtype, const kron_task *job, const wn_tensor *x,
                           int64_t t0, int64_t tokens, int64_t first, int64_t lines, int64_t lanes,
                           int64_t room, int64_t tile, float *to) {
    int64_t wide = job->cut.wide, d = job->size.d, row = x->stride[0], column = x->stride[1];
    int64_t from = t0 * row + first * column;
    bool side_by_side = column == 1 || x->shape[1] < 2;
    for (int64_t t = 0; t < tokens; t++, from += row) {
        float *line = to + t * room; // of one block
        if (wide == 1 && side_by_side && d == 1)
            for (int64_t k = 0; k < lines; k += VF)
                vf_put(line + k, num_get(dtype, x->data, from + k, kron_few(VF, lines - k)),
                       kron_few(VF, lines - k));
        else if (wide == 1)
            for (int64_t k = 0; k < lines; k++)
                line[k] = num_one(dtype, x->data, from + k * d * column);
        else if (side_by_side)
            for (int64_t k = 0; k < lines; k++)
                vf_store(to + kron_line_at(tile, t, k),
                         num_get(dtype, x->data, from + k * d, lanes));
        else
            for (int64_t k = 0; k < lines; k++)
                for (int64_t l = 0; l < VF; l++)
                    to[kron_line_at(tile, t, k) + l] =
                        l < lanes ? num_one(dtype, x->data, from + (k * d + l) * column) : 0;
        if (wide == 1) memset(line + lines, 0, (size_t)(room - lines) * sizeof *to);
        for (int64_t k = lines; k < room && wide > 1; k++)
            vf_store(to + kron_line_at(tile, t, k), vf_zero());
    }
}

static void kron_gather(const kron_task *job, const wn_tensor *x, int64_t t0, int64_t tokens,
                        int64_t first, int64_t lines, int64_t lanes, int64_t room, int64_t tile,
                        float *to){
#define GATHER(dtype) kron_gather_as(dtype, job, x, t0, tokens, first, lines, lanes, room, tile, to)
    NUM_SWITCH(x->dtype, GATHER)
#undef GATHER
}

/* sum[6 rows][2 VF columns] += dy^T x over the tokens. */
ALWAYS void kron_outer(int64_t tokens, const float *dy, int64_t dy_step, const float *x,
                       int64_t x_step, float *sum, int64_t sum_step) {
    vf s[6][2];
    UNROLL
    for (int j = 0; j < 6; j++) {
        s[j][0] = vf_load(sum + j * sum_step);
        s[j][1] = vf_load(sum + j * sum_step + VF);
    }
    for (int64_t t = 0; t < tokens; t++, dy += dy_step, x += x_step) {
        vf x0 = vf_load(x), x1 = vf_load(x + VF);
        UNROLL
        for (int j = 0; j < 6; j++) {
            vf g = vf_set(dy[j]);
            s[j][0] = vf_fma(g, x0, s[j][0]);
            s[j][1] = vf_fma(g, x1, s[j][1]);
        }
    }
    UNROLL
    for (int j = 0; j < 6; j++) {
        vf_store(sum + j * sum_step, s[j][0]);
        vf_store(sum + j * sum_step + VF, s[j][1]);
    }
}

/* The same of VF blocks at once, 3 rows and 4 columns of each. */
ALWAYS void kron_lanes(int64_t tokens, const float *dy, int64_t dy_step, const float *x,
                       int64_t x_step, float *sum, int64_t sum_step) {
    vf s[3][4];
    UNROLL
    for (int j = 0; j < 3; j++)
        UNROLL
    for (int k = 0; k < 4; k++)
        s[j][k] = vf_load(sum + j * sum_step + k * VF);
    for (int64_t t = 0; t < tokens; t++, dy += dy_step, x += x_step) {
        vf g0 = vf_load(dy), g1 = vf_load(dy + VF), g2 = vf_load(dy + 2 * VF);
        UNROLL
        for (int k = 0; k < 4; k++) {
            vf v = vf_load(x + k * VF);
            s[0][k] = vf_fma(g0, v, s[0][k]);
            s[1][k] = vf_fma(g1, v, s[1][k]);
            s[2][k] = vf_fma(g2, v, s[2][k]);
        }
    }
    UNROLL
    for (int j = 0; j < 3; j++)
        UNROLL
    for (int k = 0; k < 4; k++)
        vf_store(sum + j * sum_step + k * VF, s[j][k]);
}

static void kron_add(const kron_task *job, int64_t tokens, const float *dy, const float *x,
                     float *sum) {
    int64_t jr = job->cut.jr, kr = job->cut.kr;
    if (job->cut.wide == 1) {
        for (int64_t j = 0; j < jr; j += 6)
            for (int64_t k = 0; k < kr; k += 2 * VF)
                kron_outer(tokens, dy + j, jr, x + k, kr, sum + j * kr + k, kr);
        return;
    }
    for (int64_t j = 0; j < jr; j += 3)
        for (int64_t k = 0; k < kr; k += 4)
            kron_lanes(tokens, dy + j * WN_KRON_TOKENS * VF, 3 * VF, x + k * WN_KRON_TOKENS * VF,
                       4 * VF, sum + (j * kr + k) * VF, kr * VF);
}

ALWAYS void kron_give_as(const wn_dtype dtype, const kron_task *job, int64_t i, int64_t j0,
                         int64_t rows, int64_t l0, int64_t lanes, const float *sum) {
    const wn_tensor *dw = &job->p->dw;
    int64_t wide = job->cut.wide;
    for (int64_t j = 0; j < rows; j++)
        for (int64_t k = 0; k < job->size.c; k++) {
            int64_t to = i * dw->stride[0] + (j0 + j) * dw->stride[1] + k * dw->stride[2] +
                         l0 * dw->stride[3];
            const float *from = sum + (j * job->cut.kr + k) * wide;
            for (int64_t l = 0; l < lanes; l++, to += dw->stride[3]) {
                float old = job->p->accumulate ? num_one(dtype, dw->data, to) : 0;
                num_set(dtype, dw->data, to, old + from[l]);
            }
        }
}

static void kron_give(const kron_task *job, int64_t i, int64_t j0, int64_t rows, int64_t l0,
                      int64_t lanes, const float *sum) {
#define GIVE(dtype) kron_give_as(dtype, job, i, j0, rows, l0, lanes, sum)
    NUM_SWITCH(job->p->dw.dtype, GIVE)
#undef GIVE
}

static void kron_tasks(void *ctx, int64_t begin, int64_t end, int worker) {
    const kron_task *job = ctx;
    const wn__kron_cut *cut = &job->cut;
    wn__kron_size s = job->size;
    float *sum = job->workers + worker * cut->worker;
    float *x = sum + cut->jr * cut->kr * cut->wide;
    float *dy = x + WN_KRON_TOKENS * cut->kr * cut->wide;
    int64_t n = job->p->x.shape[0];
    for (int64_t task = begin; task < end; task++) {
        int64_t j0 = task % cut->parts_j * cut->rows, l0 = task / cut->parts_j % cut->parts_l;
        int64_t i = task / cut->parts_j / cut->parts_l, rows = kron_few(cut->rows, s.b - j0);
        int64_t lanes = kron_few(cut->wide, s.d - l0 * cut->wide);
        l0 *= cut->wide;
        memset(sum, 0, (size_t)(cut->jr * cut->kr * cut->wide) * sizeof *sum);
        for (int64_t t = 0; t < n; t += WN_KRON_TOKENS) {
            int64_t tokens = kron_few(WN_KRON_TOKENS, n - t);
            kron_gather(job, &job->p->x, t, tokens, i * s.c * s.d + l0, s.c, lanes, cut->kr, 4, x);
            kron_gather(job, &job->p->dy, t, tokens, (i * s.b + j0) * s.d + l0, rows, lanes,
                        cut->jr, 3, dy);
            kron_add(job, tokens, dy, x, sum);
        }
        kron_give(job, i, j0, rows, l0, lanes, sum);
    }
}

static wn_status kron_grad(const void *args, wn__exec *x) {
    const wn__kron_grad *p = args;
    kron_task job = {.p = p, .cut = wn__kron_cut_for(p, VF), .size = wn__kron_size_of(&p->dw)};
    job.workers = (float *)(void *)x->scratch;
    wn__parallel_for(x->pool, job.cut.tasks, 1, kron_tasks, &job);
    return WN_OK;
}
