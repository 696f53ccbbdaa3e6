// SPDX-License-Identifier: MIT
// Launches turned back into rows8, block8 and spmm24_blocks8.
#include "device8.h"

#include "device_blocks.h"
#include "fake_map.h"
#include "kernels/block8.h"
#include "kernels/cuda/args_blocks.h"
#include "kernels/declare.h"
#include <stdio.h>
#include <string.h>

static wn_tensor matrix(const void *data, wn_dtype dtype, int64_t rows, int64_t columns,
                        int64_t stride) {
    wn_tensor t = wn__tensor2((void *)(uintptr_t)data, dtype, rows, columns);
    t.stride[0] = stride;
    return t;
}

// One scale a row, or one for all.
static wn_tensor scales(const float *data, int64_t rows, int64_t stride) {
    return wn__tensor1((void *)(uintptr_t)data, WN_DTYPE_F32, stride == 0 ? 1 : rows);
}

int fake_rows8(const void *argument, int bf16) {
    const wn__gpu_rows8 *a = argument;
    wn__exec x = {0};
    const wn_dtype dtype = bf16 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
    const wn__rows8 p = {.x = matrix(a->x, dtype, a->rows, a->columns, a->x_stride),
                         .scale = scales(a->scale, a->rows, a->given ? a->scale_stride : 1),
                         .y = matrix(a->y, WN_DTYPE_U8, a->rows, a->columns, a->y_stride),
                         .given = a->given != 0};
    if (a->infinity != (bf16 ? 0x7F80U : 0x7C00U)) return 1;
    return wn__rows8_ref(&p, &x) != WN_OK;
}

int fake_block8(const void *argument, int bf16) {
    const wn__gpu_block8 *a = argument;
    wn__exec x = {0};
    const wn_dtype dtype = bf16 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
    wn__block8 p = {.w = matrix(a->w, dtype, a->rows, a->columns, a->stride),
                    .scale = scales(a->scale, a->rows, a->given ? a->scale_stride : 1),
                    .blocks = wn__block8_tensor(a->rows, a->columns),
                    .given = a->given != 0};
    p.blocks.data = a->blocks;
    if (a->mask != NULL)
        p.mask = wn__tensor2((void *)(uintptr_t)a->mask, WN_DTYPE_U8, a->rows, a->groups);
    if (a->infinity != (bf16 ? 0x7F80U : 0x7C00U)) return 1;
    if (wn__block8_ref(&p, &x) != WN_OK && a->number < *a->fault) *a->fault = a->number;
    return 0;
}

// The matrix of a map of numbers of so many bytes, 0 if its box or size is not the tile's.
static int open_map(const wn__cu_tensor_map *map, int64_t rows, int64_t columns, int64_t box,
                    int type, wn_dtype dtype, wn_tensor *out) {
    fake_map m;
    memcpy(&m, map, sizeof m);
    const int64_t bytes = (int64_t)wn_dtype_size(dtype);
    *out = matrix(m.address, dtype, rows, columns, (int64_t)m.stride / bytes);
    return m.size[0] == (uint64_t)columns && m.size[1] == (uint64_t)rows &&
           m.box[0] == (uint64_t)(128 / bytes) && m.box[1] == (uint64_t)box && m.type == type;
}

// Whether a map with another box is of that very matrix.
static int same_map(const wn__cu_tensor_map *map, int64_t box, int type, const wn_tensor *whole) {
    wn_tensor t;
    return open_map(map, whole->shape[0], whole->shape[1], box, type, whole->dtype, &t) &&
           t.data == whole->data && t.stride[0] == whole->stride[0];
}

// Whether the maps of a last tile that has fewer tokens are what the device code takes.
static int last_maps_fit(const wn__gpu_spmm24_blocks *a, int tokens, int chunk, int type,
                         const wn_tensor *x, const wn_tensor *residual) {
    int64_t rows[3];
    fake_blocks_last(a, tokens, chunk, rows);
    for (int i = 0; i < 2; i++)
        if (rows[i] > 0 && !same_map(&a->x_last[i], rows[i], 0, x)) return 0;
    return rows[2] == 0 || !a->residual_given ||
           same_map(&a->residual_last, rows[2], type, residual);
}

int fake_product8(const void *argument, const char *name) {
    const wn__gpu_spmm24_blocks *a = argument;
    wn__exec x = {0};
    int rows, tokens;
    char text[8];
    if (sscanf(name, "wn_spmm24_blocks8_%dx%d_%7s", &rows, &tokens, text) != 3) return 1;
    const int bf16 = strcmp(text, "bf16") == 0, type = bf16 ? 9 : 6;
    const int chunk = WN_SPMM24_CHUNK(rows, tokens, WN_BLOCK8_BYTES);
    const int tail = WN_SPMM24_TAIL(rows, tokens, WN_BLOCK8_BYTES),
              own = WN_SPMM24_PART(tokens, a->cluster);
    const wn_dtype dtype = bf16 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
    wn__spmm24_blocks8 p = {.x_scale = scales(a->x_scale, a->tokens, a->x_scale_stride),
                            .w_scale = scales(a->w_scale, a->rows, a->w_scale_stride),
                            .blocks =
                                wn__block8_tensor(64 * (int64_t)a->panels, 128 * (int64_t)a->steps),
                            .relu2 = a->relu2 != 0};
    p.blocks.data = (void *)(uintptr_t)a->blocks;
    if (a->bias != NULL) p.bias = wn__tensor1((void *)(uintptr_t)a->bias, dtype, a->rows);
    if (!fake_blocks_sound(a, rows, tokens, WN_BLOCK8_BYTES) ||
        !open_map(&a->x, a->tokens, a->columns, own, 0, WN_DTYPE_U8, &p.x) ||
        (a->cluster * own > tokens && !same_map(&a->x_second, tokens - own, 0, &p.x)) ||
        !open_map(&a->y, a->tokens, a->rows, chunk, type, dtype, &p.y) ||
        (a->residual_given &&
         !open_map(&a->residual, a->tokens, a->rows, chunk, type, dtype, &p.residual)) ||
        !last_maps_fit(a, tokens, chunk, type, &p.x, &p.residual) ||
        (a->rest > 0 && !same_map(&a->x_rest, a->rest / a->cluster, 0, &p.x)) ||
        (tail < chunk && !same_map(&a->y_tail, tail, type, &p.y)) ||
        (tail < chunk && a->residual_given &&
         !same_map(&a->residual_tail, tail, type, &p.residual)))
        return 1;
    return wn__spmm24_blocks8_ref(&p, &x) != WN_OK;
}
