// SPDX-License-Identifier: MIT
// Data of a case on a GPU: random numbers, and structure made of them by the ops themselves.
#include "base/fail.h"
#include "bench/gpu.h"
#include "kernels/block24.h"
#include "kernels/block8.h"
#include "kernels/check/harness.h"
#include "kernels/cuda/args24.h"
#include "kernels/cuda/images.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "kernels/soft24.h"

#include <stdlib.h>
#include <string.h>

wn_status wn__gpu_random(wn__gpu_bench *g, void *to, wn_dtype dtype, int64_t n, uint64_t seed) {
#ifdef WN_HAVE_DEVICE_CODE
    const char *symbol = dtype == WN_DTYPE_F32    ? "wn_random_f32"
                         : dtype == WN_DTYPE_BF16 ? "wn_random_bf16"
                                                  : "wn_random_f16";
    wn__gpu_random_values a = {.to = to, .count = n, .seed = seed << 40, .scale = 1};
    const int64_t wanted = (n + WN_GPU_THREADS - 1) / WN_GPU_THREADS;
    const wn__cuda_launch l = {.grid = {(unsigned)(wanted < 4096 ? wanted : 4096), 1, 1},
                               .block = {WN_GPU_THREADS, 1, 1}};
    if (dtype != WN_DTYPE_F32 && dtype != WN_DTYPE_BF16 && dtype != WN_DTYPE_F16)
        return wn__fail(WN_BUG, "no random numbers of dtype %s", wn_dtype_name(dtype));
    return wn__gpu_launch(g->gpu, &wn__image_random_sm80, symbol, &l, &a);
#else
    (void)g, (void)to, (void)dtype, (void)n, (void)seed;
    return wn__fail(WN_UNSUPPORTED, "device code was %s", wn__device_code());
#endif
}

wn_status wn__gpu_run_op(wn__suite *s, wn__op op, const void *args) {
    wn__gpu_bench *g = s->gpu;
    wn__exec x = {.gpu = g->gpu, .device = {.kind = WN_DEVICE_CUDA}, .planning = true};
    wn__arena scratch = {0};
    void *block = NULL;
    WN_TRY(wn__run(&x, op, args));
    WN_TRY(wn__cuda_arena(g->d, "workspace", x.need, &scratch));
    wn_status status = wn__arena_alloc(&scratch, x.need, &block);
    x.planning = false;
    x.scratch = block;
    x.scratch_size = x.need;
    if (status == WN_OK) status = wn__run(&x, op, args);
    if (status == WN_OK) status = wn__gpu_finish(g->gpu);
    wn__arena_free(&scratch);
    return status;
}

// Elements from the first to the last, gaps of strides too.
static int64_t span_of(const wn_tensor *t) {
    int64_t span = 1;
    for (int d = 0; d < t->ndim; d++)
        span += (t->shape[d] - 1) * t->stride[d];
    return span;
}

static wn_tensor *slot(wn__case *c, const char *name) {
    wn__part *p = wn__case_find(c, name);
    return p == NULL ? NULL : (wn_tensor *)(void *)((char *)c->args + p->offset);
}

// A random matrix of the device, in an arena of its own that the caller frees.
static wn_status random_matrix(wn__suite *s, wn_dtype dtype, int64_t rows, int64_t columns,
                               uint64_t seed, wn__arena *arena, wn_tensor *out) {
    const size_t bytes = (size_t)(rows * columns) * wn_dtype_size(dtype);
    WN_TRY(wn__cuda_arena(s->gpu->d, "random weights", bytes, arena));
    WN_TRY(wn__tensor_alloc2(arena, dtype, rows, columns, out));
    out->device.kind = WN_DEVICE_CUDA;
    return wn__gpu_random(s->gpu, out->data, dtype, rows * columns, seed);
}

// rows8 of random numbers.
static wn_status fill_rows8(wn__suite *s, const wn_tensor *y, const wn_tensor *scale,
                            uint64_t seed) {
    wn__arena arena = {0};
    wn_tensor x;
    wn_status status = random_matrix(s, WN_DTYPE_BF16, y->shape[0], y->shape[1], seed, &arena, &x);
    const wn__rows8 p = {.x = x, .scale = *scale, .y = *y};
    if (status == WN_OK) status = wn__gpu_run_op(s, WN__OP_rows8, &p);
    wn__arena_free(&arena);
    return status;
}

