// SPDX-License-Identifier: MIT
/* kron_mul of one factor, batch last: see simd/kron_plan.h. A feature is a row of tokens there, so
 * lanes are tokens as they lie in x and in y: nothing is taken apart, and floats are read where
 * they are and written where they belong. A task takes neighbouring blocks l for some tokens, packs
 * the weights of one register tile of outputs of all of them at a time, and goes through its tokens
 * with them. Where there are many tokens all weights are packed before, and tasks of the same
 * blocks follow each other. Beside the products a task fetches what the next slice or task reads of
 * x, and the weights of the next tile, into L2.
 *
 *   weights  of a tile: block after block, in each 4 outputs after 4, in those [k][4]. Of all:
 *            blocks after blocks, in those slice after slice, in each tile after tile
 *   copies   of inputs that are no floats, and of the last tokens that fill no panel: block after
 *            block, panel after panel, [k][LANES]
 *   sums     where there is more than one slice of inputs: tile after tile, block after block,
 *            panel after panel, [ROWS][LANES]
 */
#include "kernels/simd/split_columns.h"

enum { LAST_QUAD = 4, LAST_QUADS = (ROWS + LAST_QUAD - 1) / LAST_QUAD };
/* Inputs k from those in use to those on their way from L2: rows may be a power of two apart, which
 * leaves the few ways of two sets of L1 to all of them. With vectors of 32 bytes, two products of
 * which are done in a cycle, there is no time for that. */
enum { LAST_AHEAD = 4 };

typedef struct last_job {
    const wn__kron_mul *p;
    wn__kron_last last;
    wn__kron_size size;
    float *weights; /* of all, where they are packed before */
    float *workers;
    int64_t worker, tasks, step; /* from a task of a thread to its next one */
    bool in_place, direct, stream;
} last_job;

/* Outputs of tiles `begin` to `end` of blocks (i, l0) on for some tokens. */
typedef struct last_task {
    int64_t i, l0, t0, tokens, panels, begin, end;
} last_task;

/* Outputs j0 on of a register tile; inputs k0 on of a slice. */
typedef struct last_piece {
    int64_t j0, rows, k0, count;
} last_piece;

static last_task last_task_at(const last_job *job, int64_t task) {
    const wn__kron_last *n = &job->last;
    int64_t chunk = 0;
    if (n->all > 0) {
        chunk = task % n->chunks;
        task /= n->chunks;
    }
    const int64_t part = task % n->parts_j;
    task /= n->parts_j;
    last_task t = {.l0 = task % n->parts_l * n->l};
    task /= n->parts_l;
    if (n->all == 0) {
        chunk = task % n->chunks;
        task /= n->chunks;
    }
    t.i = task;
    t.t0 = chunk * n->panels * LANES;
    t.tokens = kron_least(n->panels * LANES, job->p->x.shape[0] - t.t0);
    t.panels = (t.tokens + LANES - 1) / LANES;
    t.begin = one_begin(n->tiles, n->parts_j, part);
    t.end = one_begin(n->tiles, n->parts_j, part + 1);
    return t;
}

static last_piece last_piece_at(const last_job *job, int64_t tile, int64_t slice) {
    const wn__kron_last *n = &job->last;
    last_piece p = {.j0 = one_begin(job->size.b, n->tiles, tile),
                    .k0 = one_begin(job->size.c, n->slices, slice)};
    p.rows = one_begin(job->size.b, n->tiles, tile + 1) - p.j0;
    p.count = one_begin(job->size.c, n->slices, slice + 1) - p.k0;
    return p;
}

/* ---- packing */

/* 4 numbers of each of n <= VF / 4 inputs, `step` apart. */
ALWAYS vf last_get(const wn_dtype dtype, const void *data, int64_t at, int64_t step, int64_t n) {
    if (step == 4) return num_get(dtype, data, at, 4 * n);
    __m128 r[VF / 4];
    UNROLL
    for (int64_t q = 0; q < VF / 4; q++) {
        const vf v = q < n ? side_get(dtype, 4, data, at + q * step) : vf_zero();
#if VF == 16
        r[q] = _mm512_castps512_ps128(v);
#else
        r[q] = _mm256_castps256_ps128(v);
#endif
    }
#if VF == 16
    const vf low = _mm512_insertf32x4(_mm512_castps128_ps512(r[0]), r[1], 1);
    return _mm512_insertf32x4(_mm512_insertf32x4(low, r[2], 2), r[3], 3);
#else
    return _mm256_insertf128_ps(_mm256_castps128_ps256(r[0]), r[1], 1);
#endif
}

