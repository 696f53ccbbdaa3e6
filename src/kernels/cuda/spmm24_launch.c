// SPDX-License-Identifier: MIT
// A plan of a product, launched.
#include "kernels/cuda/spmm24_launch.h"

#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/few_plan.h"
#include "kernels/cuda/gpu.h"
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

// One launch: its plan and its features of what the product reads and writes.
typedef struct part {
    const wn__gpu_plan *plan;
    const wn_tensor *x;
    wn_tensor y, residual; /* residual may be absent */
} part;

static int block_of(const wn__spmm24_launch *l) {
    return l->bytes == 1 ? WN_BLOCK8_BYTES : WN_BLOCK24_BYTES;
}

// Those of the last tile along the tokens, where it has fewer than others.
static wn_status make_last_maps(wn__cuda *d, const part *p, unsigned last, unsigned chunk,
                                wn__gpu_spmm24_blocks *a) {
    const unsigned own = WN_SPMM24_PART(last, p->plan->cluster), end = (last - 1) % chunk + 1;
    WN_TRY(wn__cuda_tensor_map(d, p->x, last < own ? last : own, &a->x_last[0]));
    if (last > own) WN_TRY(wn__cuda_tensor_map(d, p->x, last - own, &a->x_last[1]));
    return wn__given(&p->residual) ? wn__cuda_tensor_map(d, &p->residual, end, &a->residual_last)
                                   : WN_OK;
}

static wn_status make_maps(wn__cuda *d, const part *p, int block, wn__gpu_spmm24_blocks *a) {
    const int64_t last = wn__gpu_plan_last(p->plan, p->x->shape[0]);
    const wn__gpu_tile *t = &wn__gpu_tiles[p->plan->tile];
    const unsigned cluster = (unsigned)p->plan->cluster,
                   chunk = WN_SPMM24_CHUNK(t->rows, t->tokens, block),
                   own = (unsigned)WN_SPMM24_PART(t->tokens, p->plan->cluster);
    WN_TRY(wn__cuda_tensor_map(d, p->x, own, &a->x));
    if (cluster * own > (unsigned)t->tokens)
        WN_TRY(wn__cuda_tensor_map(d, p->x, (unsigned)t->tokens - own, &a->x_second));
    if (p->plan->rest > 0)
        WN_TRY(wn__cuda_tensor_map(d, p->x, (unsigned)p->plan->rest / cluster, &a->x_rest));
    if (last > 0) WN_TRY(make_last_maps(d, p, (unsigned)last, chunk, a));
    const unsigned tail = (unsigned)WN_SPMM24_TAIL(t->rows, t->tokens, block);
    WN_TRY(wn__cuda_tensor_map(d, &p->y, chunk, &a->y));
    if (tail < chunk) WN_TRY(wn__cuda_tensor_map(d, &p->y, tail, &a->y_tail));
    if (!wn__given(&p->residual)) return WN_OK;
    WN_TRY(wn__cuda_tensor_map(d, &p->residual, chunk, &a->residual));
    return tail < chunk ? wn__cuda_tensor_map(d, &p->residual, tail, &a->residual_tail) : WN_OK;
}

