// SPDX-License-Identifier: MIT
// Plans of products of few tokens.
#include "kernels/cuda/few_plan.h"

#include <math.h>

#include "kernels/contract.h"
#include "kernels/cuda/args_few.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/slot.h"
#include "kernels/cuda/tiles.h"

const wn__few_shape wn__few_shapes[] = {
#define SHAPE(outputs, tokens, halves, deep, most) {(outputs) / 64, tokens, halves, deep, most},
    WN_FEW_SHAPES(SHAPE)
#undef SHAPE
};
const int wn__few_shape_count = sizeof wn__few_shapes / sizeof *wn__few_shapes;

// Bytes of shared memory of a processor, and what it takes of them for each thread block.
enum { PROCESSOR = 228 * 1024, OWN = 1024, ALIGNED = 1024 };

// Thread blocks that run at once, one on a processor: clusters of more than two leave some idle.
static int64_t room(int split) {
    static const int64_t at_once[] = {0, 132, 132, 117, 120};
    return at_once[split];
}

// T tokens in as many tiles as there must be, about as many in each.
static int box_of(const wn__few_shape *s, int64_t T) {
    const int64_t tiles = wn__ceil_div(T, s->tokens);
    return tiles > 0 ? 8 * (int)wn__ceil_div(wn__ceil_div(T, tiles), 8) : s->tokens;
}

// As many stages as there is room and work for, and at least what the sums of others take.
static bool place(const wn__few_shape *s, int block, int64_t steps, wn__few_plan *p) {
    const int stage = WN_FEW_TOKENS(p->box, s->deep) + WN_FEW_BLOCKS(s->panels, s->deep, block);
    const int groups = s->panels * s->halves, own = s->tokens / s->halves;
    const int used = p->box < own ? p->box : own;
    const int sent = WN_FEW_SENT(groups, own, used, p->split), sums = p->apart ? 0 : sent;
    const int fixed = ALIGNED + WN_FEW_TURNED(groups, own) + WN_FEW_SCALES(groups, own) + sent -
                      sums + WN_FEW_BARRIERS(groups, 0);
    const int limit = PROCESSOR / p->each - OWN;
    const int64_t work = wn__ceil_div(wn__ceil_div(steps, p->split), s->deep);
    int least = (sums + stage - 1) / stage;
    if (least < 2) least = 2;
    p->stages = (limit - fixed) / (stage + 16);
    if (p->stages > WN_FEW_MOST_STAGES) p->stages = WN_FEW_MOST_STAGES;
    if (p->stages > work) p->stages = (int)work;
    if (p->stages < least) p->stages = least;
    p->shared_bytes = (unsigned)(fixed + p->stages * (stage + 16));
    return (int)p->shared_bytes <= limit;
}

// Thread blocks of which a processor holds so many: shared memory that a plan leaves is others'.
static int64_t held(const wn__few_shape *s, const wn__few_plan *p) {
    const int64_t fit = PROCESSOR / ((int64_t)p->shared_bytes + OWN);
    return fit < s->most ? fit : s->most;
}

// Microseconds, but where it says otherwise; kilobytes a microsecond are of one processor.
typedef struct rates {
    double launch, result, half;        // of a launch; of a token of a panel; of panels in halves
    double exchange, sent, room_made;   // of sums: at all, of a kilobyte, where stages give room
    double weights, tokens, multiplied; // a microsecond: kilobytes, kilobytes, tokens of panels
    double more;                        // tokens that a product takes as long as, beside its own
    double latency, step;               // of copies; of a stage
    double follow, alone, crowd;
    double memory, cached; // of the whole GPU: kilobytes a microsecond; bytes that stay in L2
    double together;       // kilobytes a microsecond that L2 gives all; 0: as much as they ask for
} rates;

// Fitted to 8702 runs of 1216 shapes and numbers of tokens on one H200, which they miss by 8 % in
// the root mean square; `together` to 2761 runs of narrow layers, which took 3 % longer than
// predicted where L2 was to give 5 TB/s, 7 % at 10 and 17 % at 15.
static const rates rates16 = {1.01, 0.00211, 0.186,  0.28, 0.0366, 0.535, 71.3, 322,    1680,
                              40.1, 0.815,   0.0517, 1.56, 0.287,  0.408, 4460, 25.7e6, 0};