/* Blocks l, l + 1, l + 2, l + 3 that lie side by side, 4 outputs at `row`. */
ALWAYS void last_pack_side(const wn_dtype dtype, const wn_tensor *w, const int64_t row[LAST_QUAD],
                           int64_t count, float *to, int64_t step) {
    enum { EACH = VF / 4 };
    for (int64_t k = 0; k < count; k += EACH) {
        const int64_t some = kron_least(EACH, count - k);
        vf r[LAST_QUAD], block[LAST_QUAD];
        UNROLL
        for (int o = 0; o < LAST_QUAD; o++)
            r[o] = last_get(dtype, w->data, row[o] + k * w->stride[2], w->stride[2], some);
        split_columns(r, block);
        UNROLL
        for (int l = 0; l < 4; l++)
            vf_put(to + l * step + k * LAST_QUAD, block[l], some * LAST_QUAD);
    }
}

/* One block, 4 outputs at `row`, each [k][4]. */
ALWAYS void last_pack_one(const wn_dtype dtype, const wn_tensor *w, const int64_t row[LAST_QUAD],
                          int64_t count, bool beside, float *to) {
    for (int64_t k = 0; k < count; k++, to += LAST_QUAD) {
        const int64_t at = k * w->stride[2];
        if (beside) {
            side_set(LAST_QUAD, to, side_get(dtype, LAST_QUAD, w->data, row[0] + at));
            continue;
        }
        UNROLL
        for (int o = 0; o < LAST_QUAD; o++)
            to[o] = num_one(dtype, w->data, row[o] + at);
    }
}

ALWAYS void last_pack_as(const wn_dtype dtype, const last_job *job, const last_task *t,
                         const last_piece *p, float *to) {
    const wn_tensor *w = &job->p->w[0];
    const int64_t step = LAST_QUADS * LAST_QUAD * p->count, blocks = job->last.l;
    const bool side = w->stride[3] == 1 && blocks % 4 == 0;
    const int64_t at = t->i * w->stride[0] + p->k0 * w->stride[2] + t->l0 * w->stride[3];
    for (int64_t j = 0; j < p->rows; j += LAST_QUAD, to += LAST_QUAD * p->count) {
        int64_t row[LAST_QUAD];
        for (int64_t o = 0; o < LAST_QUAD; o++)
            row[o] = at + (p->j0 + kron_least(j + o, p->rows - 1)) * w->stride[1];
        const bool beside = w->stride[1] == 1 && j + LAST_QUAD <= p->rows;
        for (int64_t l = 0; l < blocks; l += side ? 4 : 1) {
            if (side)
                last_pack_side(dtype, w, row, p->count, to + l * step, step);
            else
                last_pack_one(dtype, w, row, p->count, beside, to + l * step);
            for (int64_t o = 0; o < LAST_QUAD; o++)
                row[o] += (side ? 4 : 1) * w->stride[3];
        }
    }
}

static void last_pack(const last_job *job, const last_task *t, const last_piece *p, float *to) {
#define PACK(dtype) last_pack_as(dtype, job, t, p, to)
    NUM_SWITCH(job->p->w[0].dtype, PACK)
#undef PACK
}

/* A tile's, of a slice of blocks (i, l0) on. */
static float *last_packed(const last_job *job, int64_t i, int64_t l0, int64_t slice, int64_t tile) {
    const wn__kron_last *n = &job->last;
    const int64_t blocks = i * n->parts_l + l0 / n->l;
    return job->weights + ((blocks * n->slices + slice) * n->tiles + tile) * n->weights;
}

static void last_pack_all(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const last_job *job = ctx;
    const wn__kron_last *n = &job->last;
    for (int64_t at = begin; at < end; at++) {
        const int64_t blocks = at / n->tiles, tile = at % n->tiles;
        const last_task t = {.i = blocks / n->parts_l, .l0 = blocks % n->parts_l * n->l};
        for (int64_t slice = 0; slice < n->slices; slice++) {
            const last_piece p = last_piece_at(job, tile, slice);
            last_pack(job, &t, &p, last_packed(job, t.i, t.l0, slice, tile));
        }
    }
}

/* ---- inputs */

/* Of a slice: where they are from panel `first` on, and floats from one input, block and panel to
 * the next. */
typedef struct last_inputs {
    const float *at;
    int64_t row, block, panel, first;
} last_inputs;

