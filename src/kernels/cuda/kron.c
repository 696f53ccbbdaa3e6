// SPDX-License-Identifier: MIT
// kron_mul on a GPU: what is launched for which arguments. Factors are packed first, which takes as
// long as reading them; then they run one after the other, or whole chains at once.
#include "kernels/cuda/kron.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/images.h"
#include "kernels/declare.h"
#include "kernels/kron_mul.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

static bool is_16bit(const wn_tensor *t, char *why, size_t n) {
    if (t->dtype == WN_DTYPE_BF16 || t->dtype == WN_DTYPE_F16) return true;
    (void)snprintf(why, n, "dtype %s is not BF16 or F16", wn_dtype_name(t->dtype));
    return false;
}

bool wn__gpu_kron_accepts_batch(int64_t vectors, char *why, size_t n) {
    if (vectors <= INT_MAX - (1 << 20)) return true;
    (void)snprintf(why, n, "a batch of %lld is beyond 2^31", (long long)vectors);
    return false;
}

static bool fits_grid(const wn_tensor *w, char *why, size_t n) {
    const wn__kron_size s = wn__kron_size_of(w);
    const int64_t blocks = wn__ceil_div(s.b, WN_KRON_OUTPUTS) * wn__ceil_div(s.c, WN_KRON_OUTPUTS);
    if (s.a * s.d <= INT_MAX / blocks) return true;
    (void)snprintf(why, n, "%lld blocks of %lld x %lld are more than a grid holds",
                   (long long)(s.a * s.d), (long long)s.b, (long long)s.c);
    return false;
}

bool wn__gpu_kron_accepts(const wn_tensor *x, const wn_tensor *w, char *why, size_t n) {
    return is_16bit(x, why, n) && wn__gpu_kron_accepts_batch(x->shape[0], why, n) &&
           fits_grid(w, why, n);
}

bool wn__gpu_kron_accepts16(const wn__kron_mul *p, char *why, size_t n) {
    for (int t = 0; t < p->count; t++)
        if (!wn__gpu_kron_accepts(&p->x, &p->w[t], why, n)) return false;
    return true;
}

bool wn__accepts_gpu_kron_mul(const void *args, char *why, size_t n) {
    const wn__kron_mul *p = args;
    if (p->x.dtype == WN_DTYPE_F32) {
        if (!wn__gpu_kron_accepts_batch(p->x.shape[0], why, n)) return false;
        for (int t = 0; t < p->count; t++)
            if (!wn__gpu_kron_accepts_f32(&p->w[t], why, n)) return false;
        return true;
    }
    if (p->x.dtype == WN_DTYPE_F64) {
        (void)snprintf(why, n, "dtype F64 is not F32, BF16 or F16");
        return false;
    }
    return wn__gpu_kron_accepts16(p, why, n);
}

// ---- packed factors

static size_t packed_bytes(const wn_tensor *w) {
    const wn__kron_size s = wn__kron_size_of(w);
    if (w->dtype == WN_DTYPE_F32) return wn__gpu_kron_packed_f32(w);
    return (size_t)(s.a * s.d * wn__ceil_div(s.b, WN_KRON_TILE) * wn__ceil_div(s.c, WN_KRON_TILE)) *
           WN_KRON_TILE_BYTES;
}

