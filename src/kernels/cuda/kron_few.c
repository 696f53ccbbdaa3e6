// SPDX-License-Identifier: MIT
// kron_mul and kron_grad on few vectors: operands as views, nothing packed. What is launched for
// which arguments, by sizes alone.
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_kron_few.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron.h"
#include "kernels/declare.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

enum {
    MOST = 256,       // vectors
    TINY = 4,         // inputs, and outputs of a gradient, up to which others have none better
    MOST_TINY = 4096, // vectors of these
    LEAST = 16,       // products that float32 sums are of, from which on two parts are near enough
    MOST_DOWN = 65535 // tiles along a grid's second side: of a gradient's outputs
};

// ---- views

// The factor's side of `count` numbers of a vector: rows are vectors, columns these, or turned.
static wn__gpu_kron_view side_of(const wn_tensor *t, int64_t count, int64_t d, bool turned) {
    const int64_t vector = t->stride[0], number = d * t->stride[1];
    return (wn__gpu_kron_view){.at = t->data,
                               .stride = {count * number, turned ? number : vector,
                                          turned ? vector : number, t->stride[1]}};
}

static wn__gpu_kron_view view_of(const wn_tensor *w) {
    wn__gpu_kron_view v = {.at = w->data};
    for (int i = 0; i < 4; i++)
        v.stride[i] = w->stride[i];
    return v;
}

// Whether numbers along one dimension are whole 16 bytes, `wide` of them.
static bool is_whole(const wn__gpu_kron_view *v, const int64_t *size, int along, int64_t wide) {
    if (v->stride[along] != 1 || size[along] % wide != 0 || (uintptr_t)v->at % 16 != 0)
        return false;
    for (int i = 0; i < 4; i++)
        if (i != along && size[i] > 1 && v->stride[i] % wide != 0) return false;
    return true;
}

static int way_of(const wn__gpu_kron_view *v, const int64_t *size, wn_dtype dtype) {
    const int64_t wide = 16 / (int64_t)wn_dtype_size(dtype);
    if (size[3] % WN_KRON_FEW_BLOCKS == 0 && is_whole(v, size, 3, wide)) return WN_KRON_BY_BLOCK;
    if (is_whole(v, size, 2, wide)) return WN_KRON_BY_COLUMN;
    return is_whole(v, size, 1, wide) ? WN_KRON_BY_ROW : WN_KRON_EACH;
}

static void set_ways(wn__gpu_kron_few *a, wn_dtype dtype, wn_dtype result) {
    const int64_t left[4] = {a->a, a->m, a->k, a->d}, right[4] = {a->a, a->n, a->k, a->d};
    const int64_t out[4] = {a->a, a->m, a->n, a->d};
    a->left.way = way_of(&a->left, left, dtype);
    a->right.way = way_of(&a->right, right, dtype);
    a->out.way = way_of(&a->out, out, result);
    if (a->out.way != WN_KRON_BY_BLOCK)
        a->out.way = a->out.stride[1] < a->out.stride[2] ? WN_KRON_BY_ROW : WN_KRON_BY_COLUMN;
}

// ---- launches

static wn_status launch(wn__gpu *gpu, const char *what, wn_dtype dtype, const int64_t *grid,
                        unsigned shared_bytes, wn__gpu_kron_few *a) {
    const wn__cuda_launch l = {.grid = {(unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2]},
                               .block = {WN_KRON_FEW_THREADS, 1, 1},
                               .shared_bytes = shared_bytes};
    char name[48];
    (void)snprintf(name, sizeof name, "wn_kron_%s_%s", what,
                   dtype == WN_DTYPE_F32    ? "f32"
                   : dtype == WN_DTYPE_BF16 ? "bf16"
                                            : "f16");
    return wn__gpu_launch(gpu, &wn__image_kron_few_sm80, name, &l, a);
}

static void tiles_of(const wn__gpu_kron_few *a, int64_t *grid) {
    grid[0] = wn__ceil_div((int64_t)a->a * a->d, WN_KRON_FEW_BLOCKS) *
              wn__ceil_div(a->n, WN_KRON_FEW_SIDE);
    grid[1] = wn__ceil_div(a->m, WN_KRON_FEW_SIDE);
    grid[2] = a->parts;
}

