// SPDX-License-Identifier: MIT
// The pool: every index once, the same blocks and bits with any number of threads, nested and
// concurrent calls, a worker number never used twice at once. Blocks count what is wrong; only the
// main thread asserts.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/philox.h"
#include "base/pool.h"
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 37 };
static const int thread_counts[] = {1, 2, 3, 8, 37}; // the most: workers share their blocks
#define EACH_POOL(i) (size_t i = 0; i < sizeof thread_counts / sizeof thread_counts[0]; i++)

static wn__pool *make_pool(int threads) {
    wn__pool *pool;
    assert_int_equal(wn__pool_create(threads, &pool), WN_OK);
    assert_int_equal(wn__pool_threads(pool), threads);
    return pool;
}

typedef struct visit {
    int64_t n, grain;
    int threads;
    unsigned char *seen; // [n]: plain bytes, each owned by one block
    atomic_int busy[MAX_THREADS];
    atomic_int wrong;
} visit;

static void visit_block(void *ctx, int64_t begin, int64_t end, int worker) {
    visit *v = ctx;
    bool legal = begin % v->grain == 0 && begin < end && end <= v->n && end - begin <= v->grain &&
                 (end == v->n || end - begin == v->grain) && worker >= 0 && worker < v->threads;
    if (!legal) {
        atomic_fetch_add(&v->wrong, 1);
        return;
    }
    if (atomic_exchange(&v->busy[worker], 1) != 0) atomic_fetch_add(&v->wrong, 1);
    for (int64_t i = begin; i < end; i++)
        v->seen[i]++;
    atomic_store(&v->busy[worker], 0);
}

static void check_visit(wn__pool *pool, int64_t n, int64_t grain) {
    visit v = {.n = n, .grain = grain, .threads = wn__pool_threads(pool)};
    v.seen = calloc((size_t)n + 1, 1);
    assert_non_null(v.seen);
    wn__parallel_for(pool, n, grain, visit_block, &v);
    assert_int_equal(v.wrong, 0);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(v.seen[i], 1);
    free(v.seen);
}

static void test_each_index_once(void **state) {
    (void)state;
    const int64_t ns[] = {1, 2, 7, 64, 1000, 4097}, grains[] = {1, 3, 64, 5000};
    for
        EACH_POOL(p) {
            wn__pool *pool = make_pool(thread_counts[p]);
            for (size_t i = 0; i < sizeof ns / sizeof ns[0]; i++)
                for (size_t k = 0; k < sizeof grains / sizeof grains[0]; k++) {
                    check_visit(pool, ns[i], grains[k]);
                    check_visit(NULL, ns[i], grains[k]);
                }
            wn__pool_free(pool);
        }
}

typedef struct sums {
    int64_t grain;
    float *block; // one for each block
} sums;

// A sum whose bits depend on where the blocks are cut.
static void sum_block(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const sums *s = ctx;
    float sum = 0;
    for (int64_t i = begin; i < end; i++) {
        uint32_t word[4];
        wn__philox_draw(1, WN_STREAM_TEST, (uint64_t)i, word);
        sum += wn__philox_uniform(word[0]) * 3.1F;
    }
    s->block[begin / s->grain] = sum;
}

static void test_same_bits_with_any_threads(void **state) {
    (void)state;
    enum { N = 20000, GRAIN = 37, BLOCKS = (N + GRAIN - 1) / GRAIN };
    float alone[BLOCKS], shared[BLOCKS];
    sums s = {GRAIN, alone};
    wn__parallel_for(NULL, N, GRAIN, sum_block, &s);
    for
        EACH_POOL(p) {
            wn__pool *pool = make_pool(thread_counts[p]);
            memset(shared, 0xff, sizeof shared);
            s.block = shared;
            wn__parallel_for(pool, N, GRAIN, sum_block, &s);
            wn__pool_free(pool);
            assert_memory_equal(shared, alone, sizeof alone);
        }
}

static void count_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    atomic_fetch_add((atomic_int *)ctx, 1);
}

typedef struct cover {
    atomic_int blocks, wrong;
    _Atomic int64_t indices;
} cover;

static void cover_block(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    cover *c = ctx;
    atomic_fetch_add(&c->blocks, 1);
    if (begin < 0 || end <= begin) atomic_fetch_add(&c->wrong, 1);
    atomic_fetch_add(&c->indices, end - begin);
}

// Sizes whose sums with the grain would overflow.
static void check_huge(wn__pool *pool, int64_t grain, int blocks) {
    cover c = {0};
    wn__parallel_for(pool, INT64_MAX, grain, cover_block, &c);
    assert_int_equal(c.wrong, 0);
    assert_int_equal(c.blocks, blocks);
    assert_true(c.indices == INT64_MAX);
}