wn_status wn__gpu_random8(wn__suite *s, void *to, int64_t rows, int64_t columns, uint64_t seed) {
    wn__arena arena = {0};
    void *p = NULL;
    wn_status status = wn__cuda_arena(s->gpu->d, "scales", (size_t)rows * sizeof(float), &arena);
    if (status == WN_OK) status = wn__arena_alloc(&arena, (size_t)rows * sizeof(float), &p);
    wn_tensor y = wn__tensor2(to, WN_DTYPE_U8, rows, columns);
    wn_tensor scale = wn__tensor1(p, WN_DTYPE_F32, rows);
    y.device.kind = scale.device.kind = WN_DEVICE_CUDA;
    if (status == WN_OK) status = fill_rows8(s, &y, &scale, seed);
    wn__arena_free(&arena);
    return status;
}

static wn_status fill_mask(wn__suite *s, const wn_tensor *w, wn_tensor *mask, bool tile) {
    const wn__mask24 m = {.w = *w, .mask = *mask, .method = tile ? WN_MASK24_TILE : WN_MASK24_ROW};
    return wn__gpu_run_op(s, WN__OP_mask24, &m);
}

// Makes w 2:4, by a mask in an arena that the caller frees.
static wn_status prune(wn__suite *s, const wn_tensor *w, wn__arena *arena, wn_tensor *mask) {
    const int64_t rows = w->shape[0], groups = wn__ceil_div(w->shape[1], 4);
    WN_TRY(wn__cuda_arena(s->gpu->d, "mask", (size_t)(rows * groups), arena));
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_U8, rows, groups, mask));
    mask->device.kind = WN_DEVICE_CUDA;
    WN_TRY(fill_mask(s, w, mask, false));
    const wn__apply24 a = {.x = *w, .y = *w, .mask = *mask};
    return wn__gpu_run_op(s, WN__OP_apply24, &a);
}

// block8 of random numbers, and their codes written out (dense NULL: not).
static wn_status fill_blocks8(wn__suite *s, const wn_tensor *blocks, const wn_tensor *scale,
                              const wn_tensor *dense, int64_t columns, uint64_t seed) {
    wn__arena arena = {0}, masks = {0};
    wn_tensor w, mask = {0};
    wn_status status = random_matrix(s, WN_DTYPE_BF16, scale->shape[0], columns, seed, &arena, &w);
    if (status == WN_OK) status = prune(s, &w, &masks, &mask);
    const wn__block8 p = {.w = w, .mask = mask, .scale = *scale, .blocks = *blocks};
    if (status == WN_OK) status = wn__gpu_run_op(s, WN__OP_block8, &p);
    if (status == WN_OK && dense != NULL) {
        const wn__rows8 codes = {.x = w, .scale = *scale, .y = *dense, .given = true};
        status = wn__gpu_run_op(s, WN__OP_rows8, &codes);
    }
    wn__arena_free(&arena);
    wn__arena_free(&masks);
    return status;
}

// block24 of random numbers that lie written out as well.
static wn_status fill_both(wn__suite *s, const wn_tensor *blocks, const wn_tensor *dense,
                           uint64_t seed) {
    wn__arena masks = {0};
    wn_tensor mask;
    WN_TRY(wn__gpu_random(s->gpu, dense->data, dense->dtype, span_of(dense), seed));
    wn_status status = prune(s, dense, &masks, &mask);
    const wn__block24 b = {.w = *dense, .mask = mask, .blocks = *blocks};
    if (status == WN_OK) status = wn__gpu_run_op(s, WN__OP_block24, &b);
    wn__arena_free(&masks);
    return status;
}

// Operands of spmm24_blocks8, whose scales are those of rows.
static wn_status fill_product8(wn__suite *s, wn__case *c, uint64_t seed) {
    const wn_tensor *x = slot(c, "x");
    WN_TRY(fill_rows8(s, x, slot(c, "x_scale"), seed));
    return fill_blocks8(s, slot(c, "blocks"), slot(c, "w_scale"), slot(c, "dense"), x->shape[1],
                        seed + 1);
}

// A mask of numbers that nobody sees.
static wn_status fill_alone(wn__suite *s, wn_tensor *mask, uint64_t seed) {
    wn__arena arena = {0};
    wn_tensor w;
    wn_status status =
        random_matrix(s, WN_DTYPE_F32, mask->shape[0], 4 * mask->shape[1], seed, &arena, &w);
    if (status == WN_OK) status = fill_mask(s, &w, mask, false);
    wn__arena_free(&arena);
    return status;
}

