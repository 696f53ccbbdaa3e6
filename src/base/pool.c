// SPDX-License-Identifier: MIT
// The thread pool. A call opens a gate; workers that come while it is open join and draw blocks;
// the caller draws too, closes the gate when none are left, and waits only for those who joined. A
// worker that wakes late finds the gate closed, so a call never waits for a thread that has no core
// to run on.
//
// Blocks are cut into a share for each worker, who begins with its own and then helps with the
// others: what it wrote in one call it most often reads or writes in the next, and a line that is
// in another core's cache takes longer to come than one from memory.
#include "base/pool.h"

#include "base/cpu.h"
#include "base/fail.h"
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define MAX_THREADS 1024
// Seconds that an idle thread looks out before it sleeps: longer than what lies between two calls
// of a training step, or between the ends of two threads' shares of a small product, and some ten
// times what waking it costs the caller.
#define LOOK_OUT  100e-6
#define LOOK_EACH 64 // looks between two at the clock
// Shares at most. More threads have one together, so that looking for work stays short.
#define MOST_SHARES 16

// The gate packs the number of the call, whether it takes workers, and how many are in it.
#define GATE_OPEN  ((uint64_t)1 << 16)
#define GATE_COUNT (GATE_OPEN - 1)
#define GATE_CALL  (GATE_OPEN << 1) // one call

typedef struct job {
    wn__range_fn *fn;
    void *ctx;
    int64_t n, grain, blocks;
    bool flush;
} job;

typedef struct share {
    _Alignas(64) _Atomic int64_t next; // block to draw
    int64_t end;
} share;

typedef struct worker {
    wn__pool *pool;
    pthread_t thread;
    int number;
} worker;

struct wn__pool {
    int threads;           // workers and the caller, who is number 0
    int started;           // entries of workers[] that run
    atomic_bool looks_out; // idle threads, before they sleep
    _Alignas(64) _Atomic uint64_t gate;
    _Alignas(64) job job; // this and the shares: written only while the gate is closed and empty
    share shares[MOST_SHARES];
    int share_count;
    atomic_int sleepers;
    atomic_bool stop;
    pthread_mutex_t calls; // held for a call: outside callers one by one
    pthread_mutex_t sleep; // with the two conditions
    pthread_cond_t wake;   // the gate opened, or stop
    pthread_cond_t empty;  // the last worker left a closed gate
    worker workers[];      // threads - 1
};

// The pool whose block this thread is running, and as which worker.
static _Thread_local struct {
    const wn__pool *pool;
    int worker;
} inside;

static _Thread_local bool flush;

bool wn__pool_flush(bool on) {
    bool before = flush;
    flush = on;
    return before;
}

// The environment of a block.
static bool enter_environment(bool flushing) {
    if (fesetenv(FE_DFL_ENV) != 0) return false;
#if defined(__x86_64__)
    if (flushing) _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
#endif
    return true;
}

// How long a thread has been looking out.
typedef struct watch {
    int looks;
    double end;
} watch;