static void test_edges(void **state) {
    (void)state;
    wn__pool *pool = make_pool(3);
    atomic_int blocks = 0;
    wn__parallel_for(pool, 0, 1, count_blocks, &blocks);
    wn__parallel_for(pool, -5, 1, count_blocks, &blocks);
    assert_int_equal(blocks, 0);
    check_huge(pool, INT64_MAX / 4, 5);
    check_huge(pool, INT64_MAX - 1, 2);
    check_huge(pool, INT64_MAX, 1);
    check_huge(NULL, INT64_MAX / 4, 5);
    wn__pool_free(pool);
    wn__pool_free(NULL);
    assert_int_equal(wn__pool_threads(NULL), 1);
}

static void test_create(void **state) {
    (void)state;
    wn__pool *pool;
    assert_int_equal(wn__pool_create(0, &pool), WN_OK);
    assert_int_equal(wn__pool_threads(pool), wn__cpu_count());
    wn__pool_free(pool);
    assert_int_equal(wn__pool_step(NULL), 1);
    for
        EACH_POOL(i) {
            pool = make_pool(thread_counts[i]);
            assert_int_equal(wn__pool_step(pool), thread_counts[i] > 16 ? 3 : 1);
            wn__pool_free(pool);
        }
    assert_int_equal(wn__pool_create(1000000, &pool), WN_INVALID);
    assert_null(pool);
    assert_non_null(strstr(wn_last_error(), "1000000 threads, at most 1024"));
    for (int i = 0; i < 100; i++)
        wn__pool_free(make_pool(1 + i % 4)); // workers may not even have started
}

static void check_looks_out(int threads, bool expected) {
    wn__pool *pool = make_pool(threads);
    assert_int_equal(wn__pool_looks_out(pool), expected);
    wn__pool_free(pool);
}

// Only where no thread takes a processor from another: by what the creator may use, then by what
// the pool is bound to.
static void test_who_looks_out(void **state) {
    (void)state;
    const int cpus = wn__cpu_count();
    check_looks_out(cpus, true);
    check_looks_out(cpus + 1, false);
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    const int here = sched_getcpu(), twice[] = {here, here};
    assert_true(here >= 0);
    CPU_ZERO(&one);
    CPU_SET((size_t)here, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    check_looks_out(1, true);
    check_looks_out(2, false);
    wn__pool *pool = make_pool(2);
    wn__pool_pin(pool, twice, 2); // two processors, whichever they are
    assert_true(wn__pool_looks_out(pool));
    wn__pool_pin(pool, twice, 0); // nothing is said
    assert_true(wn__pool_looks_out(pool));
    wn__pool_pin(pool, twice, 1);
    assert_false(wn__pool_looks_out(pool));
    check_visit(pool, 1000, 7);
    wn__pool_free(pool);
    wn__pool_pin(NULL, twice, 2);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void test_many_small_calls(void **state) {
    (void)state;
    for
        EACH_POOL(p) {
            wn__pool *pool = make_pool(thread_counts[p]);
            int64_t total[4] = {0}; // plain: the end of a call orders it before the next
            for (int call = 0; call < 5000; call++) {
                atomic_int blocks = 0;
                wn__parallel_for(pool, 1 + call % 9, 2, count_blocks, &blocks);
                total[call % 4] += blocks;
                if (call % 1000 == 999) (void)sched_yield();
            }
            wn__pool_free(pool);
            int64_t want = 0;
            for (int call = 0; call < 5000; call++)
                want += (1 + call % 9 + 1) / 2;
            assert_int_equal(total[0] + total[1] + total[2] + total[3], want);
        }
}

// What one call wrote without atomics, the next one reads from other threads.
static void shift_block(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    int64_t **row = ctx;
    for (int64_t i = begin; i < end; i++)
        row[1][i] = row[0][(i + 1) % 64] + 1;
}

static void test_calls_are_ordered(void **state) {
    (void)state;
    wn__pool *pool = make_pool(4);
    int64_t a[64], b[64];
    for (int i = 0; i < 64; i++)
        a[i] = i;
    for (int call = 0; call < 2000; call += 2) {
        wn__parallel_for(pool, 64, 5, shift_block, (int64_t *[]){a, b});
        wn__parallel_for(pool, 64, 5, shift_block, (int64_t *[]){b, a});
    }
    wn__pool_free(pool);
    for (int i = 0; i < 64; i++)
        assert_int_equal(a[i], (i + 2000) % 64 + 2000);
}

typedef struct meeting {
    atomic_int present, worker_blocks_sigint;
    bool met[2];
} meeting;

// Each of two blocks waits for the other: only two threads at once can finish both.
static void meet(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)end;
    meeting *m = ctx;
    atomic_fetch_add(&m->present, 1);
    double limit = wn__clock() + 20;
    while (atomic_load(&m->present) < 2 && wn__clock() < limit)
        (void)sched_yield();
    m->met[begin] = atomic_load(&m->present) == 2;
    sigset_t blocked;
    if (worker > 0 && pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0)
        atomic_store(&m->worker_blocks_sigint, sigismember(&blocked, SIGINT));
}

static void test_blocks_run_at_once(void **state) {
    (void)state;
    const int counts[] = {2, 8};
    for (int i = 0; i < 2; i++) {
        wn__pool *pool = make_pool(counts[i]);
        for (int repeat = 0; repeat < 20; repeat++) {
            meeting m = {0};
            if (repeat % 5 == 1) (void)usleep(5000); // workers fall asleep, and must be woken
            wn__parallel_for(pool, 2, 1, meet, &m);
            assert_true(m.met[0] && m.met[1]);
            assert_int_equal(m.worker_blocks_sigint, 1);
        }
        wn__pool_free(pool);
    }
    sigset_t blocked;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    assert_false(sigismember(&blocked, SIGINT)); // the creator's own mask is as it was
}

typedef struct nest {
    wn__pool *pool, *inner_pool;
    int outer_worker; // of the block around; for the inner call
    int64_t next;     // index the inner call must see
    atomic_int *wrong, *inner;
} nest;

static void inner_block(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)end;
    nest *n = ctx;
    int want = n->inner_pool == n->pool ? n->outer_worker : 0;
    if (worker != want || begin != n->next) atomic_fetch_add(n->wrong, 1);
    n->next++;
    atomic_fetch_add(n->inner, 1);
}