static wn_status pack(wn__gpu *gpu, const wn_tensor *w, void *tiles) {
    enum { MOST_BLOCKS = 4096 };
    const wn__kron_size s = wn__kron_size_of(w);
    wn__gpu_kron_pack a = {.w = w->data,
                           .tiles = tiles,
                           .a = (int)s.a,
                           .b = (int)s.b,
                           .c = (int)s.c,
                           .d = (int)s.d,
                           .down = (int)wn__ceil_div(s.b, WN_KRON_TILE),
                           .across = (int)wn__ceil_div(s.c, WN_KRON_TILE)};
    for (int i = 0; i < 4; i++)
        a.stride[i] = w->stride[i];
    const int64_t blocks =
        wn__ceil_div((int64_t)packed_bytes(w), (int64_t)16 * WN_KRON_PACK_THREADS);
    const wn__cuda_launch l = {
        .grid = {(unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), 1, 1},
        .block = {WN_KRON_PACK_THREADS, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_kron_sm80, "wn_kron_pack", &l, &a);
}

// ---- one factor

bool wn__gpu_kron_wide(const wn_tensor *t) {
    return (t->stride[1] == 1 || t->shape[1] < 2) && (t->shape[0] < 2 || t->stride[0] % 8 == 0) &&
           (uintptr_t)t->data % 16 == 0;
}

bool wn__gpu_kron_room(const wn__gpu *gpu, int bytes) {
    return wn__cuda_info(wn__gpu_device(gpu))->shared_bytes >= bytes;
}

int wn__gpu_kron_lanes(const wn__kron_size *s, int64_t side, const wn_tensor *x) {
    const int64_t blocks = s->a * s->d;
    if (!wn__gpu_kron_wide(x)) return 0;
    if (s->d % 16 == 0) return 16;
    if (s->d % 8 == 0) return s->d == 8 && blocks % 16 == 0 ? 16 : 8;
    if ((s->d != 2 && s->d != 4) || blocks % 4 != 0 || side * s->d % 8 != 0) return 0;
    return blocks % 16 == 0 ? 16 : blocks % 8 == 0 ? 8 : 4;
}

int wn__gpu_kron_parts(int64_t blocks, int64_t steps, int64_t at_once, int64_t each) {
    enum { MOST = 512 };
    int best = 1;
    int64_t least = INT64_MAX;
    for (int parts = 1; parts <= MOST && parts <= steps; parts++) {
        const int64_t waves = wn__ceil_div(blocks * parts, at_once);
        const int64_t cost = waves * (wn__ceil_div(steps, parts) + each);
        if (cost < least) {
            least = cost;
            best = parts;
        }
    }
    return best;
}

// Weights of four blocks have room in shared memory of 9.0 and its like, for four times as many
// vectors.
static wn_status run_lanes(wn__gpu *gpu, wn__gpu_kron_factor *a, int64_t blocks, bool bf16) {
    const bool staged = a->d < 8 && wn__gpu_kron_room(gpu, WN_KRON_STAGED_SHARED);
    if (staged) a->lanes = 4;
    const int64_t steps = wn__ceil_div(a->n, (int64_t)WN_KRON_LANES_VECTORS * 16 / a->lanes);
    const wn__cuda_launch l = {
        .grid = {(unsigned)(blocks / a->lanes),
                 (unsigned)wn__gpu_kron_parts(blocks / a->lanes, steps, WN__KRON_H200, 1), 1},
        .block = {WN_KRON_LANES_THREADS, 1, 1},
        .shared_bytes = staged ? WN_KRON_STAGED_SHARED : WN_KRON_LANES_SHARED};
    char name[48];
    (void)snprintf(name, sizeof name, "wn_kron_%s%d_%s", staged ? "staged" : "lanes",
                   a->d >= 8 ? 8 : a->d, bf16 ? "bf16" : "f16");
    return wn__gpu_launch(gpu, &wn__image_kron_lanes_sm80, name, &l, a);
}

static wn_status run_factor(wn__gpu *gpu, const wn_tensor *w, const wn_tensor *x,
                            const wn_tensor *y, void *tiles, bool accumulate) {
    const wn__kron_size s = wn__kron_size_of(w);
    if (x->dtype == WN_DTYPE_F32) return wn__gpu_kron_factor_f32(gpu, w, x, y, tiles, accumulate);
    const bool room = wn__gpu_kron_room(gpu, WN_KRON_LANES_SHARED);
    const int lanes = room ? wn__gpu_kron_lanes(&s, s.c, x) : 0;
    const bool bf16 = x->dtype == WN_DTYPE_BF16;
    wn__gpu_kron_factor a = {.x = x->data,
                             .y = y->data,
                             .tiles = tiles,
                             .x_vector = x->stride[0],
                             .x_feature = x->stride[1],
                             .y_vector = y->stride[0],
                             .y_feature = y->stride[1],
                             .n = (int)x->shape[0],
                             .a = (int)s.a,
                             .b = (int)s.b,
                             .c = (int)s.c,
                             .d = (int)s.d,
                             .down = (int)wn__ceil_div(s.b, WN_KRON_TILE),
                             .across = (int)wn__ceil_div(s.c, WN_KRON_TILE),
                             .wide_in = s.d == 1 && s.c % 8 == 0 && wn__gpu_kron_wide(x),
                             .wide_out = !accumulate &&
                                         (lanes ? wn__gpu_kron_lanes(&s, s.b, y) != 0
                                                : s.d == 1 && s.b % 8 == 0 && wn__gpu_kron_wide(y)),
                             .lanes = lanes,
                             .accumulate = accumulate};
    const int64_t blocks = s.a * s.d * wn__ceil_div(s.b, WN_KRON_OUTPUTS);
    WN_TRY(pack(gpu, w, tiles));
    if (lanes) return run_lanes(gpu, &a, blocks, bf16);
    const int64_t steps = wn__ceil_div(a.n, WN_KRON_ROWS_VECTORS);
    const wn__cuda_launch l = {
        .grid = {(unsigned)blocks,
                 (unsigned)wn__gpu_kron_parts(blocks, steps, 2 * WN__KRON_H200, 1), 1},
        .block = {WN_KRON_ROWS_THREADS, 1, 1},
        .shared_bytes = WN_KRON_ROWS_SHARED};
    return wn__gpu_launch(gpu, &wn__image_kron_sm80,
                          bf16 ? "wn_kron_rows_bf16" : "wn_kron_rows_f16", &l, &a);
}

size_t wn__gpu_kron_most(const wn__kron_mul *p, wn__gpu_kron_bytes *bytes) {
    size_t most = 0;
    for (int t = 0; t < p->count; t++)
        if (bytes(&p->w[t]) > most) most = bytes(&p->w[t]);
    return wn__cuda_whole(most);
}

static size_t batch_bytes(const wn_tensor *h) {
    return wn__cuda_whole((size_t)(h->shape[0] * h->stride[0]) * wn_dtype_size(h->dtype));
}

wn_tensor wn__gpu_kron_between(const wn__kron_mul *p, int t, char *at) {
    const int64_t piece = 16 / (int64_t)wn_dtype_size(p->x.dtype);
    const wn__kron_size s = wn__kron_size_of(&p->w[t]);
    wn_tensor h = wn__tensor2(NULL, p->x.dtype, p->x.shape[0], s.a * s.b * s.d);
    h.stride[0] = wn__ceil_div(wn__kron_mul_width(p), piece) * piece;
    if (at != NULL) h.data = at + (size_t)(t % 2) * batch_bytes(&h);
    return h;
}

size_t wn__gpu_kron_between_bytes(const wn__kron_mul *p) {
    const wn_tensor h = wn__gpu_kron_between(p, 0, NULL);
    return (size_t)(p->count > 2 ? 2 : p->count - 1) * batch_bytes(&h);
}

wn_status wn__gpu_kron_chain(const wn__kron_mul *p, wn__exec *x, size_t each,
                             wn__gpu_kron_run *run) {
    wn_tensor from = p->x, to;
    if (p->x.shape[0] == 0) return WN_OK;
    for (int t = 0; t < p->count; t++) {
        const bool last = t + 1 == p->count;
        to = last ? p->y : wn__gpu_kron_between(p, t, x->scratch + each);
        WN_TRY(run(x->gpu, &p->w[t], &from, &to, x->scratch, last && p->accumulate));
        from = to;
    }
    return WN_OK;
}

size_t wn__workspace_kron_mul_sm80(const void *args, int threads) {
    (void)threads;
    return wn__gpu_kron_most(args, packed_bytes) + wn__gpu_kron_between_bytes(args);
}

wn_status wn__kron_mul_sm80(const void *args, wn__exec *x) {
    return wn__gpu_kron_chain(args, x, wn__gpu_kron_most(args, packed_bytes), run_factor);
}

// ---- whole chains

typedef struct fused {
    int count;
    wn__kron_size factor[3];
    unsigned shared_bytes;
    const char *symbol[2]; // of BF16 and F16
} fused;

static const fused chains[] = {
    {2,
     {{64, 64, 64, 1}, {1, 64, 64, 64}},
     WN_KRON_PAIR64_SHARED,
     {"wn_kron_pair64_bf16", "wn_kron_pair64_f16"}},
    {2,
     {{1, 64, 64, 64}, {64, 64, 64, 1}},
     WN_KRON_PAIR64_SHARED,
     {"wn_kron_pair64t_bf16", "wn_kron_pair64t_f16"}},
    {3,
     {{256, 16, 16, 1}, {16, 16, 16, 16}, {1, 16, 16, 256}},
     WN_KRON_RADIX16_SHARED,
     {"wn_kron_radix16_bf16", "wn_kron_radix16_f16"}},
    {3,
     {{1, 16, 16, 256}, {16, 16, 16, 16}, {256, 16, 16, 1}},
     WN_KRON_RADIX16_SHARED,
     {"wn_kron_radix16t_bf16", "wn_kron_radix16t_f16"}},
};

static const fused *fused_of(const wn__kron_mul *p) {
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        const fused *f = &chains[i];
        bool same = f->count == p->count;
        for (int t = 0; same && t < p->count; t++) {
            const wn__kron_size s = wn__kron_size_of(&p->w[t]), *want = &f->factor[t];
            same = s.a == want->a && s.b == want->b && s.c == want->c && s.d == want->d;
        }
        if (same) return f;
    }
    return NULL;
}

