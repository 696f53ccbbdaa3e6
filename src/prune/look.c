// SPDX-License-Identifier: MIT
// Blocks are looked at by any worker; counts of integers and a least position are the same in any
// order.
#include "prune/look.h"

#include "prune/values.h"
#include "tensor/tensor.h"
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>

#define GRAIN (INT64_C(1) << 16)
#define CHUNK INT64_C(1024)

typedef struct shared {
    const wn_tensor *t;
    _Atomic int64_t zeros, nonfinite, first;
} shared;

static void look_at_block(void *ctx, int64_t begin, int64_t end, int worker) {
    shared *s = ctx;
    double v[CHUNK];
    int64_t zeros = 0, nonfinite = 0, first = INT64_MAX;
    (void)worker;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK, bad = 0;
        wn__values(s->t, i, n, v);
        for (int64_t k = 0; k < n; k++) {
            zeros += v[k] == 0;
            bad += !isfinite(v[k]);
        }
        for (int64_t k = 0; bad > 0 && first == INT64_MAX; k++)
            if (!isfinite(v[k])) first = i + k;
        nonfinite += bad;
    }
    atomic_fetch_add(&s->zeros, zeros);
    atomic_fetch_add(&s->nonfinite, nonfinite);
    int64_t least = atomic_load(&s->first);
    while (first < least && !atomic_compare_exchange_weak(&s->first, &least, first)) {
    }
}

void wn__look_at(wn__pool *pool, const wn_tensor *t, wn__look *out) {
    shared s = {.t = t, .first = INT64_MAX};
    wn__parallel_for(pool, wn__tensor_count(t), GRAIN, look_at_block, &s);
    *out = (wn__look){
        .zeros = s.zeros, .nonfinite = s.nonfinite, .first = s.nonfinite > 0 ? s.first : -1};
}