static void outer_block(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end;
    nest n = *(nest *)ctx; // inner blocks run on this very thread, so a local will do
    n.outer_worker = worker;
    wn__parallel_for(n.inner_pool, 10, 1, inner_block, &n);
    if (n.next != 10) atomic_fetch_add(n.wrong, 1);
}

static void test_nested_calls_run_inline(void **state) {
    (void)state;
    wn__pool *pool = make_pool(4), *other = make_pool(2);
    wn__pool *const inner_pools[] = {pool, other, NULL};
    for (int i = 0; i < 3; i++) {
        atomic_int wrong = 0, inner = 0;
        nest n = {.pool = pool, .inner_pool = inner_pools[i], .wrong = &wrong, .inner = &inner};
        for (int call = 0; call < 50; call++)
            wn__parallel_for(pool, 20, 1, outer_block, &n);
        wn__parallel_for(pool, 1, 1, outer_block, &n); // one block, inline itself
        assert_int_equal(wrong, 0);
        assert_int_equal(inner, 50 * 200 + 10);
    }
    wn__pool_free(other);
    check_visit(pool, 1000, 10); // and nothing of it sticks
    wn__pool_free(pool);
}

typedef struct outsider {
    wn__pool *pool;
    atomic_int *owner, *wrong;
    int id;
    int64_t sum;
    int64_t part[MAX_THREADS]; // per-worker scratch of this caller
    int64_t *shared_scratch;   // [threads], of the pool: safe only if calls are serialised
} outsider;

static void outsider_block(void *ctx, int64_t begin, int64_t end, int worker) {
    outsider *o = ctx;
    int nobody = 0;
    if (!atomic_compare_exchange_strong(o->owner, &nobody, o->id) && nobody != o->id)
        atomic_fetch_add(o->wrong, 1);
    o->shared_scratch[worker]++;
    for (int64_t i = begin; i < end; i++)
        o->part[worker] += i;
}

static void release_block(void *ctx, int64_t begin, int64_t end, int worker) {
    outsider_block(ctx, begin, end, worker);
    atomic_store(((outsider *)ctx)->owner, 0);
}

// One-block calls: inline, yet serialised as well. Each takes and leaves the ownership.
static void *outsider_main(void *arg) {
    outsider *o = arg;
    for (int call = 0; call < 500; call++) {
        wn__parallel_for(o->pool, 100, call % 2 ? 100 : 200, release_block, o);
    }
    for (int w = 0; w < MAX_THREADS; w++)
        o->sum += o->part[w];
    return NULL;
}

