// SPDX-License-Identifier: MIT
// Sampling in double. Candidates are ordered by weight, then id, so that a draw never depends on
// how they were sorted.
#include "infer/sampler.h"

#include "base/fail.h"
#include "base/philox.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

wn_status wn__sampler_create(const wn_sampling *how, int64_t vocab, wn__sampler *out) {
    *out = (wn__sampler){0};
    if (!(how->temperature >= 0) || isinf(how->temperature))
        return wn__fail(WN_INVALID, "temperature is %g, expected a finite number of at least 0",
                        how->temperature);
    if (how->top_k < 0)
        return wn__fail(WN_INVALID, "top_k is %" PRId64 ", expected at least 0", how->top_k);
    if (!(how->top_p > 0 && how->top_p <= 1))
        return wn__fail(WN_INVALID, "top_p is %g, expected above 0 and at most 1", how->top_p);
    wn__candidate *c = calloc((size_t)vocab, sizeof *c);
    if (c == NULL)
        return wn__fail(WN_NOMEM, "sampler: no memory for %" PRId64 " candidates", vocab);
    *out = (wn__sampler){.how = *how, .vocab = vocab, .candidate = c};
    return WN_OK;
}

void wn__sampler_free(wn__sampler *s) {
    free(s->candidate);
    *s = (wn__sampler){0};
}

#define SUSPECT "; 'winnow inspect' names weights that are not finite"

// The largest logit's lowest id; NaN and all -infinity are refused here for every method.
static wn_status find_largest(const float *logits, int64_t vocab, int64_t *out) {
    int64_t best = 0;
    for (int64_t i = 0; i < vocab; i++) {
        if (isnan(logits[i])) return wn__fail(WN_INVALID, "logit %" PRId64 " is NaN" SUSPECT, i);
        if (logits[i] > logits[best]) best = i;
    }
    if (isinf(logits[best]))
        return wn__fail(WN_INVALID, "the largest logit is %g, expected a finite number" SUSPECT,
                        (double)logits[best]);
    *out = best;
    return WN_OK;
}

static int heavier_first(const void *a, const void *b) {
    const wn__candidate *x = a, *y = b;
    if (x->weight != y->weight) return x->weight > y->weight ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

// Sinks candidate[at] in a heap of n whose root comes last in the order.
static void sink(wn__candidate *c, int64_t n, int64_t at) {
    for (;;) {
        int64_t last = at, left = 2 * at + 1;
        for (int64_t child = left; child < left + 2 && child < n; child++)
            if (heavier_first(&c[child], &c[last]) > 0) last = child;
        if (last == at) return;
        wn__candidate swap = c[at];
        c[at] = c[last];
        c[last] = swap;
        at = last;
    }
}

// Moves the first k of the order to the front, in no order of their own.
static void keep_top(wn__candidate *c, int64_t n, int64_t k) {
    for (int64_t i = k / 2; i-- > 0;)
        sink(c, k, i);
    for (int64_t i = k; i < n; i++) {
        if (heavier_first(&c[i], &c[0]) > 0) continue;
        c[0] = c[i];
        sink(c, k, 0);
    }
}

// Weights exp((logit - largest)/temperature); returns their sum.
static double soften(wn__candidate *c, int64_t n, double largest, double temperature) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        c[i].weight = exp((c[i].weight - largest) / temperature);
        sum += c[i].weight;
    }
    return sum;
}

// The fewest leading candidates that hold top_p of the sum, in order. Those below (1-top_p)/n of it
// cannot be among them and need no sorting: all of them together hold less than 1-top_p.
static int64_t keep_nucleus(wn__candidate *c, int64_t n, double top_p, double *sum) {
    double least = (1 - top_p) / (double)n * *sum, held = 0;
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (c[i].weight >= least) c[kept++] = c[i];
    qsort(c, (size_t)kept, sizeof *c, heavier_first);
    for (int64_t i = 0; i < kept; i++) {
        held += c[i].weight;
        if (held < top_p * *sum) continue;
        *sum = held;
        return i + 1;
    }
    *sum = held;
    return kept;
}

static double draw(uint64_t seed, uint64_t position) {
    uint32_t word[4];
    wn__philox_draw(seed, WN_STREAM_SAMPLE, position, word);
    uint64_t bits = (uint64_t)word[0] << 32 | word[1];
    return (double)(bits >> 11) * 0x1p-53;
}

wn_status wn__sampler_pick(wn__sampler *s, const float *logits, uint64_t position, int32_t *id) {
    wn__candidate *c = s->candidate;
    int64_t n = s->vocab, best = 0;
    WN_TRY(find_largest(logits, n, &best));
    *id = (int32_t)best;
    if (s->how.temperature == 0) return WN_OK;
    for (int64_t i = 0; i < n; i++)
        c[i] = (wn__candidate){.weight = (double)logits[i], .id = (int32_t)i};
    if (s->how.top_k > 0 && s->how.top_k < n) {
        keep_top(c, n, s->how.top_k);
        n = s->how.top_k;
        qsort(c, (size_t)n, sizeof *c, heavier_first);
    }
    double sum = soften(c, n, (double)logits[best], s->how.temperature);
    if (s->how.top_p < 1) n = keep_nucleus(c, n, s->how.top_p, &sum);
    double target = draw(s->how.seed, position) * sum, below = 0;
    for (int64_t i = 0; i < n; i++) {
        below += c[i].weight;
        if (c[i].weight > 0) *id = c[i].id;
        if (below > target) break;
    }
    return WN_OK;
}