static bool fits_grid(const wn_tensor *w, int64_t inputs, char *why, size_t n) {
    const wn__kron_size s = wn__kron_size_of(w);
    const int64_t most = INT_MAX / 2, side = s.b > inputs ? s.b : inputs;
    if (s.a * s.d <= most / side) return true;
    (void)snprintf(why, n, "%lld blocks of %lld x %lld are more than a grid holds",
                   (long long)(s.a * s.d), (long long)s.b, (long long)s.c);
    return false;
}

// ---- kron_mul

static bool is_short(const wn__kron_size *s) {
    return s->c < WN_KRON_SHORT;
}

// Into how many parts inputs are cut: what adds them up takes the time of some steps.
static void cut(wn__gpu_kron_few *a) {
    enum { AT_ONCE = 2 * WN__KRON_H200, EACH = 4, SUM = 6 };
    int64_t grid[3];
    tiles_of(a, grid);
    const int64_t tiles = grid[0] * grid[1], steps = wn__ceil_div(a->k, WN_KRON_FEW_STEP);
    int parts = wn__gpu_kron_parts(tiles, steps, AT_ONCE, EACH);
    const int64_t alone = wn__ceil_div(tiles, AT_ONCE) * (steps + EACH);
    const int64_t best = wn__ceil_div(tiles * parts, AT_ONCE) * (wn__ceil_div(steps, parts) + EACH);
    if (best + SUM >= alone) parts = 1;
    const int64_t each = wn__ceil_div(steps, parts);
    a->each = (int)each * WN_KRON_FEW_STEP;
    a->parts = (int)wn__ceil_div(steps, each);
}

static wn__gpu_kron_few factor_of(const wn_tensor *w, const wn_tensor *x, const wn_tensor *y) {
    const wn__kron_size s = wn__kron_size_of(w);
    wn__gpu_kron_few a = {.left = side_of(x, s.c, s.d, false),
                          .right = view_of(w),
                          .out = side_of(y, s.b, s.d, false),
                          .a = (int)s.a,
                          .d = (int)s.d,
                          .m = (int)x->shape[0],
                          .n = (int)s.b,
                          .k = (int)s.c,
                          .parts = 1};
    if (!is_short(&s)) cut(&a);
    return a;
}

static wn_status run_short(wn__gpu *gpu, wn__gpu_kron_few *a, wn_dtype dtype) {
    enum { AT_ONCE = 16 * WN__KRON_H200, MOST_PARTS = 32768 };
    const int64_t across = wn__ceil_div((int64_t)a->a * a->n * a->d, WN_KRON_FEW_THREADS);
    int64_t each = wn__ceil_div(a->m, wn__ceil_div(AT_ONCE, across));
    if (each < WN_KRON_SHORT_VECTORS) each = WN_KRON_SHORT_VECTORS;
    if (each < wn__ceil_div(a->m, MOST_PARTS)) each = wn__ceil_div(a->m, MOST_PARTS);
    a->each = (int)each;
    return launch(gpu, "short", dtype, (int64_t[]){across, wn__ceil_div(a->m, each), 1}, 0, a);
}

static wn_status run_factor(wn__gpu *gpu, const wn_tensor *w, const wn_tensor *x,
                            const wn_tensor *y, void *sums, bool accumulate) {
    enum { MOST_BLOCKS = 8192 };
    const wn__kron_size s = wn__kron_size_of(w);
    wn__gpu_kron_few a = factor_of(w, x, y);
    int64_t grid[3];
    a.accumulate = accumulate;
    if (is_short(&s)) return run_short(gpu, &a, x->dtype);
    set_ways(&a, x->dtype, y->dtype);
    if (a.parts > 1) a.sums = sums;
    tiles_of(&a, grid);
    WN_TRY(launch(gpu, "few", x->dtype, grid, WN_KRON_FEW_SHARED, &a));
    if (a.parts == 1) return WN_OK;
    const int64_t blocks = wn__ceil_div(a.m * s.a * s.b * s.d, WN_KRON_FEW_THREADS);
    return launch(gpu, "few_sum", x->dtype,
                  (int64_t[]){blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS, 1, 1}, 0, &a);
}

