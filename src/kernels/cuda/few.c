// SPDX-License-Identifier: MIT
// spmm24_blocks and spmm24_blocks8 of few tokens on a GPU: what is launched for which arguments.
#include "base/fail.h"
#include "kernels/block8.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_few.h"
#include "kernels/cuda/few_plan.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/spmm24_launch.h"
#include "kernels/declare.h"
#include "kernels/spmm24_blocks.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

static wn__few_product of16(const wn__spmm24_blocks *p) {
    return (wn__few_product){.x = &p->x,
                             .blocks = &p->blocks,
                             .bias = &p->bias,
                             .residual = &p->residual,
                             .y = &p->y,
                             .bytes = 2,
                             .relu2 = p->relu2};
}
static wn__few_product of8(const wn__spmm24_blocks8 *p) {
    return (wn__few_product){.x = &p->x,
                             .blocks = &p->blocks,
                             .bias = &p->bias,
                             .residual = &p->residual,
                             .y = &p->y,
                             .bytes = 1,
                             .relu2 = p->relu2,
                             .x_scale = p->x_scale.data,
                             .w_scale = p->w_scale.data,
                             .x_scale_stride = p->x_scale.shape[0] > 1,
                             .w_scale_stride = p->w_scale.shape[0] > 1};
}

static wn__few_plan plan_of(const wn__few_product *p, int shape) {
    return wn__few_plan_of(p->x->shape[0], p->y->shape[1], p->x->shape[1], p->bytes, shape);
}

// What every shape wants.
static bool accepts(const wn__few_product *p, char *why, size_t n) {
    enum { GRID = 65535, TOKENS = 32768 };
    const int64_t most = INT_MAX - 1024, step = 16 / p->bytes;
    if (p->x->shape[0] > 1 && p->x->stride[0] % step != 0)
        (void)snprintf(why, n, "rows of x %lld elements apart, not a multiple of %lld",
                       (long long)p->x->stride[0], (long long)step);
    else if (p->x->shape[0] > TOKENS || p->blocks->shape[0] > GRID)
        (void)snprintf(why, n, "%lld tokens and %lld outputs are more than a grid of tiles holds",
                       (long long)p->x->shape[0], (long long)p->y->shape[1]);
    else if (p->x->shape[1] > most || p->y->shape[1] > most)
        (void)snprintf(why, n, "a size is beyond 2^31");
    else
        return true;
    return false;
}

// And where it is the fastest, of what `tiles` takes too.
static bool wins(const wn__few_product *p, bool tiles, char *why, size_t n) {
    const int64_t T = p->x->shape[0], outputs = p->y->shape[1];
    if (!tiles || wn__few_is_faster(T, outputs, p->x->shape[1], p->bytes)) return true;
    (void)snprintf(why, n, "tiles are faster for %lld tokens and %lld outputs", (long long)T,
                   (long long)outputs);
    return false;
}

static bool accepts16(const wn__spmm24_blocks *p, char *why, size_t n) {
    const wn__few_product all = of16(p);
    if (p->gate)
        (void)snprintf(why, n, "a gate has no device code for few tokens");
    else if (p->x.dtype != p->values)
        (void)snprintf(why, n, "x of %s and blocks of %s", wn_dtype_name(p->x.dtype),
                       wn_dtype_name(p->values));
    else
        return accepts(&all, why, n);
    return false;
}

static bool accepts8(const wn__spmm24_blocks8 *p, char *why, size_t n) {
    const wn__few_product all = of8(p);
    if (p->y.dtype != WN_DTYPE_BF16 && p->y.dtype != WN_DTYPE_F16)
        (void)snprintf(why, n, "y is %s, not BF16 or F16", wn_dtype_name(p->y.dtype));
    else if (p->x_scale.dtype != WN_DTYPE_F32)
        (void)snprintf(why, n, "scales are %s, not F32", wn_dtype_name(p->x_scale.dtype));
    else
        return accepts(&all, why, n);
    return false;
}

bool wn__accepts_gpu_few_shape(const void *args, char *why, size_t n) {
    return accepts16(args, why, n);
}
bool wn__accepts_gpu_few8_shape(const void *args, char *why, size_t n) {
    return accepts8(args, why, n);
}
bool wn__accepts_gpu_few(const void *args, char *why, size_t n) {
    char other[160];
    const wn__few_product p = of16(args);
    return accepts16(args, why, n) &&
           wins(&p, wn__accepts_gpu_spmm24_bulk(args, other, sizeof other), why, n);
}
bool wn__accepts_gpu_few8(const void *args, char *why, size_t n) {
    char other[160];
    const wn__few_product p = of8(args);
    return accepts8(args, why, n) &&
           wins(&p, wn__accepts_gpu_spmm24_blocks8(args, other, sizeof other), why, n);
}

static bool at16(const wn_tensor *t) {
    return (uintptr_t)t->data % 16 == 0 && t->stride[0] % 8 == 0;
}

// Which blocks and units are whose.
static void divide(wn__gpu_few *a, const wn__few_plan *plan) {
    const wn__few_shape *s = &wn__few_shapes[plan->shape];
    const int own = s->tokens / s->halves, used = plan->box < own ? plan->box : own;
    const int units = WN_FEW_UNITS(own, used);
    for (int i = 0; i <= WN_FEW_MOST_SPLIT; i++) {
        const int rank = i < plan->split ? i : plan->split;
        a->block_of[i] = (int)((int64_t)a->depth * rank / plan->split);
        a->unit_of[i] = units * rank / plan->split;
    }
    a->sent = WN_FEW_SENT(1, own, used, plan->split);
    a->apart = plan->apart ? s->panels * s->halves * a->sent : 0;
}

