// SPDX-License-Identifier: MIT
/* kron_mul of one factor: see simd/kron_plan.h. A task brings some inputs of neighbouring blocks l
 * into panels (what interleaves in memory is taken apart there), multiplies each by its block's
 * packed tiles, adds to the panels of its outputs, and sends those out when all inputs have passed.
 *
 *   weights: block (i, l) after block, in each slice after slice, in each [k][rows] tile after tile
 */

typedef struct one_job {
    const wn__kron_mul *p;
    wn__kron_one one;
    wn__kron_size size;
    float *weights;
    int32_t *place_x, *place_y;
    float *workers;
    int64_t worker;
    bool stream;
} one_job;

/* Part p of n that are cut into parts of nearly one size begins at. */
static int64_t one_begin(int64_t n, int64_t parts, int64_t p) {
    return n / parts * p + kron_least(p, n % parts);
}

static float *one_tile(const one_job *job, int64_t g, int64_t slice, int64_t tile) {
    const wn__kron_one *n = &job->one;
    return job->weights + ((g * n->slices + slice) * n->tiles + tile) * n->tile;
}

/* ---- packing */

/* `count` numbers of each of some rows, from `at` on, as columns of tiles: to[rows], where the
 * column belongs to block l, then l + 1, and before `end` to the next k of block `begin`. A vector
 * that is wider than the tile is overwritten by the next k, or ends behind the tile. */
ALWAYS void one_pack_run(const wn_dtype dtype, const wn_tensor *w, int64_t at, int64_t rows,
                         int64_t count, float *to, int64_t step, int64_t l, int64_t end) {
    int64_t begin = l;
    for (int64_t c = 0; c < count; c += VF) {
        int64_t some = kron_least(VF, count - c);
        vf block[VF];
        num_read_block(dtype, w->data, at + c, w->stride[1], rows, some, block);
        vf_transpose(block);
        UNROLL
        for (int64_t i = 0; i < VF; i++)
            if (i < some) {
                vf_store(to + l * step, block[i]);
                if (++l == end) {
                    l = begin;
                    to += rows;
                }
            }
    }
}

/* k inputs from k0 on of tile (i, j0) of all blocks l; to: of block 0, `step` from one to the next.
 */
ALWAYS void one_pack_as(const wn_dtype dtype, const wn_tensor *w, int64_t i, int64_t j0,
                        int64_t rows, int64_t k0, int64_t count, float *to, int64_t step) {
    int64_t d = w->shape[3];
    const int64_t *s = w->stride;
    int64_t at = i * s[0] + j0 * s[1] + k0 * s[2];
    if ((s[3] == 1 || d == 1) && s[2] == d) {
        one_pack_run(dtype, w, at, rows, count * d, to, step, 0, d);
    } else if (s[2] == 1) {
        for (int64_t l = 0; l < d; l++)
            one_pack_run(dtype, w, at + l * s[3], rows, count, to, step, l, l + 1);
    } else if (s[1] == 1) {
        for (int64_t l = 0; l < d; l++)
            for (int64_t k = 0; k < count; k++)
                vf_store(to + l * step + k * rows,
                         num_get(dtype, w->data, at + l * s[3] + k * s[2], rows));
    } else if (s[3] == 1) {
        for (int64_t k = 0; k < count; k++)
            one_pack_run(dtype, w, at + k * s[2], rows, d, to + k * rows, step, 0, d);
    } else {
        for (int64_t l = 0; l < d; l++)
            for (int64_t k = 0; k < count; k++)
                for (int64_t j = 0; j < rows; j++)
                    to[l * step + k * rows + j] =
                        num_one(dtype, w->data, at + l * s[3] + k * s[2] + j * s[1]);
    }
}

