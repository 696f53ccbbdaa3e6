// SPDX-License-Identifier: MIT
// kron_grad in float32: which kernel, into how many parts the batch is cut. All of it by sizes
// alone, so that results are the same wherever they are computed.
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/args_kron_grad.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

enum { PIECE = 4 };

typedef struct cut {
    wn__gpu_kron_grad_f32 a;
    int64_t blocks, parts, numbers;
    unsigned threads, shared_bytes;
    const wn__cuda_image *image;
    char name[32];
} cut;

// The least power of two that is not below n, as a logarithm of at most `most`.
static int logarithm(int64_t n, int most) {
    int log = 0;
    while (log < most && (int64_t)1 << log < n)
        log++;
    return log;
}

// Blocks of at most 8 x 8.
static void cut_small(cut *c, const wn__kron_size *s) {
    const int64_t side = s->b > s->c ? s->b : s->c;
    c->threads = WN_KRON_GRAD_F32_SMALL;
    c->blocks = wn__ceil_div(s->a * s->d, WN_KRON_GRAD_F32_SMALL);
    (void)snprintf(c->name, sizeof c->name, "wn_kron_grad_small%d_f32",
                   side > 4   ? 8
                   : side > 2 ? 4
                              : 2);
}

// Tiles of a block that waste least, of as many units as make a block of threads.
static void cut_tiles(cut *c, const wn__kron_size *s, bool quads) {
    enum { THREADS = 8, PIECES = 256, BYTES = 20480, VECTORS = 4 };
    wn__gpu_kron_grad_f32 *a = &c->a;
    const int side = quads ? 4 : 8;
    const int64_t units = s->a * (quads ? wn__ceil_div(s->d, PIECE) : s->d);
    a->outputs = logarithm(wn__ceil_div(s->b, side), THREADS);
    a->inputs = logarithm(wn__ceil_div(s->c, side), THREADS);
    while (a->outputs + a->inputs > THREADS)
        *(a->outputs > a->inputs ? &a->outputs : &a->inputs) -= 1;
    const int pieces = (quads ? 4 : 2) * ((1 << a->outputs) + (1 << a->inputs)); // of a unit
    a->units = logarithm(units, THREADS - a->outputs - a->inputs);
    while (a->units > 0 && pieces << a->units > PIECES)
        a->units--;
    a->vectors = VECTORS;
    while (a->vectors > 0 && 16 * pieces << (a->units + a->vectors) > BYTES)
        a->vectors--;
    a->down = (int)wn__ceil_div(s->b, (int64_t)side << a->outputs);
    a->across = (int)wn__ceil_div(s->c, (int64_t)side << a->inputs);
    a->groups = (int)wn__ceil_div(units, (int64_t)1 << a->units);
    c->blocks = (int64_t)a->groups * a->down * a->across;
    c->threads = 1u << (a->outputs + a->inputs + a->units);
    c->shared_bytes = (unsigned)WN_KRON_GRAD_F32_SHARED(pieces << a->units, 1 << a->vectors);
    (void)snprintf(c->name, sizeof c->name,
                   quads ? "wn_kron_grad_quads_f32" : "wn_kron_grad_rows_f32");
}

// Whether tiles of tensor cores are mostly numbers of the factor; with fewer vectors than two steps
// they are not as near as sums have to be (sm80/kron_grad_tf32.cu).
static bool is_wide(const wn__kron_size *s, int64_t n) {
    enum { SIDE = WN_KRON_GRAD_TF32_SIDE, LEAST = 16 };
    const int64_t down = wn__ceil_div(s->b, SIDE) * SIDE, across = wn__ceil_div(s->c, SIDE) * SIDE;
    return n >= LEAST && (double)down * (double)across <= 2.0 * (double)s->b * (double)s->c;
}

static void cut_wide(cut *c, const wn__kron_size *s) {
    c->a.down = (int)wn__ceil_div(s->b, WN_KRON_GRAD_TF32_SIDE);
    c->a.across = (int)wn__ceil_div(s->c, WN_KRON_GRAD_TF32_SIDE);
    c->blocks = wn__ceil_div(s->a * s->d * c->a.down * c->a.across, WN_KRON_GRAD_TF32_TILES);
    c->threads = WN_KRON_GRAD_TF32_THREADS;
    c->image = &wn__image_kron_grad_tf32_sm80;
    (void)snprintf(c->name, sizeof c->name, "wn_kron_grad_tf32");
}

// How many parts: as many as keep an H200 busy; what a part's sums cost is the time of some
// vectors.
static cut cut_of(const wn__kron_grad *p) {
    enum { SMALL = 8, PART_SMALL = 1, STEP = 16, PART = 6, PART_WIDE = 5 };
    const wn__kron_size s = wn__kron_size_of(&p->dw);
    const int64_t n = p->x.shape[0];
    cut c = {.numbers = s.a * s.b * s.c * s.d,
             .image = &wn__image_kron_grad_f32_sm80,
             .a = {.n = (int)n, .a = (int)s.a, .d = (int)s.d}};
    const bool small = s.b <= SMALL && s.c <= SMALL, wide = is_wide(&s, n);
    const int64_t step = small ? WN_KRON_GRAD_F32_SMALLEST : STEP, steps = wn__ceil_div(n, step);
    if (wide)
        cut_wide(&c, &s);
    else if (small)
        cut_small(&c, &s);
    else
        cut_tiles(&c, &s, s.d > 2);
    const int64_t at_once =
        2 * WN__KRON_H200 * WN_KRON_GRAD_F32_THREADS / c.threads * (small ? 2 : 1);
    c.parts = wn__gpu_kron_parts(c.blocks, steps, at_once,
                                 wide    ? PART_WIDE
                                 : small ? PART_SMALL
                                         : PART);
    const int64_t each = wn__ceil_div(steps, c.parts) * step;
    c.parts = n > 0 ? wn__ceil_div(n, each) : 0;
    c.a.each = (int)each;
    return c;
}

