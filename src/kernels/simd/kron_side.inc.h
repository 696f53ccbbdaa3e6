// SPDX-License-Identifier: MIT
/* kron_mul of one factor whose blocks lie side by side, batch first: see simd/kron_plan.h. Lanes
 * are outputs (j, l) as they lie in y; what multiplies them are D inputs (k, l), as they lie in x,
 * repeated. A task takes some tokens, k inputs of each block at a time, packs the weights of a few
 * vectors of outputs, which stay close, and goes through its tokens with them. Where there are many
 * tokens all weights are packed before. Weights that lie as the tile reads them (d = VF) are not
 * packed, and inputs that do (side_in_place) not copied.
 *
 *   inputs   [token][k][D], `row` floats from token to token
 *   weights  of a strip [k][vector][VF]
 *   sums     strip after strip [token][vector][VF], where there is more than one slice of inputs
 */
#define SIDE_TOKENS WN_KRON_SIDE_TOKENS(VF)
/* Inputs of a block, at most, that are read where they lie though d = VF. */
enum { SIDE_WHOLE = 64 };

typedef struct side_job {
    const wn__kron_mul *p;
    wn__kron_side side;
    wn__kron_size size;
    float *weights; /* of all, where they are packed before */
    float *workers;
    int64_t tasks, step;     /* from a task of a thread to its next one */
    int64_t worker, vectors; /* vectors of outputs of the blocks that are taken together */
    bool stream, in_place;
} side_job;

/* Outputs of blocks (i, l0 ...) for some tokens: strips `begin` to `end`. */
typedef struct side_task {
    int64_t i, l0, t0, tokens, begin, end;
} side_task;

/* Vectors `v0` on of a strip, the numbers in them and how far a vector of outputs lies from the
 * next. */
typedef struct side_strip {
    int64_t v0, vectors, j0, rows, apart;
} side_strip;

static side_task side_task_at(const side_job *job, int64_t task) {
    const wn__kron_side *n = &job->side;
    const int64_t part = task % n->parts_j, batch = job->p->x.shape[0];
    task /= n->parts_j;
    side_task t = {.l0 = task % n->parts_l * n->d};
    task /= n->parts_l;
    const int64_t of = n->inner ? job->size.a : n->chunks;
    t.i = n->inner ? task % of : task / of;
    task = n->inner ? task / of : task % of;
    t.t0 = one_begin(batch, n->chunks, task);
    t.tokens = one_begin(batch, n->chunks, task + 1) - t.t0;
    t.begin = one_begin(n->strips, n->parts_j, part);
    t.end = one_begin(n->strips, n->parts_j, part + 1);
    return t;
}

static side_strip side_strip_at(const side_job *job, int64_t strip) {
    const wn__kron_side *n = &job->side;
    const int64_t each = VF / n->d; /* outputs of a vector */
    side_strip s = {.v0 = one_begin(job->vectors, n->strips, strip)};
    s.vectors = one_begin(job->vectors, n->strips, strip + 1) - s.v0;
    s.j0 = s.v0 * each;
    s.rows = kron_least(s.vectors * each, job->size.b - s.j0);
    s.apart = each * job->size.d;
    return s;
}

/* ---- pieces of D numbers */

ALWAYS vf side_get(const wn_dtype dtype, const int D, const void *p, int64_t at) {
#if VF == 16
    if (dtype == WN_DTYPE_F32 && D == 4)
        return _mm512_castps128_ps512(_mm_loadu_ps((const float *)p + at));
#else
    if (dtype == WN_DTYPE_F32 && D == 4)
        return _mm256_castps128_ps256(_mm_loadu_ps((const float *)p + at));
#endif
    return num_get(dtype, p, at, D);
}

