// SPDX-License-Identifier: MIT
// kron_mul of factors with wide blocks on a GPU: weights are put in order, blocks that lie
// interleaved in x are put side by side, one or two grouped products, and the other way for y. The
// first of two factors gives its numbers where the second has its blocks side by side.
#include "kernels/cuda/kron_wide.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron.h"
#include "kernels/declare.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

enum { SIDE = WN_KRON_WIDE_SIDE };

// ---- which chains

// `size` and `stride` of two indices each of blocks, outputs and inputs, slow before fast.
static wn__kron_blocks blocks_of(const wn_tensor *w, const int64_t size[6],
                                 const int64_t stride[6]) {
    wn__kron_blocks f = {.groups = size[0] * size[1], .b = size[2] * size[3]};
    f.c = size[4] * size[5];
    f.run = f.group_step = f.b;
    f.order = (wn__gpu_kron_order){.w = w->data, .fast = 5};
    for (int i = 5; i >= 0; i--) {
        f.order.size[i] = (int)size[i];
        f.order.stride[i] = stride[i];
        if (size[i] > 1 && stride[i] < stride[f.order.fast]) f.order.fast = i;
    }
    return f;
}

static wn__kron_wide single_of(const wn__kron_mul *p) {
    const wn__kron_size s = wn__kron_size_of(&p->w[0]);
    const int64_t *f = p->w[0].stride;
    wn__kron_wide k = {.count = 1, .a = s.a, .turn_in = s.d, .turn_out = s.d};
    k.factor[0] = blocks_of(&p->w[0], (int64_t[]){s.a, s.d, 1, s.b, 1, s.c},
                            (int64_t[]){f[0], f[3], 0, f[1], 0, f[2]});
    return k;
}

// (s, R t, c, 1), then (1, b, R s, t): the first gives block t, s, R, each 0 .. t, its inputs s, R.
static bool pair_of(const wn__kron_mul *p, wn__kron_wide *k) {
    const wn__kron_size first = wn__kron_size_of(&p->w[0]), second = wn__kron_size_of(&p->w[1]);
    const int64_t *f = p->w[0].stride, *g = p->w[1].stride;
    const int64_t s = first.a, t = second.d, r = first.b / t;
    if (first.d != 1 || second.a != 1 || first.b != r * t || second.c != r * s) return false;
    *k = (wn__kron_wide){.count = 2, .a = 1, .turn_in = 1, .turn_out = t};
    k->factor[0] = blocks_of(&p->w[0], (int64_t[]){1, s, t, r, 1, first.c},
                             (int64_t[]){0, f[0], f[1], t * f[1], 0, f[2]});
    k->factor[0].run = k->factor[0].group_step = r;
    k->factor[0].run_step = r * s;
    k->factor[1] = blocks_of(&p->w[1], (int64_t[]){1, t, 1, second.b, 1, r * s},
                             (int64_t[]){0, g[3], 0, g[1], 0, g[2]});
    return true;
}

// That turned: (1, R s, c, t), then (s, b, R t, 1), whose inputs are taken as t, R.
static bool turned_of(const wn__kron_mul *p, wn__kron_wide *k) {
    const wn__kron_size first = wn__kron_size_of(&p->w[0]), second = wn__kron_size_of(&p->w[1]);
    const int64_t *f = p->w[0].stride, *g = p->w[1].stride;
    const int64_t s = second.a, t = first.d, r = first.b / s;
    if (first.a != 1 || second.d != 1 || first.b != r * s || second.c != r * t) return false;
    *k = (wn__kron_wide){.count = 2, .a = 1, .turn_in = t, .turn_out = 1};
    k->factor[0] = blocks_of(&p->w[0], (int64_t[]){1, t, 1, r * s, 1, first.c},
                             (int64_t[]){0, f[3], 0, f[1], 0, f[2]});
    k->factor[0].run = k->factor[0].group_step = r;
    k->factor[0].run_step = r * t;
    k->factor[1] = blocks_of(&p->w[1], (int64_t[]){1, s, 1, second.b, t, r},
                             (int64_t[]){0, g[0], 0, g[1], g[2], t * g[2]});
    return true;
}

bool wn__kron_wide_turns(int64_t d) {
    return d == 1 || d == 2 || d == 4 || d % 8 == 0;
}

