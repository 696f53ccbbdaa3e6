// SPDX-License-Identifier: MIT
// kron_grad and kron_pair_grad of factors with wide blocks on a GPU: products of what a block gave
// back and what it took, summed over vectors, part by part; blocks that lie interleaved are put
// side by side first.
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron.h"
#include "kernels/cuda/kron_wide.h"
#include "kernels/declare.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_pair_grad.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

enum { SIDE = WN_KRON_WIDE_SIDE };

// The gradient of [groups][b][c] from vectors that have blocks side by side.
typedef struct product {
    int64_t groups, b, c, n;
    int64_t vectors, parts;
} product;

static int64_t tiles_of(const product *p) {
    const wn__kron_wide_tile t = wn__kron_wide_tile_of(p->c);
    return p->groups * wn__ceil_div(p->b, t.rows) * (p->c / t.columns);
}

// Parts of the batch as sizes say, for an H200's processors.
static product product_of(int64_t groups, int64_t b, int64_t c, int64_t n) {
    enum { PART = 8 };
    product p = {.groups = groups, .b = b, .c = c, .n = n};
    const int64_t steps = wn__ceil_div(n, SIDE);
    p.parts = wn__gpu_kron_parts(tiles_of(&p), steps, WN__KRON_H200, PART);
    p.vectors = wn__ceil_div(steps, p.parts) * SIDE;
    p.parts = n > 0 ? wn__ceil_div(n, p.vectors) : 0;
    return p;
}

static size_t sum_bytes(const product *p) {
    return wn__cuda_whole((size_t)(p->parts * p->groups * p->b * p->c) * sizeof(float));
}
static size_t batch_bytes(int64_t n, int64_t features) {
    return wn__cuda_whole((size_t)(n * features) * 2);
}

static wn_status multiply(wn__gpu *gpu, const product *p, const wn_tensor *dy, const wn_tensor *x,
                          float *sums) {
    wn__cuda *d = wn__gpu_device(gpu);
    const wn__kron_wide_tile t = wn__kron_wide_tile_of(p->c);
    wn__gpu_kron_product a = {.sums = sums,
                              .n = (int)p->n,
                              .groups = (int)p->groups,
                              .b = (int)p->b,
                              .c = (int)p->c,
                              .tiles = (int)(tiles_of(p) * p->parts),
                              .vectors = (int)p->vectors};
    WN_TRY(wn__cuda_tensor_map(d, dy, SIDE, &a.rows));
    WN_TRY(wn__cuda_tensor_map(d, x, SIDE, &a.columns));
    return wn__kron_wide_launch(gpu, "wn_kron_wide_grad", &t, &a, x->dtype);
}

// dw from the sums, [a d][b][c] of the size and the strides that are given.
static wn_status add_up(wn__gpu *gpu, const product *p, float *sums, const wn_tensor *dw,
                        const int64_t size[4], const int64_t stride[4], bool accumulate,
                        bool bf16) {
    wn__gpu_kron_grad a = {.sums = sums,
                           .dw = dw->data,
                           .n = (int)p->n,
                           .a = (int)size[0],
                           .b = (int)size[1],
                           .c = (int)size[2],
                           .d = (int)size[3],
                           .parts = (int)p->parts,
                           .f32 = dw->dtype == WN_DTYPE_F32,
                           .accumulate = accumulate};
    for (int i = 0; i < 4; i++)
        a.stride[i] = stride[i];
    return wn__gpu_kron_add_up(gpu, &a, bf16);
}

static bool fits(const product *p, const wn_tensor *x, const wn_tensor *dy, char *why, size_t n) {
    const int64_t numbers = p->groups * p->b * p->c;
    if (p->b % SIDE != 0 || p->c % SIDE != 0)
        (void)snprintf(why, n, "blocks of %lld x %lld are not multiples of %d", (long long)p->b,
                       (long long)p->c, SIDE);
    else if (numbers > INT_MAX / 2 || p->n * p->groups * (p->b + p->c) / SIDE > INT_MAX / 2)
        (void)snprintf(why, n, "%lld vectors, %lld weights are more than a launch counts",
                       (long long)p->n, (long long)numbers);
    else if (!wn__gpu_kron_wide(x) || !wn__gpu_kron_wide(dy))
        (void)snprintf(why, n, "x or dy is not batch first with rows of whole 16 bytes");
    else
        return true;
    return false;
}

static double flops_of(const product *p) {
    return 2.0 * (double)p->n * (double)p->groups * (double)p->b * (double)p->c;
}
static double bytes_of(const product *p) {
    return 2.0 * (double)p->n * (double)p->groups * (double)(p->b + p->c);
}