static const rates rates8 = {1.07, 0.00472, 0.527,  0.265, 0.0322, 0.472, 73.5, 346,    1510,
                             18.6, 0.762,   0.0439, 1.72,  0.141,  0.226, 4750, 40.7e6, 13e3};

// Weights of few tokens are read once by a session whose other weights follow, and again and again
// by one that has no others: half of them stays in L2 while all of them nearly fit it.
static int kept_of(int64_t T, double bytes) {
    const double nearly = 52e6;
    return T > WN_FEW_TOKENS_COLD ? WN_FEW_KEPT : bytes > nearly ? WN_FEW_ONCE : WN_FEW_HALF;
}

// Two that hinder each other a little before one is all there is to wait for: the 8th root of the
// sum of 8th powers, by roots that every machine rounds alike.
static double slower(double a, double b) {
    const double most = a > b ? a : b, r = (a > b ? b : a) / most, r2 = r * r, r4 = r2 * r2;
    return most * sqrt(sqrt(sqrt(1 + r4 * r4)));
}

static void predict(const wn__few_shape *s, int64_t T, int64_t n, int64_t steps, int block,
                    wn__few_plan *p) {
    const rates *r = block == WN_BLOCK8_BYTES ? &rates8 : &rates16;
    const int64_t panels = wn__ceil_div(n, WN_BLOCK24_ROWS);
    const int64_t count = wn__ceil_div(panels, s->panels) * wn__ceil_div(T, p->box) * p->split;
    const int64_t to_each = wn__ceil_div(count, room(p->split)), most = held(s, p);
    const int64_t at_once = to_each < most ? to_each : most;
    p->rounds = (int)wn__ceil_div(to_each, at_once < 1 ? 1 : at_once);
    double on = (double)at_once;
    // those of a cluster may be put on one processor while others have nothing
    if (p->each > 1 && p->split > 1 && to_each == 1 && 2 * count > room(p->split)) on += r->crowd;
    const double rows = (double)(T < p->box ? T : p->box), tile = on * s->panels * p->box;
    const double copies = on * (s->panels * block / r->weights + 128 * rows / r->tokens) / 1000;
    const double products = on * s->panels * (s->tokens + r->more * s->halves) / r->multiplied;
    // of copies on their way; once for all where all are on their way from the first
    const int64_t own = wn__ceil_div(steps, p->split);
    const bool whole = own <= (int64_t)p->stages * s->deep;
    const double wait = r->latency / (whole ? (double)own : s->deep * (p->stages - 1.5));
    double stage = copies > products ? copies : products;
    if (stage < wait) stage = wait;
    double sum = (double)own * (stage + r->step);
    // what all thread blocks ask of L2
    const double all = (double)(count * own) * (s->panels * block + 128 * rows) / 1000;
    if (r->together > 0) sum = slower(sum, all / r->together / p->rounds);
    const double bytes = (double)(panels * steps * block),
                 cold = bytes / r->memory / 1000 / p->rounds;
    p->kept = kept_of(T, bytes);
    if (p->kept == WN_FEW_ONCE) {
        sum = slower(sum, cold);
    } else if ((T <= WN_FEW_TOKENS_COLD || bytes > r->cached) && sum < cold) {
        sum = cold;
    }
    if (p->split > 1) sum += r->exchange + r->sent * tile * 0.256 * (p->split - 1) / p->split;
    if (p->split > 1 && !p->apart) sum += r->room_made;
    if (p->rounds > 1 && T > WN_FEW_TOKENS_COLD) sum += r->follow;
    p->us = r->launch + r->result * tile / s->halves + r->half * (s->halves - 1) + p->rounds * sum;
    // the next launch finds no processor that has room beside this one
    if (p->each == 1 && 2 * count > room(p->split)) p->us += r->alone;
}

// Of one shape, the fastest. Sums that are sent take the place of stages only where few are left.
static void try_shape(int shape, int64_t T, int64_t n, int64_t steps, int block,
                      wn__few_plan *best) {
    enum { ENOUGH = 6 };
    const wn__few_shape *s = &wn__few_shapes[shape];
    for (int split = 1; split <= WN_FEW_MOST_SPLIT && (split == 1 || split <= steps); split++)
        for (int each = 1; each <= s->most; each++) {
            int stages = 0;
            for (int apart = 1; apart >= (split > 1 && stages < ENOUGH ? 0 : 1); apart--) {
                wn__few_plan p = {.shape = shape, .split = split, .each = each, .apart = apart};
                p.box = box_of(s, T);
                if (!place(s, block, steps, &p) || p.stages == stages) continue;
                stages = p.stages;
                predict(s, T, n, steps, block, &p);
                if (best->rounds == 0 || p.us < best->us) *best = p;
            }
        }
}

