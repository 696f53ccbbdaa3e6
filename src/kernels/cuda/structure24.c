// SPDX-License-Identifier: MIT
// mask24, flips24, pack24, tile24 and unpack24 on a GPU: what is launched for which arguments.
#include "base/fail.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args24.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/launch24.h"
#include "kernels/declare.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "kernels/tile24.h"
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

bool wn__accepts_gpu_mask24(const void *args, char *why, size_t n) {
    const wn__mask24 *p = args;
    if (p->w.dtype == WN_DTYPE_F64)
        (void)snprintf(why, n, "dtype F64 has no device code");
    else if (p->method == WN_MASK24_GREEDY)
        (void)snprintf(why, n, "greedy choices follow from each other");
    else
        return true;
    return false;
}

bool wn__accepts_gpu_pack24(const void *args, char *why, size_t n) {
    const wn_tensor *t = args;
    const size_t size = wn_dtype_size(t->dtype);
    if (size == 2 || size == 4) return true;
    (void)snprintf(why, n, "dtype %s has no device code", wn_dtype_name(t->dtype));
    return false;
}

static wn_status refuse_mask24(const void *args) {
    return wn__mask24_refuse_nan(args);
}
static wn_status refuse_tile24(const void *args) {
    const wn__tile24 *p = args;
    return wn__mask24_refuse_nan(&(wn__mask24){.w = p->w});
}
static wn_status refuse_pack24(const void *args) {
    return wn__pack24_refuse_mask(args);
}
static wn_status refuse_unpack24(const void *args) {
    return wn__unpack24_refuse_index(args);
}
static const wn__gpu_refusal mask24_refusal = {
    refuse_mask24, sizeof(wn__mask24), {offsetof(wn__mask24, w)}, 1};
static const wn__gpu_refusal tile24_refusal = {
    refuse_tile24, sizeof(wn__tile24), {offsetof(wn__tile24, w)}, 1};
static const wn__gpu_refusal pack24_refusal = {
    refuse_pack24, sizeof(wn__pack24), {offsetof(wn__pack24, mask)}, 1};
static const wn__gpu_refusal unpack24_refusal = {
    refuse_unpack24,
    sizeof(wn__unpack24),
    {offsetof(wn__unpack24, index), offsetof(wn__unpack24, values)},
    2};

wn_status wn__mask24_sm80(const void *args, wn__exec *x) {
    const wn__mask24 *p = args;
    wn__gpu_fault fault;
    WN_TRY(wn__gpu_guard(x->gpu, &mask24_refusal, args, &fault));
    wn__gpu_mask24 a = {.w = p->w.data,
                        .mask = p->mask.data,
                        .rows = p->w.shape[0],
                        .columns = p->w.shape[1],
                        .stride = p->w.stride[0],
                        .groups = p->mask.shape[1],
                        .fault = fault.word,
                        .number = fault.number};
    static const char *const row[] = WN_GPU_SYMBOLS("wn_mask24_row");
    static const char *const tile[] = WN_GPU_SYMBOLS("wn_mask24_tile");
    if (p->method == WN_MASK24_TILE) {
        // Warps go on to other tiles, so that there is something to fetch while they work.
        wn__cuda_launch l = wn__gpu_over(a.groups, a.rows / 4);
        const unsigned enough = wn__gpu_resident(x->gpu, 16) / (l.grid[0] + 1) + 1;
        if (l.grid[1] > enough) l.grid[1] = enough;
        return wn__gpu_launch(x->gpu, &wn__image_tile24_sm80, wn__gpu_symbol(tile, &p->w), &l, &a);
    }
    const wn__cuda_launch l = wn__gpu_over(wn__gpu_shares(&p->w), a.rows);
    return wn__gpu_launch(x->gpu, &wn__image_structure24_sm80, wn__gpu_symbol(row, &p->w), &l, &a);
}

