// SPDX-License-Identifier: MIT
// Plans of products of few tokens.
#include "kernels/cuda/few_plan.h"

#include "kernels/contract.h"
#include "kernels/cuda/args_few.h"
#include "kernels/cuda/block24.h"

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

// As many stages as there is room and work for, and at least what the sums of others take.
static bool place(const wn__few_shape *s, int block, int64_t steps, wn__few_plan *p) {
    const int stage = WN_FEW_TOKENS(s->tokens, s->deep) + WN_FEW_BLOCKS(s->panels, s->deep, block);
    const int groups = s->panels * s->halves, own = s->tokens / s->halves;
    const int apart = WN_FEW_APART(groups, own, p->split);
    const int fixed = ALIGNED + WN_FEW_TURNED(groups) + WN_FEW_SCALES(groups, own) + apart +
                      WN_FEW_BARRIERS(groups, 0);
    const int sums = own <= 32 ? 0 : WN_FEW_SENT(groups, own, p->split);
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

// Microseconds; kilobytes a microsecond are of one processor. Fitted to 527 runs on one H200, which
// it misses by 12 % in the root mean square; where several shapes were measured, what it chooses
// takes 2 % longer than the fastest of them.
static void predict(const wn__few_shape *s, int64_t T, int64_t n, int64_t steps, int block,
                    wn__few_plan *p) {
    static const double launch = 1.32, result = 0.30 / 64, exchange = 0.40, sent = 0.030;
    static const double weights = 82, tokens = 173, multiplied = 1525, latency = 0.82, step = 0.045;
    static const double memory = 3695, follow = 1.53, alone = 0.1; // memory: of the whole GPU
    const int64_t panels = wn__ceil_div(n, WN_BLOCK24_ROWS);
    const int64_t count = wn__ceil_div(panels, s->panels) * wn__ceil_div(T, s->tokens) * p->split;
    const int64_t to_each = wn__ceil_div(count, room(p->split));
    const int64_t at_once = to_each < p->each ? to_each : p->each;
    p->rounds = (int)wn__ceil_div(to_each, at_once < 1 ? 1 : at_once);
    const double on = (double)at_once, tile = on * s->panels * s->tokens;
    const double copies = on * (s->panels * block / weights + 128.0 * s->tokens / tokens) / 1000;
    const double products = on * s->panels * (s->tokens + 34 * s->halves) / multiplied;
    // of copies on their way; once for all where all are on their way from the first
    const int64_t own = wn__ceil_div(steps, p->split);
    const bool whole = own <= (int64_t)p->stages * s->deep;
    const double wait = latency / (whole ? (double)own : s->deep * (p->stages - 1.5));
    double stage = copies > products ? copies : products;
    if (stage < wait) stage = wait;
    double sum = (double)own * (stage + step);
    const double cold = (double)(panels * steps * block) / memory / 1000 / p->rounds;
    if (T <= WN_FEW_TOKENS_COLD && sum < cold) sum = cold;
    if (p->split > 1) sum += exchange + sent * tile * 0.256 * (p->split - 1) / p->split;
    if (p->rounds > 1 && T > WN_FEW_TOKENS_COLD) sum += follow;
    p->us = launch + result * tile / s->halves + p->rounds * sum;
    // the next launch finds no processor that has room beside this one
    if (p->each == 1 && count > room(p->split) / 2) p->us += alone;
}

wn__few_plan wn__few_plan_of(int64_t T, int64_t n, int64_t k, int bytes, int shape) {
    const int block = bytes == 1 ? WN_BLOCK8_BYTES : WN_BLOCK24_BYTES;
    const int64_t steps = wn__ceil_div(k, bytes == 1 ? WN_BLOCK8_COLUMNS : WN_BLOCK24_COLUMNS);
    wn__few_plan best = {.rounds = 0};
    for (int i = 0; i < wn__few_shape_count; i++) {
        const wn__few_shape *s = &wn__few_shapes[i];
        if (shape != WN_FEW_ANY && shape != i) continue;
        for (int split = 1; split <= WN_FEW_MOST_SPLIT; split++)
            for (int each = 1; each <= s->most; each++) {
                wn__few_plan p = {.shape = i, .split = split, .each = each};
                if ((split > 1 && steps < split) || !place(s, block, steps, &p) ||
                    (T <= WN_FEW_TOKENS_LONE && each < s->most))
                    continue;
                predict(s, T, n, steps, block, &p);
                if (best.rounds == 0 || p.us < best.us) best = p;
            }
    }
    return best;
}