static void *outsider_many_main(void *arg) {
    outsider *o = arg;
    for (int call = 0; call < 500; call++) {
        atomic_int blocks = 0;
        wn__parallel_for(o->pool, 100, 7, count_blocks, &blocks);
        if (blocks != 15) atomic_fetch_add(o->wrong, 1);
    }
    return NULL;
}

static void test_concurrent_callers(void **state) {
    (void)state;
    enum { CALLERS = 4 };
    wn__pool *pool = make_pool(3);
    atomic_int owner = 0, wrong = 0;
    int64_t scratch[MAX_THREADS] = {0};
    outsider o[2 * CALLERS];
    pthread_t thread[2 * CALLERS];
    for (int i = 0; i < 2 * CALLERS; i++) {
        o[i] = (outsider){.pool = pool, .owner = &owner, .wrong = &wrong, .id = i + 1};
        o[i].shared_scratch = scratch;
        assert_int_equal(pthread_create(&thread[i], NULL,
                                        i < CALLERS ? outsider_main : outsider_many_main, &o[i]),
                         0);
    }
    for (int i = 0; i < 2 * CALLERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    wn__pool_free(pool);
    assert_int_equal(wrong, 0);
    assert_int_equal(scratch[0], CALLERS * 500);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(o[i].sum, 500 * 4950);
}

static void rounding_block(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    volatile float tiny = 0x1p-126F;
    volatile float half = tiny * 0.5F; // zero when subnormals are flushed
    if (fegetround() != FE_TONEAREST || half == 0.0F) atomic_fetch_add((atomic_int *)ctx, 1);
}

#if defined(__x86_64__)
#define FLUSH_SUBNORMALS() __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040U)
#define FLUSHES()          ((__builtin_ia32_stmxcsr() & 0x8040U) == 0x8040U)
#else
#define FLUSH_SUBNORMALS() ((void)0)
#define FLUSHES()          true
#endif

// A host that rounds upwards and flushes subnormals gets the same results, and its settings back.
static void test_floating_point_environment(void **state) {
    (void)state;
    fenv_t before;
    assert_int_equal(fegetenv(&before), 0);
    assert_int_equal(fesetround(FE_UPWARD), 0);
    FLUSH_SUBNORMALS();
    wn__pool *pool = make_pool(3);
    atomic_int wrong = 0;
    for (int call = 0; call < 50; call++)
        wn__parallel_for(pool, 50, 1, rounding_block, &wrong);
    wn__parallel_for(pool, 1, 1, rounding_block, &wrong);
    wn__parallel_for(NULL, 4, 1, rounding_block, &wrong);
    wn__pool_free(pool);
    bool kept = fegetround() == FE_UPWARD && FLUSHES();
    assert_int_equal(fesetenv(&before), 0);
    assert_int_equal(wrong, 0);
    assert_true(kept);
}

#if defined(__x86_64__)
static void flushed_block(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)begin, (void)end, (void)worker;
    volatile float tiny = 0x1p-126F, subnormal = 0x1p-130F;
    volatile float half = tiny * 0.5F, large = subnormal * 0x1p10F; // results, not operands
    if (half == 0.0F && large == 0x1p-120F) atomic_fetch_add((atomic_int *)ctx, 1);
}

// Asked for, results are flushed in every block, with any number of threads; and only then.
static void test_flush(void **state) {
    (void)state;
    for
        EACH_POOL(i) {
            wn__pool *pool = make_pool(thread_counts[i]);
            atomic_int flushed = 0, wrong = 0;
            for (int call = 0; call < 20; call++) {
                assert_false(wn__pool_flush(true));
                wn__parallel_for(pool, 50, 1, flushed_block, &flushed);
                assert_true(wn__pool_flush(false));
                wn__parallel_for(pool, 50, 1, rounding_block, &wrong);
            }
            wn__pool_free(pool);
            assert_int_equal(flushed, 20 * 50);
            assert_int_equal(wrong, 0);
        }
    volatile float tiny = 0x1p-126F; // the caller's own environment is as it was
    assert_true(tiny * 0.5F > 0.0F);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_index_once),
        cmocka_unit_test(test_same_bits_with_any_threads),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_who_looks_out),
        cmocka_unit_test(test_many_small_calls),
        cmocka_unit_test(test_calls_are_ordered),
        cmocka_unit_test(test_blocks_run_at_once),
        cmocka_unit_test(test_nested_calls_run_inline),
        cmocka_unit_test(test_concurrent_callers),
        cmocka_unit_test(test_floating_point_environment),
#if defined(__x86_64__)
        cmocka_unit_test(test_flush),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