ALWAYS void side_set(const int D, float *to, vf v) {
#if VF == 16
    if (D == 4) {
        _mm_storeu_ps(to, _mm512_castps512_ps128(v));
        return;
    }
#else
    if (D == 4) {
        _mm_storeu_ps(to, _mm256_castps256_ps128(v));
        return;
    }
#endif
    vf_store(to, v);
}

/* D numbers, repeated. */
ALWAYS vf side_repeat(const int D, const float *p) {
#if VF == 16
    if (D == 4) return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
#else
    if (D == 4) return _mm256_broadcast_ps((const __m128 *)(const void *)p);
#endif
    return vf_load(p);
}

/* ---- bringing inputs and packing weights */

ALWAYS void side_bring_as(const wn_dtype dtype, const int D, const side_job *job,
                          const side_task *t, int64_t k0, int64_t count, float *to) {
    const wn_tensor *x = &job->p->x;
    const int64_t d = job->size.d, first = (t->i * job->size.c + k0) * d + t->l0;
    for (int64_t token = 0; token < t->tokens; token++, to += job->side.row) {
        const int64_t at = (t->t0 + token) * x->stride[0] + first;
        if (D == VF) {
            for (int64_t k = 0; k < count; k++)
                vf_store(to + k * VF, num_get(dtype, x->data, at + k * d, VF));
            continue;
        }
        const int64_t n = count * D;
        int64_t i = 0;
        for (; i + VF <= n; i += VF)
            vf_store(to + i, num_get(dtype, x->data, at + i, VF));
        if (i < n) vf_store(to + i, num_get(dtype, x->data, at + i, n - i));
    }
}

/* Whether inputs are read where they lie: floats whose blocks are all taken together. They were
 * fetched into L2, which is all that a copy gives where D < VF. Vectors that are read whole come in
 * as many lines as there are products of a weight, and from rows that lie far apart, more than a
 * few of which push each other out, they would not come again. */
static bool side_in_place(const side_job *job) {
    if (VF != 16 || job->p->x.dtype != WN_DTYPE_F32 || job->side.d != job->size.d) return false;
    return job->side.d < VF || job->size.c <= SIDE_WHOLE;
}

/* Inputs of a slice: where they are, and floats from token to token. */
typedef struct side_inputs {
    const float *at;
    int64_t row;
} side_inputs;

ALWAYS side_inputs side_inputs_of(const int D, const bool in_place, const side_job *job,
                                  const side_task *t, int64_t k0, int64_t count, float *to) {
    const wn_tensor *x = &job->p->x;
    if (in_place)
        return (side_inputs){(const float *)x->data + t->t0 * x->stride[0] +
                                 (t->i * job->size.c + k0) * job->size.d + t->l0,
                             x->stride[0]};
#define BRING(dtype) side_bring_as(dtype, D, job, t, k0, count, to)
    NUM_SWITCH(x->dtype, BRING)
#undef BRING
    return (side_inputs){to, job->side.row};
}

/* 4 numbers of each of 4 blocks l, of outputs or inputs that lie side by side, to where those 4
 * belong, `step` apart. */
ALWAYS void side_turn(const wn_dtype dtype, const void *data, int64_t at, int64_t l_step, float *to,
                      int64_t step) {
    __m128 r[4];
    UNROLL
    for (int64_t l = 0; l < 4; l++) {
        const vf v = side_get(dtype, 4, data, at + l * l_step);
#if VF == 16
        r[l] = _mm512_castps512_ps128(v);
#else
        r[l] = _mm256_castps256_ps128(v);
#endif
    }
    _MM_TRANSPOSE4_PS(r[0], r[1], r[2], r[3]);
    UNROLL
    for (int64_t i = 0; i < 4; i++)
        _mm_storeu_ps(to + i * step, r[i]);
}

/* Pieces of a vector. */
#define SIDE_EACH(D) (VF / (D))

/* As many inputs that lie side by side of as many outputs, `row` apart, as a vector has pieces, to
 * vectors of an input each, `step` apart. */
