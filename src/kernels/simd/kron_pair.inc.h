// SPDX-License-Identifier: MIT
/* kron_pair_grad of block low rank, (a s, r t, c, 1) and (a, b, s r, t): what lies between the
 * factors, h and g, has many more numbers than x and dy and never leaves the cache. A task owns
 * some u of the t outputs that share a block, so the sums of these rows of the right factor and
 * these blocks of the left one; it packs their weights once and goes through the batch, a few
 * panels at a time:
 *
 *   g  [v][u q][LANES]   K_1^T dy, for each u
 *   h  [u][v q][LANES]   K_0 x, for each v, whose x is there as a panel and by token; with that
 *   sums0  [v][u q][k]   += g x^T
 *   sums1  [u][j][v q]   += dy h^T, h of u by token
 *
 * "By token": vectors of features, one behind the other, each [token][VF]. */
#include "kernels/simd/kron_panel.inc.h"

#include <string.h>

enum { PAIR_LEAST = WN_KRON_PAIR_LEAST(VF) };

typedef struct pair_job {
    const wn__kron_pair_grad *p;
    wn__kron_pair_cut cut;
    wn__kron_size right, left;
    wn_tensor back;          /* the left factor, transposed */
    int64_t wide, across;    /* floats of a row of sums0 and of sums1 */
    int64_t rows0, rows1;    /* of a block of them */
    int64_t step;            /* floats from vector to vector by token */
    int32_t *x, *dy, *h, *g; /* places */
    float *workers;
} pair_job;

/* What a worker has. */
typedef struct pair_room {
    float *weights0, *weights1, *sums0, *sums1, *turned, *x, *dy, *h, *g;
} pair_room;

/* Outputs u0 .. u0 + some of blocks i. */
typedef struct pair_task {
    int64_t i, u0, some;
} pair_task;

/* Tokens of a few panels. */
typedef struct pair_tokens {
    int64_t t0, panels, count;
} pair_tokens;

static pair_room pair_room_of(const pair_job *job, int worker) {
    const wn__kron_pair_cut *n = &job->cut;
    pair_room r = {.weights0 = job->workers + worker * n->worker};
    r.weights1 = r.weights0 + n->weights0;
    r.sums0 = r.weights1 + n->weights1;
    r.sums1 = r.sums0 + n->sums0;
    r.turned = r.sums1 + n->sums1;
    r.x = r.turned + n->turned;
    r.dy = r.x + n->panels * n->x;
    r.h = r.dy + n->panels * n->dy;
    r.g = r.h + n->panels * n->between;
    return r;
}

static void pair_pack(const pair_job *job, const pair_task *t, const pair_room *room) {
    const wn__kron_pair_cut *n = &job->cut;
    const int64_t row = n->s * n->r;
    for (int64_t v = 0; v < n->s; v++)
        kron_pack_block(&job->p->w0, t->i * n->s + v, 0, t->some * n->r, n->r, n->t, t->u0,
                        room->weights0 + v * t->some * n->r * job->right.c);
    for (int64_t u = 0; u < t->some; u++)
        kron_pack_block(&job->back, t->i, t->u0 + u, row, 1, 1, 0,
                        room->weights1 + u * row * job->left.b);
}

/* ---- panels */

static void pair_bring_x(const pair_job *job, const pair_task *t, int64_t v, const pair_tokens *at,
                         float *x) {
    const kron_columns columns = {&job->p->x, (t->i * job->cut.s + v) * job->right.c, job->right.c,
                                  job->x, false};
    for (int64_t panel = 0; panel < at->panels; panel++)
        kron_bring_in(&columns, at->t0 + panel * LANES, x + panel * job->cut.x);
}