wn_status wn__flips24_sm80(const void *args, wn__exec *x) {
    const wn__flips24 *p = args;
    wn__cuda *d = wn__gpu_device(x->gpu);
    wn__gpu_flips24 a = {
        .a = p->a.data, .b = p->b.data, .count = p->count.data, .bytes = wn__tensor_count(&p->a)};
    const unsigned most = 8 * (unsigned)wn__cuda_info(d)->multiprocessors;
    const unsigned wanted = wn__gpu_blocks(a.bytes, (int64_t)16 * WN_GPU_THREADS);
    const wn__cuda_launch l = {.grid = {wanted < most ? wanted : most, 1, 1},
                               .block = {WN_GPU_THREADS, 1, 1}};
    WN_TRY(wn__cuda_set(d, p->count.data, 0, sizeof(int64_t)));
    return wn__gpu_launch(x->gpu, &wn__image_structure24_sm80, "wn_flips24", &l, &a);
}

wn_status wn__pack24_sm80(const void *args, wn__exec *x) {
    const wn__pack24 *p = args;
    const bool wide = wn_dtype_size(p->w.dtype) == 4;
    wn__gpu_fault fault;
    WN_TRY(wn__gpu_guard(x->gpu, &pack24_refusal, args, &fault));
    wn__gpu_pack24 a = {.w = p->w.data,
                        .mask = p->mask.data,
                        .rows = p->w.shape[0],
                        .columns = p->w.shape[1],
                        .stride = p->w.stride[0],
                        .groups = p->mask.shape[1],
                        .fault = fault.word,
                        .number = fault.number};
    if (wn__given(&p->values)) {
        a.values = p->values.data;
        a.index = p->index.data;
    }
    if (wn__given(&p->values_t)) {
        a.values_t = p->values_t.data;
        a.index_t = p->index_t.data;
        const wn__cuda_launch strips = wn__gpu_over_strips(x->gpu, &p->w);
        return wn__gpu_launch(x->gpu, &wn__image_tile24_sm80,
                              wide ? "wn_pack24_columns_4" : "wn_pack24_columns_2", &strips, &a);
    }
    const wn__cuda_launch rows = wn__gpu_over(wn__gpu_shares(&p->w), a.rows);
    return wn__gpu_launch(x->gpu, &wn__image_structure24_sm80,
                          wide ? "wn_pack24_rows_4" : "wn_pack24_rows_2", &rows, &a);
}

wn_status wn__tile24_sm80(const void *args, wn__exec *x) {
    static const char *const symbols[] = WN_GPU_SYMBOLS("wn_tile24");
    const wn__tile24 *p = args;
    wn__gpu_fault fault;
    WN_TRY(wn__gpu_guard(x->gpu, &tile24_refusal, args, &fault));
    wn__gpu_tile24 a = {.w = p->w.data,
                        .mask = p->mask.data,
                        .values = p->values.data,
                        .values_t = p->values_t.data,
                        .index = p->index.data,
                        .index_t = p->index_t.data,
                        .rows = p->w.shape[0],
                        .columns = p->w.shape[1],
                        .stride = p->w.stride[0],
                        .fault = fault.word,
                        .number = fault.number};
    const wn__cuda_launch l = wn__gpu_over_strips(x->gpu, &p->w);
    return wn__gpu_launch(x->gpu, &wn__image_tile24_sm80, wn__gpu_symbol(symbols, &p->w), &l, &a);
}

wn_status wn__unpack24_sm80(const void *args, wn__exec *x) {
    const wn__unpack24 *p = args;
    wn__gpu_fault fault;
    WN_TRY(wn__gpu_guard(x->gpu, &unpack24_refusal, args, &fault));
    wn__gpu_unpack24 a = {.values = p->values.data,
                          .index = p->index.data,
                          .w = p->w.data,
                          .rows = p->w.shape[0],
                          .columns = p->w.shape[1],
                          .stride = p->w.stride[0],
                          .groups = p->values.shape[1] / 2,
                          .fault = fault.word,
                          .number = fault.number};
    const wn__cuda_launch l = wn__gpu_over(wn__gpu_shares(&p->w), a.rows);
    return wn__gpu_launch(x->gpu, &wn__image_structure24_sm80,
                          wn_dtype_size(p->w.dtype) == 4 ? "wn_unpack24_4" : "wn_unpack24_2", &l,
                          &a);
}

#endif