// Lets a little time pass, and others run who need the processor; false where it is time to sleep.
static bool look_out(const wn__pool *pool, watch *w) {
    if (!atomic_load_explicit(&pool->looks_out, memory_order_relaxed)) return false;
    if (++w->looks % LOOK_EACH == 0) {
        double now = wn__clock();
        if (w->end <= 0) w->end = now + LOOK_OUT;
        if (now >= w->end) return false;
        (void)sched_yield();
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
    return true;
}

static void run_block(const job *j, int64_t block, int number) {
    int64_t begin = block * j->grain;
    int64_t end = j->n - begin > j->grain ? begin + j->grain : j->n;
    j->fn(j->ctx, begin, end, number);
}

static void run_inline(const job *j, int number) {
    for (int64_t block = 0; block < j->blocks; block++)
        run_block(j, block, number);
}

static void cut_shares(wn__pool *pool, int64_t blocks) {
    int64_t each = blocks / pool->share_count, more = blocks % pool->share_count, begin = 0;
    for (int64_t i = 0; i < pool->share_count; i++) {
        atomic_store_explicit(&pool->shares[i].next, begin, memory_order_relaxed);
        pool->shares[i].end = begin += each + (i < more);
    }
}

// All that is left of a share. A look comes first: counting would take the line from others.
static void draw_share(share *s, const job *j, int number) {
    while (atomic_load_explicit(&s->next, memory_order_relaxed) < s->end) {
        int64_t block = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
        if (block >= s->end) return;
        run_block(j, block, number);
    }
}

static void draw_blocks(wn__pool *pool, int number) {
    int home = (int)((int64_t)number * pool->share_count / pool->threads);
    for (int i = 0; i < pool->share_count; i++)
        draw_share(&pool->shares[(home + i) % pool->share_count], &pool->job, number);
}

// Whether the gate is open for a call after number `seen`.
static bool gate_calls(uint64_t gate, uint64_t seen) {
    return (gate & GATE_OPEN) != 0 && gate / GATE_CALL != seen;
}

static void sleep_until_called(wn__pool *pool, uint64_t seen) {
    pthread_mutex_lock(&pool->sleep);
    atomic_fetch_add(&pool->sleepers, 1); // before the look at the gate: see open_gate
    while (!gate_calls(atomic_load(&pool->gate), seen) && !atomic_load(&pool->stop))
        pthread_cond_wait(&pool->wake, &pool->sleep);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->sleep);
}

// Waits for a call after `seen` and joins it; returns its number, or 0 to stop.
static uint64_t join_call(wn__pool *pool, uint64_t seen) {
    watch w = {0};
    while (!atomic_load(&pool->stop)) {
        uint64_t gate = atomic_load(&pool->gate);
        if (gate_calls(gate, seen)) {
            if (atomic_compare_exchange_weak(&pool->gate, &gate, gate + 1)) return gate / GATE_CALL;
        } else if (!look_out(pool, &w)) {
            sleep_until_called(pool, seen);
        }
    }
    return 0;
}

static void leave_call(wn__pool *pool) {
    uint64_t left = atomic_fetch_sub(&pool->gate, 1) - 1;
    if ((left & (GATE_OPEN | GATE_COUNT)) != 0) return;
    pthread_mutex_lock(&pool->sleep);
    pthread_cond_signal(&pool->empty);
    pthread_mutex_unlock(&pool->sleep);
}

static void *worker_main(void *arg) {
    worker *self = arg;
    inside.pool = self->pool;
    inside.worker = self->number;
    uint64_t seen = 0;
    while ((seen = join_call(self->pool, seen)) != 0) {
        (void)enter_environment(self->pool->job.flush);
        draw_blocks(self->pool, self->number);
        leave_call(self->pool);
    }
    return NULL;
}

// Opens the gate to the next call and wakes as many sleepers as there are blocks for. A worker
// counts itself a sleeper before it looks at the gate, and the gate opens before the sleepers are
// counted: none is missed.
static void open_gate(wn__pool *pool, int64_t wanted) {
    uint64_t gate = atomic_load(&pool->gate);
    atomic_store(&pool->gate, gate + GATE_CALL + GATE_OPEN);
    if (atomic_load(&pool->sleepers) == 0) return;
    pthread_mutex_lock(&pool->sleep);
    int sleepers = atomic_load(&pool->sleepers);
    if (wanted >= sleepers) pthread_cond_broadcast(&pool->wake);
    for (int64_t i = 0; wanted < sleepers && i < wanted; i++)
        pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->sleep);
}

static bool gate_empty(wn__pool *pool) {
    return (atomic_load(&pool->gate) & GATE_COUNT) == 0;
}

static void close_gate(wn__pool *pool) {
    watch w = {0};
    atomic_fetch_sub(&pool->gate, GATE_OPEN);
    do {
        if (gate_empty(pool)) return;
    } while (look_out(pool, &w));
    pthread_mutex_lock(&pool->sleep);
    while (!gate_empty(pool))
        pthread_cond_wait(&pool->empty, &pool->sleep);
    pthread_mutex_unlock(&pool->sleep);
}

static void run_shared(wn__pool *pool, const job *j) {
    pthread_mutex_lock(&pool->calls);
    inside.pool = pool;
    inside.worker = 0;
    if (pool->threads == 1 || j->blocks == 1) {
        run_inline(j, 0);
    } else {
        pool->job = *j;
        cut_shares(pool, j->blocks);
        open_gate(pool, j->blocks - 1);
        draw_blocks(pool, 0);
        close_gate(pool);
    }
    inside.pool = NULL;
    pthread_mutex_unlock(&pool->calls);
}