static void pair_bring_dy(const pair_job *job, const pair_task *t, const pair_tokens *at,
                          float *dy) {
    for (int64_t j = 0; j < job->left.b; j++) {
        const kron_columns columns = {&job->p->dy, (t->i * job->left.b + j) * job->left.d + t->u0,
                                      t->some, job->dy, false};
        for (int64_t panel = 0; panel < at->panels; panel++)
            kron_bring_in(&columns, at->t0 + panel * LANES, dy + panel * job->cut.dy + j * LANES);
    }
}

/* Rows of panels `next` floats apart, by token; no features make whole pairs of vectors. */
static void pair_turn(const pair_job *job, const pair_tokens *at, const float *from, int64_t next,
                      int64_t rows, float *to) {
    for (int64_t row = 0; row < rows; row += VF, to += job->step)
        for (int64_t token = 0; token < at->count; token += VF) {
            const float *panel = from + token / LANES * next + token % LANES;
            vf block[VF];
            UNROLL
            for (int64_t i = 0; i < VF; i++)
                block[i] = row + i < rows ? vf_load(panel + (row + i) * LANES) : vf_zero();
            vf_transpose(block);
            UNROLL
            for (int64_t i = 0; i < VF; i++)
                vf_store(to + (token + i) * VF, block[i]);
        }
    if ((rows + VF - 1) / VF % 2 != 0) memset(to, 0, (size_t)(at->count * VF) * sizeof *to);
}

/* ---- sums */

/* sum[R][2 VF] += the products of R rows of panels and two vectors by token. */
ALWAYS void pair_outer(const int R, const pair_tokens *at, const float *rows, int64_t next,
                       const float *by_token, int64_t step, float *sum, int64_t row) {
    vf s[ROWS][2];
    UNROLL
    for (int j = 0; j < R; j++) {
        s[j][0] = vf_load(sum + j * row);
        s[j][1] = vf_load(sum + j * row + VF);
    }
    for (int64_t panel = 0; panel < at->panels; panel++, rows += next) {
        const int64_t tokens = kron_least(LANES, at->count - panel * LANES);
        for (int64_t token = 0; token < tokens; token++, by_token += VF) {
            const vf x0 = vf_load(by_token), x1 = vf_load(by_token + step);
            UNROLL
            for (int j = 0; j < R; j++) {
                const vf one = vf_set(rows[j * LANES + token]);
                s[j][0] = vf_fma(one, x0, s[j][0]);
                s[j][1] = vf_fma(one, x1, s[j][1]);
            }
        }
    }
    UNROLL
    for (int j = 0; j < R; j++) {
        vf_store(sum + j * row, s[j][0]);
        vf_store(sum + j * row + VF, s[j][1]);
    }
}

/* All rows of a block; those behind the last are there and are never read. */
static void pair_add(const pair_job *job, const pair_tokens *at, int64_t count, const float *rows,
                     int64_t next, const float *by_token, float *sum, int64_t row) {
    for (int64_t j = 0; j < count;) {
        const int64_t left = count - j;
        for (int64_t v = 0; v < row; v += 2 * VF) {
            const float *x = by_token + v / VF * job->step, *a = rows + j * LANES;
            float *to = sum + j * row + v;
            if (left > 2 * PAIR_LEAST)
                pair_outer(3 * PAIR_LEAST, at, a, next, x, job->step, to, row);
            else if (left > PAIR_LEAST)
                pair_outer(2 * PAIR_LEAST, at, a, next, x, job->step, to, row);
            else
                pair_outer(PAIR_LEAST, at, a, next, x, job->step, to, row);
        }
        j += kron_least(3, (left + PAIR_LEAST - 1) / PAIR_LEAST) * PAIR_LEAST;
    }
}

