// SPDX-License-Identifier: MIT
/* A thread pool with one primitive.
 *
 * wn__parallel_for cuts [0,n) at multiples of `grain` and calls fn once for each block. The blocks
 * never depend on the number of threads, so work that writes only what its block owns gives the
 * same bits with any pool. Which worker runs which block, and in what order, is not specified. */
#ifndef WN_BASE_POOL_H
#define WN_BASE_POOL_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct wn__pool wn__pool;
/* begin is a multiple of grain, end-begin <= grain; worker in [0, threads) is for per-worker
 * scratch. */
typedef void wn__range_fn(void *ctx, int64_t begin, int64_t end, int worker);

/* threads <= 0: one for each CPU this process may use. */
WN_NODISCARD wn_status wn__pool_create(int threads, wn__pool **out);
void wn__pool_free(wn__pool *pool);
int wn__pool_threads(const wn__pool *pool); /* 1 for NULL */
/* How many blocks after the one that it runs a worker's next one most likely lies, for what it
 * fetches ahead: 1, or as many as draw in turn where there are very many threads. */
int wn__pool_step(const wn__pool *pool);
/* Binds worker i to processor cpu[i % count]; number 0 is the calling thread. A refusal of the
 * system is no error: the thread stays where it may. Idle workers look out for the next call where
 * count is enough for all of them, whatever there was when the pool was made. */
void wn__pool_pin(wn__pool *pool, const int *cpu, int count);
/* Whether idle workers look out for the next call a while before they sleep: where each thread has
 * a processor. */
bool wn__pool_looks_out(const wn__pool *pool);
/* Runs and waits. grain >= 1. A NULL pool, one block, or a call from inside a block runs inline in
 * order. Calls from several outside threads at once are serialised. A nested call keeps its block's
 * worker number (0 when it names another pool). Blocks run in the default floating-point
 * environment, whatever the caller's is, but for what wn__pool_flush asks for. */
void wn__parallel_for(wn__pool *pool, int64_t n, int64_t grain, wn__range_fn *fn, void *ctx);
/* Whether blocks that this thread sends out from now on take results below the smallest normal
 * number for zero (x86's flush to zero; elsewhere nothing changes). Returns what it was. */
bool wn__pool_flush(bool on);

#endif