// ---- one factor

static product factor_of(const wn__kron_grad *p) {
    const wn__kron_size s = wn__kron_size_of(&p->dw);
    return product_of(s.a * s.d, s.b, s.c, p->x.shape[0]);
}

bool wn__accepts_gpu_kron_grad_wide(const void *args, char *why, size_t n) {
    const wn__kron_grad *p = args;
    const product f = factor_of(p);
    const int64_t d = p->dw.shape[3];
    if (!wn__gpu_kron_accepts(&p->x, &p->dw, why, n) || !fits(&f, &p->x, &p->dy, why, n))
        return false;
    const double turns = d > 1 ? wn__kron_turn_seconds(2 * bytes_of(&f)) : 0;
    if (!wn__kron_wide_turns(d))
        (void)snprintf(why, n, "%lld interleaved blocks are not 2, 4 or a multiple of 8",
                       (long long)d);
    else if (f.n > 0 && wn__kron_wide_seconds(flops_of(&f), bytes_of(&f)) + turns >=
                            wn__kron_narrow_seconds(flops_of(&f), bytes_of(&f)))
        (void)snprintf(why, n, "putting blocks side by side takes longer than it saves");
    else
        return true;
    return false;
}

// Sums; x and dy with blocks side by side.
size_t wn__workspace_kron_grad_sm90a_wide(const void *args, int threads) {
    const wn__kron_grad *p = args;
    const product f = factor_of(p);
    (void)threads;
    return sum_bytes(&f) + (p->dw.shape[3] == 1 ? 0
                                                : batch_bytes(f.n, p->x.shape[1]) +
                                                      batch_bytes(f.n, p->dy.shape[1]));
}

wn_status wn__kron_grad_sm90a_wide(const void *args, wn__exec *e) {
    const wn__kron_grad *p = args;
    const product f = factor_of(p);
    const int64_t a = p->dw.shape[0], d = p->dw.shape[3];
    float *sums = (float *)(void *)e->scratch;
    wn_tensor x = p->x, dy = p->dy;
    if (d > 1 && f.n > 0) {
        x = wn__tensor2(e->scratch + sum_bytes(&f), p->x.dtype, f.n, p->x.shape[1]);
        dy = wn__tensor2((char *)x.data + batch_bytes(f.n, x.shape[1]), p->x.dtype, f.n,
                         p->dy.shape[1]);
        WN_TRY(wn__kron_wide_turn(e->gpu, &p->x, &x, a, f.c, d, true));
        WN_TRY(wn__kron_wide_turn(e->gpu, &p->dy, &dy, a, f.b, d, true));
    }
    if (f.n > 0) WN_TRY(multiply(e->gpu, &f, &dy, &x, sums));
    return add_up(e->gpu, &f, sums, &p->dw, p->dw.shape, p->dw.stride, p->accumulate,
                  p->x.dtype == WN_DTYPE_BF16);
}

// ---- both factors of (s, R t, c, 1)(1, b, R s, t): what lies between is made again, t, s, R for
// the second factor's gradient and s, t, R for the first one's

typedef struct pair {
    wn__kron_mul forward, back; // h = x K_0^T, g = dy K_1
    wn__kron_wide h, g;
    product first, second;
    int64_t s, t, rank;
    size_t turned, middle; // bytes of dy with blocks side by side, of h or g
} pair;

static bool pair_of(const wn__kron_pair_grad *p, pair *out, char *why, size_t n) {
    // the chain that dx is has the turned second factor first, and gives what the turned first
    // takes
    wn__kron_mul forward = {.x = p->x, .y = p->dy, .w = {p->w0, p->w1}, .count = 2};
    wn__kron_mul back = {.x = p->dy, .y = p->x, .w = {p->w1, p->w0}, .count = 2};
    for (int i = 0; i < 2; i++)
        for (int j = 1; j < 3; j++) {
            const wn_tensor *w = i == 0 ? &p->w1 : &p->w0;
            back.w[i].shape[j] = w->shape[3 - j];
            back.w[i].stride[j] = w->stride[3 - j];
        }
    if (!wn__kron_wide_of(&forward, &out->h, why, n) || !wn__kron_wide_of(&back, &out->g, why, n))
        return false;
    out->forward = forward;
    out->back = back;
    out->s = p->w0.shape[0];
    out->t = p->w1.shape[3];
    out->rank = p->w0.shape[1] / out->t;
    if (p->w0.shape[3] == 1 && p->w1.shape[0] == 1 && out->h.turn_in == 1) {
        const int64_t rows = p->x.shape[0];
        out->first = product_of(out->s, p->w0.shape[1], p->w0.shape[2], rows);
        out->second = product_of(out->t, p->w1.shape[1], p->w1.shape[2], rows);
        out->turned = batch_bytes(rows, p->dy.shape[1]);
        out->middle = batch_bytes(rows, out->s * out->t * out->rank);
        return true;
    }
    (void)snprintf(why, n, "not (s, R t, c, 1)(1, b, R s, t)");
    return false;
}