// values and index of unpack24.
static wn_status fill_packed(wn__suite *s, wn_tensor *values, wn_tensor *index, uint64_t seed) {
    wn__arena arena = {0}, masks = {0};
    wn_tensor w, mask;
    const int64_t rows = values->shape[0], groups = values->shape[1] / 2;
    wn_status status = random_matrix(s, values->dtype, rows, 4 * groups, seed, &arena, &w);
    if (status == WN_OK)
        status = wn__cuda_arena(s->gpu->d, "mask", (size_t)(rows * groups), &masks);
    if (status == WN_OK) status = wn__tensor_alloc2(&masks, WN_DTYPE_U8, rows, groups, &mask);
    if (status == WN_OK) {
        mask.device.kind = WN_DEVICE_CUDA;
        status = fill_mask(s, &w, &mask, false);
    }
    const wn__pack24 p = {.w = w, .mask = mask, .values = *values, .index = *index};
    if (status == WN_OK) status = wn__gpu_run_op(s, WN__OP_pack24, &p);
    wn__arena_free(&arena);
    wn__arena_free(&masks);
    return status;
}

// Where the device has no variant that packs blocks, the reference does, on the host.
static wn_status pack_on_host(wn__suite *s, const wn_tensor *w, wn_tensor *blocks) {
    const size_t bytes = wn__tensor_bytes(w), packed = wn__tensor_bytes(blocks);
    void *from = malloc(bytes + 1), *to = aligned_alloc(64, (packed / 64 + 1) * 64);
    wn__exec x = {0};
    wn__block24 b = {.w = *w, .blocks = *blocks};
    wn_status status = from != NULL && to != NULL ? WN_OK : wn__fail(WN_NOMEM, "no memory to pack");
    if (status == WN_OK) status = wn__cuda_copy_out(s->gpu->d, from, w->data, bytes);
    if (status == WN_OK) status = wn__cuda_wait(s->gpu->d);
    b.w.data = from;
    b.blocks.data = to;
    b.w.device.kind = b.blocks.device.kind = WN_DEVICE_CPU;
    if (status == WN_OK) status = wn__run(&x, WN__OP_block24, &b);
    if (status == WN_OK) status = wn__cuda_copy_in(s->gpu->d, blocks->data, to, packed);
    if (status == WN_OK) status = wn__cuda_wait(s->gpu->d);
    free(from);
    free(to);
    return status;
}

static wn_status fill_blocks(wn__suite *s, wn_tensor *blocks, uint64_t seed) {
    wn__arena arena = {0};
    wn_tensor w;
    const wn__exec x = {.gpu = s->gpu->gpu, .device = {.kind = WN_DEVICE_CUDA}};
    const wn__kernel *k;
    const wn_dtype dtype = strcmp(s->dtype, "f16") == 0 ? WN_DTYPE_F16 : WN_DTYPE_BF16;
    wn_status status =
        random_matrix(s, dtype, 64 * blocks->shape[0], 64 * blocks->shape[1], seed, &arena, &w);
    const wn__block24 b = {.w = w, .blocks = *blocks};
    if (status == WN_OK) {
        status = wn__plan(&x, WN__OP_block24, &b, &k);
        if (status == WN_OK)
            status = wn__gpu_run_op(s, WN__OP_block24, &b);
        else if (status == WN_UNSUPPORTED)
            status = pack_on_host(s, &w, blocks);
    }
    wn__arena_free(&arena);
    return status;
}

wn_status wn__gpu_fill_case(wn__suite *s, wn__case *c, uint64_t seed) {
    wn_tensor *w = slot(c, "w"), *blocks = slot(c, "blocks"), *dense = slot(c, "dense");
    bool packed = false;
    if (c->type->op == WN__OP_spmm24_blocks8) return fill_product8(s, c, seed);
    for (int i = 0; i < c->parts; i++) {
        const wn__part *p = c->part + i;
        wn_tensor *t = (wn_tensor *)(void *)((char *)c->args + p->offset);
        if (p->role == WN__WRITE) continue;
        if (c->type->op == WN__OP_unpack24) {
            if (!packed) WN_TRY(fill_packed(s, slot(c, "values"), slot(c, "index"), seed));
            packed = true;
        } else if (t == dense && blocks != NULL) {
            WN_TRY(fill_both(s, blocks, t, seed));
        } else if (wn__is_float(t->dtype)) {
            WN_TRY(wn__gpu_random(s->gpu, t->data, t->dtype, span_of(t), seed + (uint64_t)i));
        } else if (t == blocks) {
            if (dense == NULL) WN_TRY(fill_blocks(s, t, seed));
        } else if (strcmp(p->name, "mask") == 0 && w != NULL) {
            WN_TRY(fill_mask(s, w, t, slot(c, "values_t") != NULL || slot(c, "blocks_t") != NULL));
        } else if (t->ndim == 2 && t->dtype == WN_DTYPE_U8) {
            WN_TRY(fill_alone(s, t, seed + (uint64_t)i));
        } else {
            return wn__fail(WN_UNSUPPORTED, "%s: no data for %s", wn__op_name(c->type->op),
                            p->name);
        }
    }
    return wn__gpu_finish(s->gpu->gpu);
}
