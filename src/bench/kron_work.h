// SPDX-License-Identifier: MIT
/* What `winnow bench ks` measures, on processors and on GPUs: single factors drawn from the
 * patterns of the published benchmark, chains of two factors, whole butterflies. */
#ifndef WN_BENCH_KRON_WORK_H
#define WN_BENCH_KRON_WORK_H

#include "kernels/kron_mul.h"

/* Gonon, Zheng, Carrivain & Le (ICML 2025) time a factor (a,b,c,d) of every a among 1, 2, 3, 4, 6,
 * 8, 12, 16, 24, 32, 48, 64, 96, 128, every b and c among 48, 64, 96, 128, 192, 256, 384, 512, 768,
 * 1024 with b = c, b = 4 c or c = 4 b (but six pairs: 64, 128, 256 with four times themselves), and
 * d = 4, 16, 64. Of those whose two sizes lie within 1024 and 16384 this is a sample: a shuffle of
 * all by Philox with seed 1, of which the first are taken, so that a smaller sample is a part of a
 * larger one. */
enum { WN__KRON_SAMPLE = 24 };

typedef enum wn__kron_kind { WN__KRON_FACTOR, WN__KRON_PAIR, WN__KRON_BUTTERFLY } wn__kron_kind;

typedef struct wn__kron_work {
    char name[52]; /* "factor (8,48,192,4)", "two factors 25 %", "butterfly radix 16" */
    wn__kron_kind kind;
    int64_t out, in;
    double params;
    wn__kron_size
        size; /* FACTOR: it; PAIR: b = c blocks of rank a; BUTTERFLY: `count` of radix b */
    int count;
} wn__kron_work;

/* Patterns that the sample is drawn from. */
int wn__kron_population(void);
/* Work i, with a sample of at most `sample` factors; false behind the last. */
bool wn__kron_work_at(int i, int sample, wn__kron_work *out);

typedef enum wn__kron_pass {
    WN__KRON_FORWARD,
    WN__KRON_INPUT, /* gradient of the input: kron_mul of the transposed chain */
    WN__KRON_WEIGHT /* gradients of all factors, with what lies between made again */
} wn__kron_pass;
enum { WN__KRON_PASSES = 3 };
/* "forward", "input gradient", "weight gradient". */
const char *wn__kron_pass_name(wn__kron_pass pass);

/* The ops of a pass, joined by '+', and their cases' problems, joined by ';' (works.def). last:
 * batch last. False: this pass of such a work is not measured (weights of a butterfly). */
bool wn__kron_problem(const wn__kron_work *w, wn__kron_pass pass, int64_t rows, const char *dtype,
                      bool last, char *ops, size_t ops_size, char *problem, size_t problem_size);

/* The weight pass of two factors as one op, kron_pair_grad. False: w is no two factors. */
bool wn__kron_pair_problem(const wn__kron_work *w, int64_t rows, const char *dtype, char *problem,
                           size_t problem_size);

#endif