bool wn__accepts_gpu_kron_fused(const void *args, char *why, size_t n) {
    const wn__kron_mul *p = args;
    if (!wn__gpu_kron_accepts16(p, why, n)) return false;
    if (!fused_of(p))
        (void)snprintf(why, n,
                       "neither (64,64,64,1)(1,64,64,64) nor "
                       "(256,16,16,1)(16,16,16,16)(1,16,16,256), nor one of them turned");
    else if (!wn__gpu_kron_wide(&p->x) || !wn__gpu_kron_wide(&p->y))
        (void)snprintf(why, n, "x or y is not batch first with rows of whole 16 bytes");
    else if (p->accumulate)
        (void)snprintf(why, n, "results are added to y");
    else
        return true;
    return false;
}

wn_status wn__kron_mul_sm90a_fused(const void *args, wn__exec *x) {
    const wn__kron_mul *p = args;
    const fused *f = fused_of(p);
    const int64_t processors = wn__cuda_info(wn__gpu_device(x->gpu))->multiprocessors;
    if (p->x.shape[0] == 0) return WN_OK;
    wn__gpu_kron_fused a = {.x = p->x.data,
                            .y = p->y.data,
                            .x_vector = p->x.stride[0],
                            .y_vector = p->y.stride[0],
                            .n = (int)p->x.shape[0],
                            .steps = (int)wn__ceil_div(p->x.shape[0], WN_KRON_FUSED_VECTORS)};
    for (int t = 0; t < p->count; t++) {
        a.w[t] = p->w[t].data;
        for (int i = 0; i < 4; i++)
            a.stride[t][i] = p->w[t].stride[i];
    }
    // an H200's 132 processors lie in groups that hold 15 clusters at a time, not 16: one more
    // would begin when the others have ended
    int64_t clusters = processors / WN_KRON_FUSED_CLUSTER - 1;
    if (clusters < 1) clusters = 1;
    if (clusters > a.steps) clusters = a.steps;
    const wn__cuda_launch l = {.grid = {(unsigned)clusters * WN_KRON_FUSED_CLUSTER, 1, 1},
                               .block = {WN_KRON_FUSED_THREADS, 1, 1},
                               .shared_bytes = f->shared_bytes,
                               .cluster = WN_KRON_FUSED_CLUSTER};
    return wn__gpu_launch(x->gpu, &wn__image_kron_fused_sm90a,
                          f->symbol[p->x.dtype == WN_DTYPE_F16], &l, &a);
}