static void one_pack(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const one_job *job = ctx;
    const wn__kron_one *n = &job->one;
    const wn_tensor *w = &job->p->w[0];
    int64_t step = n->slices * n->tiles * n->tile;
    for (int64_t task = begin; task < end; task++) {
        int64_t i = task / n->tiles, tile = task % n->tiles;
        int64_t j0 = one_begin(job->size.b, n->tiles, tile);
        int64_t rows = one_begin(job->size.b, n->tiles, tile + 1) - j0;
        for (int64_t s = 0; s < n->slices; s++) {
            int64_t k0 = one_begin(job->size.c, n->slices, s);
            int64_t count = one_begin(job->size.c, n->slices, s + 1) - k0;
            float *to = one_tile(job, i * job->size.d, s, tile);
#define PACK(dtype) one_pack_as(dtype, w, i, j0, rows, k0, count, to, step)
            NUM_SWITCH(w->dtype, PACK)
#undef PACK
        }
    }
}

/* ---- products */

/* Lines of the inputs that the next task or slice takes, a few of which are fetched with each tile.
 */
typedef struct one_ahead {
    const char *row;         /* of the token whose lines are fetched */
    int64_t row_bytes, step; /* from token to token, from line to line */
    int64_t line, lines;     /* the next, and of a token */
    int64_t rest, each;      /* lines: of all tokens, and of a tile */
} one_ahead;

/* What a task is about: outputs of tiles `begin` to `end` of blocks (i, l0) on. */
typedef struct one_task {
    int64_t i, l0, t0, panels;
    int64_t begin, end, j0, rows;
} one_task;

static one_task one_task_at(const one_job *job, int64_t task) {
    const wn__kron_one *n = &job->one;
    int64_t part = task % n->parts_j, rest = task / n->parts_j;
    one_task t = {.l0 = rest % n->parts_l * n->l};
    rest /= n->parts_l;
    t.t0 = rest % n->chunks * n->panels * LANES;
    t.i = rest / n->chunks;
    t.panels = kron_least(n->panels, (job->p->x.shape[0] - t.t0 + LANES - 1) / LANES);
    t.begin = one_begin(n->tiles, n->parts_j, part);
    t.end = one_begin(n->tiles, n->parts_j, part + 1);
    t.j0 = one_begin(job->size.b, n->tiles, t.begin);
    t.rows = one_begin(job->size.b, n->tiles, t.end) - t.j0;
    return t;
}

/* Inputs or outputs r0 .. r0 + rows of the blocks, between the batch and a panel whose row `place`
 * has input r of block l at [l][r]. Blocks that are all there lie in one stretch. */
#define ONE_COLUMNS(CALL, of, side, r0, rows, place, panel)                                        \
    do {                                                                                           \
        const int64_t first = (t->i * (side) + (r0)) * job->size.d + t->l0;                        \
        const bool whole = job->one.l == job->size.d;                                              \
        for (int64_t r = 0; r < (whole ? 1 : (rows)); r++) {                                       \
            const kron_columns columns = {of, first + r * job->size.d,                             \
                                          whole ? (rows)*job->one.l : job->one.l, place,           \
                                          job->stream};                                            \
            CALL(columns, (panel) + r * LANES);                                                    \
        }                                                                                          \
    } while (0)

static void one_bring(const one_job *job, const one_task *t, int64_t t0, int64_t k0, int64_t count,
                      float *panel) {
#define BRING(columns, at) kron_bring_in(&columns, t0, at)
    ONE_COLUMNS(BRING, &job->p->x, job->size.c, k0, count, job->place_x, panel);
#undef BRING
}

static void one_send(const one_job *job, const one_task *t, int64_t t0, const float *panel) {
#define SEND(columns, at) kron_send_out(&columns, job->p->accumulate, t0, at)
    ONE_COLUMNS(SEND, &job->p->y, job->size.b, t->j0, t->rows, job->place_y, panel);
#undef SEND
}