ALWAYS void side_square(const wn_dtype dtype, const int D, const void *data, int64_t at,
                        int64_t row, float *to, int64_t step) {
    vf r[VF / 4];
    UNROLL
    for (int64_t i = 0; i < VF / 4; i++)
        if (i < SIDE_EACH(D)) r[i] = num_get(dtype, data, at + i * row, VF);
    if (D < VF) {
#if VF == 16
        const vf low = _mm512_shuffle_f32x4(r[0], r[1], 0x44),
                 high = _mm512_shuffle_f32x4(r[0], r[1], 0xEE);
        const vf low2 = _mm512_shuffle_f32x4(r[2], r[3], 0x44),
                 high2 = _mm512_shuffle_f32x4(r[2], r[3], 0xEE);
        r[0] = _mm512_shuffle_f32x4(low, low2, 0x88);
        r[1] = _mm512_shuffle_f32x4(low, low2, 0xDD);
        r[2] = _mm512_shuffle_f32x4(high, high2, 0x88);
        r[3] = _mm512_shuffle_f32x4(high, high2, 0xDD);
#else
        const vf low = _mm256_permute2f128_ps(r[0], r[1], 0x20);
        r[1] = _mm256_permute2f128_ps(r[0], r[1], 0x31);
        r[0] = low;
#endif
    }
    UNROLL
    for (int64_t i = 0; i < VF / 4; i++)
        if (i < SIDE_EACH(D)) vf_store(to + i * step, r[i]);
}

/* The lines of the square that is as many outputs further, from L2. */
ALWAYS void side_square_ahead(const int D, const wn_tensor *w, int64_t at) {
    const int64_t size = (int64_t)wn_dtype_size(w->dtype);
    const char *line = (const char *)w->data + at * size;
    UNROLL
    for (int64_t i = 0; i < VF / 4; i++)
        if (i < SIDE_EACH(D)) _mm_prefetch(line + i * w->stride[1] * size, _MM_HINT_T0);
}

/* Weights of outputs j and inputs k: to + j D + k step. */
ALWAYS void side_pack_as(const wn_dtype dtype, const int D, const side_job *job, const side_task *t,
                         const side_strip *s, int64_t k0, int64_t count, float *to) {
    const wn_tensor *w = &job->p->w[0];
    const int64_t *stride = w->stride, step = s->vectors * VF;
    const int64_t at = t->i * stride[0] + s->j0 * stride[1] + k0 * stride[2] + t->l0 * stride[3];
    if (s->rows * D < step)
        for (int64_t k = 0; k < count; k++)
            for (int64_t i = s->rows * D; i < step; i++)
                to[k * step + i] = 0;
    if (stride[3] == 1) {
        const int64_t rows = s->rows / SIDE_EACH(D) * SIDE_EACH(D);
        const int64_t inputs = stride[2] == D ? count / SIDE_EACH(D) * SIDE_EACH(D) : 0;
        for (int64_t j = 0; j < rows; j += SIDE_EACH(D))
            for (int64_t k = 0; k < inputs; k += SIDE_EACH(D)) {
                side_square(dtype, D, w->data, at + j * stride[1] + k * D, stride[1],
                            to + k * step + j * D, step);
                side_square_ahead(D, w, at + (j + SIDE_EACH(D)) * stride[1] + k * D);
            }
        for (int64_t j = 0; j < s->rows; j++)
            for (int64_t k = j < rows ? inputs : 0; k < count; k++)
                side_set(D, to + k * step + j * D,
                         side_get(dtype, D, w->data, at + j * stride[1] + k * stride[2]));
        return;
    }
    const bool by_row = stride[1] == 1, by_input = !by_row && stride[2] == 1;
    const int64_t rows = by_row ? s->rows / 4 * 4 : by_input ? s->rows : 0;
    const int64_t inputs = by_input ? count / 4 * 4 : by_row ? count : 0;
    for (int64_t k = 0; k < inputs; k += by_input ? 4 : 1)
        for (int64_t j = 0; j < rows; j += by_row ? 4 : 1)
            for (int64_t l = 0; l < D; l += 4)
                side_turn(dtype, w->data, at + j * stride[1] + k * stride[2] + l * stride[3],
                          stride[3], to + k * step + j * D + l, by_row ? D : step);
    for (int64_t k = 0; k < count; k++)
        for (int64_t j = k < inputs ? rows : 0; j < s->rows; j++)
            for (int64_t l = 0; l < D; l++)
                to[k * step + j * D + l] =
                    num_one(dtype, w->data, at + j * stride[1] + k * stride[2] + l * stride[3]);
}