void wn__parallel_for(wn__pool *pool, int64_t n, int64_t grain, wn__range_fn *fn, void *ctx) {
    if (n <= 0) return;
    if (grain < 1) grain = 1;
    const job j = {fn, ctx, n, grain, n / grain + (n % grain != 0), flush};
    if (inside.pool != NULL) { // a nested call: already in the default environment
        run_inline(&j, pool == inside.pool ? inside.worker : 0);
        return;
    }
    fenv_t caller;
    bool changed = fegetenv(&caller) == 0 && enter_environment(flush);
    if (pool == NULL) {
        run_inline(&j, 0);
    } else {
        run_shared(pool, &j);
    }
    if (changed) (void)fesetenv(&caller);
}

// Starts the workers with every signal blocked that is not their own fault, so that ^C reaches the
// caller.
static int start_workers(wn__pool *pool) {
    sigset_t blocked, before;
    sigfillset(&blocked);
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = 0;
    while (error == 0 && pool->started < pool->threads - 1) {
        worker *w = &pool->workers[pool->started];
        *w = (worker){.pool = pool, .number = pool->started + 1};
        error = pthread_create(&w->thread, NULL, worker_main, w);
        if (error == 0) pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

// Threads never look out on a processor that another one needs.
static void choose_looking(wn__pool *pool, int cpus) {
    atomic_store_explicit(&pool->looks_out, pool->threads <= cpus, memory_order_relaxed);
}

wn_status wn__pool_create(int threads, wn__pool **out) {
    *out = NULL;
    int cpus = wn__cpu_count();
    if (threads <= 0) threads = cpus < MAX_THREADS ? cpus : MAX_THREADS;
    if (threads > MAX_THREADS)
        return wn__fail(WN_INVALID, "thread pool: %d threads, at most %d", threads, MAX_THREADS);
    size_t bytes = sizeof(wn__pool) + (size_t)(threads - 1) * sizeof(worker);
    bytes = (bytes + 63) / 64 * 64;
    wn__pool *pool = aligned_alloc(64, bytes);
    if (pool == NULL) return wn__fail(WN_NOMEM, "thread pool: out of memory");
    memset(pool, 0, bytes);
    pool->threads = threads;
    pool->share_count = threads < MOST_SHARES ? threads : MOST_SHARES;
    choose_looking(pool, cpus);
    pthread_mutex_init(&pool->calls, NULL);
    pthread_mutex_init(&pool->sleep, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->empty, NULL);
    int error = start_workers(pool);
    if (error != 0) {
        int started = pool->started;
        wn__pool_free(pool);
        return wn__fail(WN_NOMEM, "thread pool: thread %d of %d does not start: %s", started + 2,
                        threads, strerror(error));
    }
    *out = pool;
    return WN_OK;
}

void wn__pool_free(wn__pool *pool) {
    if (pool == NULL) return;
    pthread_mutex_lock(&pool->sleep);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->sleep);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->empty);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->sleep);
    pthread_mutex_destroy(&pool->calls);
    free(pool);
}

int wn__pool_threads(const wn__pool *pool) {
    return pool != NULL ? pool->threads : 1;
}

int wn__pool_step(const wn__pool *pool) {
    return pool != NULL ? (pool->threads + pool->share_count - 1) / pool->share_count : 1;
}

bool wn__pool_looks_out(const wn__pool *pool) {
    return atomic_load_explicit(&pool->looks_out, memory_order_relaxed);
}

// A pool that was created by a bound thread took that thread's processors for all there are.
void wn__pool_pin(wn__pool *pool, const int *cpu, int count) {
    if (pool != NULL && count > 0) choose_looking(pool, count);
    for (int i = 0; count > 0 && i < wn__pool_threads(pool); i++) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((size_t)cpu[i % count], &one);
        pthread_t thread = i == 0 ? pthread_self() : pool->workers[i - 1].thread;
        (void)pthread_setaffinity_np(thread, sizeof one, &one);
    }
}
