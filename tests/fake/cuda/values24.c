// SPDX-License-Identifier: MIT
// Launches turned back into ops, which their references compute.
#include "values24.h"

#include "device_blocks.h"
#include "fake_map.h"
#include "kernels/block24.h"
#include "kernels/cuda/args24.h"
#include "kernels/cuda/args_rows.h"
#include "kernels/declare.h"
#include "kernels/mask24.h"
#include "kernels/mlp.h"
#include "kernels/mvue24_blocks.h"
#include "kernels/mvue24_tokens.h"
#include "kernels/pack24_tokens.h"
#include "kernels/relu24_blocks.h"
#include "kernels/soft24.h"
#include "kernels/tile24.h"
#include <stdlib.h>
#include <string.h>

static wn_tensor matrix(const void *data, wn_dtype dtype, int64_t rows, int64_t columns,
                        int64_t stride) {
    wn_tensor t = wn__tensor2((void *)(uintptr_t)data, dtype, rows, columns);
    if (stride > 0) t.stride[0] = stride;
    return t;
}

static wn_tensor packed(const void *data, wn_dtype dtype, int64_t rows, int64_t columns) {
    return matrix(data, dtype, rows, columns, 0);
}

// One number, or absent.
static wn_tensor scale_at(const double *scale) {
    const wn_tensor none = {0};
    return scale == NULL ? none : wn__tensor1((void *)(uintptr_t)scale, WN_DTYPE_F64, 1);
}

static void leave(wn_status status, unsigned *fault, unsigned number) {
    if (status != WN_OK && fault != NULL && number < *fault) *fault = number;
}

void fake_tile24(const void *argument, wn_dtype dtype) {
    const wn__gpu_tile24 *a = argument;
    wn__exec x = {0};
    const int64_t r = a->rows, c = a->columns;
    const wn__tile24 p = {.w = matrix(a->w, dtype, r, c, a->stride),
                          .mask = packed(a->mask, WN_DTYPE_U8, r, c / 4),
                          .values = packed(a->values, dtype, r, c / 2),
                          .index = packed(a->index, WN_DTYPE_U8, r, (c / 4 + 1) / 2),
                          .values_t = packed(a->values_t, dtype, c, r / 2),
                          .index_t = packed(a->index_t, WN_DTYPE_U8, c, (r / 4 + 1) / 2)};
    leave(wn__tile24_ref(&p, &x), a->fault, a->number);
}

void fake_soft24(const void *argument, wn_dtype dtype) {
    const wn__gpu_soft24 *a = argument;
    wn__exec x = {0};
    wn__soft24 p = {.w = matrix(a->w, dtype, a->rows, a->columns, a->stride),
                    .out = matrix(a->out, dtype, a->rows, a->columns, a->out_stride),
                    .scale = scale_at(a->scale)};
    if (a->mask != NULL) p.mask = packed(a->mask, WN_DTYPE_U8, a->rows, a->groups);
    leave(wn__soft24_ref(&p, &x), a->fault, a->number);
}

// The sums of each row, as the reference of one row gives them.
void fake_dots24(const void *argument, wn_dtype dtype) {
    const wn__gpu_dots24 *a = argument;
    wn__exec x = {0};
    for (int64_t r = 0; r < a->rows; r++) {
        const char *row = (const char *)a->w + r * a->stride * (int64_t)wn_dtype_size(dtype);
        const wn__soft24_dots p = {.w = packed(row, dtype, 1, a->columns),
                                   .out = wn__tensor1(a->row + 3 * r, WN_DTYPE_F64, 3)};
        leave(wn__soft24_dots_ref(&p, &x), a->fault, a->number);
    }
}

void fake_dots24_rows(const void *argument) {
    const wn__gpu_dots24 *a = argument;
    for (int k = 0; k < 3; k++) {
        a->out[k] = 0;
        for (int64_t r = 0; r < a->rows; r++)
            a->out[k] += a->row[3 * r + k];
    }
}

void fake_apply24(const void *argument, wn_dtype dtype) {
    const wn__gpu_apply24 *a = argument;
    wn__exec x = {0};
    const wn__apply24 p = {.x = matrix(a->x, dtype, a->rows, a->columns, a->stride),
                           .y = matrix(a->y, dtype, a->rows, a->columns, a->y_stride),
                           .mask = packed(a->mask, WN_DTYPE_U8, a->rows, a->groups),
                           .scale = scale_at(a->scale)};
    (void)!wn__apply24_ref(&p, &x);
}

void fake_decay24(const void *argument, wn_dtype dtype) {
    const wn__gpu_decay24 *a = argument;
    wn__exec x = {0};
    const wn__decay24 p = {.w = packed(a->w, dtype, a->rows, a->columns),
                           .mask = packed(a->mask, WN_DTYPE_U8, a->rows, a->groups),
                           .g = packed(a->g, dtype, a->rows, a->columns),
                           .lambda = a->lambda};
    (void)!wn__decay24_ref(&p, &x);
}

void fake_mvue24(const void *argument, wn_dtype dtype, int axis, int approx) {
    const wn__gpu_mvue24 *a = argument;
    wn__exec x = {0};
    const wn__mvue24 p = {.x = matrix(a->x, dtype, a->rows, a->columns, a->stride),
                          .y = matrix(a->y, dtype, a->rows, a->columns, a->y_stride),
                          .axis = axis,
                          .group = 4,
                          .method = approx ? WN_MVUE24_APPROX : WN_MVUE24_EXACT,
                          .seed = a->draws.seed,
                          .stream = a->draws.stream,
                          .counter = a->draws.counter};
    (void)!wn__mvue24_ref(&p, &x);
}