// Whether a shape is tried among all: not where most of its tokens would be none, nor where there
// would be many launches' worth of it.
static bool suits(const wn__few_shape *s, int64_t T) {
    const int64_t most = T < 1024 ? T : 1024;
    return (s->tokens < 2 * T || s->tokens <= 16) && 16 * s->tokens >= most;
}

static wn__few_plan plan_of(int64_t T, int64_t n, int64_t k, int bytes, int shape) {
    const int block = bytes == 1 ? WN_BLOCK8_BYTES : WN_BLOCK24_BYTES;
    const int64_t steps = wn__ceil_div(k, bytes == 1 ? WN_BLOCK8_COLUMNS : WN_BLOCK24_COLUMNS);
    wn__few_plan best = {.rounds = 0};
    for (int i = 0; i < wn__few_shape_count; i++)
        if (shape == i || (shape == WN_FEW_ANY && suits(&wn__few_shapes[i], T)))
            try_shape(i, T, n, steps, block, &best);
    return best;
}

// Tiles take a launch and so many of their cycles a microsecond, fitted to runs of both.
static const double launch_of_tiles = 1.3;
static double cycles_in_us(int bytes) {
    return bytes == 1 ? 1400 : 1600;
}

static bool is_faster(int64_t T, int64_t n, int64_t k, int bytes, const wn__few_plan *few) {
    if (few->rounds != 1) return false;
    const wn__gpu_plans tiles =
        wn__gpu_plans_of(T, n, k, (wn__gpu_plan_wish){WN_TILE_ANY, .bytes = bytes, .few = 1});
    // where both have the same tile, the largest, the other's blocks are a little faster
    const wn__few_shape *s = &wn__few_shapes[few->shape];
    const double us = bytes == 2 && s->tokens == 256 ? 1.05 * few->us : few->us;
    return us < launch_of_tiles + tiles.cycles / cycles_in_us(bytes);
}

// Between the two some time is lost, more before the widest tiles. Measured on one H200: 520 shapes
// and numbers of tokens, each launch alone and both.
double wn__few_behind(const wn__few_plan *few, int bytes) {
    enum { WIDE = 192 };
    const bool wide = wn__few_shapes[few->shape].tokens >= WIDE, eight = bytes == 1;
    const double slower = eight ? 1.19 : 1.1;
    const double between = eight ? (wide ? 5.7 : 3.0) : wide ? 4.0 : 1.1;
    return (slower * few->us + between - launch_of_tiles) * cycles_in_us(bytes);
}

// What a thread asked for lately: a plan takes microseconds, and each launch asks for it twice.
typedef struct known {
    int64_t T, n, k;
    int bytes, shape; // bytes 0: nothing yet
    wn__few_plan plan;
    enum { UNASKED, NO, YES } faster;
} known;

static known *known_of(int64_t T, int64_t n, int64_t k, int bytes, int shape) {
    static _Thread_local known all[WN_SLOTS];
    const int64_t asked[] = {T, n, k, bytes, shape};
    known *at = &all[wn__slot_of(asked, sizeof asked / sizeof *asked)];
    if (at->bytes != bytes || at->shape != shape || at->T != T || at->n != n || at->k != k)
        *at = (known){.T = T,
                      .n = n,
                      .k = k,
                      .bytes = bytes,
                      .shape = shape,
                      .plan = plan_of(T, n, k, bytes, shape)};
    return at;
}

wn__few_plan wn__few_plan_of(int64_t T, int64_t n, int64_t k, int bytes, int shape) {
    return known_of(T, n, k, bytes, shape)->plan;
}

bool wn__few_is_faster(int64_t T, int64_t n, int64_t k, int bytes) {
    const int64_t most = bytes == 1 ? WN_FEW_TOKENS_MOST8 : WN_FEW_TOKENS_MOST;
    if (T <= WN_FEW_TOKENS_COLD || T > most) return T <= WN_FEW_TOKENS_COLD;
    known *at = known_of(T, n, k, bytes, WN_FEW_ANY);
    if (at->faster == UNASKED) at->faster = is_faster(T, n, k, bytes, &at->plan) ? YES : NO;
    return at->faster == YES;
}