static void side_pack(const side_job *job, const side_task *t, const side_strip *s, int64_t k0,
                      int64_t count, float *to) {
    const wn_tensor *w = &job->p->w[0];
#define PACK4(dtype) side_pack_as(dtype, 4, job, t, s, k0, count, to)
#define PACK(dtype)  side_pack_as(dtype, VF, job, t, s, k0, count, to)
    if (job->side.d == 4)
        NUM_SWITCH(w->dtype, PACK4)
    else
        NUM_SWITCH(w->dtype, PACK)
#undef PACK4
#undef PACK
}

/* Packed before, of a slice of a strip: they follow each other without gaps, in the order in which
 * a task takes them. */
static float *side_packed(const side_job *job, const side_task *t, const side_strip *s, int64_t k0,
                          int64_t count) {
    const wn__kron_side *n = &job->side;
    const int64_t blocks = t->i * n->parts_l + t->l0 / n->d;
    return job->weights + ((blocks * job->size.c + k0) * job->vectors + s->v0 * count) * VF;
}

static void side_pack_all(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const side_job *job = ctx;
    const wn__kron_side *n = &job->side;
    for (int64_t at = begin; at < end; at++) {
        const int64_t blocks = at / n->strips;
        const side_task t = {.i = blocks / n->parts_l, .l0 = blocks % n->parts_l * n->d};
        const side_strip s = side_strip_at(job, at % n->strips);
        for (int64_t slice = 0; slice < n->slices; slice++) {
            const int64_t k0 = one_begin(job->size.c, n->slices, slice);
            const int64_t count = one_begin(job->size.c, n->slices, slice + 1) - k0;
            side_pack(job, &t, &s, k0, count, side_packed(job, &t, &s, k0, count));
        }
    }
}

/* ---- the register tile */

/* Where a tile's sums are: token after token `row` floats apart, vectors `apart`. */
typedef struct side_sums {
    float *at;
    int64_t row, apart;
    bool stream; /* past the caches */
} side_sums;

/* Vectors of weights: of outputs `apart` floats apart, of inputs `next`. */
typedef struct side_weights {
    const float *at;
    int64_t apart, next;
} side_weights;

/* A tile: `count` inputs of each block, those of tokens `row` floats apart. */
typedef struct side_call {
    const float *x;
    int64_t row, count;
    side_weights w;
    side_sums from, to; /* from.at NULL: 0 */
    one_ahead *ahead;   /* two: inputs and weights that come next */
} side_call;

/* Where some products begin. */
typedef struct side_at {
    const float *x, *w;
} side_at;

/* Products with `count` inputs, a line beside each fetched into L2, `step` bytes apart from `line`
 * on, unless that is NULL. Returns where the next ones begin. */
