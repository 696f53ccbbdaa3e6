// SPDX-License-Identifier: MIT
/* A self-test of this build on this machine: the sparse operators, layer shapes of real models, and
 * a short training run. */
#ifndef WINNOW_VERIFY_H
#define WINNOW_VERIFY_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wn_verify_result {
    const char *name; /* "mvue exact: mean" */
    bool passed;
    const char *detail; /* what was measured and what was allowed; valid in the callback */
    double seconds;
} wn_verify_result;
typedef void wn_verify_fn(void *ctx, const wn_verify_result *result);

/* Runs every check, calling fn after each. What is shown: masks keep exactly half and have the
 * pattern; packing and unpacking give the masked weights back; masks and positions are the same in
 * fp32, bf16 and fp16 for values all three hold; the MVUE samplers are unbiased within a bound that
 * holds with probability 1 - 1e-6 (Bernstein), and keep at most two of four; the sparse product
 * equals the dense product of the same weights within its derived bound; the kernels agree with the
 * reference on production shapes; a ten-step training run has a falling loss and saves what it
 * should. threads 0: all. kernels: "op:variant,..." or NULL. Returns an error only when the checks
 * could not be made. */
WN_API WN_NODISCARD wn_status wn_verify(int threads, const char *kernels, wn_verify_fn *fn,
                                        void *ctx, int64_t *checks, int64_t *failed);

/* One of the eleven production shapes: y[tokens, out] = x[tokens, in] W^T with 2:4 weights in
 * float32. */
typedef struct wn_production_result {
    int64_t tokens, out, in;
    bool passed;
    /* Each true when it was checked and holds. */
    bool pattern;    /* the mask keeps exactly two of every four */
    bool round_trip; /* unpacking gives the masked weights back bit for bit: row-wise masks, and
                        transposable ones packed both ways */
    bool repeat;     /* a second run gives the same bits */
    bool threads;    /* one thread gives the same bits */
    bool bound;      /* sampled rows against float64, within the derived bound */
    bool exact;      /* integer-valued weights and inputs: every output is the exact integer */
    double worst;    /* largest |error| / bound over the sampled rows */
    double max_error, mean_error; /* over the sampled rows */
    bool guide; /* what SparseFlow's guide asks: max_error < 0.2 and mean_error < 0.01. Reported,
                   not judged: absolute limits say little (the bound does) */
    const char *detail; /* what failed; "" when all passed. Valid in the callback */
    double seconds;
} wn_production_result;
typedef void wn_production_fn(void *ctx, const wn_production_result *result);

/* The production suite: checks sparse products, packing and determinism on eleven shapes of LLaMA
 * 7B and of square matrices (tokens x out x in: 512^3, 1024^3, 2048^3, 4096^3; 128, 512 and 2048 x
 * 4096 x 4096; 512 and 2048 x 11008 x 4096; 512 and 2048 x 4096 x 11008), calling fn after each.
 * All tokens are multiplied; 16 of their rows, spread from first to last, are compared with
 * float64 products of the same weights, |error| <= u |y| + in (u sum |x| |w| + 2^-126) with u =
 * 2^-24 (in/2 terms, two roundings each, results below the smallest normal number flushed to zero);
 * of the integer case every output is checked, by an exact product with a random vector of
 * integers. quick: at most 64 tokens a shape. Needs about 700 MiB. threads and kernels as above.
 * Returns an error only when the checks could not be made. */
WN_API WN_NODISCARD wn_status wn_verify_production(int threads, const char *kernels, bool quick,
                                                   wn_production_fn *fn, void *ctx, int64_t *shapes,
                                                   int64_t *passed);

#ifdef __cplusplus
}
#endif
#endif
