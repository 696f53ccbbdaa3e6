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

// What a function's name says of it; false for another.
typedef struct shape {
    int outputs, tokens, halves, deep, bits8;
    char type[8];
} shape;

static int shape_of(const char *name, shape *out) {
    shape s = {.bits8 = strncmp(name, "wn_few8_", 8) == 0};
    if (sscanf(name, s.bits8 ? "wn_few8_%7[a-z0-9]_%dx%d" : "wn_few_%7[a-z0-9]_%dx%d", s.type,
               &s.outputs, &s.tokens) != 3)
        return 0;
#define SHAPE(o, t, h, d, most)                                                                    \
    if ((o) == s.outputs && (t) == s.tokens) {                                                     \
        s.deep = d;                                                                                \
        s.halves = h;                                                                              \
    }
    WN_FEW_SHAPES(SHAPE)
#undef SHAPE
    *out = s;
    return s.deep > 0;
}

// Shares that follow one another and are all there is.
static int covers(const int *begin, int split, int all) {
    for (int i = 0; i < WN_FEW_MOST_SPLIT; i++)
        if (begin[i] > begin[i + 1] || (i >= split && begin[i] != all)) return 0;
    return begin[0] == 0 && begin[WN_FEW_MOST_SPLIT] == all;
}

int fake_few_fits(const void *argument, const char *name, const wn__cu_launch *l,
                  unsigned cluster) {
    wn__gpu_few a;
    shape s;
    memcpy(&a, argument, sizeof a);
    if (!shape_of(name, &s) || a.box < 1 || a.split < 1) return 0;
    const int panels = s.outputs / 64;
    const unsigned groups = (unsigned)((a.panels + panels - 1) / panels);
    const unsigned tiles = (unsigned)((a.tokens + a.box - 1) / a.box), split = (unsigned)a.split;
    const unsigned x = split > 1 ? split * groups : tiles, y = split > 1 ? tiles : groups;
    const int stage =
        WN_FEW_TOKENS(a.box, s.deep) + WN_FEW_BLOCKS(panels, s.deep, s.bits8 ? 5120 : 4608);
    return l->grid[0] == x && l->grid[1] == y && l->grid[2] == 1 && cluster == split &&
           l->block[0] == (unsigned)WN_FEW_THREADS(panels * s.halves) && l->block[1] == 1 &&
           l->block[2] == 1 && l->shared_bytes >= (unsigned)(a.stages * stage + a.apart);
}

// Stages that hold what others send.
static int sound(const wn__gpu_few *a, const shape *s, int block) {
    const int outputs = s->outputs, tokens = s->tokens, deep = s->deep, halves = s->halves;
    const int panels = outputs / 64, own = tokens / halves;
    const int used = a->box < own ? a->box : own, units = WN_FEW_UNITS(own, used);
    const int stage = WN_FEW_TOKENS(a->box, deep) + WN_FEW_BLOCKS(panels, deep, block);
    const int sent = WN_FEW_SENT(1, own, used, a->split), all = panels * halves * sent;
    return a->box > 0 && a->box <= tokens && a->box % 8 == 0 && a->sent == sent &&
           covers(a->unit_of, a->split, units) && covers(a->block_of, a->split, a->depth) &&
           a->stages >= 2 && a->stages <= WN_FEW_MOST_STAGES && a->split >= 1 &&
           a->split <= WN_FEW_MOST_SPLIT &&
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
            (found != NULL &&
             (found->address != maps[i].address || found->stride != maps[i].stride ||
              found->size[0] != maps[i].size[0])))
            return NULL;
        found = maps + i;
    }
    return found;
}

int fake_few(const void *argument, const char *name) {
    wn__gpu_few a;
    fake_map maps[2];
    shape s;
    memcpy(&a, argument, sizeof a);
    if (!shape_of(name, &s) || !sound(&a, &s, s.bits8 ? 5120 : 4608)) return 1;
    const fake_map *map = map_of(&a, maps);
    if (map == NULL) return 1;
    const wn_dtype dtype = strcmp(s.type, "bf16") == 0 ? WN_DTYPE_BF16 : WN_DTYPE_F16;
    return s.bits8 ? multiply8(&a, map, dtype) : multiply16(&a, map, dtype);
}
