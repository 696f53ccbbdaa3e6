// SPDX-License-Identifier: MIT
// A launch turned back into spmm24_blocks or spmm24_blocks8.
#include "few.h"

#include "fake_map.h"
#include "kernels/block24.h"
#include "kernels/block8.h"
#include "kernels/cuda/args_few.h"
#include "kernels/declare.h"
#include "kernels/spmm24_blocks.h"
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

// Stages that hold what others send.
static int sound(const wn__gpu_few *a, int outputs, int tokens, int block) {
    int deep = 0, halves = 1;
#define SHAPE(o, t, h, d, most)                                                                    \
    if ((o) == outputs && (t) == tokens) {                                                         \
        deep = d;                                                                                  \
        halves = h;                                                                                \
    }
    WN_FEW_SHAPES(SHAPE)
#undef SHAPE
    const int panels = outputs / 64, own = tokens / halves;
    const int used = a->box < own ? a->box : own, units = WN_FEW_UNITS(own, used);
    const int stage = WN_FEW_TOKENS(a->box, deep) + WN_FEW_BLOCKS(panels, deep, block);
    const int sent = WN_FEW_SENT(1, own, used, a->split), all = panels * halves * sent;
    return deep > 0 && a->box > 0 && a->box <= tokens && a->box % 8 == 0 && a->sent == sent &&
           a->unit_of[WN_FEW_MOST_SPLIT] == units && a->stages >= 2 &&
           a->stages <= WN_FEW_MOST_STAGES && a->split >= 1 && a->split <= WN_FEW_MOST_SPLIT &&
           (a->apart > 0 ? a->apart == all : all <= a->stages * stage);
}

static int multiply16(const wn__gpu_few *a, const fake_map *map, wn_dtype dtype) {
    wn__exec x = {0};
    const int64_t inputs = a->depth > 0 ? (int64_t)map->size[0] : 0;
    wn__spmm24_blocks p = {
        .x = matrix(map->address, dtype, a->tokens, inputs, (int64_t)map->stride / 2),
        .blocks = wn__block24_tensor(64 * (int64_t)a->panels, 64 * (int64_t)a->depth),
        .y = matrix(a->y, dtype, a->tokens, a->outputs, a->y_stride),
        .values = dtype,
        .relu2 = a->relu2 != 0};
    p.blocks.data = (void *)(uintptr_t)a->blocks;
    if (a->bias != NULL) p.bias = wn__tensor1((void *)(uintptr_t)a->bias, dtype, a->outputs);
    if (a->residual != NULL)
        p.residual = matrix(a->residual, dtype, a->tokens, a->outputs, a->residual_stride);
    return wn__spmm24_blocks_ref(&p, &x) != WN_OK;
}

static int multiply8(const wn__gpu_few *a, const fake_map *map, wn_dtype dtype) {
    wn__exec x = {0};
    const int64_t inputs = a->depth > 0 ? (int64_t)map->size[0] : 0;
    wn__spmm24_blocks8 p = {
        .x = matrix(map->address, WN_DTYPE_U8, a->tokens, inputs, (int64_t)map->stride),
        .x_scale = scales(a->x_scale, a->tokens, a->x_scale_stride),
        .w_scale = scales(a->w_scale, a->outputs, a->w_scale_stride),
        .blocks = wn__block8_tensor(64 * (int64_t)a->panels, 128 * (int64_t)a->depth),
        .y = matrix(a->y, dtype, a->tokens, a->outputs, a->y_stride),
        .relu2 = a->relu2 != 0};
    p.blocks.data = (void *)(uintptr_t)a->blocks;
    if (a->bias != NULL) p.bias = wn__tensor1((void *)(uintptr_t)a->bias, dtype, a->outputs);
    if (a->residual != NULL)
        p.residual = matrix(a->residual, dtype, a->tokens, a->outputs, a->residual_stride);
    return wn__spmm24_blocks8_ref(&p, &x) != WN_OK;
}

// The maps of x: of whole tiles where there is one, and of the last that is none. Either says where
// x lies; NULL where they do not fit the tokens.
static const fake_map *map_of(const wn__gpu_few *a, fake_map maps[2]) {
    const int boxes[] = {a->tokens < a->box ? 0 : a->box, a->tokens % a->box};
    const fake_map *found = NULL;
    for (int i = 0; i < 2; i++)
        memcpy(maps + i, a->x + i, sizeof *maps);
    if (a->rest != boxes[1]) return NULL;
    if (a->depth == 0) return maps;
    for (int i = 0; i < 2; i++) {
        if (boxes[i] == 0) continue;
        if (maps[i].box[1] != (uint32_t)boxes[i] || maps[i].size[1] != (uint64_t)a->tokens ||
            (found != NULL && found->address != maps[i].address))
            return NULL;
        found = maps + i;
    }
    return found;
}

int fake_few(const void *argument, const char *name) {
    wn__gpu_few a;
    fake_map maps[2];
    int outputs, tokens;
    char type[8];
    const int bits8 = strncmp(name, "wn_few8_", 8) == 0, block = bits8 ? 5120 : 4608;
    memcpy(&a, argument, sizeof a);
    if (sscanf(name, bits8 ? "wn_few8_%7[a-z0-9]_%dx%d" : "wn_few_%7[a-z0-9]_%dx%d", type, &outputs,
               &tokens) != 3 ||
        !sound(&a, outputs, tokens, block))
        return 1;
    const fake_map *map = map_of(&a, maps);
    if (map == NULL) return 1;
    const wn_dtype dtype = strcmp(type, "bf16") == 0 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
    return bits8 ? multiply8(&a, map, dtype) : multiply16(&a, map, dtype);
}