ALWAYS side_at side_products(const int D, const int R, const int V, const side_call *c,
                             int64_t count, const char *line, int64_t step, side_at at,
                             vf sum[SIDE_TOKENS][WN_KRON_SIDE_VECTORS]) {
    const int64_t apart = c->w.apart, next = c->w.next, row = c->row;
    for (int64_t k = 0; k < count; k++, at.x += D, at.w += next) {
        if (line != NULL) {
            _mm_prefetch(line, _MM_HINT_T1);
            line += step;
        }
#if VF == 16
        vf weight[WN_KRON_SIDE_VECTORS];
        UNROLL
        for (int v = 0; v < V; v++)
            weight[v] = vf_load(at.w + v * apart);
        UNROLL
        for (int r = 0; r < R; r++) {
            const vf input = side_repeat(D, at.x + r * row);
            UNROLL
            for (int v = 0; v < V; v++)
                sum[r][v] = vf_fma(weight[v], input, sum[r][v]);
        }
#else
        vf input[SIDE_TOKENS];
        UNROLL
        for (int r = 0; r < R; r++)
            input[r] = side_repeat(D, at.x + r * row);
        UNROLL
        for (int v = 0; v < V; v++) {
            const vf weight = vf_load(at.w + v * apart);
            UNROLL
            for (int r = 0; r < R; r++)
                sum[r][v] = vf_fma(weight, input[r], sum[r][v]);
        }
#endif
    }
    return at;
}

/* Products with as many inputs as there are lines to fetch beside them, `most` at most. Asking for
 * each line whether it is the last of its row costs more than loops that end with the row. */
ALWAYS side_at side_beside(const int D, const int R, const int V, const side_call *c, int64_t most,
                           one_ahead *a, side_at at, vf sum[SIDE_TOKENS][WN_KRON_SIDE_VECTORS]) {
    const char *line = NULL;
    for (int64_t rest = kron_least(kron_least(a->each, a->rest), most); rest > 0;) {
        const int64_t count = one_next_run(a, rest, &line);
        at = side_products(D, R, V, c, count, line, a->step, at, sum);
        rest -= count;
    }
    return at;
}

/* R tokens, V vectors of outputs: to = from + products. With vectors of 64 bytes there is time to
 * fetch a line of what comes next beside them. */
ALWAYS void side_tile(const int D, const int R, const int V, const side_call *c) {
    const side_sums from = c->from, to = c->to;
    vf sum[SIDE_TOKENS][WN_KRON_SIDE_VECTORS];
    if (from.at != NULL) {
        UNROLL
        for (int r = 0; r < R; r++)
            UNROLL
        for (int v = 0; v < V; v++)
            sum[r][v] = vf_load(from.at + r * from.row + v * from.apart);
    } else {
        UNROLL
        for (int r = 0; r < R; r++)
            UNROLL
        for (int v = 0; v < V; v++)
            sum[r][v] = vf_zero();
    }
#if VF == 16
    const side_at begin = {c->x, c->w.at};
    side_at at = side_beside(D, R, V, c, c->count, c->ahead, begin, sum);
    at = side_beside(D, R, V, c, c->count - (at.x - begin.x) / D, c->ahead + 1, at, sum);
    side_products(D, R, V, c, c->count - (at.x - begin.x) / D, NULL, 0, at, sum);
#else
    one_fetch(&c->ahead[0]);
    one_fetch(&c->ahead[1]);
    side_products(D, R, V, c, c->count, NULL, 0, (side_at){c->x, c->w.at}, sum);
#endif
#if VF == 16
    if (to.stream) {
        UNROLL
        for (int r = 0; r < R; r++)
            UNROLL
        for (int v = 0; v < V; v++)
            _mm512_stream_ps(to.at + r * to.row + v * to.apart, sum[r][v]);
        return;
    }
#endif
    UNROLL
    for (int r = 0; r < R; r++)
        UNROLL
    for (int v = 0; v < V; v++)
        vf_store(to.at + r * to.row + v * to.apart, sum[r][v]);
}

/* With vectors of 64 bytes a function for each tile: inlined, all of them would share the registers
 * of a whole task. Tiles of few cycles are inlined. */
