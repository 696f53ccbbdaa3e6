// SPDX-License-Identifier: MIT
/* Asking the kernel table: what there is, what would run and why, whether it is right, how fast it
 * is. */
#ifndef WINNOW_KERNELS_H
#define WINNOW_KERNELS_H

#include "winnow/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One row of the table. All strings are static. */
typedef struct wn_kernel_info {
    const char *op;      /* "spmm24" */
    const char *summary; /* of the op */
    const char *variant; /* "avx512" */
    const char *name;    /* "spmm24_avx512" */
    const char *needs;   /* "avx512", "-" */
    int rank;
    bool on_gpu;
    bool available; /* this machine (and WN_CPU) can run it */
} wn_kernel_info;

WN_API size_t wn_kernel_count(void);
/* i < wn_kernel_count(). */
WN_API void wn_kernel_get(size_t i, wn_kernel_info *out);

/* Why each variant of an op is accepted or refused for a stated case: problem is "m=64,n=96,k=128"
 * with the sizes the op's case generator names (winnow kernels --op OP lists them); missing sizes
 * take defaults. Text of one line for each variant, malloc'ed; the chosen one is marked with "*".
 * The environment variable WN_KERNEL counts. */
WN_API WN_NODISCARD wn_status wn_plan_explain(const char *op, const char *problem, char **out);

/* The same on a device, "cpu" or "cuda" (UNSUPPORTED: there is none here), with the choices of a
 * cache of wn_kernels_tune (NULL: none). device NULL: nothing is planned, and the text says what
 * the cache has for the problem on whichever device it was measured. */
WN_API WN_NODISCARD wn_status wn_plan_explain_on(const char *op, const char *problem,
                                                 const char *device, const char *cache, char **out);

/* The sizes and options of an op's problems, one a line with its default: "m: 64 (at least 0)",
 * "dtype: f32 (f64, f32, bf16, f16)". Malloc'ed. */
WN_API WN_NODISCARD wn_status wn_problem_describe(const char *op, char **out);

/* The harness (also behind the tests). For every variant of the ops whose name matches the glob,
 * runs each generated case: poisoned outputs, odd strides, tails, empty and 1-sized dimensions,
 * denormals, infinities, adversarial 2:4 patterns, 1 thread = N threads bit for bit, repeat = same
 * bits, and compares with ref within the contract's derived bound. */
typedef struct wn_check_options {
    const char *op;      /* glob, NULL: all */
    const char *variant; /* glob, NULL: all that can run here */
    uint64_t seed;
    int threads;         /* the N above; <= 0: 3 */
    bool quick;          /* fewer random cases */
    const char *problem; /* this case only, as a failure names it; NULL: generated ones */
} wn_check_options;
typedef struct wn_check_result {
    const char *name;    /* variant */
    const char *problem; /* case, only valid in the callback */
    bool passed;
    const char *message; /* what differed and the command that repeats it; "" when passed */
    double worst;        /* largest |error|/bound over the case, 0 for exact ops */
} wn_check_result;
typedef void wn_check_fn(void *ctx, const wn_check_result *result);
/* Calls fn for each case. *failed counts those not passed. */
WN_API WN_NODISCARD wn_status wn_kernels_check(const wn_check_options *options, wn_check_fn *fn,
                                               void *ctx, int64_t *cases, int64_t *failed);

/* Times one case of an op on each variant that accepts it and matches the glob (NULL: all): medians
 * of interleaved repeats on random data. After a sparse op follows the dense kernel (its name says
 * so) that would do the same work. threads <= 0: one for each CPU; repeats <= 0: 9. Meanwhile the
 * calling thread and the others that work are bound to one processor each. */
typedef struct wn_time_result {
    const char *name;
    double seconds; /* median */
    double flops;   /* executed, 0 if the notion does not fit */
    double bytes;   /* least traffic */
} wn_time_result;
typedef void wn_time_fn(void *ctx, const wn_time_result *result);
WN_API WN_NODISCARD wn_status wn_kernels_time(const char *op, const char *variant,
                                              const char *problem, int threads, int repeats,
                                              wn_time_fn *fn, void *ctx);

/* Chooses by measuring: every variant of an op that takes the problem on the device is checked
 * against ref (on a smaller problem of the same kind where ref would take minutes), those that
 * agree are timed as wn_kernels_time does, and the fastest joins the choices of the cache file,
 * which may be missing. */
typedef struct wn_tune_options {
    const char *op, *problem; /* as in wn_kernels_time */
    const char *variant;      /* glob, NULL: all; others are neither checked nor timed */
    const char *device;       /* "cpu" or "cuda" */
    const char *cache;        /* a file of choices to begin with, or NULL */
    int threads, repeats;
} wn_tune_options;
typedef struct wn_tune_result {
    const char *name;    /* of the row */
    const char *way;     /* that of a library's which it took; "": as it does by itself */
    double seconds;      /* median; 0: it was not timed, */
    const char *refused; /* for this reason; "" when it was */
    bool chosen;
} wn_tune_result;
typedef void wn_tune_fn(void *ctx, const wn_tune_result *result);
/* *text: all choices, malloc'ed, as the cache file is to hold them. */
WN_API WN_NODISCARD wn_status wn_kernels_tune(const wn_tune_options *options, wn_tune_fn *fn,
                                              void *ctx, char **text);

#ifdef __cplusplus
}
#endif
#endif