// What both ops tell the device code.
static wn__gpu_few arguments(const wn__few_product *p, const wn__few_plan *plan,
                             const wn__exec *x) {
    const bool residual = wn__given(p->residual);
    wn__gpu_few a = {.blocks = p->blocks->data,
                     .bias = wn__given(p->bias) ? p->bias->data : NULL,
                     .residual = residual ? p->residual->data : NULL,
                     .y = p->y->data,
                     .residual_stride = residual ? p->residual->stride[0] : 0,
                     .y_stride = p->y->stride[0],
                     .tokens = (int)p->x->shape[0],
                     .outputs = (int)p->y->shape[1],
                     .panels = (int)p->blocks->shape[0],
                     .depth = (int)p->blocks->shape[1],
                     .x_scale = p->x_scale,
                     .w_scale = p->w_scale,
                     .x_scale_stride = p->x_scale_stride,
                     .w_scale_stride = p->w_scale_stride,
                     .relu2 = p->relu2,
                     .split = plan->split,
                     .stages = plan->stages,
                     .box = plan->box,
                     .kept = plan->kept,
                     .whole =
                         p->y->shape[1] % 8 == 0 && at16(p->y) && (!residual || at16(p->residual)),
                     .early = wn__gpu_lets_next_begin(x->gpu)};
    divide(&a, plan);
    return a;
}

static wn_status make_maps(wn__cuda *d, const wn_tensor *x, wn__gpu_few *a) {
    a->rest = a->tokens % a->box;
    if (a->depth == 0) return WN_OK;
    if (a->tokens >= a->box) WN_TRY(wn__cuda_tensor_map(d, x, (unsigned)a->box, &a->x[0]));
    if (a->rest > 0) WN_TRY(wn__cuda_tensor_map(d, x, (unsigned)a->rest, &a->x[1]));
    return WN_OK;
}

static wn_status launch(wn__exec *x, const wn__few_product *p, const wn__few_plan *plan,
                        wn__gpu_few *a) {
    const wn__few_shape *s = &wn__few_shapes[plan->shape];
    const unsigned groups = (unsigned)wn__ceil_div(a->panels, s->panels);
    const unsigned tiles = (unsigned)wn__ceil_div(a->tokens, a->box);
    const unsigned split = (unsigned)plan->split;
    char symbol[64];
    if (a->tokens == 0 || a->outputs == 0) return WN_OK;
    WN_TRY(make_maps(wn__gpu_device(x->gpu), p->x, a));
    // beside each other run those that share tokens where a sum is divided, else weights
    const wn__cuda_launch l = {
        .grid = {split > 1 ? split * groups : tiles, split > 1 ? tiles : groups, 1},
        .block = {(unsigned)WN_FEW_THREADS(s->panels * s->halves), 1, 1},
        .shared_bytes = plan->shared_bytes,
        .cluster = split,
        .overlap = true};
    (void)snprintf(symbol, sizeof symbol, "wn_few%s_%s_%dx%d", p->bytes == 1 ? "8" : "",
                   p->y->dtype == WN_DTYPE_F16 ? "f16" : "bf16", 64 * s->panels, s->tokens);
    return wn__gpu_launch(x->gpu, p->bytes == 1 ? &wn__image_few8_sm90a : &wn__image_few_sm90a,
                          symbol, &l, a);
}

wn_status wn__few_run(wn__exec *x, const wn__few_product *p, int shape) {
    const wn__few_plan plan = plan_of(p, shape);
    wn__gpu_few a = arguments(p, &plan, x);
    return launch(x, p, &plan, &a);
}

static wn_status run16(const wn__spmm24_blocks *p, wn__exec *x, int shape) {
    const wn__few_product all = of16(p);
    return wn__few_run(x, &all, shape);
}

static wn_status run8(const wn__spmm24_blocks8 *p, wn__exec *x, int shape) {
    const wn__few_product all = of8(p);
    return wn__few_run(x, &all, shape);
}

wn_status wn__spmm24_blocks_sm90a_few(const void *args, wn__exec *x) {
    return run16(args, x, WN_FEW_ANY);
}
wn_status wn__spmm24_blocks8_sm90a_few(const void *args, wn__exec *x) {
    return run8(args, x, WN_FEW_ANY);
}

enum {
#define INDEX(outputs, tokens, halves, deep, most) SHAPE_##outputs##X##tokens,
    WN_FEW_SHAPES(INDEX)
#undef INDEX
};
#define VARIANT(outputs, tokens, halves, deep, most)                                               \
    wn_status wn__spmm24_blocks_sm90a_few_##outputs##x##tokens(const void *args, wn__exec *x) {    \
        return run16(args, x, SHAPE_##outputs##X##tokens);                                         \
    }                                                                                              \
    wn_status wn__spmm24_blocks8_sm90a_few_##outputs##x##tokens(const void *args, wn__exec *x) {   \
        return run8(args, x, SHAPE_##outputs##X##tokens);                                          \
    }
WN_FEW_SHAPES(VARIANT)

#endif
