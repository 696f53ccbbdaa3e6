// SPDX-License-Identifier: MIT
// embed, squared_error, gradient_norms and fit_update on a GPU: what is launched for which
// arguments.
#include "kernels/fit.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_fit.h"
#include "kernels/cuda/images.h"
#include "kernels/declare.h"
#include "kernels/embed.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

_Static_assert(WN_FIT_PARTS_MOST == (int)WN__FIT_PARTS, "parts of a gradient");

static bool is_16bit(const wn_tensor *t) {
    return t->dtype == WN_DTYPE_BF16 || t->dtype == WN_DTYPE_F16;
}

// Of the functions of F32, BF16 and F16.
static int which_of(const wn_tensor *t) {
    return t->dtype == WN_DTYPE_F32 ? 0 : t->dtype == WN_DTYPE_BF16 ? 1 : 2;
}

// ---- embed

bool wn__accepts_gpu_embed(const void *args, char *why, size_t n) {
    const wn__embed *p = args;
    if (p->out.shape[1] <= (int64_t)INT_MAX) return true;
    (void)snprintf(why, n, "rows of %lld numbers", (long long)p->out.shape[1]);
    return false;
}

static wn_status refuse_token(const void *args) {
    const wn__embed *p = args;
    const int32_t *id = p->token.data;
    for (int64_t i = 0; i < p->token.shape[0]; i++)
        if (id[i] < 0 || id[i] >= p->table.shape[0])
            return wn__fail(WN_INVALID, "token %d at position %lld is outside 0 to %lld",
                            (int)id[i], (long long)i, (long long)p->table.shape[0] - 1);
    return WN_OK;
}
static const wn__gpu_refusal embed_refusal = {
    refuse_token, sizeof(wn__embed), {offsetof(wn__embed, token)}, 1};

wn_status wn__embed_sm80(const void *args, wn__exec *x) {
    enum { MOST_ROWS = 32768 };
    const wn__embed *p = args;
    wn__gpu_fault fault;
    const int64_t bytes = p->out.shape[1] * (int64_t)wn_dtype_size(p->out.dtype);
    const uintptr_t all = (uintptr_t)p->table.data | (uintptr_t)p->out.data | (uintptr_t)bytes;
    const int unit = all % 16 == 0 ? 16 : all % 8 == 0 ? 8 : all % 4 == 0 ? 4 : 2;
    WN_TRY(wn__gpu_guard(x->gpu, &embed_refusal, args, &fault));
    wn__gpu_embed a = {.token = p->token.data,
                       .table = p->table.data,
                       .out = p->out.data,
                       .n = p->token.shape[0],
                       .rows = p->table.shape[0],
                       .units = bytes / unit,
                       .fault = fault.word,
                       .number = fault.number};
    const int64_t blocks = wn__ceil_div(a.units, WN_FIT_THREADS);
    // one column at least: tokens are looked at where rows are empty
    const wn__cuda_launch l = {.grid = {blocks > 0 ? (unsigned)blocks : 1,
                                        (unsigned)(a.n < MOST_ROWS ? a.n : MOST_ROWS), 1},
                               .block = {WN_FIT_THREADS, 1, 1}};
    return wn__gpu_launch(x->gpu, &wn__image_fit_sm80,
                          unit == 16  ? "wn_embed_16"
                          : unit == 8 ? "wn_embed_8"
                          : unit == 4 ? "wn_embed_4"
                                      : "wn_embed_2",
                          &l, &a);
}

// ---- squared_error

bool wn__accepts_gpu_squared_error(const void *args, char *why, size_t n) {
    const wn__squared_error *p = args;
    if (!is_16bit(&p->y) && p->y.dtype != WN_DTYPE_F32)
        (void)snprintf(why, n, "dtype %s is not F32, BF16 or F16", wn_dtype_name(p->y.dtype));
    else if (p->y.shape[0] > INT_MAX - 1024 || p->y.shape[1] > INT_MAX - 1024)
        (void)snprintf(why, n, "%lld x %lld numbers are beyond 2^31", (long long)p->y.shape[0],
                       (long long)p->y.shape[1]);
    else
        return true;
    return false;
}

