// SPDX-License-Identifier: MIT
// spmm24_blocks on a GPU: what is launched for which arguments.
#include "kernels/spmm24_blocks.h"

#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/spmm24_launch.h"
#include "kernels/cuda/spmm24_sm80.h"
#include "kernels/declare.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

bool wn__accepts_gpu_spmm24_blocks(const void *args, char *why, size_t n) {
    const wn__spmm24_blocks *p = args;
    const wn_tensor *const t[3] = {&p->x, &p->y, &p->residual};
    static const char *const name[3] = {"x", "y", "residual"};
    const int64_t most = INT_MAX - 1024; // tiles go a little beyond
    if (p->x.dtype != p->values) {
        (void)snprintf(why, n, "x is %s, blocks hold %s", wn_dtype_name(p->x.dtype),
                       wn_dtype_name(p->values));
        return false;
    }
    if (p->x.shape[1] == 0) {
        (void)snprintf(why, n, "k is 0");
        return false;
    }
    if (p->x.shape[0] > most || p->x.shape[1] > most || p->y.shape[1] > most) {
        (void)snprintf(why, n, "a size is beyond 2^31");
        return false;
    }
    for (int i = 0; i < 3; i++)
        if (wn__given(t[i]) && t[i]->shape[0] > 1 && t[i]->stride[0] % 8 != 0) {
            (void)snprintf(why, n, "row stride %lld of %s is not a multiple of 8",
                           (long long)t[i]->stride[0], name[i]);
            return false;
        }
    return true;
}

// Bulk stores write 16 bytes or nothing, so a row of results is made of whole ones.
bool wn__accepts_gpu_spmm24_bulk(const void *args, char *why, size_t n) {
    const wn__spmm24_blocks *p = args;
    if (!wn__accepts_gpu_spmm24_blocks(args, why, n)) return false;
    if (p->y.shape[1] % 8 == 0) return true;
    (void)snprintf(why, n, "n=%lld is not a multiple of 8", (long long)p->y.shape[1]);
    return false;
}

// What every variant's device code is told.
static wn__gpu_spmm24_blocks arguments(const wn__spmm24_blocks *p) {
    const bool residual = wn__given(&p->residual);
    return (wn__gpu_spmm24_blocks){
        .x_data = p->x.data,
        .residual_data = residual ? p->residual.data : NULL,
        .y_data = p->y.data,
        .x_stride = p->x.stride[0],
        .y_stride = p->y.stride[0],
        .residual_stride = residual ? p->residual.stride[0] : 0,
        .blocks = p->blocks.data,
        .bias = wn__given(&p->bias) ? p->bias.data : NULL,
        .tokens = (int)p->x.shape[0],
        .rows = (int)p->y.shape[1],
        .columns = (int)p->x.shape[1],
        .panels = (int)p->blocks.shape[0],
        .steps = (int)p->blocks.shape[1],
        .split = 1,
        .cluster = 1,
        .shared = 1,
        .relu2 = p->relu2,
        .gate = p->gate,
        .residual_given = residual,
    };
}

// A gate has no device code for few tokens.
static wn__gpu_plans plans_of(const wn__spmm24_blocks *p, wn__gpu_plan_wish wish) {
    if (p->gate) wish.few = 0;
    return wn__gpu_plans_of(p->x.shape[0], p->y.shape[1], p->x.shape[1], wish);
}

static size_t workspace(const void *args, wn__gpu_plan_wish wish) {
    const wn__spmm24_blocks *p = args;
    const wn__gpu_plans plans = plans_of(p, wish);
    return wn__gpu_plans_workspace(&plans, p->x.shape[0]);
}

static wn_status run_sm90a(const wn__spmm24_blocks *p, wn__exec *x, wn__gpu_plan_wish wish) {
    wn__gpu_spmm24_blocks a = arguments(p);
    const wn__spmm24_launch l = {.x = &p->x,
                                 .y = &p->y,
                                 .residual = &p->residual,
                                 .image = &wn__image_spmm24_blocks_sm90a,
                                 .wide = &wn__image_spmm24_blocks_wide_sm90a,
                                 .prefix = "wn_spmm24_blocks",
                                 .plans = plans_of(p, wish),
                                 .bytes = wish.bytes};
    return wn__spmm24_launch_tiles(x, &l, &a);
}

wn_status wn__spmm24_blocks_sm80(const void *args, wn__exec *x) {
    enum { ROWS_WALKED_TOGETHER = 2048 };
    const wn__spmm24_blocks *p = args;
    wn__gpu_spmm24_blocks a = arguments(p);
    a.tiles_m = (int)wn__ceil_div(a.rows, WN_SPMM24_SM80_ROWS);
    a.tiles_n = (int)wn__ceil_div(a.tokens, WN_SPMM24_SM80_TOKENS);
    a.group = ROWS_WALKED_TOGETHER / WN_SPMM24_SM80_ROWS;
    const wn__cuda_launch l = {.grid = {(unsigned)a.tiles_m * (unsigned)a.tiles_n, 1, 1},
                               .block = {WN_SPMM24_SM80_THREADS, 1, 1},
                               .shared_bytes = WN_SPMM24_SM80_SHARED};
    return wn__gpu_launch(
        x->gpu, &wn__image_spmm24_blocks_sm80,
        p->values == WN_DTYPE_BF16 ? "wn_spmm24_blocks_bf16" : "wn_spmm24_blocks_f16", &l, &a);
}

#define VARIANT_OF(name, ...)                                                                      \
    size_t wn__workspace_spmm24_blocks_##name(const void *args, int threads) {                     \
        (void)threads;                                                                             \
        return workspace(args, (wn__gpu_plan_wish){__VA_ARGS__});                                  \
    }                                                                                              \
    wn_status wn__spmm24_blocks_##name(const void *args, wn__exec *x) {                            \
        return run_sm90a(args, x, (wn__gpu_plan_wish){__VA_ARGS__});                               \
    }
#define VARIANT(name, tile, cluster, shared, rest)                                                 \
    VARIANT_OF(name, tile, cluster, shared, 2, rest, 0, 0)

VARIANT_OF(sm90a, WN_TILE_ANY, .bytes = 2, .few = 1)
VARIANT_OF(sm90a_parts, WN_TILE_ANY, .bytes = 2, .parts = 2)
VARIANT_OF(sm90a_parts_few, WN_TILE_ANY, .bytes = 2, .parts = 2, .few = 1)
#define TILE(rows, tokens, stages)                                                                 \
    VARIANT(sm90a_##rows##x##tokens, WN_TILE_##rows##X##tokens, 1, 1, 0)                           \
    VARIANT(sm90a_##rows##x##tokens##x2, WN_TILE_##rows##X##tokens, 2, 1, 0)
WN_TILES(TILE)
#define SHARED(rows, tokens, blocks)                                                               \
    VARIANT(sm90a_##rows##x##tokens##s##blocks, WN_TILE_##rows##X##tokens, 1, blocks, 0)
WN_SHARED_TILES(SHARED)
#define NARROW(tokens)                                                                             \
    VARIANT(sm90a_256x192r##tokens, WN_TILE_256X192, 1, 1, tokens)                                 \
    VARIANT(sm90a_256x192x2r##tokens, WN_TILE_256X192, 2, 1, tokens)
WN_NARROW_TILES(NARROW)

#endif