bool wn__accepts_gpu_kron_few(const void *args, char *why, size_t n) {
    const wn__kron_mul *p = args;
    if (!wn__accepts_gpu_kron_mul(args, why, n)) return false;
    int most = MOST_TINY;
    for (int t = 0; t < p->count; t++) {
        const wn__kron_size s = wn__kron_size_of(&p->w[t]);
        if (!fits_grid(&p->w[t], s.c, why, n)) return false;
        if (s.c > TINY) most = MOST;
    }
    if (p->x.shape[0] > most)
        (void)snprintf(why, n, "%lld vectors are more than %d", (long long)p->x.shape[0], most);
    else if (p->count > 1 && p->x.dtype != WN_DTYPE_F32)
        (void)snprintf(why, n, "%d factors of 16 bits", p->count);
    else
        return true;
    return false;
}

// Sums of one factor's parts.
static size_t sums_bytes(const wn__kron_mul *p) {
    int64_t most = 0;
    for (int t = 0; t < p->count; t++) {
        const wn__kron_size s = wn__kron_size_of(&p->w[t]);
        const wn__gpu_kron_few a = factor_of(&p->w[t], &p->x, &p->y);
        const int64_t numbers = a.parts > 1 ? a.parts * p->x.shape[0] * s.a * s.b * s.d : 0;
        if (numbers > most) most = numbers;
    }
    return wn__cuda_whole((size_t)most * sizeof(float));
}

size_t wn__workspace_kron_mul_sm80_few(const void *args, int threads) {
    const wn__kron_mul *p = args;
    (void)threads;
    return sums_bytes(p) + wn__gpu_kron_between_bytes(p);
}

wn_status wn__kron_mul_sm80_few(const void *args, wn__exec *x) {
    return wn__gpu_kron_chain(args, x, sums_bytes(args), run_factor);
}

// ---- kron_grad

static bool is_small(const wn__kron_size *s) {
    return s->b <= WN_KRON_SHORT && s->c <= WN_KRON_SHORT &&
           s->a * s->b * s->c * s->d <= INT_MAX / 2;
}

bool wn__accepts_gpu_kron_grad_few(const void *args, char *why, size_t n) {
    const wn__kron_grad *p = args;
    const wn__kron_size s = wn__kron_size_of(&p->dw);
    const int least = p->x.dtype == WN_DTYPE_F32 && !is_small(&s) ? LEAST : 1;
    const int most = s.b <= TINY && s.c <= TINY && is_small(&s) ? MOST_TINY : MOST;
    if (!wn__accepts_gpu_kron_grad(args, why, n) || !fits_grid(&p->dw, s.c, why, n)) return false;
    if (p->x.shape[0] > most || p->x.shape[0] < least)
        (void)snprintf(why, n, "%lld vectors: %d to %d", (long long)p->x.shape[0], least, most);
    else if (s.b > (int64_t)MOST_DOWN * WN_KRON_FEW_SIDE)
        (void)snprintf(why, n, "%lld outputs of a block are more than a grid holds",
                       (long long)s.b);
    else
        return true;
    return false;
}

wn_status wn__kron_grad_sm80_few(const void *args, wn__exec *x) {
    const wn__kron_grad *p = args;
    const wn__kron_size s = wn__kron_size_of(&p->dw);
    const int64_t n = p->x.shape[0];
    wn__gpu_kron_few a = {.left = side_of(&p->dy, s.b, s.d, true),
                          .right = side_of(&p->x, s.c, s.d, true),
                          .out = view_of(&p->dw),
                          .a = (int)s.a,
                          .d = (int)s.d,
                          .m = (int)s.b,
                          .n = (int)s.c,
                          .k = (int)n,
                          .each = (int)wn__ceil_div(n, WN_KRON_FEW_STEP) * WN_KRON_FEW_STEP,
                          .parts = 1,
                          .f32 = p->dw.dtype == WN_DTYPE_F32,
                          .accumulate = p->accumulate};
    int64_t grid[3] = {wn__ceil_div(s.a * s.b * s.c * s.d, 32), 1, 1};
    if (is_small(&s)) return launch(x->gpu, "short_grad", p->x.dtype, grid, 0, &a);
    set_ways(&a, p->x.dtype, p->dw.dtype);
    tiles_of(&a, grid);
    return launch(x->gpu, "few", p->x.dtype, grid, WN_KRON_FEW_SHARED, &a);
}

#endif