/* Panels `first` on of a task's inputs. */
ALWAYS void last_bring_as(const wn_dtype dtype, const last_job *job, const last_task *t, int64_t k0,
                          int64_t count, int64_t first, float *to) {
    const wn_tensor *x = &job->p->x;
    for (int64_t l = 0; l < job->last.l; l++)
        for (int64_t panel = first; panel < t->panels; panel++)
            for (int64_t k = 0; k < count; k++, to += LANES) {
                const int64_t row = (t->i * job->size.c + k0 + k) * job->size.d + t->l0 + l;
                const int64_t at = row * x->stride[1] + t->t0 + panel * LANES;
                const int64_t there = t->tokens - panel * LANES;
                for (int64_t v = 0; v < LANES; v += VF) {
                    const int64_t some = there - v < 0 ? 0 : kron_least(VF, there - v);
                    vf_store(to + v, num_get(dtype, x->data, some > 0 ? at + v : at, some));
                }
            }
}

static void last_bring(const last_job *job, const last_task *t, int64_t k0, int64_t count,
                       int64_t first, float *to) {
#define BRING(dtype) last_bring_as(dtype, job, t, k0, count, first, to)
    NUM_SWITCH(job->p->x.dtype, BRING)
#undef BRING
}

/* Inputs of panels before and from `whole` on. */
static void last_inputs_of(const last_job *job, const last_task *t, int64_t k0, int64_t count,
                           int64_t whole, float *to, last_inputs of[2]) {
    const wn_tensor *x = &job->p->x;
    const int64_t column = x->stride[1], row = (t->i * job->size.c + k0) * job->size.d + t->l0;
    const int64_t copied = t->panels - whole;
    if (whole > 0)
        of[0] = (last_inputs){(const float *)x->data + row * column + t->t0, job->size.d * column,
                              column, LANES, 0};
    of[1] = (last_inputs){to, LANES, copied * count * LANES, count * LANES, whole};
    if (copied > 0) last_bring(job, t, k0, count, whole, to);
}

/* Lines of x that come next, row after row: of tokens `lines`, of blocks `blocks`, of inputs
 * `count`. */
typedef struct last_ahead {
    const char *at, *block, *input; /* the next line, its row's first, its first block's */
    int64_t row, next;              /* bytes from block to block, from input to input */
    int64_t line, lines, l, blocks, count, each;
} last_ahead;

static last_ahead last_look(const last_job *job, const last_task *t, int64_t slice) {
    const wn_tensor *x = &job->p->x;
    const int64_t bytes = (int64_t)wn_dtype_size(x->dtype);
    const last_piece p = last_piece_at(job, t->begin, slice);
    last_ahead a = {.row = x->stride[1] * bytes, .blocks = job->last.l, .count = p.count};
    a.next = job->size.d * a.row;
    a.lines = (t->tokens * bytes + 63) / 64;
    a.at = (const char *)x->data + ((t->i * job->size.c + p.k0) * job->size.d + t->l0) * a.row +
           t->t0 * bytes;
    a.block = a.input = a.at;
    const int64_t calls = a.blocks * t->panels * (t->end - t->begin);
    a.each = (a.lines * a.blocks * a.count + calls - 1) / calls;
    return a;
}

static last_ahead last_next(const last_job *job, const last_task *t, int64_t slice, int64_t next) {
    if (slice + 1 < job->last.slices) return last_look(job, t, slice + 1);
    if (next >= job->tasks) return (last_ahead){0};
    const last_task then = last_task_at(job, next);
    return last_look(job, &then, 0);
}

ALWAYS void last_fetch_line(last_ahead *a) {
    if (a->count <= 0) return;
    _mm_prefetch(a->at, _MM_HINT_T1);
    a->at += 64;
    if (++a->line < a->lines) return;
    a->line = 0;
    a->block += a->row;
    if (++a->l == a->blocks) {
        a->l = 0;
        a->block = a->input += a->next;
        a->count--;
    }
    a->at = a->block;
}

/* Weights of the next tile. */
static one_ahead last_next_weights(const last_job *job, const last_task *t, int64_t tile,
                                   int64_t slice, int64_t next) {
    last_task of = *t;
    if (++tile == t->end) {
        if (++slice == job->last.slices) {
            if (next >= job->tasks) return (one_ahead){0};
            of = last_task_at(job, next);
            slice = 0;
        }
        tile = of.begin;
    }
    const last_piece p = last_piece_at(job, tile, slice);
    const int64_t calls = job->last.l * t->panels;
    if (job->last.all > 0)
        return one_look_lines(last_packed(job, of.i, of.l0, slice, tile),
                              job->last.l * LAST_QUADS * LAST_QUAD * p.count, calls);
    const wn__kron_size piece = {of.i, p.rows, p.count, job->last.l};
    return one_look_weights(&job->p->w[0], &piece, p.j0, p.k0, of.l0, calls);
}