static void pair_batch(const pair_job *job, const pair_task *t, const pair_tokens *at,
                       const pair_room *room) {
    const wn__kron_pair_cut *n = &job->cut;
    const int64_t row = n->s * n->r, outputs = t->some * n->r;
    const kron_panels back = {at->panels, n->dy, n->between, false};
    const kron_panels there = {at->panels, n->x, n->between, false};
    pair_bring_dy(job, t, at, room->dy);
    for (int64_t u = 0; u < t->some; u++)
        kron_block(row, job->left.b, room->weights1 + u * row * job->left.b,
                   room->dy + u * job->left.b * LANES, job->g, room->g + u * n->r * LANES, &back);
    for (int64_t v = 0; v < n->s; v++) {
        pair_bring_x(job, t, v, at, room->x);
        kron_block(outputs, job->right.c, room->weights0 + v * outputs * job->right.c, room->x,
                   job->h, room->h + v * n->r * LANES, &there);
        pair_turn(job, at, room->x, n->x, job->right.c, room->turned);
        pair_add(job, at, outputs, room->g + v * n->some * n->r * LANES, n->between, room->turned,
                 room->sums0 + v * job->rows0 * job->wide, job->wide);
    }
    for (int64_t u = 0; u < t->some; u++) {
        pair_turn(job, at, room->h + u * row * LANES, n->between, row, room->turned);
        pair_add(job, at, job->left.b, room->dy + u * job->left.b * LANES, n->dy, room->turned,
                 room->sums1 + u * job->rows1 * job->across, job->across);
    }
}

/* ---- sums into a factor's gradient */

typedef struct pair_gift {
    const wn_tensor *to;
    bool add;
    int64_t at, row_step, lane_step; /* of the first of them */
    int64_t rows, lanes;
    const float *sum;
    int64_t row; /* floats */
} pair_gift;

ALWAYS void pair_give_lanes(const wn_dtype dtype, const pair_gift *g, int64_t at, vf v, int64_t n) {
    if (g->add) v = vf_add(num_get(dtype, g->to->data, at, n), v);
    num_put(dtype, g->to->data, at, v, n);
}

ALWAYS void pair_give_block(const wn_dtype dtype, const pair_gift *g, int64_t row, int64_t lane) {
    const int64_t rows = kron_least(VF, g->rows - row), lanes = kron_least(VF, g->lanes - lane);
    const int64_t at = g->at + row * g->row_step + lane * g->lane_step;
    const float *sum = g->sum + row * g->row + lane;
    vf block[VF];
    UNROLL
    for (int64_t i = 0; i < VF; i++)
        block[i] = i < rows ? vf_load(sum + i * g->row) : vf_zero();
    if (g->lane_step == 1) {
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            if (i < rows) pair_give_lanes(dtype, g, at + i * g->row_step, block[i], lanes);
    } else if (g->row_step == 1) {
        vf_transpose(block);
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            if (i < lanes) pair_give_lanes(dtype, g, at + i * g->lane_step, block[i], rows);
    } else {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t k = 0; k < lanes; k++) {
                const int64_t one = at + i * g->row_step + k * g->lane_step;
                const float old = g->add ? num_one(dtype, g->to->data, one) : 0;
                num_set(dtype, g->to->data, one, old + sum[i * g->row + k]);
            }
    }
}

static void pair_give_rows(const pair_gift *g) {
    for (int64_t row = 0; row < g->rows; row += VF)
        for (int64_t lane = 0; lane < g->lanes; lane += VF) {
#define GIVE(dtype) pair_give_block(dtype, g, row, lane)
            NUM_SWITCH(g->to->dtype, GIVE)
#undef GIVE
        }
}

