// SPDX-License-Identifier: MIT
// Sums of a large block, one part for each thread. The sum is known, and looked at: a compiler that
// dropped the loads could not come up with it.
#include "kernels/read_rate.h"

#include "base/block.h"
#include "base/cpu.h"
#include "base/fail.h"
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { RUNS = 7, STRIPE = 1 << 16, LANES = 16 }; // words of a block; of one step

static void fill(void *ctx, int64_t begin, int64_t end, int worker) {
    wn__read_rate *s = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        s->word[i] = (uint64_t)i;
}

typedef struct reading {
    const wn__read_rate *s;
    _Atomic uint64_t sum;
} reading;

// Independent sums, so that loads wait for memory and not for one another.
static void read_part(void *ctx, int64_t begin, int64_t end, int worker) {
    reading *r = ctx;
    const uint64_t *w = r->s->word;
    uint64_t sum[LANES] = {0}, all = 0;
    (void)worker;
    for (int64_t i = begin; i < end; i += LANES)
        for (int j = 0; j < LANES; j++)
            sum[j] += w[i + j];
    for (int j = 0; j < LANES; j++)
        all += sum[j];
    atomic_fetch_add(&r->sum, all);
}

// Blocks of one thread each, a multiple of LANES.
static int64_t grain(const wn__read_rate *s) {
    int64_t threads = wn__pool_threads(s->pool), stripes = s->count / STRIPE;
    return (stripes + threads - 1) / threads * STRIPE;
}

wn_status wn__read_rate_open(wn__pool *pool, size_t least, wn__read_rate *out) {
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    size_t bytes = cache > 0 && (size_t)cache * 4 > least ? (size_t)cache * 4 : least;
    *out = (wn__read_rate){.pool = pool};
    int64_t stripes = (int64_t)(bytes / (8 * STRIPE)) + 1;
    out->word = wn__block_alloc((size_t)stripes * STRIPE * 8);
    if (!out->word) return wn__fail(WN_NOMEM, "no memory for %zu bytes to stream from", bytes);
    out->count = stripes * STRIPE;
    wn__parallel_for(pool, out->count, grain(out), fill, out);
    return WN_OK;
}

void wn__read_rate_close(wn__read_rate *s) {
    free(s->word);
    *s = (wn__read_rate){0};
}

void wn__read_rate_read(void *ctx) {
    wn__read_rate *s = ctx;
    reading r = {.s = s};
    wn__parallel_for(s->pool, s->count, grain(s), read_part, &r);
    s->sum = atomic_load(&r.sum);
}

double wn__read_rate_of(wn__read_rate *s) {
    double best = 0;
    uint64_t n = (uint64_t)s->count, sum = n / 2 * (n - 1); // n is even
    for (int i = 0; i < RUNS; i++) {
        double start = wn__clock();
        wn__read_rate_read(s);
        double seconds = wn__clock() - start;
        if (s->sum != sum) return 0;
        best = fmax(best, (double)s->count * 8 / seconds);
    }
    return best;
}