/* ---- products */

/* Sums of a tile, or nothing: row after row. */
typedef struct last_sums {
    float *at;
    int64_t row;
    bool add, stream; /* to what is there; past the caches */
} last_sums;

/* What comes next: inputs and weights. */
typedef struct last_then {
    last_ahead inputs;
    one_ahead weights;
} last_then;

/* J outputs from c of their inputs: to = from (NULL: 0) + products. With vectors of 64 bytes there
 * is time to fetch a line of what comes next beside them. */
ALWAYS void last_tile(const int J, int64_t c, const float *w, const float *x, int64_t row,
                      const last_sums *from, const last_sums *to, last_then *then) {
    const float *part[LAST_QUADS];
    vf sum[ROWS][2];
    UNROLL
    for (int q = 0; q < LAST_QUADS; q++)
        part[q] = w + q * LAST_QUAD * c;
    UNROLL
    for (int j = 0; j < J; j++)
        UNROLL
    for (int v = 0; v < 2; v++)
        sum[j][v] = from->at ? vf_load(from->at + j * from->row + v * VF) : vf_zero();
#if VF != 16
    for (int64_t i = 0; i < then->inputs.each; i++)
        last_fetch_line(&then->inputs);
    one_fetch(&then->weights);
#endif
    for (int64_t k = 0; k < c; k++, x += row) {
#if VF == 16
        if (k < then->inputs.each) last_fetch_line(&then->inputs);
        if (k < then->weights.each) one_fetch_line(&then->weights);
#endif
        const vf x0 = vf_load(x), x1 = vf_load(x + VF);
#if VF == 16
        _mm_prefetch((const char *)(x + LAST_AHEAD * row), _MM_HINT_T0);
        _mm_prefetch((const char *)(x + LAST_AHEAD * row + VF), _MM_HINT_T0);
#endif
        UNROLL
        for (int j = 0; j < J; j++) {
            const vf weight = vf_set(part[j / LAST_QUAD][k * LAST_QUAD + j % LAST_QUAD]);
            sum[j][0] = vf_fma(weight, x0, sum[j][0]);
            sum[j][1] = vf_fma(weight, x1, sum[j][1]);
        }
    }
    UNROLL
    for (int j = 0; j < J; j++)
        UNROLL
    for (int v = 0; v < 2; v++) {
        float *at = to->at + j * to->row + v * VF;
#if VF == 16
        if (to->stream) {
            _mm512_stream_ps(at, sum[j][v]);
            continue;
        }
#endif
        vf_store(at, to->add ? vf_add(vf_load(at), sum[j][v]) : sum[j][v]);
    }
}

#define LAST_CASE(J)                                                                               \
    case J:                                                                                        \
        last_tile(J, c, w, x, row, from, to, then);                                                \
        break;

static void last_tile_of(int64_t rows, int64_t c, const float *w, const float *x, int64_t row,
                         const last_sums *from, const last_sums *to, last_then *then) {
    switch (rows) {
        LAST_CASE(1)
        LAST_CASE(2)
        LAST_CASE(3)
        LAST_CASE(4)
        LAST_CASE(5)
#if VF == 16
        LAST_CASE(6)
        LAST_CASE(7)
        LAST_CASE(8)
        LAST_CASE(9)
        LAST_CASE(10)
        LAST_CASE(11)
#endif
    default:
        last_tile(ROWS, c, w, x, row, from, to, then);
    }
}
#undef LAST_CASE

/* A tile of `lanes` tokens into y, or added to it. */
ALWAYS void last_send_as(const wn_dtype dtype, const last_job *job, int64_t rows, int64_t lanes,
                         int64_t at, const float *tile) {
    const wn_tensor *y = &job->p->y;
    for (int64_t j = 0; j < rows; j++, at += job->size.d * y->stride[1], tile += LANES)
        for (int64_t v = 0; v < lanes; v += VF) {
            const int64_t some = kron_least(VF, lanes - v);
            vf sum = vf_load(tile + v);
            if (job->p->accumulate) sum = vf_add(num_get(dtype, y->data, at + v, some), sum);
            num_put(dtype, y->data, at + v, sum, some);
        }
}