// ---- block low rank: (s, R t, 64, 1), then (1, 64, R s, t); turned: (1, R t, 64, s), then
// (t, 64, R s, 1)

enum { SIDE = 64 };

typedef struct low_rank {
    int64_t s, t, rank;
    bool turned;
} low_rank;

static bool low_rank_of(const wn__kron_mul *p, low_rank *r) {
    if (p->count != 2) return false;
    const wn__kron_size f = wn__kron_size_of(&p->w[0]), g = wn__kron_size_of(&p->w[1]);
    if (f.c != SIDE || g.b != SIDE) return false;
    r->turned = f.d != 1 || g.a != 1;
    if (r->turned) {
        *r = (low_rank){f.d, g.a, g.c / f.d, true};
        return f.a == 1 && g.d == 1 && g.c == r->rank * r->s && f.b == r->rank * r->t;
    }
    *r = (low_rank){f.a, g.d, f.b / g.d, false};
    return f.b == r->rank * r->t && g.c == r->rank * r->s;
}

static int64_t rank_steps(const low_rank *r) {
    return wn__ceil_div(r->rank * r->s, 16);
}
static int64_t rank_tiles(const wn__kron_mul *p, const low_rank *r) {
    return wn__ceil_div(p->x.shape[0], WN_KRON_RANK_VECTORS) *
           wn__ceil_div(r->t, WN_KRON_RANK_BLOCKS);
}
static size_t rank_bytes(const low_rank *r) {
    return (size_t)(wn__ceil_div(r->t, WN_KRON_RANK_BLOCKS) * rank_steps(r)) * WN_KRON_RANK_BYTES;
}

