// SPDX-License-Identifier: MIT
// Plans of products.
#include "kernels/cuda/tiles.h"

#include "kernels/contract.h"
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/few_plan.h"
#include "kernels/cuda/slot.h"
#include <string.h>

#define TILE(rows, tokens, stages) {#rows "x" #tokens, rows, tokens, stages, rows == 192 ? 3 : 2},
const wn__gpu_tile wn__gpu_tiles[WN_TILE_COUNT] = {WN_TILES(TILE)};
#undef TILE

enum { PROCESSORS = 132, MOST_PARTS = 8, LEAST_STEPS = 8, CLUSTERS_OF_4 = 30 };

// Tiles of 8-bit numbers take a little more of shared memory.
int wn__gpu_tile_stages(int tile, int bytes) {
    if (bytes == 2) return wn__gpu_tiles[tile].stages;
    switch (tile) {
    case WN_TILE_128X256:
    case WN_TILE_256X208:
    case WN_TILE_256X200:
    case WN_TILE_256X192:
    case WN_TILE_256X176:
    case WN_TILE_256X160:
    case WN_TILE_256X128:
        return 4;
    case WN_TILE_128X208:
        return 5;
    case WN_TILE_192X128:
        return 6;
    case WN_TILE_128X160:
        return 7;
    case WN_TILE_128X128:
        return 8;
    case WN_TILE_128X64:
        return 11;
    default:
        return 0;
    }
}

bool wn__gpu_tile_wide(int tile, int bytes) {
    const int rows = wn__gpu_tiles[tile].rows, tokens = wn__gpu_tiles[tile].tokens;
    if (tokens == 200 || tokens == 232) return true;
    return bytes == 1 ? tokens == 208 || tokens == 192 : tokens == 208 && rows < 256;
}

static int64_t steps_of(int64_t k, int bytes) {
    return wn__ceil_div(k, bytes == 1 ? WN_BLOCK8_COLUMNS : WN_BLOCK24_COLUMNS);
}

static int block_of(int bytes) {
    return bytes == 1 ? WN_BLOCK8_BYTES : WN_BLOCK24_BYTES;
}

// Bytes that a processor gets from L2 in a cycle, and that it writes and reads of parts.
static const double copied = 79, gathered = 22;

// Cycles of one wgmma.sp of 64 features, 32 columns and so many tokens in a product of this kind,
// up to a fifth more than it takes alone; in a narrower tile at the end more.
static double cycles_of(int tokens, bool narrow) {
    static const struct {
        int tokens;
        double cycles;
    } wide[] = {{64, 58},   {128, 90},    {160, 105.5}, {176, 114.6},
                {192, 126}, {200, 131.2}, {208, 135.4}, {232, 152}};
    if (narrow) return tokens == 64 ? 72 : 98;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (wide[i].tokens == tokens) return wide[i].cycles;
    return 167; // 256
}

void wn__gpu_plan_tiles(const wn__gpu_plan *p, int64_t T, int64_t n, int64_t out[3]) {
    const wn__gpu_tile *t = &wn__gpu_tiles[p->tile];
    out[0] = wn__ceil_div(n, (int64_t)t->rows * p->cluster);
    out[1] = p->rest > 0 ? p->before : wn__ceil_div(T, t->tokens);
    out[2] = p->rest > 0 ? wn__ceil_div(T - p->before * t->tokens, p->rest) : 0;
}

int64_t wn__gpu_plan_last(const wn__gpu_plan *p, int64_t T) {
    const int64_t tokens = wn__gpu_tiles[p->tile].tokens;
    return p->rest > 0 ? (T - p->before * tokens) % p->rest : T % tokens;
}

// Clusters that run at once.
static int64_t room(const wn__gpu_plan *p) {
    return p->shared == 4 ? CLUSTERS_OF_4 : PROCESSORS / (p->cluster * p->shared);
}