bool wn__kron_wide_of(const wn__kron_mul *p, wn__kron_wide *out, char *why, size_t n) {
    if (p->count == 1) *out = single_of(p);
    if (p->count > 2 || (p->count == 2 && !pair_of(p, out) && !turned_of(p, out))) {
        (void)snprintf(why, n,
                       "neither one factor nor (s, R t, c, 1)(1, b, R s, t), nor that "
                       "turned");
        return false;
    }
    for (int i = 0; i < out->count; i++) {
        const wn__kron_blocks *f = &out->factor[i];
        if (f->b % SIDE == 0 && f->c % SIDE == 0 && f->run % 8 == 0 && f->order.size[5] % 8 == 0)
            continue;
        (void)snprintf(why, n, "blocks of %lld x %lld are not multiples of %d, or a rank none of 8",
                       (long long)f->b, (long long)f->c, SIDE);
        return false;
    }
    if (wn__kron_wide_turns(out->turn_in) && wn__kron_wide_turns(out->turn_out)) return true;
    (void)snprintf(why, n, "%lld interleaved blocks are not 2, 4 or a multiple of 8",
                   (long long)(out->turn_in > 1 ? out->turn_in : out->turn_out));
    return false;
}

// ---- what an H200 takes, for one choice on every GPU: as measured

double wn__kron_wide_seconds(double flops, double bytes) {
    const double multiply = flops / 650e12, move = bytes / 3.3e12;
    return multiply > move ? multiply : move;
}
double wn__kron_narrow_seconds(double flops, double bytes) {
    const double multiply = flops / 185e12, move = bytes / 2.7e12;
    return multiply > move ? multiply : move;
}
double wn__kron_turn_seconds(double bytes) {
    return bytes / 3.9e12;
}

// With what an older way takes, for as many vectors as say it.
static bool is_sooner(const wn__kron_mul *p, const wn__kron_wide *k) {
    const double n = (double)p->x.shape[0];
    double wide = 0, narrow = 0;
    for (int i = 0; i < k->count; i++) {
        const wn__kron_blocks *f = &k->factor[i];
        const double in = (double)(f->groups * f->c), out = (double)(f->groups * f->b);
        const double flops = 2 * n * in * (double)f->b,
                     bytes = 2 * n * (in + out) + 2 * in * (double)f->b;
        wide += wn__kron_wide_seconds(flops, bytes);
        narrow += wn__kron_narrow_seconds(flops, bytes);
    }
    if (k->turn_in > 1) wide += wn__kron_turn_seconds(4 * n * (double)p->x.shape[1]);
    if (k->turn_out > 1) wide += wn__kron_turn_seconds(4 * n * (double)p->y.shape[1]);
    return wide < narrow;
}

wn__kron_wide_tile wn__kron_wide_tile_of(int64_t side) {
    if (side % 256 == 0) return (wn__kron_wide_tile){256, 128, 4};
    if (side % 192 == 0) return (wn__kron_wide_tile){192, 128, 5};
    if (side % 128 == 0) return (wn__kron_wide_tile){128, 256, 4};
    return (wn__kron_wide_tile){64, 256, 5};
}

static int64_t tiles_of(const wn__kron_blocks *f, int64_t n) {
    const wn__kron_wide_tile t = wn__kron_wide_tile_of(f->b);
    return wn__ceil_div(n, t.rows) * f->groups * (f->b / t.columns);
}

bool wn__accepts_gpu_kron_wide(const void *args, char *why, size_t n) {
    const wn__kron_mul *p = args;
    wn__kron_wide k;
    if (!wn__gpu_kron_accepts16(p, why, n) || !wn__kron_wide_of(p, &k, why, n)) return false;
    int64_t most = p->x.shape[0] * wn__kron_mul_width(p) / 64;
    for (int i = 0; i < k.count; i++) {
        const int64_t numbers = k.factor[i].groups * k.factor[i].b * k.factor[i].c;
        if (tiles_of(&k.factor[i], p->x.shape[0]) > most)
            most = tiles_of(&k.factor[i], p->x.shape[0]);
        if (numbers > most) most = numbers;
    }
    if (most > INT_MAX / 2)
        (void)snprintf(why, n, "%lld vectors of %lld numbers are more than a launch counts",
                       (long long)p->x.shape[0], (long long)wn__kron_mul_width(p));
    else if (!wn__gpu_kron_wide(&p->x) || !wn__gpu_kron_wide(&p->y))
        (void)snprintf(why, n, "x or y is not batch first with rows of whole 16 bytes");
    else if (p->accumulate)
        (void)snprintf(why, n, "results are added to y");
    else if (p->x.shape[0] > 0 && !is_sooner(p, &k))
        (void)snprintf(why, n, "putting blocks side by side takes longer than it saves");
    else
        return true;
    return false;
}