bool wn__accepts_gpu_kron_rank(const void *args, char *why, size_t n) {
    const wn__kron_mul *p = args;
    low_rank r;
    if (!wn__gpu_kron_accepts16(p, why, n)) return false;
    if (!low_rank_of(p, &r) || (r.rank != 8 && (r.rank < 16 || r.rank % 16 != 0)))
        (void)snprintf(why, n,
                       "neither (s, R t, 64, 1)(1, 64, R s, t) nor that turned, of rank 8 "
                       "or a multiple of 16");
    else if ((r.turned ? r.s : r.t) % 8 != 0)
        (void)snprintf(why, n, "%lld interleaved blocks are not a multiple of 8",
                       (long long)(r.turned ? r.s : r.t));
    else if (rank_bytes(&r) / 16 > INT_MAX / 2 || rank_tiles(p, &r) > INT_MAX / 2)
        (void)snprintf(why, n, "%lld x %lld blocks are more than a launch counts", (long long)r.s,
                       (long long)r.t);
    else if (!wn__gpu_kron_wide(&p->x) || !wn__gpu_kron_wide(&p->y))
        (void)snprintf(why, n, "x or y is not batch first with rows of whole 16 bytes");
    else if (p->accumulate)
        (void)snprintf(why, n, "results are added to y");
    else
        return true;
    return false;
}

// Packed factors, then x or y with blocks one behind the other.
size_t wn__workspace_kron_mul_sm90a_rank(const void *args, int threads) {
    const wn__kron_mul *p = args;
    low_rank r;
    (void)threads;
    if (!low_rank_of(p, &r)) return 0;
    return rank_bytes(&r) + (size_t)(p->x.shape[0] * SIDE * (r.turned ? r.s : r.t)) * 2;
}