// Cycles of a tile of so many tokens.
static double cycles_of_tile(const wn__gpu_plan *p, int tokens, int64_t steps, int block) {
    enum { START = 1900, CLUSTER = 75, CHUNK = 125, COPY = 60, PARTS = 1300 };
    enum { SHARE = 2350, SHARE_EACH = 960 };
    const wn__gpu_tile *t = &wn__gpu_tiles[p->tile];
    const double panels = t->rows / 64;
    const double products = panels * 2 * cycles_of(tokens, tokens < t->tokens);
    const double copies = COPY + (panels * block + 128.0 * tokens) / copied;
    // the largest take longer in 8 bits, most of which two spare L2 that read the tokens once
    const bool large = t->rows * t->tokens >= 256 * 160, eight = block == WN_BLOCK8_BYTES;
    const double alone = large && eight ? 1.035 : 1;
    const double together = !large || p->cluster == 1 ? 1 : eight ? 0.975 : 0.98;
    // a tile of 128 x 208 asks L2 for all that it gives
    const double thirsty = t->rows != 128 || t->tokens != 208 ? 1 : eight ? 1.085 : 1.02;
    const double step = alone * together * thirsty * (products > copies ? products : copies);
    const double start = START + (p->cluster > 1 ? CLUSTER : 0);
    const double chunks = panels / t->warpgroups * tokens / 32; // of each warpgroup
    const double parts =
        p->split == 1 ? 0 : PARTS + 4.0 * t->rows * tokens * (1 + p->split) / gathered;
    const double share = p->shared == 1 ? 0 : SHARE + SHARE_EACH * (p->shared - 1);
    const double sum = step * (double)wn__ceil_div(steps, (int64_t)p->split * p->shared);
    return start + sum + parts + share + chunks / p->shared * CHUNK;
}

// Tile i is cluster i mod lanes', narrower tiles behind the others: the lane that takes longest is
// the first, or the first that has one tile or one of the others less.
static double predict(const wn__gpu_plan *p, int64_t T, int64_t n, int64_t steps, int block) {
    enum { LAUNCH = 340, LAUNCH_OF_CLUSTERS = 2400 };
    int64_t tiles[3];
    wn__gpu_plan_tiles(p, T, n, tiles);
    const int64_t lanes = room(p), whole = tiles[0] * tiles[1] * p->split;
    const int64_t all = whole + tiles[0] * tiles[2];
    const double each = cycles_of_tile(p, wn__gpu_tiles[p->tile].tokens, steps, block);
    const double narrow = p->rest > 0 ? cycles_of_tile(p, p->rest, steps, block) : 0;
    const int64_t lane[3] = {0, whole % lanes, all % lanes};
    double most = 0;
    for (int i = 0; i < 3; i++) {
        const int64_t has = wn__ceil_div(all - lane[i], lanes);
        const int64_t of_whole = wn__ceil_div(whole - lane[i], lanes);
        const double took = (double)of_whole * each + (double)(has - of_whole) * narrow;
        if (took > most) most = took;
    }
    return LAUNCH + most + (p->cluster > 1 ? LAUNCH_OF_CLUSTERS : 0);
}

// Whether a tile's sum may be shared so: device code is there, and each has something to add.
static bool shares(int tile, int blocks, int64_t steps) {
#define SHARED(rows, tokens, some)                                                                 \
    if (tile == WN_TILE_##rows##X##tokens && blocks == (some)) return steps >= (some);
    WN_SHARED_TILES(SHARED)
#undef SHARED
    return blocks == 1;
}

static void try_plan(int64_t T, int64_t n, int64_t steps, wn__gpu_plan p, int block,
                     wn__gpu_plan *best) {
    p.cycles = predict(&p, T, n, steps, block);
    if (best->cycles < 0 || p.cycles < best->cycles) *best = p;
}

// The same plan with narrower tiles for the last of the tokens.
static void try_narrower(int64_t T, int64_t n, int64_t steps, wn__gpu_plan p, int block,
                         wn__gpu_plan *best) {
    static const int widths[] = {
#define NARROW(tokens) tokens,
        WN_NARROW_TILES(NARROW)
#undef NARROW
    };
    enum { MOST_CUT = 32 };
    const int64_t along = wn__ceil_div(T, wn__gpu_tiles[p.tile].tokens);
    if (wn__ceil_div(n, (int64_t)wn__gpu_tiles[p.tile].rows * p.cluster) * along <= room(&p))
        return; // there is one wave
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int64_t cut = 1; cut <= along && cut <= MOST_CUT; cut++) {
            p.rest = widths[i];
            p.before = along - cut;
            try_plan(T, n, steps, p, block, best);
        }
}