static void last_send(const last_job *job, int64_t rows, int64_t lanes, int64_t at,
                      const float *tile) {
#define SEND(dtype) last_send_as(dtype, job, rows, lanes, at, tile)
    NUM_SWITCH(job->p->y.dtype, SEND)
#undef SEND
}

/* A panel of a block: the sums so far, if any, of a slice that is the last or not. */
static void last_panel(const last_job *job, const last_task *t, const last_piece *p, int64_t l,
                       int64_t panel, bool first, bool last, const float *w, const last_inputs *x,
                       float *sums, last_then *then) {
    const wn_tensor *y = &job->p->y;
    const int64_t lanes = kron_least(LANES, t->tokens - panel * LANES);
    const int64_t output = (t->i * job->size.b + p->j0) * job->size.d + t->l0 + l;
    const int64_t at = output * y->stride[1] + t->t0 + panel * LANES;
    const bool direct = last && job->direct && lanes == LANES;
    const last_sums kept = {.at = sums, .row = LANES}, none = {0};
    if (job->last.slices > 1)
        for (int64_t i = 0; i < ROWS * LANES; i += 16)
            _mm_prefetch((const char *)(sums + ROWS * LANES + i), _MM_HINT_T0);
    last_sums to = kept;
    if (direct) {
        to = (last_sums){(float *)y->data + at, job->size.d * y->stride[1], job->p->accumulate,
                         false};
        to.stream =
            job->stream && (((uintptr_t)to.at | (uintptr_t)to.row * sizeof(float)) % 64) == 0;
    }
    last_tile_of(p->rows, p->count, w, x->at + l * x->block + (panel - x->first) * x->panel, x->row,
                 first ? &none : &kept, &to, then);
    if (last && !direct) last_send(job, p->rows, lanes, at, sums);
}

static void last_run_task(const last_job *job, int64_t task, float *scratch) {
    const wn__kron_last *n = &job->last;
    const last_task t = last_task_at(job, task);
    const int64_t whole = job->in_place ? t.tokens / LANES : 0;
    float *w = scratch, *copies = n->all > 0 ? w : w + n->weights, *sums = copies + n->copies;
    for (int64_t slice = 0; slice < n->slices; slice++) {
        const last_piece all = last_piece_at(job, t.begin, slice);
        last_then then = {.inputs = last_next(job, &t, slice, task + job->step)};
        last_inputs x[2] = {0};
        last_inputs_of(job, &t, all.k0, all.count, whole, copies, x);
        for (int64_t tile = t.begin; tile < t.end; tile++) {
            const last_piece p = last_piece_at(job, tile, slice);
            const int64_t block = LAST_QUADS * LAST_QUAD * p.count;
            float *sum = sums;
            if (n->slices > 1) sum += (tile - t.begin) * n->l * n->panels * ROWS * LANES;
            if (n->all > 0)
                w = last_packed(job, t.i, t.l0, slice, tile);
            else
                last_pack(job, &t, &p, w);
            then.weights = last_next_weights(job, &t, tile, slice, task + job->step);
            for (int64_t l = 0; l < n->l; l++)
                for (int64_t panel = 0; panel < t.panels; panel++) {
                    last_panel(job, &t, &p, l, panel, slice == 0, slice + 1 == n->slices,
                               w + l * block, &x[panel >= whole], sum, &then);
                    if (n->slices > 1) sum += ROWS * LANES;
                }
        }
    }
}

static void last_run(void *ctx, int64_t begin, int64_t end, int worker) {
    const last_job *job = ctx;
    for (int64_t task = begin; task < end; task++)
        last_run_task(job, task, job->workers + worker * job->worker);
    _mm_sfence();
}

static void kron_last_run(const wn__kron_mul *p, const wn__kron_plan *plan, wn__exec *x) {
    const wn__kron_last *n = &plan->last;
    last_job job = {.p = p,
                    .last = *n,
                    .size = wn__kron_size_of(&p->w[0]),
                    .weights = (float *)(void *)x->scratch,
                    .worker = plan->worker,
                    .step = wn__pool_step(x->pool),
                    .in_place = p->x.dtype == WN_DTYPE_F32,
                    .direct = p->y.dtype == WN_DTYPE_F32,
                    .stream = kron_streams(p)};
    job.workers = job.weights + plan->weights;
    job.tasks = job.size.a * n->chunks * n->parts_l * n->parts_j;
    if (n->all > 0)
        wn__parallel_for(x->pool, job.size.a * n->parts_l * n->tiles, 1, last_pack_all, &job);
    wn__parallel_for(x->pool, job.tasks, 1, last_run, &job);
}