void fake_mvue24_pack(const void *argument, wn_dtype dtype, int approx) {
    const wn__gpu_tokens24 *a = argument;
    const int64_t groups = (a->rows + 3) / 4;
    const wn__mvue24_tokens p = {.x = matrix(a->x, dtype, a->rows, a->columns, a->stride),
                                 .values = packed(a->values, dtype, a->columns, 2 * groups),
                                 .index =
                                     packed(a->index, WN_DTYPE_U8, a->columns, (groups + 1) / 2),
                                 .method = approx ? WN_MVUE24_APPROX : WN_MVUE24_EXACT,
                                 .seed = a->draws.seed,
                                 .stream = a->draws.stream,
                                 .counter = a->draws.counter};
    wn__exec x = {.scratch = calloc((size_t)(a->rows * a->columns) + 1, wn_dtype_size(dtype))};
    if (x.scratch != NULL) (void)!wn__mvue24_tokens_ref(&p, &x);
    free(x.scratch);
}

void fake_mvue24_blocks(const void *argument, wn_dtype dtype, int approx) {
    const wn__gpu_mvue24_blocks *a = argument;
    wn__mvue24_blocks p = {.x = matrix(a->x, dtype, a->rows, a->columns, a->stride),
                           .blocks = wn__block24_tensor(a->columns, a->rows),
                           .method = approx ? WN_MVUE24_APPROX : WN_MVUE24_EXACT,
                           .seed = a->draws.seed,
                           .stream = a->draws.stream,
                           .counter = a->draws.counter};
    wn__exec x = {.scratch = calloc((size_t)(a->rows * a->columns) + 1, wn_dtype_size(dtype))};
    p.blocks.data = a->blocks;
    if (x.scratch != NULL) (void)!wn__mvue24_blocks_ref(&p, &x);
    free(x.scratch);
}

int fake_relu24_blocks(const void *argument, const char *name, wn_dtype dtype) {
    const wn__gpu_blocks_rows *a = argument;
    const int columns = strstr(name, "128x256") != NULL ? 256 : 128;
    fake_map map;
    memcpy(&map, &a->b, sizeof map);
    wn__relu24_blocks p = {
        .x = matrix(map.address, dtype, a->columns, a->depth, (int64_t)map.stride / 2),
        .blocks = wn__block24_tensor(a->rows, a->depth),
        .out = wn__block24_tensor(a->columns, a->rows),
        .n = a->rows,
        .values = dtype};
    p.blocks.data = (void *)(uintptr_t)a->blocks;
    p.out.data = a->c_data;
    if (map.size[0] != (uint64_t)a->depth || map.size[1] != (uint64_t)a->columns ||
        map.box[0] != 64 || map.box[1] != (uint32_t)columns ||
        !fake_last_map_fits(a, a->depth, columns, dtype == WN_DTYPE_BF16))
        return 1;
    wn__exec x = {.scratch = calloc((size_t)p.x.shape[0] * (size_t)p.n * 4 + 64, 1)};
    if (x.scratch != NULL) (void)!wn__relu24_blocks_ref(&p, &x);
    free(x.scratch);
    return 0;
}

void fake_relu2(const void *argument, wn_dtype dtype, int gradient) {
    const wn__gpu_relu2 *a = argument;
    const wn_tensor x = packed(a->x, dtype, 1, a->count), y = packed(a->y, dtype, 1, a->count);
    const wn__relu2 p = {.x = x, .y = y};
    const wn__relu2_grad g = {.x = x, .dy = packed(a->dy, dtype, 1, a->count), .dx = y};
    wn__exec exec = {0};
    (void)!(gradient ? wn__relu2_grad_ref(&g, &exec) : wn__relu2_ref(&p, &exec));
}

static wn__pack24_tokens tokens_of(const wn__gpu_tokens24 *a, wn_dtype dtype) {
    const int64_t groups = (a->rows + 3) / 4, rows = a->columns + a->extras;
    wn__pack24_tokens p = {.x = matrix(a->x, dtype, a->rows, a->columns, a->stride),
                           .values = packed(a->values, dtype, rows, 2 * groups),
                           .index = packed(a->index, WN_DTYPE_U8, rows, (groups + 1) / 2)};
    if (a->order != NULL) p.order = wn__tensor1((void *)(uintptr_t)a->order, WN_DTYPE_I32, a->rows);
    if (a->dense != NULL) {
        p.dense = wn__tensor1((void *)(uintptr_t)a->dense, WN_DTYPE_U8, a->columns);
        p.extra = wn__tensor1(a->extra, WN_DTYPE_I32, a->extras);
    }
    return p;
}

// All rows at once: the launch for the extra ones finds them done.
void fake_tokens24(const void *argument, wn_dtype dtype) {
    const wn__gpu_tokens24 *a = argument;
    wn__exec x = {0};
    const wn__pack24_tokens p = tokens_of(a, dtype);
    leave(wn__pack24_tokens_ref(&p, &x), a->fault, a->number);
}

void fake_begin24(const void *argument) {
    const wn__gpu_tokens24 *a = argument;
    int64_t marked = 0;
    for (int64_t i = 0; a->order != NULL && i < a->rows; i++)
        leave(a->order[i] >= 0 && a->order[i] < a->rows ? WN_OK : WN_INVALID, a->fault, a->number);
    for (int64_t j = 0; a->dense != NULL && j < a->columns; j++) {
        if (a->dense[j] != 0 && marked < a->extras) a->extra[marked] = (int32_t)j;
        marked += a->dense[j] != 0;
    }
    leave(marked == a->extras ? WN_OK : WN_INVALID, a->fault, a->number);
}
