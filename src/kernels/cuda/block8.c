// SPDX-License-Identifier: MIT
// The ops on 8-bit operands on a GPU: what is launched for which arguments.
#include "kernels/block8.h"

#include "base/fail.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/spmm24_launch.h"
#include "kernels/declare.h"
#include <limits.h>
#include <stddef.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

enum { THREADS = 256, ROWS = THREADS / 32, INFINITY_BF16 = 0x7F80, INFINITY_F16 = 0x7C00 };

static bool fits_grid(int64_t rows, char *why, size_t n) {
    if (rows <= (int64_t)INT_MAX - 64) return true;
    (void)snprintf(why, n, "%lld rows are more than a grid holds", (long long)rows);
    return false;
}

bool wn__accepts_gpu_rows8(const void *args, char *why, size_t n) {
    return fits_grid(((const wn__rows8 *)args)->x.shape[0], why, n);
}

bool wn__accepts_gpu_block8(const void *args, char *why, size_t n) {
    return fits_grid(((const wn__block8 *)args)->w.shape[0], why, n);
}

static unsigned infinity_of(const wn_tensor *t) {
    return t->dtype == WN_DTYPE_BF16 ? INFINITY_BF16 : INFINITY_F16;
}

static int stride_of(const wn_tensor *scale) {
    return scale->shape[0] > 1 ? 1 : 0;
}

static wn_status launch_rows(const wn__exec *x, const char *name, wn_dtype dtype, int64_t rows,
                             void *argument) {
    char symbol[32];
    const wn__cuda_launch l = {.grid = {(unsigned)wn__ceil_div(rows, ROWS), 1, 1},
                               .block = {THREADS, 1, 1}};
    (void)snprintf(symbol, sizeof symbol, "wn_%s_%s", name,
                   dtype == WN_DTYPE_BF16 ? "bf16" : "f16");
    return wn__gpu_launch(x->gpu, &wn__image_block8_sm80, symbol, &l, argument);
}

wn_status wn__rows8_sm80(const void *args, wn__exec *x) {
    const wn__rows8 *p = args;
    wn__gpu_rows8 a = {.x = p->x.data,
                       .scale = p->scale.data,
                       .y = p->y.data,
                       .rows = p->x.shape[0],
                       .columns = p->x.shape[1],
                       .x_stride = p->x.stride[0],
                       .y_stride = p->y.stride[0],
                       .scale_stride = stride_of(&p->scale),
                       .infinity = infinity_of(&p->x),
                       .given = p->given};
    return launch_rows(x, "rows8", p->x.dtype, a.rows, &a);
}

static wn_status refuse(const void *args) {
    return wn__block8_refuse(args);
}
static const wn__gpu_refusal mask_refusal = {
    refuse, sizeof(wn__block8), {offsetof(wn__block8, mask)}, 1};
static const wn__gpu_refusal nan_refusal = {
    refuse, sizeof(wn__block8), {offsetof(wn__block8, w)}, 1};

wn_status wn__block8_sm80(const void *args, wn__exec *x) {
    const wn__block8 *p = args;
    const bool mask = wn__given(&p->mask);
    wn__gpu_fault fault;
    WN_TRY(wn__gpu_guard(x->gpu, mask ? &mask_refusal : &nan_refusal, args, &fault));
    wn__gpu_block8 a = {.w = p->w.data,
                        .mask = mask ? p->mask.data : NULL,
                        .scale = p->scale.data,
                        .blocks = p->blocks.data,
                        .rows = p->w.shape[0],
                        .columns = p->w.shape[1],
                        .stride = p->w.stride[0],
                        .groups = mask ? p->mask.shape[1] : 0,
                        .scale_stride = stride_of(&p->scale),
                        .infinity = infinity_of(&p->w),
                        .given = p->given,
                        .fault = fault.word,
                        .number = fault.number};
    return launch_rows(x, "block8", p->w.dtype, WN_BLOCK24_ROWS * p->blocks.shape[0], &a);
}

bool wn__accepts_gpu_spmm24_blocks8(const void *args, char *why, size_t n) {
    const wn__spmm24_blocks8 *p = args;
    const int64_t most = INT_MAX - 1024; // tiles go a little beyond
    const wn_tensor *const t[3] = {&p->x, &p->y, &p->residual};
    static const char *const name[3] = {"x", "y", "residual"};
    static const int64_t multiple[3] = {16, 8, 8};
    for (int i = 0; i < 3; i++)
        if (wn__given(t[i]) && t[i]->shape[0] > 1 && t[i]->stride[0] % multiple[i] != 0) {
            (void)snprintf(why, n, "row stride %lld of %s is not a multiple of %lld",
                           (long long)t[i]->stride[0], name[i], (long long)multiple[i]);
            return false;
        }
    if (p->y.dtype != WN_DTYPE_BF16 && p->y.dtype != WN_DTYPE_F16)
        (void)snprintf(why, n, "y is %s, not BF16 or F16", wn_dtype_name(p->y.dtype));
    else if (p->x_scale.dtype != WN_DTYPE_F32)
        (void)snprintf(why, n, "scales are %s, not F32", wn_dtype_name(p->x_scale.dtype));
    else if (p->x.shape[1] == 0)
        (void)snprintf(why, n, "k is 0");
    else if (p->x.shape[0] > most || p->x.shape[1] > most || p->y.shape[1] > most)
        (void)snprintf(why, n, "a size is beyond 2^31");
    else if (p->y.shape[1] % 8 != 0)
        (void)snprintf(why, n, "n=%lld is not a multiple of 8", (long long)p->y.shape[1]);
    else
        return true;
    return false;
}