static wn_status rank_pack(wn__gpu *gpu, const wn__kron_mul *p, const low_rank *r, void *to) {
    enum { THREADS = 256, MOST_BLOCKS = 4096 };
    const int64_t *f = p->w[0].stride, *g = p->w[1].stride;
    wn__gpu_kron_rank_pack a = {.first = p->w[0].data,
                                .second = p->w[1].data,
                                .to = to,
                                .first_s = f[r->turned ? 3 : 0],
                                .first_t = f[1] * (r->turned ? r->rank : 1),
                                .first_r = f[1] * (r->turned ? 1 : r->t),
                                .first_k = f[2],
                                .second_s = g[2] * (r->turned ? 1 : r->rank),
                                .second_t = g[r->turned ? 0 : 3],
                                .second_r = g[2] * (r->turned ? r->s : 1),
                                .second_j = g[1],
                                .s = (int)r->s,
                                .t = (int)r->t,
                                .rank = (int)r->rank,
                                .steps = (int)rank_steps(r)};
    if (a.first_k != 1) a.fast_first = a.first_s == 1 ? WN_KRON_FAST_S : WN_KRON_FAST_T;
    if (a.second_r != 1) a.fast_second = a.second_t == 1 ? WN_KRON_FAST_T : WN_KRON_FAST_J;
    const int64_t blocks = (int64_t)rank_bytes(r) / 16 / THREADS;
    const wn__cuda_launch l = {
        .grid = {(unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), 1, 1},
        .block = {THREADS, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_kron_rank_sm90a, "wn_kron_rank_pack", &l, &a);
}

wn_status wn__gpu_kron_turn_blocks(wn__gpu *gpu, const wn_tensor *x, const wn_tensor *y,
                                   int64_t blocks, int64_t rows, int64_t columns) {
    enum { TOGETHER = 4 };
    wn__gpu_kron_turn a = {.x = x->data,
                           .y = y->data,
                           .x_vector = x->stride[0],
                           .y_vector = y->stride[0],
                           .n = (int)x->shape[0],
                           .rows = (int)rows,
                           .columns = (int)columns,
                           .blocks = (int)blocks};
    const int64_t pieces =
        x->shape[0] * blocks * wn__ceil_div(rows, 64) * wn__ceil_div(columns, 64);
    const wn__cuda_launch l = {.grid = {(unsigned)wn__ceil_div(pieces, TOGETHER), 1, 1},
                               .block = {64 * TOGETHER, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_kron_rank_sm90a, "wn_kron_rank_turn", &l, &a);
}

static wn_status rank_multiply(wn__gpu *gpu, const wn_tensor *x, const wn_tensor *y,
                               const wn__kron_mul *p, const low_rank *r, const void *factors) {
    wn__cuda *d = wn__gpu_device(gpu);
    wn__gpu_kron_rank m = {.factors = factors,
                           .y = y->data,
                           .y_vector = y->stride[0],
                           .n = (int)x->shape[0],
                           .s = (int)r->s,
                           .t = (int)r->t,
                           .steps = (int)rank_steps(r),
                           .tiles = (int)rank_tiles(p, r),
                           .across = (int)wn__ceil_div(r->t, WN_KRON_RANK_BLOCKS),
                           .share = r->rank == 8 ? 1 : (int)r->rank / 16};
    WN_TRY(wn__cuda_tensor_map(d, x, WN_KRON_RANK_VECTORS, &m.x));
    const int processors = wn__cuda_info(d)->multiprocessors;
    const wn__cuda_launch l = {
        .grid = {(unsigned)(m.tiles < processors ? m.tiles : processors), 1, 1},
        .block = {WN_KRON_RANK_THREADS, 1, 1},
        .shared_bytes = WN_KRON_RANK_SHARED};
    const bool bf16 = x->dtype == WN_DTYPE_BF16;
    return wn__gpu_launch(gpu, &wn__image_kron_rank_sm90a,
                          r->rank == 8 ? (bf16 ? "wn_kron_rank8_bf16" : "wn_kron_rank8_f16")
                                       : (bf16 ? "wn_kron_rank16_bf16" : "wn_kron_rank16_f16"),
                          &l, &m);
}

wn_status wn__kron_mul_sm90a_rank(const void *args, wn__exec *x) {
    const wn__kron_mul *p = args;
    low_rank r;
    if (p->x.shape[0] == 0 || !low_rank_of(p, &r)) return WN_OK;
    const wn_tensor blocks = wn__tensor2((char *)x->scratch + rank_bytes(&r), p->x.dtype,
                                         p->x.shape[0], SIDE * (r.turned ? r.s : r.t));
    WN_TRY(rank_pack(x->gpu, p, &r, x->scratch));
    if (r.turned) {
        WN_TRY(wn__gpu_kron_turn_blocks(x->gpu, &p->x, &blocks, 1, SIDE, r.s));
        return rank_multiply(x->gpu, &blocks, &p->y, p, &r, x->scratch);
    }
    WN_TRY(rank_multiply(x->gpu, &p->x, &blocks, p, &r, x->scratch));
    return wn__gpu_kron_turn_blocks(x->gpu, &blocks, &p->y, 1, r.t, SIDE);
}

#endif
