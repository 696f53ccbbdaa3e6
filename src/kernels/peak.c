// SPDX-License-Identifier: MIT
/* Times the widest multiply-add probe this processor has on all threads at once. */
#include "kernels/peak.h"
#include "base/cpu.h"
#include <math.h>

enum { RUNS = 24, MAX_THREADS = 1024 };

typedef struct probe {
    wn__peak_fn *fn;
    int64_t rounds;
    double flops[MAX_THREADS]; /* of each block */
    float sink[MAX_THREADS];
} probe;

static void run_block(void *ctx, int64_t begin, int64_t end, int worker) {
    probe *p = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        p->flops[i] = p->fn(p->rounds, &p->sink[i]);
}

static double seconds_of(wn__exec *x, probe *p, int threads) {
    double begin = wn__clock();
    wn__parallel_for(x->pool, threads, 1, run_block, p);
    return wn__clock() - begin;
}

double wn__peak_flops(wn__exec *x) {
    uint32_t flags = wn__cpu_flags();
    probe p = {.fn = flags & WN_CPU_AVX512 ? wn__peak_avx512
                     : flags & WN_CPU_AVX2 ? wn__peak_avx2
                                           : wn__peak_ref,
               .rounds = 1 << 14};
    int threads = wn__pool_threads(x->pool);
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    while (seconds_of(x, &p, threads) < 4e-3 && p.rounds < INT64_C(1) << 40)
        p.rounds *= 2;
    double best = 0, total = 0;
    for (int i = 0; i < RUNS; i++) {
        double seconds = seconds_of(x, &p, threads);
        total = 0;
        for (int t = 0; t < threads; t++)
            total += p.flops[t];
        best = fmax(best, total / seconds);
    }
    return best;
}