static wn_status launch(wn__exec *x, const wn__spmm24_launch *l, const part *p,
                        wn__gpu_spmm24_blocks *a) {
    enum { ROWS_WALKED_TOGETHER = 4096, WARPGROUP = 128 };
    wn__cuda *d = wn__gpu_device(x->gpu);
    const wn__gpu_plan *plan = p->plan;
    const wn__gpu_tile *t = &wn__gpu_tiles[plan->tile];
    const int cluster = plan->cluster * plan->shared;
    int64_t tiles[3];
    const int block = block_of(l);
    char symbol[64];
    WN_TRY(make_maps(d, p, block, a));
    wn__gpu_plan_tiles(plan, p->y.shape[0], p->y.shape[1], tiles);
    a->tiles_m = (int)tiles[0];
    a->tiles_n = (int)tiles[1];
    a->rest = plan->rest;
    a->rest_tiles_m = plan->rest > 0 ? (int)tiles[0] : 0;
    a->rest_tiles_n = (int)tiles[2];
    a->cluster = plan->cluster;
    a->split = plan->split;
    a->shared = plan->shared;
    a->group = ROWS_WALKED_TOGETHER / (t->rows * plan->cluster);
    a->partial = (float *)(void *)x->scratch;
    a->early = wn__gpu_lets_next_begin(x->gpu);
    if (plan->split > 1)
        WN_TRY(wn__gpu_counters(x->gpu, t->warpgroups * tiles[0] * tiles[1] * plan->cluster,
                                &a->arrived));
    // who shares a sum has one tile; else as many blocks as stay, which walk through all tiles
    const int64_t work = tiles[0] * (tiles[1] * plan->split + tiles[2]);
    int64_t fit = plan->crowd ? 2 : wn__cuda_info(d)->multiprocessors / plan->cluster;
    if (fit < 1) fit = 1; // the driver says what it thinks of a cluster that cannot stay
    const int64_t clusters = work < fit || plan->shared > 1 ? work : fit;
    const wn__cuda_launch launch = {
        .grid = {(unsigned)(clusters * cluster), 1, 1},
        .block = {(unsigned)((t->warpgroups + 1) * WARPGROUP), 1, 1},
        .shared_bytes = (unsigned)WN_SPMM24_SHARED(
            t->rows, t->tokens, t->warpgroups, wn__gpu_tile_stages(plan->tile, l->bytes), block),
        .cluster = (unsigned)cluster,
        .overlap = true};
    (void)snprintf(symbol, sizeof symbol, "%s_%s_%s", l->prefix, t->name,
                   p->y.dtype == WN_DTYPE_BF16 ? "bf16" : "f16");
    return wn__gpu_launch(x->gpu, wn__gpu_tile_wide(plan->tile, l->bytes) ? l->wide : l->image,
                          symbol, &launch, a);
}

// A part whose plan is one for few tokens.
static wn_status launch_few(wn__exec *x, const wn__spmm24_launch *l, const part *p,
                            const wn__gpu_spmm24_blocks *a) {
    wn_tensor blocks = {.data = (void *)(uintptr_t)a->blocks,
                        .dtype = WN_DTYPE_U8,
                        .ndim = 3,
                        .shape = {a->panels, a->steps, block_of(l)}};
    wn_tensor bias = {0};
    if (a->bias != NULL) bias = wn__tensor1((void *)(uintptr_t)a->bias, p->y.dtype, p->y.shape[1]);
    const wn__few_product few = {.x = l->x,
                                 .blocks = &blocks,
                                 .bias = &bias,
                                 .residual = &p->residual,
                                 .y = &p->y,
                                 .bytes = l->bytes,
                                 .relu2 = a->relu2 != 0,
                                 .x_scale = a->x_scale,
                                 .w_scale = a->w_scale,
                                 .x_scale_stride = a->x_scale_stride,
                                 .w_scale_stride = a->w_scale_stride};
    return wn__few_run(x, &few, WN_FEW_ANY);
}

wn_status wn__spmm24_launch_tiles(wn__exec *x, const wn__spmm24_launch *l,
                                  const wn__gpu_spmm24_blocks *a) {
    int64_t before = 0;
    if (l->y->shape[0] == 0 || l->y->shape[1] == 0) return WN_OK;
    for (int i = 0; i < l->plans.count; i++) {
        const int64_t features = l->plans.features[i], panels = before / WN_BLOCK24_ROWS;
        part p = {.plan = &l->plans.part[i],
                  .x = l->x,
                  .y = wn__tensor_slice(l->y, 1, before, features),
                  .residual = *l->residual};
        wn__gpu_spmm24_blocks its = *a;
        if (wn__given(l->residual)) p.residual = wn__tensor_slice(l->residual, 1, before, features);
        its.rows = (int)features;
        its.panels = (int)wn__ceil_div(features, WN_BLOCK24_ROWS);
        its.blocks += (size_t)(panels * a->steps * block_of(l));
        if (a->bias != NULL) its.bias += before;
        if (a->w_scale != NULL) its.w_scale += before * a->w_scale_stride;
        WN_TRY(i == 1 && l->plans.few ? launch_few(x, l, &p, &its) : launch(x, l, &p, &its));
        before += features;
    }
    return WN_OK;
}

#endif