// Of the plans of one tile, those that the wish allows.
static void try_tile(int64_t T, int64_t n, int64_t steps, wn__gpu_plan_wish wish, int tile,
                     wn__gpu_plan *best) {
    const int block = block_of(wish.bytes);
    for (int c = 1; c <= 2; c++)
        for (int shared = 1; shared <= 4; shared *= 2)
            for (int split = 1; split <= MOST_PARTS; split++) {
                const wn__gpu_plan p = {
                    .tile = tile, .cluster = c, .split = split, .shared = shared};
                int64_t tiles[3];
                if ((wish.cluster != 0 && wish.cluster != c) || !shares(tile, shared, steps) ||
                    (shared > 1 && c * split > 1))
                    continue;
                // a wish for more than there is to share is one for all of it
                if (wish.shared != 0 && wish.shared != shared && shares(tile, wish.shared, steps))
                    continue;
                wn__gpu_plan_tiles(&p, T, n, tiles);
                if (split > 1 &&
                    WN_SPMM24_WHOLE(wn__gpu_tiles[tile].rows, wn__gpu_tiles[tile].tokens, block))
                    continue;
                if (split > 1 && (tiles[0] * tiles[1] * c * split > 2 * PROCESSORS ||
                                  steps < (int64_t)LEAST_STEPS * split))
                    continue;
                try_plan(T, n, steps, p, block, best);
                if (tile == WN_TILE_256X192 && split == 1)
                    try_narrower(T, n, steps, p, block, best);
            }
}

static wn__gpu_plan fastest(int64_t T, int64_t n, int64_t k, wn__gpu_plan_wish wish) {
    const int64_t steps = steps_of(k, wish.bytes);
    wn__gpu_plan best = {.cycles = -1};
    if (wish.rest > 0) {
        const wn__gpu_tile *t = &wn__gpu_tiles[wish.tile];
        return (wn__gpu_plan){.tile = wish.tile,
                              .cluster = wish.cluster,
                              .split = 1,
                              .shared = 1,
                              .rest = wish.rest,
                              .before = wn__ceil_div(T, t->tokens) / 2,
                              .crowd = true};
    }
    for (int i = 0; i < WN_TILE_COUNT; i++)
        if ((wish.tile == WN_TILE_ANY || wish.tile == i) && wn__gpu_tile_stages(i, wish.bytes) > 0)
            try_tile(T, n, steps, wish, i, &best);
    return best;
}

// Between two kinds of tiles some time is lost.
static wn__gpu_plans two_of(int64_t T, int64_t n, int64_t k, int64_t first, wn__gpu_plan p,
                            wn__gpu_plan_wish wish) {
    enum { BETWEEN = 5000, BETWEEN_8BIT = 12000 };
    wn__gpu_plans two = {
        .count = 2, .part = {p, fastest(T, n - first, k, wish)}, .features = {first, n - first}};
    two.cycles = p.cycles + two.part[1].cycles + (wish.bytes == 1 ? BETWEEN_8BIT : BETWEEN);
    return two;
}

// The same with a plan for few tokens behind the first.
static wn__gpu_plans few_behind(int64_t T, int64_t n, int64_t k, int64_t first, wn__gpu_plan p,
                                int bytes) {
    const wn__few_plan few = wn__few_plan_of(T, n - first, k, bytes, WN_FEW_ANY);
    return (wn__gpu_plans){.count = 2,
                           .few = true,
                           .part = {p},
                           .features = {first, n - first},
                           .cycles = p.cycles + wn__few_behind(&few, bytes)};
}

// Of plans for few tokens, of one round of thread blocks, that follow any number of whole waves of
// tiles like p, the fastest, if all takes less than *most cycles.
static void try_few(int64_t T, int64_t n, int64_t k, wn__gpu_plan p, int bytes, double *most,
                    wn__gpu_plans *best) {
    const int64_t high = (int64_t)wn__gpu_tiles[p.tile].rows * p.cluster,
                  steps = steps_of(k, bytes);
    int64_t tiles[3];
    wn__gpu_plan_tiles(&p, T, n, tiles);
    for (int64_t waves = tiles[0] * tiles[1] / room(&p); waves > 0; waves--) {
        const int64_t first = waves * room(&p) / tiles[1] * high;
        if (first == 0 || first >= n) continue;
        p.cycles = predict(&p, T, first, steps, block_of(bytes));
        // what is behind takes as long a feature as whole waves ahead of it, at least
        if (p.cycles * (double)n / (double)first >= *most) continue;
        const wn__gpu_plans two = few_behind(T, n, k, first, p, bytes);
        if (two.cycles >= *most || wn__few_plan_of(T, n - first, k, bytes, WN_FEW_ANY).rounds != 1)
            continue;
        *best = two;
        *most = two.cycles;
    }
}

// Whether so many tokens are few enough for that.
static bool few_follow(int64_t T, wn__gpu_plan_wish wish) {
    return wish.few != 0 && T > WN_FEW_TOKENS_COLD && T <= WN_FEW_TOKENS_MOST;
}

