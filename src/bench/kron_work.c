// SPDX-License-Identifier: MIT
// The works of `winnow bench ks`, and the cases of kron_mul and kron_grad that they are.
#include "bench/kron_work.h"
#include "base/philox.h"

#include <inttypes.h>
#include <stdio.h>

static const int64_t outer[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128};
static const int64_t side[] = {48, 64, 96, 128, 192, 256, 384, 512, 768, 1024};
static const int64_t inner[] = {4, 16, 64};
enum { OUTER = 14, SIDE = 10, INNER = 3, MOST = OUTER * SIDE * SIDE * INNER };
enum { SMALLEST = 1024, LARGEST = 16384, SEED = 1 };

static bool published(const wn__kron_size *s) {
    int64_t least = s->b < s->c ? s->b : s->c, most = s->b < s->c ? s->c : s->b;
    if (most != least && most != 4 * least) return false;
    return most == least || (least != 64 && least != 128 && least != 256);
}

static bool fits(int64_t n) {
    return n >= SMALLEST && n <= LARGEST;
}

// All patterns in the order of a, b, c, d.
static int population(wn__kron_size out[MOST]) {
    int count = 0;
    for (int i = 0; i < OUTER * SIDE * SIDE * INNER; i++) {
        const wn__kron_size s = {outer[i / INNER / SIDE / SIDE], side[i / INNER / SIDE % SIDE],
                                 side[i / INNER % SIDE], inner[i % INNER]};
        if (published(&s) && fits(s.a * s.b * s.d) && fits(s.a * s.c * s.d)) out[count++] = s;
    }
    return count;
}

int wn__kron_population(void) {
    wn__kron_size all[MOST];
    return population(all);
}

// The first of a shuffle.
static wn__kron_size drawn(int wanted) {
    wn__kron_size all[MOST];
    int count = population(all);
    for (int i = 0; i <= wanted; i++) {
        int64_t j = i + (int64_t)wn__philox_below(SEED, WN_STREAM_BENCH, (uint64_t)i,
                                                  (uint64_t)(count - i));
        const wn__kron_size keep = all[i];
        all[i] = all[j];
        all[j] = keep;
    }
    return all[wanted];
}

static wn__kron_work factor_work(int i) {
    wn__kron_work w = {.kind = WN__KRON_FACTOR, .size = drawn(i), .count = 1};
    const wn__kron_size *s = &w.size;
    w.out = s->a * s->b * s->d;
    w.in = s->a * s->c * s->d;
    w.params = (double)w.out * (double)s->c;
    (void)snprintf(w.name, sizeof w.name,
                   "factor (%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ")", s->a, s->b, s->c,
                   s->d);
    return w;
}

// Chains: blocks of 64 x 64 of rank r, a share of 2 r / 64, which leave r times as many numbers
// between as on either side; 8 x 8 blocks of a quarter's rank, which leave as many; butterflies of
// 4096.
enum { BLOCK = 64, WIDE = 8, SQUARES = 5, RANKS = 2, PAIRS = SQUARES * RANKS, BUTTERFLIES = 2 };
static const int64_t rank[RANKS] = {1, 8};
static const int64_t radix[BUTTERFLIES][2] = {{16, 3}, {8, 4}};

static wn__kron_work pair_work(int i) {
    int64_t n = (int64_t)SMALLEST << i / RANKS, r = rank[i % RANKS];
    wn__kron_work w = {.kind = WN__KRON_PAIR, .out = n, .in = n, .count = 2};
    w.size = (wn__kron_size){r, BLOCK, BLOCK, 1};
    w.params = (double)n * (double)n * 2 * (double)r / BLOCK;
    (void)snprintf(w.name, sizeof w.name, "two factors %.3g %%", 200.0 * (double)r / BLOCK);
    return w;
}

static wn__kron_work wide_work(int i) {
    const int64_t n = (int64_t)SMALLEST << i, block = n / WIDE, r = block / WIDE;
    wn__kron_work w = {.kind = WN__KRON_PAIR, .out = n, .in = n, .count = 2};
    w.size = (wn__kron_size){r, block, block, 1};
    w.params = (double)n * (double)n / 4;
    (void)snprintf(w.name, sizeof w.name, "two factors 25 %% monarch:%d:%d", (int)block, (int)r);
    return w;
}

static wn__kron_work butterfly_work(int i) {
    wn__kron_work w = {.kind = WN__KRON_BUTTERFLY, .out = 4096, .in = 4096};
    w.size = (wn__kron_size){1, radix[i][0], radix[i][0], 1};
    w.count = (int)radix[i][1];
    w.params = 4096.0 * (double)(radix[i][0] * radix[i][1]);
    (void)snprintf(w.name, sizeof w.name, "butterfly radix %" PRId64, radix[i][0]);
    return w;
}

bool wn__kron_work_at(int i, int sample, wn__kron_work *out) {
    if (sample > WN__KRON_SAMPLE) sample = WN__KRON_SAMPLE;
    if (i < sample) {
        *out = factor_work(i);
        return true;
    }
    i -= sample;
    if (i >= PAIRS + SQUARES + BUTTERFLIES) return false;
    *out = i < PAIRS             ? pair_work(i)
           : i < PAIRS + SQUARES ? wide_work(i - PAIRS)
                                 : butterfly_work(i - PAIRS - SQUARES);
    return true;
}