// ---- launches

size_t wn__kron_wide_bytes(const wn__kron_blocks *f) {
    return wn__cuda_whole((size_t)(f->groups * f->b * f->c) * 2);
}
static size_t vector_bytes(const wn__kron_mul *p) {
    return wn__cuda_whole((size_t)(p->x.shape[0] * wn__kron_mul_width(p)) * 2);
}

// Weights of both factors; two batches of vectors.
size_t wn__workspace_kron_mul_sm90a_wide(const void *args, int threads) {
    const wn__kron_mul *p = args;
    wn__kron_wide k;
    char why[160];
    (void)threads;
    if (!wn__kron_wide_of(p, &k, why, sizeof why)) return 0;
    size_t bytes = 2 * vector_bytes(p);
    for (int i = 0; i < k.count; i++)
        bytes += wn__kron_wide_bytes(&k.factor[i]);
    return bytes;
}

static wn_status pack(wn__gpu *gpu, const wn__kron_blocks *f, void *to) {
    enum { MOST_BLOCKS = 4096 };
    wn__gpu_kron_order a = f->order;
    a.to = to;
    const int64_t blocks = wn__ceil_div(f->groups * f->b * f->c, 8 * WN_KRON_WIDE_PACK_THREADS);
    const wn__cuda_launch l = {
        .grid = {(unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), 1, 1},
        .block = {WN_KRON_WIDE_PACK_THREADS, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_kron_wide_sm90a, "wn_kron_wide_pack", &l, &a);
}

wn_status wn__kron_wide_turn(wn__gpu *gpu, const wn_tensor *x, const wn_tensor *y, int64_t a,
                             int64_t side, int64_t d, bool apart) {
    // rows of a warp where eight blocks are taken apart; pieces of eight numbers of a thread
    enum { ROWS = 256, WARPS = WN_KRON_WIDE_TURN_THREADS / 32, AT_ONCE = 4 };
    const bool eight = apart && d == 8 && side % ROWS == 0;
    if (d % 8 == 0 && !eight)
        return wn__gpu_kron_turn_blocks(gpu, x, y, a, apart ? side : d, apart ? d : side);
    wn__gpu_kron_turn t = {.x = x->data,
                           .y = y->data,
                           .x_vector = x->stride[0],
                           .y_vector = y->stride[0],
                           .n = (int)x->shape[0],
                           .rows = (int)side,
                           .columns = (int)d,
                           .blocks = (int)a};
    const int64_t numbers = x->shape[0] * a * side * d;
    const int64_t blocks = eight ? wn__ceil_div(numbers / d, (int64_t)ROWS * WARPS)
                                 : wn__ceil_div(numbers / 8, AT_ONCE * WN_KRON_WIDE_TURN_THREADS);
    const wn__cuda_launch l = {.grid = {(unsigned)blocks, 1, 1},
                               .block = {WN_KRON_WIDE_TURN_THREADS, 1, 1}};
    static const char *const symbol[2][2] = {{"wn_kron_wide_together2", "wn_kron_wide_together4"},
                                             {"wn_kron_wide_apart2", "wn_kron_wide_apart4"}};
    return wn__gpu_launch(gpu, &wn__image_kron_wide_sm90a,
                          eight ? "wn_kron_wide_apart8" : symbol[apart][d == 4], &l, &t);
}

// ---- blocks of 512 inputs, weights in registers

enum { SLICE = 128 }; // outputs of a block of threads

static int64_t slots_of(const wn__kron_blocks *f) {
    return f->groups * (f->b / SLICE);
}

// Whether all weights are held at once by at least seven of eight processors.
static bool is_held(const wn__kron_blocks *f, int processors) {
    if (f->c != WN_KRON_HELD_INPUTS || f->b % SLICE != 0 || f->run % 64 != 0) return false;
    const int64_t slots = slots_of(f);
    return slots <= processors && processors / slots * slots * 8 >= (int64_t)7 * processors;
}

static wn__gpu_kron_held held_of(const wn__kron_blocks *f, const void *weights, const wn_tensor *x,
                                 const wn_tensor *y) {
    return (wn__gpu_kron_held){.w = weights,
                               .y = y->data,
                               .y_vector = y->stride[0],
                               .n = (int)x->shape[0],
                               .groups = (int)f->groups,
                               .b = (int)f->b,
                               .tiles = (int)wn__ceil_div(x->shape[0], WN_KRON_HELD_VECTORS),
                               .run = (int)f->run,
                               .run_step = (int)f->run_step,
                               .group_step = (int)f->group_step};
}

static wn_status multiply_held(wn__gpu *gpu, const wn__kron_blocks *f, const void *weights,
                               const wn_tensor *x, const wn_tensor *y) {
    wn__cuda *d = wn__gpu_device(gpu);
    const int slots = (int)slots_of(f), parts = wn__cuda_info(d)->multiprocessors / slots;
    wn__gpu_kron_held a = held_of(f, weights, x, y);
    WN_TRY(wn__cuda_tensor_map(d, x, WN_KRON_HELD_VECTORS, &a.x));
    WN_TRY(wn__cuda_tensor_map(d, y, WN_KRON_HELD_VECTORS, &a.y_map));
    const wn__cuda_launch l = {
        .grid = {(unsigned)(slots * (parts < a.tiles ? parts : a.tiles)), 1, 1},
        .block = {WN_KRON_WIDE_THREADS, 1, 1},
        .shared_bytes = WN_KRON_HELD_SHARED};
    return wn__gpu_launch(gpu, &wn__image_kron_held_sm90a,
                          x->dtype == WN_DTYPE_BF16 ? "wn_kron_held_bf16" : "wn_kron_held_f16", &l,
                          &a);
}

// Tiles of all slices among clusters, at most `each` to one: every cluster has a slice of its own,
// those that have room left take what is left of others. False where that does not go.
static bool share_tiles(wn__gpu_kron_held *a, int clusters, int slices, int each) {
    int left[WN_KRON_HELD_CLUSTERS];
    for (int s = 0; s < slices; s++)
        left[s] = 0;
    for (int c = 0; c < clusters; c++) {
        const int s = c % slices;
        const int end = left[s] + each < a->tiles ? left[s] + each : a->tiles;
        a->share[c][0] = (wn__gpu_kron_share){s, left[s], end};
        a->share[c][1] = (wn__gpu_kron_share){0, 0, 0};
        left[s] = end;
    }
    int s = 0;
    for (int c = 0; c < clusters; c++) {
        while (s < slices && left[s] == a->tiles)
            s++;
        if (s == slices) return true;
        const int room = each - (a->share[c][0].end - a->share[c][0].first);
        const int end = left[s] + room < a->tiles ? left[s] + room : a->tiles;
        if (room > 0) a->share[c][1] = (wn__gpu_kron_share){s, left[s], end};
        left[s] = end;
    }
    while (s < slices && left[s] == a->tiles)
        s++;
    return s == slices;
}

// Clusters that run at once, as for whole chains.
static int clusters_of(int processors) {
    const int clusters = processors / WN_KRON_HELD_JOINED - 1;
    return clusters < WN_KRON_HELD_CLUSTERS ? clusters : WN_KRON_HELD_CLUSTERS;
}

// Whether the last product puts its blocks where they are interleaved.
static bool is_joined(const wn__kron_wide *k, int processors) {
    const wn__kron_blocks *f = &k->factor[k->count - 1];
    return k->turn_out == WN_KRON_HELD_JOINED && k->a == 1 && f->c == WN_KRON_HELD_INPUTS &&
           f->b % SLICE == 0 && f->b / SLICE <= clusters_of(processors);
}

static wn_status multiply_joined(wn__gpu *gpu, const wn__kron_blocks *f, const void *weights,
                                 const wn_tensor *x, const wn_tensor *y) {
    wn__cuda *d = wn__gpu_device(gpu);
    const int clusters = clusters_of(wn__cuda_info(d)->multiprocessors);
    const int slices = (int)(f->b / SLICE);
    wn__gpu_kron_held a = held_of(f, weights, x, y);
    WN_TRY(wn__cuda_tensor_map(d, x, WN_KRON_HELD_VECTORS, &a.x));
    int each = (int)wn__ceil_div((int64_t)slices * a.tiles, clusters);
    while (!share_tiles(&a, clusters, slices, each))
        each++;
    const wn__cuda_launch l = {.grid = {(unsigned)clusters * WN_KRON_HELD_JOINED, 1, 1},
                               .block = {WN_KRON_WIDE_THREADS, 1, 1},
                               .shared_bytes = WN_KRON_HELD_SHARED,
                               .cluster = WN_KRON_HELD_JOINED};
    return wn__gpu_launch(
        gpu, &wn__image_kron_held_sm90a,
        x->dtype == WN_DTYPE_BF16 ? "wn_kron_held_join_bf16" : "wn_kron_held_join_f16", &l, &a);
}

wn_status wn__kron_wide_launch(wn__gpu *gpu, const char *kernel, const wn__kron_wide_tile *t,
                               wn__gpu_kron_product *a, wn_dtype dtype) {
    const int processors = wn__cuda_info(wn__gpu_device(gpu))->multiprocessors;
    const wn__cuda_launch l = {
        .grid = {(unsigned)(a->tiles < processors ? a->tiles : processors), 1, 1},
        .block = {WN_KRON_WIDE_THREADS, 1, 1},
        .shared_bytes = (unsigned)WN_KRON_WIDE_SHARED(t->rows, t->columns, t->stages)};
    char name[48];
    (void)snprintf(name, sizeof name, "%s%d_%s", kernel, t->columns,
                   dtype == WN_DTYPE_BF16 ? "bf16" : "f16");
    return wn__gpu_launch(gpu, &wn__image_kron_wide_sm90a, name, &l, a);
}

static wn_status multiply(wn__gpu *gpu, const wn__kron_blocks *f, void *weights, const wn_tensor *x,
                          const wn_tensor *y) {
    wn__cuda *d = wn__gpu_device(gpu);
    if (is_held(f, wn__cuda_info(d)->multiprocessors)) return multiply_held(gpu, f, weights, x, y);
    const wn__kron_wide_tile t = wn__kron_wide_tile_of(f->b);
    wn_tensor w = wn__tensor2(weights, x->dtype, f->groups * f->b, f->c);
    wn__gpu_kron_product a = {.y = y->data,
                              .y_vector = y->stride[0],
                              .n = (int)x->shape[0],
                              .groups = (int)f->groups,
                              .b = (int)f->b,
                              .c = (int)f->c,
                              .tiles = (int)tiles_of(f, x->shape[0]),
                              .run = (int)f->run,
                              .run_step = (int)f->run_step,
                              .group_step = (int)f->group_step};
    WN_TRY(wn__cuda_tensor_map(d, x, (unsigned)t.rows, &a.rows));
    WN_TRY(wn__cuda_tensor_map(d, &w, (unsigned)t.columns, &a.columns));
    return wn__kron_wide_launch(gpu, "wn_kron_wide", &t, &a, x->dtype);
}

wn_status wn__kron_wide_multiply(wn__gpu *gpu, const wn__kron_blocks *f, void *weights,
                                 const wn_tensor *x, const wn_tensor *y) {
    WN_TRY(pack(gpu, f, weights));
    return multiply(gpu, f, weights, x, y);
}

wn_status wn__kron_mul_sm90a_wide(const void *args, wn__exec *x) {
    const wn__kron_mul *p = args;
    const int64_t n = p->x.shape[0];
    wn__kron_wide k;
    char why[160], *at = x->scratch, *weights[2], *batch[2];
    if (n == 0) return WN_OK;
    if (!wn__kron_wide_of(p, &k, why, sizeof why)) return wn__fail(WN_INVALID, "kron_mul: %s", why);
    for (int i = 0; i < k.count; i++) {
        weights[i] = at;
        at += wn__kron_wide_bytes(&k.factor[i]);
        WN_TRY(pack(x->gpu, &k.factor[i], weights[i]));
    }
    for (int i = 0; i < 2; i++, at += vector_bytes(p))
        batch[i] = at;
    const bool joined = is_joined(&k, wn__cuda_info(wn__gpu_device(x->gpu))->multiprocessors);
    int used = 0;
    wn_tensor from = p->x, to;
    if (k.turn_in > 1) {
        to = wn__tensor2(batch[used++ % 2], p->x.dtype, n, p->x.shape[1]);
        WN_TRY(wn__kron_wide_turn(x->gpu, &from, &to, k.a, k.factor[0].c, k.turn_in, true));
        from = to;
    }
    for (int i = 0; i < k.count; i++) {
        const wn__kron_blocks *f = &k.factor[i];
        to = p->y;
        if (i + 1 == k.count && joined) return multiply_joined(x->gpu, f, weights[i], &from, &to);
        if (i + 1 < k.count || k.turn_out > 1)
            to = wn__tensor2(batch[used++ % 2], p->x.dtype, n, f->groups * f->b);
        WN_TRY(multiply(x->gpu, f, weights[i], &from, &to));
        from = to;
    }
    if (k.turn_out == 1) return WN_OK;
    return wn__kron_wide_turn(x->gpu, &from, &p->y, k.a, k.factor[k.count - 1].b, k.turn_out,
                              false);
}

#endif