// Into how many parts rows are cut: by sizes alone. Four blocks of threads for each processor of an
// H200.
static void cut(const wn__squared_error *p, wn__gpu_squared_error *a) {
    enum { BLOCKS = 4 * 132, LEAST = 8 };
    const int64_t n = p->y.shape[0], strips = wn__ceil_div(p->y.shape[1], WN_FIT_STRIP);
    int64_t parts = strips > 0 ? wn__ceil_div(BLOCKS, strips) : 1;
    if (parts > wn__ceil_div(n, LEAST)) parts = wn__ceil_div(n, LEAST);
    const int64_t each = parts > 0 ? wn__ceil_div(n, parts) : 0;
    a->strips = (int)strips;
    a->each = (int)each;
    a->parts = each > 0 ? (int)wn__ceil_div(n, each) : 0;
}

static size_t squares_bytes(const wn__gpu_squared_error *a) {
    return wn__cuda_whole((size_t)a->parts * (size_t)a->strips * sizeof(double));
}

size_t wn__workspace_squared_error_sm80(const void *args, int threads) {
    const wn__squared_error *p = args;
    wn__gpu_squared_error a;
    (void)threads;
    cut(p, &a);
    return squares_bytes(&a) + (size_t)a.parts * (size_t)p->y.shape[1] * sizeof(float);
}

static bool wide(const wn_tensor *t) {
    const int64_t some = 16 / (int64_t)wn_dtype_size(t->dtype);
    return (uintptr_t)t->data % 16 == 0 && (t->shape[0] < 2 || t->stride[0] % some == 0);
}

wn_status wn__squared_error_sm80(const void *args, wn__exec *x) {
    const wn__squared_error *p = args;
    const bool gradient = wn__given(&p->gradient), dbias = wn__given(&p->dbias);
    wn__gpu_squared_error a = {.y = p->y.data,
                               .target = p->target.data,
                               .bias = wn__given(&p->bias) ? p->bias.data : NULL,
                               .gradient = gradient ? p->gradient.data : NULL,
                               .dbias = dbias ? p->dbias.data : NULL,
                               .sum = p->sum.data,
                               .y_row = p->y.stride[0],
                               .target_row = p->target.stride[0],
                               .gradient_row = gradient ? p->gradient.stride[0] : 0,
                               .sum_scale = p->sum_scale,
                               .bias_scale = (float)p->bias_scale,
                               .gradient_scale = (float)p->gradient_scale,
                               .dbias_scale = (float)p->dbias_scale,
                               .n = (int)p->y.shape[0],
                               .m = (int)p->y.shape[1],
                               .accumulate = p->accumulate};
    cut(p, &a);
    a.wide = a.m % 8 == 0 && wide(&p->y) && wide(&p->target) && (!gradient || wide(&p->gradient));
    a.squares = (double *)(void *)x->scratch;
    if (dbias) a.columns = (float *)(void *)(x->scratch + squares_bytes(&a));
    const wn__cuda_launch some = {.grid = {(unsigned)a.strips, (unsigned)a.parts, 1},
                                  .block = {WN_FIT_THREADS, 1, 1}};
    const wn__cuda_launch all = {.grid = {dbias ? 1 + (unsigned)a.strips : 1, 1, 1},
                                 .block = {WN_FIT_THREADS, 1, 1}};
    static const char *const symbols[][2] = {{"wn_squared_error_f32", "wn_squared_error_sum_f32"},
                                             {"wn_squared_error_bf16", "wn_squared_error_sum_bf16"},
                                             {"wn_squared_error_f16", "wn_squared_error_sum_f16"}};
    const char *const *symbol = symbols[which_of(&p->y)];
    WN_TRY(wn__gpu_launch(x->gpu, &wn__image_fit_sm80, symbol[0], &some, &a));
    return wn__gpu_launch(x->gpu, &wn__image_fit_sm80, symbol[1], &all, &a);
}

// ---- gradient_norms