const char *wn__kron_pass_name(wn__kron_pass pass) {
    static const char *const name[] = {"forward", "input gradient", "weight gradient"};
    return name[pass];
}

// ---- cases

typedef struct text {
    char *at;
    size_t n;
} text;

// "n=512,dtype=f32,batch=last"
static void put_common(text *t, int64_t rows, const char *dtype, bool last) {
    int used =
        snprintf(t->at, t->n, "n=%" PRId64 ",dtype=%s%s", rows, dtype, last ? ",batch=last" : "");
    if (used < 0 || (size_t)used >= t->n) return;
    t->at += used;
    t->n -= (size_t)used;
}

static void put_size(text *t, const char *format, int64_t a, int64_t b, int64_t c, int64_t d) {
    int used = snprintf(t->at, t->n, format, a, b, c, d);
    if (used < 0 || (size_t)used >= t->n) return;
    t->at += used;
    t->n -= (size_t)used;
}

// A factor alone in a case of kron_mul, and in one of kron_grad.
#define FACTOR   ",a=%" PRId64 ",t=%" PRId64 ",c=%" PRId64 ",d=%" PRId64 ",s=1,r=1,count=1"
#define GRADIENT ",a=%" PRId64 ",b=%" PRId64 ",c=%" PRId64 ",d=%" PRId64

static wn__kron_size right_of(const wn__kron_work *w) {
    return (wn__kron_size){w->in / w->size.c, w->size.a * (w->out / w->size.b), w->size.c, 1};
}
static wn__kron_size left_of(const wn__kron_work *w) {
    return (wn__kron_size){1, w->size.b, w->in / w->size.c * w->size.a, w->out / w->size.b};
}

static void put_weight(text *t, const wn__kron_work *w, int64_t rows, const char *dtype,
                       bool last) {
    wn__kron_size s = w->size, r = right_of(w), l = left_of(w);
    if (w->kind == WN__KRON_PAIR) {
        put_common(t, rows, dtype, last); // what the left factor takes
        put_size(t, FACTOR ";", r.a, r.b, r.c, r.d);
        put_common(t, rows, dtype, last); // what comes back from it
        put_size(t, FACTOR ";", l.a, l.c, l.b, l.d);
        put_common(t, rows, dtype, last);
        put_size(t, GRADIENT ";", l.a, l.b, l.c, l.d);
        s = r;
    }
    put_common(t, rows, dtype, last);
    put_size(t, GRADIENT, s.a, s.b, s.c, s.d);
}

bool wn__kron_pair_problem(const wn__kron_work *w, int64_t rows, const char *dtype, char *problem,
                           size_t problem_size) {
    text t = {problem, problem_size};
    if (w->kind != WN__KRON_PAIR) return false;
    put_common(&t, rows, dtype, false);
    put_size(&t, ",b=%" PRId64 ",c=%" PRId64 ",s=%" PRId64 ",t=%" PRId64, w->size.b, w->size.c,
             w->in / w->size.c, w->out / w->size.b);
    put_size(&t, ",r=%" PRId64 ",accumulate=%" PRId64, w->size.a, 0, 0, 0);
    return true;
}

bool wn__kron_problem(const wn__kron_work *w, wn__kron_pass pass, int64_t rows, const char *dtype,
                      bool last, char *ops, size_t ops_size, char *problem, size_t problem_size) {
    text t = {problem, problem_size};
    const wn__kron_size *s = &w->size;
    bool weight = pass == WN__KRON_WEIGHT, turned = pass == WN__KRON_INPUT;
    if (weight && w->kind == WN__KRON_BUTTERFLY) return false;
    (void)snprintf(ops, ops_size, "%s",
                   !weight                    ? "kron_mul"
                   : w->kind == WN__KRON_PAIR ? "kron_mul+kron_mul+kron_grad+kron_grad"
                                              : "kron_grad");
    if (weight) {
        put_weight(&t, w, rows, dtype, last);
        return true;
    }
    put_common(&t, rows, dtype, last);
    if (w->kind == WN__KRON_FACTOR) {
        put_size(&t, FACTOR, s->a, turned ? s->c : s->b, turned ? s->b : s->c, s->d);
    } else if (w->kind == WN__KRON_PAIR) {
        put_size(&t, ",a=1,d=1,b=%" PRId64 ",c=%" PRId64 ",s=%" PRId64 ",t=%" PRId64, s->b, s->c,
                 w->in / s->c, w->out / s->b);
        put_size(&t,
                 turned ? ",r=%" PRId64 ",count=%" PRId64 ",form=turned"
                        : ",r=%" PRId64 ",count=%" PRId64,
                 s->a, 2, 0, 0);
    } else {
        put_size(&t,
                 turned ? ",r=%" PRId64 ",count=%" PRId64 ",form=butterfly-turned"
                        : ",r=%" PRId64 ",count=%" PRId64 ",form=butterfly",
                 s->b, w->count, 0, 0);
    }
    return true;
}