#if VF == 16
#define SIDE_TILE(R, V)                                                                            \
    __attribute__((noinline)) static void side_tile_4_##R##_##V(const side_call *c) {              \
        side_tile(4, R, V, c);                                                                     \
    }                                                                                              \
    __attribute__((noinline)) static void side_tile_whole_##R##_##V(const side_call *c) {          \
        side_tile(VF, R, V, c);                                                                    \
    }
#define SIDE_CALL(R, V) (D == 4 ? side_tile_4_##R##_##V : side_tile_whole_##R##_##V)(c)
SIDE_TILE(4, 2)
SIDE_TILE(4, 3)
SIDE_TILE(4, 4)
SIDE_TILE(5, 2)
SIDE_TILE(5, 3)
SIDE_TILE(5, 4)
SIDE_TILE(6, 2)
SIDE_TILE(6, 3)
SIDE_TILE(6, 4)
#undef SIDE_TILE
#else
#define SIDE_CALL(R, V) side_tile(D, R, V, c)
#endif

#define SIDE_CASE(R, V)                                                                            \
    case 8 * (R) + (V):                                                                            \
        SIDE_CALL(R, V);                                                                           \
        break;

ALWAYS void side_tile_of(const int D, int64_t tokens, int64_t vectors, const side_call *c) {
    switch (8 * tokens + vectors) {
#if VF == 16
        SIDE_CASE(4, 2)
        SIDE_CASE(4, 3)
        SIDE_CASE(4, 4)
        SIDE_CASE(5, 2)
        SIDE_CASE(5, 3)
        SIDE_CASE(5, 4)
        SIDE_CASE(6, 2)
        SIDE_CASE(6, 3)
    default:
        SIDE_CALL(6, 4);
#else
        SIDE_CASE(2, 3)
        SIDE_CASE(2, 4)
        SIDE_CASE(3, 3)
    default:
        SIDE_CALL(3, 4);
#endif
    }
}
#undef SIDE_CASE
#undef SIDE_CALL

/* ---- a strip */

/* Numbers of y there are of a vector of a strip. */
static int64_t side_lanes(const side_job *job, const side_strip *s, int64_t v) {
    return kron_least(VF, s->rows * job->side.d - v * VF);
}

/* Some tokens of a tile into y, or added to it. */
ALWAYS void side_send_as(const wn_dtype dtype, const side_job *job, const side_strip *s,
                         int64_t tokens, int64_t at, const float *tile) {
    const wn_tensor *y = &job->p->y;
    for (int64_t r = 0; r < tokens; r++, at += y->stride[0])
        for (int64_t v = 0; v < s->vectors; v++) {
            const int64_t to = at + v * s->apart, lanes = side_lanes(job, s, v);
            vf sum = vf_load(tile + (r * WN_KRON_SIDE_VECTORS + v) * VF);
            if (job->p->accumulate) sum = vf_add(num_get(dtype, y->data, to, lanes), sum);
            num_put(dtype, y->data, to, sum, lanes);
        }
}

static void side_send(const side_job *job, const side_strip *s, int64_t tokens, int64_t at,
                      const float *tile) {
#define SEND(dtype) side_send_as(dtype, job, s, tokens, at, tile)
    NUM_SWITCH(job->p->y.dtype, SEND)
#undef SEND
}

/* Weights of a slice of a strip, a few lines with each tile. */
static one_ahead side_look_weights(const side_job *job, const side_task *t, const side_strip *s,
                                   int64_t slice, int64_t calls) {
    const wn__kron_side *n = &job->side;
    const int64_t k0 = one_begin(job->size.c, n->slices, slice);
    const int64_t count = one_begin(job->size.c, n->slices, slice + 1) - k0;
    if (n->all > 0)
        return one_look_lines(side_packed(job, t, s, k0, count), count * s->vectors * VF, calls);
    const wn__kron_size piece = {t->i, s->rows, count, n->d};
    return one_look_weights(&job->p->w[0], &piece, s->j0, k0, t->l0, calls);
}