bool wn__gpu_accepts_kron_grad_f32(const wn__kron_grad *p, char *why, size_t n) {
    const wn__kron_size s = wn__kron_size_of(&p->dw);
    const int64_t most = INT_MAX - (1 << 20);
    if (!wn__gpu_kron_accepts_batch(p->x.shape[0], why, n)) return false;
    if (s.a * s.d <= most * 32 / (s.b * s.c) &&
        s.a * s.d <= most / (wn__ceil_div(s.b, 8) * wn__ceil_div(s.c, 8)))
        return true;
    (void)snprintf(why, n, "%lld blocks of %lld x %lld are more than a grid holds",
                   (long long)(s.a * s.d), (long long)s.b, (long long)s.c);
    return false;
}

size_t wn__gpu_workspace_kron_grad_f32(const wn__kron_grad *p) {
    const cut c = cut_of(p);
    return (size_t)(c.parts * c.numbers) * sizeof(float);
}

// Whether numbers of dw that differ in j lie nearer than those that differ in k.
static bool is_turned(const wn__kron_grad *p) {
    return p->dw.stride[1] < p->dw.stride[2];
}

static wn__gpu_kron_side side_of(const wn_tensor *t, int64_t count, int64_t d, bool quads) {
    const bool rows = (t->stride[1] == 1 || t->shape[1] < 2) &&
                      (t->shape[0] < 2 || t->stride[0] % PIECE == 0) &&
                      (uintptr_t)t->data % 16 == 0;
    return (wn__gpu_kron_side){.at = t->data,
                               .vector = t->stride[0],
                               .feature = t->stride[1],
                               .count = (int)count,
                               .wide = rows && (quads    ? d
                                                : d == 1 ? count
                                                         : 1) %
                                                       PIECE ==
                                                   0};
}

static wn_status add_up(wn__gpu *gpu, const wn__kron_grad *p, const cut *c) {
    const bool turned = is_turned(p), split = c->parts >= WN_KRON_GRAD_F32_MANY;
    wn__gpu_kron_grad_sum a = {.sums = c->a.sums,
                               .dw = p->dw.data,
                               .numbers = c->numbers,
                               .d = c->a.d,
                               .slow = (int)p->dw.shape[turned ? 2 : 1],
                               .fast = (int)p->dw.shape[turned ? 1 : 2],
                               .turned = turned,
                               .parts = (int)c->parts,
                               .split = split,
                               .accumulate = p->accumulate};
    for (int i = 0; i < 4; i++)
        a.stride[i] = p->dw.stride[i];
    const int64_t each = WN_KRON_GRAD_F32_SUM / (split ? WN_KRON_GRAD_F32_SPLIT : 1);
    const wn__cuda_launch l = {.grid = {(unsigned)wn__ceil_div(c->numbers, each), 1, 1},
                               .block = {WN_KRON_GRAD_F32_SUM, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_kron_grad_f32_sm80, "wn_kron_grad_sum_f32", &l, &a);
}

wn_status wn__gpu_run_kron_grad_f32(const wn__kron_grad *p, wn__exec *x) {
    const wn__kron_size s = wn__kron_size_of(&p->dw);
    cut c = cut_of(p);
    c.a.dy = side_of(&p->dy, s.b, s.d, s.d > 2);
    c.a.x = side_of(&p->x, s.c, s.d, s.d > 2);
    c.a.sums = (float *)(void *)x->scratch;
    c.a.step_j = is_turned(p) ? 1 : (int)s.c;
    c.a.step_k = is_turned(p) ? (int)s.b : 1;
    if (c.image == &wn__image_kron_grad_tf32_sm80) {
        const bool hopper = wn__cuda_info(wn__gpu_device(x->gpu))->compute == 90;
        c.shared_bytes = (unsigned)WN_KRON_GRAD_TF32_SHARED(
            hopper ? WN_KRON_GRAD_TF32_STEP_90 * WN_KRON_GRAD_TF32_STAGES_90
                   : WN_KRON_GRAD_TF32_STEP_80 * WN_KRON_GRAD_TF32_STAGES_80);
    }
    const wn__cuda_launch l = {.grid = {(unsigned)c.blocks, (unsigned)c.parts, 1},
                               .block = {c.threads, 1, 1},
                               .shared_bytes = c.shared_bytes};
    if (c.parts > 0) WN_TRY(wn__gpu_launch(x->gpu, c.image, c.name, &l, &c.a));
    return add_up(x->gpu, p, &c);
}

#endif