/* Batch last comes in lines that are as long as the batch, which need no such help. */
static one_ahead one_look(const one_job *job, const one_task *t, int64_t slice) {
    const wn__kron_one *n = &job->one;
    const wn_tensor *x = &job->p->x;
    one_ahead a = {0};
    if (!kron_batch_first(x)) return a;
    int64_t bytes = (int64_t)wn_dtype_size(x->dtype);
    int64_t k0 = one_begin(job->size.c, n->slices, slice);
    int64_t count = one_begin(job->size.c, n->slices, slice + 1) - k0;
    const bool whole = n->l == job->size.d;
    a.row_bytes = x->stride[0] * bytes;
    a.row = (const char *)x->data + t->t0 * a.row_bytes +
            ((t->i * job->size.c + k0) * job->size.d + t->l0) * bytes;
    a.step = whole ? 64 : job->size.d * bytes;
    a.lines = whole ? (count * job->size.d * bytes + 63) / 64 : count;
    a.rest = a.lines * kron_least(t->panels * LANES, x->shape[0] - t->t0);
    int64_t calls = n->l * t->panels * (t->end - t->begin);
    a.each = (a.rest + calls - 1) / calls;
    return a;
}

ALWAYS void one_fetch_line(one_ahead *a) {
    if (a->rest-- <= 0) return;
    _mm_prefetch(a->row + a->line * a->step, _MM_HINT_T1);
    if (++a->line == a->lines) {
        a->line = 0;
        a->row += a->row_bytes;
    }
}

/* The next lines that lie in one row, of `most` at most: where they begin, and how many. */
ALWAYS int64_t one_next_run(one_ahead *a, int64_t most, const char **line) {
    const int64_t count = kron_least(kron_least(most, a->rest), a->lines - a->line);
    *line = a->row + a->line * a->step;
    a->rest -= count;
    a->line += count;
    if (a->line == a->lines) {
        a->line = 0;
        a->row += a->row_bytes;
    }
    return count;
}

static void one_fetch(one_ahead *a) {
    const char *line = NULL;
    for (int64_t rest = kron_least(a->each, a->rest); rest > 0;) {
        const int64_t count = one_next_run(a, rest, &line);
        for (int64_t i = 0; i < count; i++)
            _mm_prefetch(line + i * a->step, _MM_HINT_T1);
        rest -= count;
    }
}

/* Lines of weights that are packed next, of outputs j0 on, inputs k0 on and blocks l0 on, unless
 * they are scattered; piece: i, and how many of each. */
static one_ahead one_look_weights(const wn_tensor *w, const wn__kron_size *piece, int64_t j0,
                                  int64_t k0, int64_t l0, int64_t calls) {
    const int64_t *stride = w->stride, bytes = (int64_t)wn_dtype_size(w->dtype);
    if (stride[3] != 1 && stride[1] != 1) return (one_ahead){0};
    const bool across = stride[3] != 1 || stride[1] < stride[2]; /* outputs lie side by side */
    const int64_t step = (stride[3] != 1 ? stride[3] : across ? stride[1] : stride[2]) * bytes;
    const int64_t side = stride[3] != 1 ? piece->d : across ? piece->b : piece->c;
    const int64_t at = piece->a * stride[0] + j0 * stride[1] + k0 * stride[2] + l0 * stride[3];
    one_ahead a = {.row = (const char *)w->data + at * bytes,
                   .row_bytes = (across ? stride[2] : stride[1]) * bytes,
                   .step = step < 64 ? 64 : step,
                   .lines = step < 64 ? (side * step + 63) / 64 : side};
    a.rest = a.lines * (across ? piece->c : piece->b);
    a.each = (a.rest + calls - 1) / calls;
    return a;
}

/* The same of weights that are packed already: `count` floats from `at` on. */
static one_ahead one_look_lines(const float *at, int64_t count, int64_t calls) {
    const int64_t lines = (count + 15) / 16;
    one_ahead a = {(const char *)at, 0, 64, 0, lines, lines, (lines + calls - 1) / calls};
    return a;
}

