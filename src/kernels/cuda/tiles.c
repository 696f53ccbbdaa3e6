// SPDX-License-Identifier: MIT
// Plans of products.
#include "kernels/cuda/tiles.h"

#include "kernels/contract.h"
#include "kernels/cuda/block24.h"

#define TILE(rows, tokens, stages) {#rows "x" #tokens, rows, tokens, stages},
const wn__gpu_tile wn__gpu_tiles[WN_TILE_COUNT] = {WN_TILES(TILE)};
#undef TILE

enum { PROCESSORS = 132, MOST_PARTS = 8, LEAST_STEPS = 8 };

// Bytes that a processor gets from L2 in a cycle, and that it writes and reads of parts.
static const double copied = 60, gathered = 32;

// Cycles of one wgmma.sp of 64 features, 32 columns and so many tokens in a product of this kind,
// about a fifth more than it takes alone.
static double cycles_of(int tokens) {
    return tokens == 64 ? 58 : tokens == 128 ? 97 : tokens == 192 ? 135 : 178;
}

void wn__gpu_plan_tiles(const wn__gpu_plan *p, int64_t T, int64_t n, int64_t out[2]) {
    const wn__gpu_tile *t = &wn__gpu_tiles[p->tile];
    out[0] = wn__ceil_div(n, (int64_t)t->rows * p->cluster);
    out[1] = wn__ceil_div(T, t->tokens);
}

static double predict(const wn__gpu_plan *p, int64_t T, int64_t n, int64_t steps) {
    enum { START = 1000, CLUSTER = 300, CHUNK = 150, COPY = 60, PARTS = 4500 };
    const wn__gpu_tile *t = &wn__gpu_tiles[p->tile];
    int64_t tiles[2];
    wn__gpu_plan_tiles(p, T, n, tiles);
    const int64_t work = tiles[0] * tiles[1] * p->split;
    const double waves = (double)wn__ceil_div(work, PROCESSORS / p->cluster);
    const double panels = t->rows / 64;
    const double products = panels * 2 * cycles_of(t->tokens);
    const double copies = COPY + (panels * WN_BLOCK24_BYTES + 128.0 * t->tokens) / copied;
    const double step = products > copies ? products : copies;
    const double start = START + (p->cluster > 1 ? CLUSTER : 0);
    const double chunks = panels / 2 * t->tokens / 32; // of each warpgroup
    const double parts =
        p->split == 1 ? 0 : PARTS + 4.0 * t->rows * t->tokens * (1 + p->split) / gathered;
    const double sum = step * (double)wn__ceil_div(steps, p->split);
    return waves * (start + sum + parts + chunks * CHUNK);
}

wn__gpu_plan wn__gpu_plan_of(int64_t T, int64_t n, int64_t k, int tile, int cluster) {
    const int64_t steps = wn__ceil_div(k, WN_BLOCK24_COLUMNS);
    wn__gpu_plan best = {.cycles = -1};
    for (int i = 0; i < WN_TILE_COUNT; i++)
        for (int c = 1; c <= 2; c++)
            for (int split = 1; split <= MOST_PARTS; split++) {
                wn__gpu_plan p = {.tile = i, .cluster = c, .split = split};
                int64_t tiles[2];
                if ((tile != WN_TILE_ANY && tile != i) || (cluster != 0 && cluster != c)) continue;
                wn__gpu_plan_tiles(&p, T, n, tiles);
                if (split > 1 && (tiles[0] * tiles[1] * c * split > 2 * PROCESSORS ||
                                  steps < (int64_t)LEAST_STEPS * split))
                    continue;
                p.cycles = predict(&p, T, n, steps);
                if (best.cycles < 0 || p.cycles < best.cycles) best = p;
            }
    return best;
}

size_t wn__gpu_plan_workspace(const wn__gpu_plan *p, int64_t T, int64_t n) {
    const wn__gpu_tile *t = &wn__gpu_tiles[p->tile];
    int64_t tiles[2];
    if (p->split == 1) return 0;
    wn__gpu_plan_tiles(p, T, n, tiles);
    return sizeof(float) * (size_t)(tiles[0] * tiles[1] * p->cluster * p->split) *
           (size_t)(t->rows * t->tokens);
}