static one_ahead side_next_weights(const side_job *job, const side_task *t, int64_t slice,
                                   int64_t strip, int64_t next) {
    const int64_t calls = (t->tokens + SIDE_TOKENS - 1) / SIDE_TOKENS;
    side_task of = *t;
    if (++strip == t->end) {
        if (++slice == job->side.slices) {
            if (next >= job->tasks || job->side.all == 0) return (one_ahead){0};
            of = side_task_at(job, next);
            slice = 0;
        }
        strip = of.begin;
    }
    const side_strip then = side_strip_at(job, strip);
    return side_look_weights(job, &of, &then, slice, calls);
}

/* A slice of a strip: all tokens of the task. sums: of its strip. */
ALWAYS void side_multiply(const int D, const side_job *job, const side_task *t, const side_strip *s,
                          int64_t slice, int64_t count, const side_inputs *x, const side_weights *w,
                          float *tile, float *sums, one_ahead ahead[2]) {
    const wn__kron_side *n = &job->side;
    const wn_tensor *y = &job->p->y;
    const bool first = slice == 0, last = slice + 1 == n->slices;
    const bool direct =
        y->dtype == WN_DTYPE_F32 && !job->p->accumulate && s->rows * D == s->vectors * VF;
    const int64_t tiles = (t->tokens + SIDE_TOKENS - 1) / SIDE_TOKENS;
    enum { TILE = WN_KRON_SIDE_VECTORS * VF };
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t begin = one_begin(t->tokens, tiles, i);
        const int64_t tokens = one_begin(t->tokens, tiles, i + 1) - begin;
        const int64_t at =
            (t->t0 + begin) * y->stride[0] + (t->i * job->size.b + s->j0) * job->size.d + t->l0;
        const side_sums kept = {sums + begin * TILE, TILE, VF, false},
                        small = {tile, TILE, VF, false};
        const side_sums of_y =
            direct ? (side_sums){(float *)y->data + at, y->stride[0], s->apart, false} : small;
        side_call call = {.x = x->at + begin * x->row,
                          .row = x->row,
                          .count = count,
                          .w = *w,
                          .from = first ? (side_sums){0} : kept,
                          .to = last ? of_y : kept,
                          .ahead = ahead};
        call.to.stream =
            last && direct && job->stream &&
            (((uintptr_t)call.to.at | (uintptr_t)(call.to.row | call.to.apart) * sizeof(float)) %
             64) == 0;
        side_tile_of(D, tokens, s->vectors, &call);
        if (!direct && last) side_send(job, s, tokens, at, tile);
    }
}

/* Lines of the inputs that the next slice or task takes. */
static one_ahead side_look(const side_job *job, const side_task *t, int64_t slice) {
    const wn__kron_side *n = &job->side;
    const wn_tensor *x = &job->p->x;
    const int64_t bytes = (int64_t)wn_dtype_size(x->dtype), d = job->size.d;
    const int64_t k0 = one_begin(job->size.c, n->slices, slice);
    const int64_t count = one_begin(job->size.c, n->slices, slice + 1) - k0;
    const bool whole = n->d == d;
    one_ahead a = {.row_bytes = x->stride[0] * bytes};
    a.row = (const char *)x->data + t->t0 * a.row_bytes +
            ((t->i * job->size.c + k0) * d + t->l0) * bytes;
    a.step = whole ? 64 : d * bytes;
    a.lines = whole ? (count * d * bytes + 63) / 64 : count;
    const int64_t tiles = (t->end - t->begin) * ((t->tokens + SIDE_TOKENS - 1) / SIDE_TOKENS);
    a.rest = a.lines * t->tokens;
    a.each = (a.rest + tiles - 1) / tiles;
    return a;
}

static one_ahead side_next(const side_job *job, const side_task *t, int64_t slice, int64_t next,
                           int64_t end) {
    if (slice + 1 < job->side.slices) return side_look(job, t, slice + 1);
    if (next >= end) return (one_ahead){0};
    const side_task then = side_task_at(job, next);
    return side_look(job, &then, 0);
}