static void pair_give(const pair_job *job, const pair_task *t, const pair_room *room) {
    const wn__kron_pair_cut *n = &job->cut;
    const wn_tensor *dw0 = &job->p->dw0, *dw1 = &job->p->dw1;
    pair_gift g = {.to = dw0, .add = job->p->accumulate};
    g.row_step = dw0->stride[1];
    g.lane_step = dw0->stride[2];
    g.rows = t->some;
    g.lanes = job->right.c;
    g.row = n->r * job->wide;
    for (int64_t v = 0; v < n->s; v++)
        for (int64_t q = 0; q < n->r; q++) {
            g.at = wn__kron_at(dw0, t->i * n->s + v, q * n->t + t->u0, 0, 0);
            g.sum = room->sums0 + (v * job->rows0 + q) * job->wide;
            pair_give_rows(&g);
        }
    g.to = dw1;
    g.row_step = dw1->stride[1];
    g.lane_step = dw1->stride[2];
    g.rows = job->left.b;
    g.lanes = n->s * n->r;
    g.row = job->across;
    for (int64_t u = 0; u < t->some; u++) {
        g.at = wn__kron_at(dw1, t->i, 0, 0, t->u0 + u);
        g.sum = room->sums1 + u * job->rows1 * job->across;
        pair_give_rows(&g);
    }
}

static void pair_run(void *ctx, int64_t begin, int64_t end, int worker) {
    const pair_job *job = ctx;
    const wn__kron_pair_cut *n = &job->cut;
    const pair_room room = pair_room_of(job, worker);
    const int64_t batch = job->p->x.shape[0], together = n->panels * LANES;
    for (int64_t task = begin; task < end; task++) {
        pair_task t = {.i = task / n->parts, .u0 = task % n->parts * n->some};
        t.some = kron_least(n->some, n->t - t.u0);
        pair_pack(job, &t, &room);
        memset(room.sums0, 0, (size_t)(n->sums0 + n->sums1) * sizeof *room.sums0);
        for (int64_t t0 = 0; t0 < batch; t0 += together) {
            const int64_t count = kron_least(together, batch - t0);
            const pair_tokens at = {t0, (count + LANES - 1) / LANES, count};
            pair_batch(job, &t, &at, &room);
        }
        pair_give(job, &t, &room);
    }
}

static void pair_place(pair_job *job) {
    const wn__kron_pair_cut *n = &job->cut;
    for (int64_t k = 0; k < job->right.c; k++)
        job->x[k] = (int32_t)k;
    for (int64_t u = 0; u < n->some; u++)
        job->dy[u] = (int32_t)(u * job->left.b);
    for (int64_t o = 0; o < n->some * n->r; o++)
        job->h[o] = (int32_t)(o / n->r * n->s * n->r + o % n->r);
    for (int64_t o = 0; o < n->s * n->r; o++)
        job->g[o] = (int32_t)(o / n->r * n->some * n->r + o % n->r);
}

static wn_status kron_pair_grad(const void *args, wn__exec *x) {
    const wn__kron_pair_grad *p = args;
    pair_job job = {.p = p, .cut = wn__kron_pair_cut_for(p, LANES), .back = p->w1};
    const wn__kron_pair_cut *n = &job.cut;
    job.right = wn__kron_size_of(&p->w0);
    job.left = wn__kron_size_of(&p->w1);
    job.back.shape[1] = p->w1.shape[2];
    job.back.shape[2] = p->w1.shape[1];
    job.back.stride[1] = p->w1.stride[2];
    job.back.stride[2] = p->w1.stride[1];
    job.wide = (job.right.c + 2 * VF - 1) / (2 * VF) * (2 * VF);
    job.across = (n->s * n->r + 2 * VF - 1) / (2 * VF) * (2 * VF);
    job.rows0 = (n->some * n->r + PAIR_LEAST - 1) / PAIR_LEAST * PAIR_LEAST;
    job.rows1 = (job.left.b + PAIR_LEAST - 1) / PAIR_LEAST * PAIR_LEAST;
    job.step = (n->panels * LANES + 1) * VF;
    job.x = (int32_t *)(void *)x->scratch;
    job.dy = job.x + wn__kron_line(job.right.c);
    job.h = job.dy + wn__kron_line(n->some);
    job.g = job.h + wn__kron_line(n->some * n->r);
    job.workers = (float *)(void *)x->scratch + n->places;
    pair_place(&job);
    wn__parallel_for(x->pool, job.left.a * n->parts, 1, pair_run, &job);
    return WN_OK;
}