/* One slice of inputs of one block in one panel: all tiles of the task. */
static void one_multiply(const one_job *job, const one_task *t, int64_t g, int64_t slice,
                         int64_t count, const float *x, float *y, one_ahead *ahead) {
    const wn__kron_one *n = &job->one;
    static const int32_t in_order[ROWS] = IN_ORDER;
    const kron_panels alone = {.count = 1, .add = slice > 0};
    for (int64_t tile = t->begin, j = t->j0; tile < t->end; tile++) {
        int64_t rows = one_begin(job->size.b, n->tiles, tile + 1) - j;
        one_fetch(ahead);
        kron_tiles(rows, count, one_tile(job, g, slice, tile), x, in_order, y + (j - t->j0) * LANES,
                   &alone);
        j += rows;
    }
}

/* What follows slice s of task t: its next one, or the first of the next task if that is ours. */
static one_ahead one_next(const one_job *job, const one_task *t, int64_t s, int64_t next,
                          int64_t end) {
    if (s + 1 < job->one.slices) return one_look(job, t, s + 1);
    if (next >= end) return (one_ahead){0};
    const one_task then = one_task_at(job, next);
    return one_look(job, &then, 0);
}

static void one_run(void *ctx, int64_t begin, int64_t end, int worker) {
    const one_job *job = ctx;
    const wn__kron_one *n = &job->one;
    float *x = job->workers + worker * job->worker, *y = x + n->panels * n->l * n->in * LANES;
    for (int64_t task = begin; task < end; task++) {
        const one_task t = one_task_at(job, task);
        for (int64_t s = 0; s < n->slices; s++) {
            int64_t k0 = one_begin(job->size.c, n->slices, s);
            int64_t count = one_begin(job->size.c, n->slices, s + 1) - k0;
            for (int64_t panel = 0; panel < t.panels; panel++)
                one_bring(job, &t, t.t0 + panel * LANES, k0, count,
                          x + panel * n->l * n->in * LANES);
            one_ahead ahead = one_next(job, &t, s, task + 1, end);
            for (int64_t l = 0; l < n->l; l++)
                for (int64_t panel = 0; panel < t.panels; panel++)
                    one_multiply(job, &t, t.i * job->size.d + t.l0 + l, s, count,
                                 x + (panel * n->l + l) * n->in * LANES,
                                 y + (panel * n->l + l) * n->out * LANES, &ahead);
        }
        for (int64_t panel = 0; panel < t.panels; panel++)
            one_send(job, &t, t.t0 + panel * LANES, y + panel * n->l * n->out * LANES);
    }
    _mm_sfence();
}

static void kron_one_run(const wn__kron_mul *p, const wn__kron_plan *plan, wn__exec *x) {
    one_job job = {.p = p,
                   .one = plan->one,
                   .size = wn__kron_size_of(&p->w[0]),
                   .weights = (float *)(void *)x->scratch,
                   .worker = plan->worker,
                   .stream = kron_streams(p)};
    const wn__kron_one *n = &plan->one;
    job.place_x = (int32_t *)(void *)(job.weights + plan->weights);
    job.place_y = job.place_x + n->place_x;
    job.workers = job.weights + plan->weights + plan->places;
    for (int64_t c = 0; c < n->l * n->k; c++)
        job.place_x[c] = (int32_t)(c % n->l * n->in + c / n->l);
    for (int64_t r = 0; r < n->l * n->rows; r++)
        job.place_y[r] = (int32_t)(r % n->l * n->out + r / n->l);
    wn__parallel_for(x->pool, job.size.a * n->tiles, 1, one_pack, &job);
    int64_t tasks = job.size.a * n->chunks * n->parts_l * n->parts_j;
    wn__parallel_for(x->pool, tasks, tasks >= 2 * WN_KRON_ENOUGH ? 2 : 1, one_run, &job);
}
