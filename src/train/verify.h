// SPDX-License-Identifier: MIT
/* What the checks of wn_verify are made of. Operators and the training run are reached through two
 * functions, so that tests can put broken ones in their place and see the checks fail. */
#ifndef WN_TRAIN_VERIFY_H
#define WN_TRAIN_VERIFY_H

#include "base/arena.h"
#include "kernels/runtime.h"
#include "winnow/train.h"
#include "winnow/verify.h"

typedef wn_status wn__verify_run_fn(void *ctx, wn__runtime *rt, wn__op op, const void *args);
typedef wn_status wn__verify_train_fn(const wn_train_options *o, wn_train_fn *fn, wn_stop_fn *stop,
                                      void *ctx);

typedef struct wn__verify {
    wn__runtime *rt;
    wn__arena arena; /* of the current check's tensors */
    wn__verify_run_fn *run;
    wn__verify_train_fn *train;
    void *ctx; /* of run */
    int threads;
    const char *kernels;
    wn_verify_fn *fn;
    void *fn_ctx;
    int64_t checks, failed;
    double started;
} wn__verify;

/* Runs an op through v->run. */
WN_NODISCARD wn_status wn__verify_op(wn__verify *v, wn__op op, const void *args);
/* The verdict on one check. */
void wn__verify_say(wn__verify *v, const char *name, bool passed, const char *fmt, ...)
    WN_PRINTF(4, 5);
/* Plans, grows the workspace and runs: what v->run is outside tests. */
WN_NODISCARD wn_status wn__verify_run(void *ctx, wn__runtime *rt, wn__op op, const void *args);

/* The groups of checks. An error means that a check could not be made. */
WN_NODISCARD wn_status wn__verify_masks(wn__verify *v);    /* verify_masks.c */
WN_NODISCARD wn_status wn__verify_formats(wn__verify *v);  /* verify_masks.c */
WN_NODISCARD wn_status wn__verify_mvue(wn__verify *v);     /* verify_mvue.c */
WN_NODISCARD wn_status wn__verify_product(wn__verify *v);  /* verify_product.c */
WN_NODISCARD wn_status wn__verify_shapes(wn__verify *v);   /* verify_product.c */
WN_NODISCARD wn_status wn__verify_training(wn__verify *v); /* verify_training.c */
WN_NODISCARD wn_status wn__verify_all(wn__verify *v);

/* The production suite on stated shapes: y[tokens, out] = x[tokens, in] W^T; multiples of 4 in out
 * and in. most_tokens bounds the tokens of each. Uses v's run, ctx and rt, and a runtime of one
 * thread that it makes. */
typedef struct wn__production_shape {
    int64_t tokens, out, in;
} wn__production_shape;
WN_NODISCARD wn_status wn__verify_production(wn__verify *v, const wn__production_shape *shapes,
                                             size_t count, int64_t most_tokens,
                                             wn_production_fn *fn, void *ctx, int64_t *passed);

#endif