// Tiles of one kind for as many features as fill whole waves, another plan for those behind them,
// where that is faster by enough for a second launch; not of more tokens than L2 keeps about, all
// of which are read again.
static wn__gpu_plans fastest_two(int64_t T, int64_t n, int64_t k, wn__gpu_plan_wish wish,
                                 wn__gpu_plans one) {
    enum { MOST_BYTES = 56 << 20 };
    const double enough = 0.98, enough_few = 0.965;
    const int64_t steps = steps_of(k, wish.bytes);
    const int block = block_of(wish.bytes);
    wn__gpu_plans best = one;
    double most = enough * one.cycles;
    if (T * k * wish.bytes > MOST_BYTES) return one;
    for (int i = 0; i < 2 * WN_TILE_COUNT; i++) {
        wn__gpu_plan p = {.tile = i / 2, .cluster = 1 + i % 2, .split = 1, .shared = 1};
        const int64_t high = (int64_t)wn__gpu_tiles[p.tile].rows * p.cluster;
        int64_t tiles[3];
        if (wn__gpu_tile_stages(p.tile, wish.bytes) == 0) continue;
        wn__gpu_plan_tiles(&p, T, n, tiles);
        const int64_t waves = tiles[0] * tiles[1] / room(&p);
        const int64_t first = waves * room(&p) / tiles[1] * high;
        if (first == 0 || first >= n) continue;
        p.cycles = predict(&p, T, first, steps, block);
        if (p.cycles >= most) continue;
        const wn__gpu_plans two = two_of(T, n, k, first, p, wish);
        if (two.cycles >= most) continue;
        best = two;
        most = two.cycles;
    }
    // what was predicted of these was off by more
    most = enough_few / enough * most;
    for (int i = 0; i < 2 * WN_TILE_COUNT && few_follow(T, wish); i++) {
        const wn__gpu_plan p = {.tile = i / 2, .cluster = 1 + i % 2, .split = 1, .shared = 1};
        if (wn__gpu_tile_stages(p.tile, wish.bytes) > 0)
            try_few(T, n, k, p, wish.bytes, &most, &best);
    }
    return best;
}

static wn__gpu_plans plans_of(int64_t T, int64_t n, int64_t k, wn__gpu_plan_wish wish) {
    const int64_t half = wn__ceil_div(wn__ceil_div(n, WN_BLOCK24_ROWS), 2) * WN_BLOCK24_ROWS;
    if (wish.parts == 2 && half < n && few_follow(T, wish))
        return few_behind(T, n, k, half, fastest(T, half, k, wish), wish.bytes);
    if (wish.parts == 2 && half < n) return two_of(T, n, k, half, fastest(T, half, k, wish), wish);
    wn__gpu_plans one = {.count = 1, .part = {fastest(T, n, k, wish)}, .features = {n}};
    one.cycles = one.part[0].cycles;
    return wish.tile == WN_TILE_ANY && T > 0 ? fastest_two(T, n, k, wish, one) : one;
}

// A thread remembers what it asked for lately: plans take tens of microseconds, and a launch asks
// for them twice.
wn__gpu_plans wn__gpu_plans_of(int64_t T, int64_t n, int64_t k, wn__gpu_plan_wish wish) {
    static _Thread_local struct {
        int64_t size[3];
        wn__gpu_plan_wish wish; // bytes 0: nothing yet
        wn__gpu_plans plans;
    } all[WN_SLOTS];
    const int64_t size[3] = {T, n, k};
    const int64_t asked[] = {T,           n,          k,         wish.tile,  wish.cluster,
                             wish.shared, wish.bytes, wish.rest, wish.parts, wish.few};
    const size_t at = wn__slot_of(asked, sizeof asked / sizeof *asked);
    if (memcmp(all[at].size, size, sizeof size) != 0 ||
        memcmp(&all[at].wish, &wish, sizeof wish) != 0) {
        memcpy(all[at].size, size, sizeof size);
        all[at].wish = wish;
        all[at].plans = plans_of(T, n, k, wish);
    }
    return all[at].plans;
}

static size_t workspace(const wn__gpu_plan *p, int64_t T, int64_t n) {
    const wn__gpu_tile *t = &wn__gpu_tiles[p->tile];
    int64_t tiles[3];
    if (p->split == 1) return 0;
    wn__gpu_plan_tiles(p, T, n, tiles);
    return sizeof(float) * (size_t)(tiles[0] * tiles[1] * p->cluster * p->split) *
           (size_t)(t->rows * t->tokens);
}

size_t wn__gpu_plans_workspace(const wn__gpu_plans *p, int64_t T) {
    size_t most = 0;
    for (int i = 0; i < (p->few ? 1 : p->count); i++) { // few tokens need none
        const size_t bytes = workspace(&p->part[i], T, p->features[i]);
        if (bytes > most) most = bytes;
    }
    return most;
}