bool wn__accepts_gpu_gradient_norms(const void *args, char *why, size_t n) {
    const wn__gradient_norms *p = args;
    const int64_t most = (int64_t)WN_FIT_CHUNK * (INT_MAX / 2);
    if (p->g.dtype == WN_DTYPE_F32 && p->g.shape[0] <= most) return true;
    (void)snprintf(why, n, "%lld numbers of dtype %s: F32 up to %lld", (long long)p->g.shape[0],
                   wn_dtype_name(p->g.dtype), (long long)most);
    return false;
}

static void chunks(const wn__gradient_norms *p, wn__gpu_gradient_norms *a) {
    int64_t at = 0;
    a->first[0] = 0;
    for (int i = 0; i < p->parts; i++) {
        a->end[i] = p->end[i];
        a->first[i + 1] = a->first[i] + (int)wn__ceil_div(p->end[i] - at, WN_FIT_CHUNK);
        at = p->end[i];
    }
}

size_t wn__workspace_gradient_norms_sm80(const void *args, int threads) {
    const wn__gradient_norms *p = args;
    wn__gpu_gradient_norms a;
    (void)threads;
    chunks(p, &a);
    return (size_t)a.first[p->parts] * sizeof(double);
}

wn_status wn__gradient_norms_sm80(const void *args, wn__exec *x) {
    const wn__gradient_norms *p = args;
    wn__gpu_gradient_norms a = {.g = p->g.data,
                                .squares = (double *)(void *)x->scratch,
                                .sums = p->sums.data,
                                .factor = p->factor.data,
                                .scale = p->scale,
                                .most = p->most,
                                .parts = p->parts};
    chunks(p, &a);
    const wn__cuda_launch some = {.grid = {(unsigned)a.first[p->parts], 1, 1},
                                  .block = {WN_FIT_THREADS, 1, 1}};
    const wn__cuda_launch all = {.grid = {1, 1, 1}, .block = {WN_FIT_THREADS, 1, 1}};
    WN_TRY(wn__gpu_launch(x->gpu, &wn__image_fit_sm80, "wn_gradient_norms", &some, &a));
    return wn__gpu_launch(x->gpu, &wn__image_fit_sm80, "wn_gradient_norms_sum", &all, &a);
}

// ---- fit_update

bool wn__accepts_gpu_fit_update(const void *args, char *why, size_t n) {
    const wn__fit_update *p = args;
    if (p->w.dtype == WN_DTYPE_F32 && (!wn__given(&p->rounded) || is_16bit(&p->rounded)))
        return true;
    (void)snprintf(why, n, "%s rounded to %s: F32 to BF16, to F16 or not at all",
                   wn_dtype_name(p->w.dtype), wn_dtype_name(p->rounded.dtype));
    return false;
}

wn_status wn__fit_update_sm80(const void *args, wn__exec *x) {
    enum { MOST_BLOCKS = 8 * 132 };
    const wn__fit_update *p = args;
    wn__gpu_fit_update a = {.w = p->w.data,
                            .m = p->m.data,
                            .v = wn__given(&p->v) ? p->v.data : NULL,
                            .g = p->g.data,
                            .rounded = wn__given(&p->rounded) ? p->rounded.data : NULL,
                            .step = p->step.data,
                            .factor = p->factor.data,
                            .count = p->w.shape[0],
                            .decay = p->decay,
                            .beta1 = p->beta1,
                            .beta2 = p->beta2,
                            .eps = p->eps,
                            .rule = (int)p->rule};
    const int64_t blocks = wn__ceil_div(a.count, WN_FIT_THREADS);
    const wn__cuda_launch l = {
        .grid = {(unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), 1, 1},
        .block = {WN_FIT_THREADS, 1, 1}};
    static const char *const symbols[] = {"wn_fit_update_f32", "wn_fit_update_bf16",
                                          "wn_fit_update_f16"};
    const int which = wn__given(&p->rounded) ? which_of(&p->rounded) : 0;
    return wn__gpu_launch(x->gpu, &wn__image_fit_sm80, symbols[which], &l, &a);
}

#endif
