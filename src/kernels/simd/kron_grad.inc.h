// SPDX-License-Identifier: MIT
/* kron_grad: a task owns some outputs j and inputs k of neighbouring blocks, brings what the batch
 * holds of them into panels for a few tokens at a time and adds the outer products to sums that
 * stay in the cache. The batch is never shared out.
 *
 * Where a vector holds whole runs of d blocks (d = 1, 2, 4, ...) they share it: its lanes are (k,
 * l) as they lie in memory, and what multiplies it are the d numbers (j, l), repeated. Else VF
 * blocks l are taken apart into panels of their own by transposing.
 *
 *   a panel: lanes v VF .. of all tokens, then the next, `step` floats on
 *   sums:    block, in it rows j R at a time, in these lanes, in each [R][VF]
 */
#include "kernels/simd/kron_plan.h"
#include "kernels/simd/number.h"

#include <string.h>

typedef struct kron_task {
    const wn__kron_grad *p;
    wn__kron_cut cut;
    wn__kron_size size;
    float *workers;
    bool stream; /* dw goes past the caches */
} kron_task;

static int64_t kron_few(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Some tokens of some lanes: features `first`, first + apart, ... of the batch, `count` of them. */
typedef struct kron_lines {
    const wn_tensor *of;
    int64_t t0, tokens, first, count, apart;
} kron_lines;

/* Lanes that lie side by side, batch first. */
ALWAYS void kron_copy(const wn_dtype dtype, const kron_lines *from, int64_t vectors, int64_t step,
                      float *to) {
    enum { TOGETHER = 16 };
    int64_t row = from->of->stride[0];
    for (int64_t v0 = 0; v0 < vectors; v0 += TOGETHER)
        for (int64_t t = 0; t < from->tokens; t++) {
            int64_t at = (from->t0 + t) * row + from->first;
            for (int64_t v = v0; v < kron_few(vectors, v0 + TOGETHER); v++) {
                int64_t left = from->count - v * VF;
                int64_t some = left < 0 ? 0 : kron_few(VF, left);
                vf_store(to + v * step + t * VF,
                         num_get(dtype, from->of->data, at + (some > 0 ? v * VF : 0), some));
            }
        }
}

/* Lanes that lie apart, batch last: VF of them for VF tokens. */
ALWAYS void kron_turn(const wn_dtype dtype, const kron_lines *from, int64_t vectors, int64_t step,
                      float *to) {
    int64_t column = from->of->stride[1], row = from->of->stride[0];
    for (int64_t v = 0; v < vectors; v++) {
        int64_t left = from->count - v * VF, lanes = left < 0 ? 0 : kron_few(VF, left);
        int64_t at = (from->first + (lanes > 0 ? v * VF * from->apart : 0)) * column;
        for (int64_t t = 0; t < from->tokens; t += VF) {
            int64_t some = kron_few(VF, from->tokens - t);
            vf block[VF];
            if (row == 1)
                num_read_block(dtype, from->of->data, at + from->t0 + t, from->apart * column,
                               lanes, some, block);
            else
                for (int64_t i = 0; i < VF; i++) {
                    float one[VF] = {0};
                    for (int64_t s = 0; s < some && i < lanes; s++)
                        one[s] = num_one(dtype, from->of->data,
                                         at + (from->t0 + t + s) * row + i * from->apart * column);
                    block[i] = vf_load(one);
                }
            vf_transpose(block);
            UNROLL
            for (int64_t i = 0; i < VF; i++)
                if (i < some) vf_store(to + v * step + (t + i) * VF, block[i]);
        }
    }
}

/* Lanes of `blocks` blocks that interleave, batch first: panels `next` floats apart. */
ALWAYS void kron_part(const wn_dtype dtype, const kron_lines *from, int64_t blocks, int64_t next,
                      int64_t vectors, int64_t step, float *to) {
    int64_t row = from->of->stride[0];
    for (int64_t t = 0; t < from->tokens; t++)
        for (int64_t v = 0; v < vectors; v++) {
            int64_t left = from->count - v * VF, lanes = left < 0 ? 0 : kron_few(VF, left);
            int64_t at =
                (from->t0 + t) * row + from->first + (lanes > 0 ? v * VF * from->apart : 0);
            vf block[VF];
            num_read_block(dtype, from->of->data, at, from->apart, lanes, blocks, block);
            vf_transpose(block);
            UNROLL
            for (int64_t i = 0; i < VF; i++)
                if (i < blocks) vf_store(to + i * next + v * step + t * VF, block[i]);
        }
}

ALWAYS void kron_bring_as(const wn_dtype dtype, const kron_task *job, kron_lines *from,
                          int64_t blocks, int64_t vectors, float *to) {
    int64_t step = job->cut.step, next = vectors * step;
    const bool side_by_side = from->of->stride[1] == 1 || from->of->shape[1] < 2;
    if (side_by_side && from->apart == 1) {
        kron_copy(dtype, from, vectors, step, to);
    } else if (side_by_side) {
        kron_part(dtype, from, blocks, next, vectors, step, to);
    } else {
        for (int64_t l = 0; l < blocks; l++, from->first++)
            kron_turn(dtype, from, vectors, step, to + l * next);
    }
}

/* Outputs or inputs r0 .. r0 + rows of blocks (i, l0) on, `side` of them a block. */
static void kron_bring(const kron_task *job, const wn_tensor *of, int64_t t0, int64_t tokens,
                       int64_t i, int64_t l0, int64_t side, int64_t r0, int64_t rows,
                       int64_t vectors, float *to) {
    int64_t shared = job->cut.shared, d = job->size.d;
    int64_t blocks = kron_few(job->cut.blocks, d - l0);
    kron_lines from = {of, t0, tokens, (i * side + r0) * d + l0, rows * shared, d / shared};
#define BRING(dtype) kron_bring_as(dtype, job, &from, blocks, vectors, to)
    NUM_SWITCH(of->dtype, BRING)
#undef BRING
}

/* D numbers, repeated. */
ALWAYS vf kron_repeat(const int D, const float *p) {
#if VF == 16
    if (D == 8) return _mm512_broadcast_f32x8(_mm256_loadu_ps(p));
    if (D == 4) return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
    if (D == 2) {
        double two;
        memcpy(&two, p, sizeof two);
        return _mm512_castpd_ps(_mm512_set1_pd(two));
    }
#else
    if (D == 4) return _mm256_broadcast_ps((const __m128 *)(const void *)p);
    if (D == 2) {
        double two;
        memcpy(&two, p, sizeof two);
        return _mm256_castpd_ps(_mm256_set1_pd(two));
    }
#endif
    return vf_set(*p);
}

/* What the next tokens hold of x and of dy. A register tile, which goes through as many tokens as
 * are there now, fetches a line of each of them; batch last, of as many features. */
typedef struct kron_ahead {
    const char *at;            /* of the first of the tokens */
    int64_t row;               /* bytes from token to token, or from feature to feature */
    int64_t apart, each, next; /* from a tile's line to the next's, and after so many of these */
    int64_t lines;
} kron_ahead;

/* Batch last, features that all lie side by side: the first `tokens` of them, a line of each. */
static kron_ahead kron_look_last(const wn_tensor *of, int64_t t0, int64_t tokens, int64_t first,
                                 int64_t count) {
    const int64_t size = (int64_t)wn_dtype_size(of->dtype), row = of->stride[1] * size;
    const int64_t each = (kron_few(tokens, of->shape[0] - t0) * size + 63) / 64;
    return (kron_ahead){.at = (const char *)of->data + first * row + t0 * size,
                        .row = row,
                        .apart = 64,
                        .each = each,
                        .next = tokens * row,
                        .lines = (count + tokens - 1) / tokens * each};
}

static kron_ahead kron_look(const kron_task *job, const wn_tensor *of, int64_t t0, int64_t tokens,
                            int64_t i, int64_t l0, int64_t side, int64_t r0, int64_t rows) {
    int64_t size = (int64_t)wn_dtype_size(of->dtype), d = job->size.d;
    const int64_t first = (i * side + r0) * d + l0;
    const bool all = job->cut.shared * job->cut.blocks == d;
    if (t0 >= of->shape[0]) return (kron_ahead){0};
    if (of->stride[1] != 1 && of->stride[0] == 1 && all)
        return kron_look_last(of, t0, tokens, first, rows * d);
    if (of->stride[1] != 1) return (kron_ahead){0};
    const bool shared = job->cut.shared == d;
    const int64_t lines = shared ? (rows * d * size + 63) / 64 : rows;
    return (kron_ahead){.at = (const char *)of->data + (t0 * of->stride[0] + first) * size,
                        .row = of->stride[0] * size,
                        .apart = shared ? 64 : d * size,
                        .each = lines,
                        .lines = lines};
}

/* Tile q fetches these; when all are taken care of, its own sums again and again. */
static kron_ahead kron_lines_of(const kron_ahead ahead[2], int64_t q, const float *sum) {
    for (int i = 0; i < 2; q -= ahead[i++].lines) {
        const kron_ahead *a = &ahead[i];
        if (q < a->lines)
            return (kron_ahead){.at = a->at + q / a->each * a->next + q % a->each * a->apart,
                                .row = a->row};
    }
    return (kron_ahead){.at = (const char *)sum};
}

/* sum[C][R][VF] += the products of R rows of dy, each D numbers, and C vectors of x. */
ALWAYS void kron_outer(const int D, const int R, const int C, int64_t tokens, int64_t step,
                       const float *dy, const float *x, float *sum, kron_ahead then) {
    vf s[WN_KRON_GRAD_MOST][2];
    UNROLL
    for (int j = 0; j < R; j++) {
        s[j][0] = vf_load(sum + j * VF);
        if (C > 1) s[j][1] = vf_load(sum + (R + j) * VF);
    }
    for (int64_t t = 0; t < tokens; t++, dy += VF, x += VF) {
        vf x0 = vf_load(x), x1 = C > 1 ? vf_load(x + step) : vf_zero();
        _mm_prefetch(then.at, _MM_HINT_T1);
        then.at += then.row;
        UNROLL
        for (int j = 0; j < R; j++) {
            vf g = kron_repeat(D, dy + j * D / VF * step + j * D % VF);
            s[j][0] = vf_fma(g, x0, s[j][0]);
            if (C > 1) s[j][1] = vf_fma(g, x1, s[j][1]);
        }
    }
    UNROLL
    for (int j = 0; j < R; j++) {
        vf_store(sum + j * VF, s[j][0]);
        if (C > 1) vf_store(sum + (R + j) * VF, s[j][1]);
    }
}

/* One block: all rows and lanes; the first of its tiles is tile q of all. */
ALWAYS void kron_add_as(const int D, const int R, const wn__kron_cut *cut, int64_t tokens,
                        const float *dy, const float *x, float *sum, const kron_ahead ahead[2],
                        int64_t q) {
    for (int64_t j = 0; j < cut->rows; j += R) {
        const float *g = dy + j * D / VF * cut->step + j * D % VF;
        int64_t v = 0;
        for (; v + 1 < cut->vectors_x; v += 2, sum += 2 * R * VF)
            kron_outer(D, R, 2, tokens, cut->step, g, x + v * cut->step, sum,
                       kron_lines_of(ahead, q++, sum));
        if (v < cut->vectors_x) {
            kron_outer(D, R, 1, tokens, cut->step, g, x + v * cut->step, sum,
                       kron_lines_of(ahead, q++, sum));
            sum += R * VF;
        }
    }
}

static void kron_add(const wn__kron_cut *cut, int64_t tokens, const float *dy, const float *x,
                     float *sum, const kron_ahead ahead[2], int64_t q) {
#define ADD(D) kron_add_as(D, WN_KRON_GRAD_ROWS(VF, D), cut, tokens, dy, x, sum, ahead, q)
    switch (cut->shared) {
    case 1:
        ADD(1);
        break;
    case 2:
        ADD(2);
        break;
    case 4:
        ADD(4);
        break;
    default:
#if VF == 16
        ADD(8);
#endif
        break;
    }
#undef ADD
}

/* Sums of one row of one block into dw, or of one row of blocks that interleave there. */
ALWAYS void kron_give_lanes(const wn_dtype dtype, bool add, bool stream, void *data, int64_t to,
                            vf v, int64_t n) {
#if VF == 16
    float *const line = (float *)data + to;
    if (dtype == WN_DTYPE_F32 && stream && n == VF && (uintptr_t)line % 64 == 0) {
        _mm512_stream_ps(line, v);
        return;
    }
#else
    (void)stream;
#endif
    if (add) v = vf_add(num_get(dtype, data, to, n), v);
    num_put(dtype, data, to, v, n);
}

typedef struct kron_place {
    int64_t i, l0, j0, k0; /* of a task */
    int64_t blocks, rows, inputs;
} kron_place;

ALWAYS void kron_give_row(const wn_dtype dtype, const kron_task *job, const kron_place *at,
                          int64_t j, int64_t v, const float *sum, int64_t block) {
    const wn_tensor *dw = &job->p->dw;
    int64_t shared = job->cut.shared, step = dw->stride[2], apart = dw->stride[3];
    int64_t lanes = kron_few(VF, at->inputs * shared - v * VF);
    int64_t to = at->i * dw->stride[0] + (at->j0 + j) * dw->stride[1] +
                 (at->k0 + v * VF / shared) * step + at->l0 * apart;
    const bool add = job->p->accumulate;
    if (step == shared && (shared == 1 || apart == 1)) {
        for (int64_t l = 0; l < at->blocks; l++, to += apart)
            kron_give_lanes(dtype, add, job->stream, dw->data, to, vf_load(sum + l * block), lanes);
    } else if (shared == 1 && apart == 1) {
        vf turned[VF];
        UNROLL
        for (int64_t l = 0; l < VF; l++)
            turned[l] = l < at->blocks ? vf_load(sum + l * block) : vf_zero();
        vf_transpose(turned);
        UNROLL
        for (int64_t k = 0; k < VF; k++)
            if (k < lanes)
                kron_give_lanes(dtype, add, job->stream, dw->data, to + k * step, turned[k],
                                at->blocks);
    } else {
        for (int64_t l = 0; l < at->blocks; l++)
            for (int64_t m = 0; m < lanes; m++) {
                int64_t one = to + m / shared * step + (l + m % shared) * apart;
                float old = add ? num_one(dtype, dw->data, one) : 0;
                num_set(dtype, dw->data, one, old + sum[l * block + m]);
            }
    }
}

ALWAYS void kron_give_as(const wn_dtype dtype, const kron_task *job, const kron_place *at,
                         const float *sum) {
    const wn__kron_cut *cut = &job->cut;
    int64_t block = cut->rows * cut->vectors_x * VF;
    for (int64_t j = 0; j < at->rows; j++)
        for (int64_t v = 0; v * VF < at->inputs * cut->shared; v++)
            kron_give_row(dtype, job, at, j, v,
                          sum + ((j / cut->r * cut->vectors_x + v) * cut->r + j % cut->r) * VF,
                          block);
}

static void kron_give(const kron_task *job, const kron_place *at, const float *sum) {
#define GIVE(dtype) kron_give_as(dtype, job, at, sum)
    NUM_SWITCH(job->p->dw.dtype, GIVE)
#undef GIVE
}

static kron_place kron_place_of(const kron_task *job, int64_t task) {
    const wn__kron_cut *cut = &job->cut;
    kron_place at = {.k0 = task % cut->parts_k * cut->inputs};
    task /= cut->parts_k;
    at.j0 = task % cut->parts_j * cut->rows;
    task /= cut->parts_j;
    at.l0 = task % cut->parts_l * cut->blocks;
    at.i = task / cut->parts_l;
    at.blocks = kron_few(cut->blocks, job->size.d - at.l0);
    at.rows = kron_few(cut->rows, job->size.b - at.j0);
    at.inputs = kron_few(cut->inputs, job->size.c - at.k0);
    return at;
}

/* The cut of a task that has fewer rows or inputs than others: nothing is multiplied in vain. */
static kron_task kron_task_of(const kron_task *job, const kron_place *at) {
    kron_task task = *job;
    wn__kron_cut *cut = &task.cut;
    cut->rows = (at->rows + cut->r - 1) / cut->r * cut->r;
    cut->vectors_x = (at->inputs * cut->shared + VF - 1) / VF;
    cut->vectors_dy = (cut->rows * cut->shared + VF - 1) / VF;
    return task;
}

static void kron_tasks(void *ctx, int64_t begin, int64_t end, int worker) {
    const kron_task *job = ctx;
    int64_t n = job->p->x.shape[0];
    for (int64_t number = begin; number < end; number++) {
        const kron_place at = kron_place_of(job, number);
        const kron_task task = kron_task_of(job, &at);
        const wn__kron_cut *cut = &task.cut;
        int64_t block = cut->rows * cut->vectors_x * VF;
        int64_t tiles = cut->rows / cut->r * ((cut->vectors_x + 1) / 2);
        float *sum = job->workers + worker * cut->worker;
        float *x = sum + cut->blocks * block;
        float *dy = x + cut->blocks * cut->vectors_x * cut->step;
        memset(sum, 0, (size_t)(cut->blocks * block) * sizeof *sum);
        for (int64_t t = 0; t < n; t += cut->tokens) {
            int64_t tokens = kron_few(cut->tokens, n - t);
            kron_bring(&task, &job->p->x, t, tokens, at.i, at.l0, job->size.c, at.k0, at.inputs,
                       cut->vectors_x, x);
            kron_bring(&task, &job->p->dy, t, tokens, at.i, at.l0, job->size.b, at.j0, at.rows,
                       cut->vectors_dy, dy);
            const kron_ahead ahead[2] = {kron_look(job, &job->p->x, t + tokens, tokens, at.i, at.l0,
                                                   job->size.c, at.k0, at.inputs),
                                         kron_look(job, &job->p->dy, t + tokens, tokens, at.i,
                                                   at.l0, job->size.b, at.j0, at.rows)};
            for (int64_t l = 0; l < at.blocks; l++)
                kron_add(cut, tokens, dy + l * cut->vectors_dy * cut->step,
                         x + l * cut->vectors_x * cut->step, sum + l * block, ahead, l * tiles);
        }
        kron_give(&task, &at, sum);
    }
    _mm_sfence();
}

static wn_status kron_grad(const void *args, wn__exec *x) {
    const wn__kron_grad *p = args;
    kron_task job = {.p = p, .cut = wn__kron_cut_for(p, VF), .size = wn__kron_size_of(&p->dw)};
    job.workers = (float *)(void *)x->scratch;
    job.stream =
        p->dw.dtype == WN_DTYPE_F32 && !p->accumulate && wn__tensor_count(&p->dw) >= WN_KRON_STREAM;
    wn__parallel_for(x->pool, job.cut.tasks, 1, kron_tasks, &job);
    return WN_OK;
}