/* The weights of a slice of a strip, packed into `to` unless they lie as they are read. */
ALWAYS side_weights side_weights_of(const int D, const side_job *job, const side_task *t,
                                    const side_strip *s, int64_t k0, int64_t count, float *to) {
    const wn_tensor *w = &job->p->w[0];
    const int64_t *stride = w->stride, next = s->vectors * VF;
    if (job->side.all > 0) return (side_weights){side_packed(job, t, s, k0, count), VF, next};
    if (w->dtype == WN_DTYPE_F32 && D == VF && stride[3] == 1 && stride[2] == VF)
        return (side_weights){(const float *)w->data + t->i * stride[0] + s->j0 * stride[1] +
                                  k0 * VF + t->l0,
                              stride[1], VF};
    side_pack(job, t, s, k0, count, to);
    return (side_weights){to, VF, next};
}

ALWAYS void side_task_as(const int D, const bool in_place, const side_job *job, int64_t task,
                         float *scratch) {
    const wn__kron_side *n = &job->side;
    const side_task t = side_task_at(job, task);
    float *x = scratch, *w = x + n->tokens * n->row;
    float *tile = n->all > 0 ? w : w + n->k * WN_KRON_SIDE_VECTORS * VF;
    float *sums = tile + SIDE_TOKENS * WN_KRON_SIDE_VECTORS * VF;
    for (int64_t slice = 0; slice < n->slices; slice++) {
        const int64_t k0 = one_begin(job->size.c, n->slices, slice);
        const int64_t count = one_begin(job->size.c, n->slices, slice + 1) - k0;
        const side_inputs inputs = side_inputs_of(D, in_place, job, &t, k0, count, x);
        one_ahead ahead[2] = {side_next(job, &t, slice, task + job->step, job->tasks)};
        for (int64_t strip = t.begin; strip < t.end; strip++) {
            const side_strip s = side_strip_at(job, strip);
            const side_weights weights = side_weights_of(D, job, &t, &s, k0, count, w);
            ahead[1] = side_next_weights(job, &t, slice, strip, task + job->step);
            side_multiply(D, job, &t, &s, slice, count, &inputs, &weights, tile,
                          sums + (strip - t.begin) * n->tokens * WN_KRON_SIDE_VECTORS * VF, ahead);
        }
    }
}

static void side_run(void *ctx, int64_t begin, int64_t end, int worker) {
    const side_job *job = ctx;
    float *scratch = job->workers + worker * job->worker;
    for (int64_t task = begin; task < end; task++)
        if (job->side.d == 4 && job->in_place)
            side_task_as(4, true, job, task, scratch);
        else if (job->side.d == 4)
            side_task_as(4, false, job, task, scratch);
        else if (job->in_place)
            side_task_as(VF, true, job, task, scratch);
        else
            side_task_as(VF, false, job, task, scratch);
    _mm_sfence();
}

static void kron_side_run(const wn__kron_mul *p, const wn__kron_plan *plan, wn__exec *x) {
    const wn__kron_side *n = &plan->side;
    side_job job = {.p = p,
                    .side = *n,
                    .size = wn__kron_size_of(&p->w[0]),
                    .weights = (float *)(void *)x->scratch,
                    .worker = plan->worker,
                    .step = wn__pool_step(x->pool),
                    .stream = kron_streams(p)};
    job.workers = job.weights + n->all;
    job.in_place = side_in_place(&job);
    job.vectors = (job.size.b * n->d + VF - 1) / VF;
    job.tasks = job.size.a * n->chunks * n->parts_l * n->parts_j;
    if (n->all > 0)
        wn__parallel_for(x->pool, job.size.a * n->parts_l * n->strips, 1, side_pack_all, &job);
    wn__parallel_for(x->pool, job.tasks, 1, side_run, &job);
}