static wn__gpu_plans plans_of(const wn__spmm24_blocks8 *p, wn__gpu_plan_wish wish) {
    return wn__gpu_plans_of(p->x.shape[0], p->y.shape[1], p->x.shape[1], wish);
}

static size_t workspace(const void *args, wn__gpu_plan_wish wish) {
    const wn__spmm24_blocks8 *p = args;
    const wn__gpu_plans plans = plans_of(p, wish);
    return wn__gpu_plans_workspace(&plans, p->x.shape[0]);
}

static wn_status run_sm90a(const wn__spmm24_blocks8 *p, wn__exec *x, wn__gpu_plan_wish wish) {
    const bool residual = wn__given(&p->residual);
    wn__gpu_spmm24_blocks a = {.blocks = p->blocks.data,
                               .bias = wn__given(&p->bias) ? p->bias.data : NULL,
                               .tokens = (int)p->x.shape[0],
                               .rows = (int)p->y.shape[1],
                               .columns = (int)p->x.shape[1],
                               .panels = (int)p->blocks.shape[0],
                               .steps = (int)p->blocks.shape[1],
                               .relu2 = p->relu2,
                               .residual_given = residual,
                               .x_scale = p->x_scale.data,
                               .w_scale = p->w_scale.data,
                               .x_scale_stride = stride_of(&p->x_scale),
                               .w_scale_stride = stride_of(&p->w_scale)};
    const wn__spmm24_launch l = {.x = &p->x,
                                 .y = &p->y,
                                 .residual = &p->residual,
                                 .image = &wn__image_spmm24_blocks8_sm90a,
                                 .wide = &wn__image_spmm24_blocks8_wide_sm90a,
                                 .prefix = "wn_spmm24_blocks8",
                                 .plans = plans_of(p, wish),
                                 .bytes = wish.bytes};
    return wn__spmm24_launch_tiles(x, &l, &a);
}

#define VARIANT_OF(name, ...)                                                                      \
    size_t wn__workspace_spmm24_blocks8_##name(const void *args, int threads) {                    \
        (void)threads;                                                                             \
        return workspace(args, (wn__gpu_plan_wish){__VA_ARGS__});                                  \
    }                                                                                              \
    wn_status wn__spmm24_blocks8_##name(const void *args, wn__exec *x) {                           \
        return run_sm90a(args, x, (wn__gpu_plan_wish){__VA_ARGS__});                               \
    }
#define VARIANT(name, tile, cluster, shared) VARIANT_OF(name, tile, cluster, shared, 1, 0, 0, 0)

VARIANT_OF(sm90a, WN_TILE_ANY, .bytes = 1, .few = 1)
VARIANT_OF(sm90a_parts, WN_TILE_ANY, .bytes = 1, .parts = 2)
VARIANT_OF(sm90a_parts_few, WN_TILE_ANY, .bytes = 1, .parts = 2, .few = 1)
VARIANT(sm90a_128x256, WN_TILE_128X256, 1, 1)
VARIANT(sm90a_256x208, WN_TILE_256X208, 1, 1)
VARIANT(sm90a_256x208x2, WN_TILE_256X208, 2, 1)
VARIANT(sm90a_256x200, WN_TILE_256X200, 1, 1)
VARIANT(sm90a_256x200x2, WN_TILE_256X200, 2, 1)
VARIANT(sm90a_256x192, WN_TILE_256X192, 1, 1)
VARIANT(sm90a_256x192x2, WN_TILE_256X192, 2, 1)
VARIANT_OF(sm90a_256x192r64, WN_TILE_256X192, 1, 1, 1, 64, 0, 0)
VARIANT_OF(sm90a_256x192x2r128, WN_TILE_256X192, 2, 1, 1, 128, 0, 0)
VARIANT(sm90a_256x176, WN_TILE_256X176, 1, 1)
VARIANT(sm90a_256x176x2, WN_TILE_256X176, 2, 1)
VARIANT(sm90a_256x160, WN_TILE_256X160, 1, 1)
VARIANT(sm90a_256x160x2, WN_TILE_256X160, 2, 1)
VARIANT(sm90a_256x128, WN_TILE_256X128, 1, 1)
VARIANT(sm90a_192x128, WN_TILE_192X128, 1, 1)
VARIANT(sm90a_128x208, WN_TILE_128X208, 1, 1)
VARIANT(sm90a_128x160, WN_TILE_128X160, 1, 1)
VARIANT(sm90a_128x128, WN_TILE_128X128, 1, 1)
VARIANT(sm90a_128x64, WN_TILE_128X64, 1, 1)
VARIANT(sm90a_128x128s2, WN_TILE_128X128, 1, 2)

#endif