bool wn__accepts_gpu_kron_pair_wide(const void *args, char *why, size_t n) {
    const wn__kron_pair_grad *p = args;
    pair k;
    if (!wn__gpu_kron_accepts(&p->x, &p->w0, why, n) ||
        !wn__gpu_kron_accepts(&p->x, &p->w1, why, n) || !pair_of(p, &k, why, n) ||
        !fits(&k.first, &p->x, &p->dy, why, n) || !fits(&k.second, &p->x, &p->dy, why, n))
        return false;
    double wide =
        k.t > 1 ? wn__kron_turn_seconds(4.0 * (double)p->x.shape[0] * (double)p->dy.shape[1]) : 0;
    double narrow = 0;
    const product *const f[] = {&k.first, &k.second};
    for (int i = 0; i < 2; i++) {
        wide += 2 * wn__kron_wide_seconds(flops_of(f[i]), bytes_of(f[i]));
        narrow += 2 * wn__kron_narrow_seconds(flops_of(f[i]), bytes_of(f[i]));
    }
    if (wide < narrow || p->x.shape[0] == 0) return true;
    (void)snprintf(why, n, "putting blocks side by side takes longer than it saves");
    return false;
}

static size_t weights_of(const pair *k) {
    const size_t h = wn__kron_wide_bytes(&k->h.factor[0]), g = wn__kron_wide_bytes(&k->g.factor[0]);
    return h > g ? h : g;
}

// Weights of a factor, dy with blocks side by side, what lies between, sums.
size_t wn__workspace_kron_pair_grad_sm90a_wide(const void *args, int threads) {
    pair k;
    char why[160];
    (void)threads;
    if (!pair_of(args, &k, why, sizeof why)) return 0;
    const size_t first = sum_bytes(&k.first), second = sum_bytes(&k.second);
    return weights_of(&k) + k.turned + k.middle + (first > second ? first : second);
}

wn_status wn__kron_pair_grad_sm90a_wide(const void *args, wn__exec *e) {
    const wn__kron_pair_grad *p = args;
    const bool bf16 = p->x.dtype == WN_DTYPE_BF16;
    const int64_t n = p->x.shape[0], *w0 = p->dw0.stride;
    pair k;
    char why[160];
    if (!pair_of(p, &k, why, sizeof why)) return wn__fail(WN_INVALID, "kron_pair_grad: %s", why);
    char *at = e->scratch + weights_of(&k);
    wn_tensor dy = p->dy, middle = wn__tensor2(at + k.turned, p->x.dtype, n, k.s * k.t * k.rank);
    float *sums = (float *)(void *)(at + k.turned + k.middle);
    if (n > 0) {
        if (k.t > 1) {
            dy = wn__tensor2(at, p->x.dtype, n, p->dy.shape[1]);
            WN_TRY(wn__kron_wide_turn(e->gpu, &p->dy, &dy, 1, p->w1.shape[1], k.t, true));
        }
        WN_TRY(wn__kron_wide_multiply(e->gpu, &k.h.factor[0], e->scratch, &p->x, &middle));
        WN_TRY(multiply(e->gpu, &k.second, &dy, &middle, sums));
    }
    WN_TRY(
        add_up(e->gpu, &k.second, sums, &p->dw1, p->dw1.shape, p->dw1.stride, p->accumulate, bf16));
    if (n > 0) {
        WN_TRY(wn__kron_wide_multiply(e->gpu, &k.g.factor[0], e->scratch, &dy, &middle));
        WN_TRY(multiply(e->gpu, &k.first, &middle, &p->x, sums));
    }
    // output t, R of a block is R t + t
    const int64_t size[] = {k.s, k.rank, k.first.c, k.t};
    const int64_t stride[] = {w0[0], k.t * w0[1], w0[2], w0[1]};
    return add_up(e->gpu, &k.first, sums, &p->dw0, size, stride, p->accumulate, bf16);
}

#endif
