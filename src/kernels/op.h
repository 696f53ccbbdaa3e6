// SPDX-License-Identifier: MIT
/* Ops, variants, plans and executors: the only way from the layers above to tensor data.
 *
 * An op is a contract (its own header); a variant is one implementation of it (a row of
 * kernels.def). The same argument struct plans and runs: planning looks at dtypes, shapes and
 * strides only, so its tensors may have NULL data. An executor in planning mode runs a whole step
 * without touching data: it selects a variant for every op, adds up the workspace and fails on what
 * nothing can run. */
#ifndef WN_KERNELS_OP_H
#define WN_KERNELS_OP_H

#include "base/pool.h"
#include "kernels/cuda/gpu.h"
#include "tensor/tensor.h"
#include "winnow/kernels.h"

typedef enum wn__op {
#define WN_OP(name, summary) WN__OP_##name,
#define WN_KERNEL(op, variant, needs, accepts, workspace, rank)
#include "kernels/kernels.def"
#undef WN_OP
#undef WN_KERNEL
    WN__OP_COUNT
} wn__op;

typedef struct wn__exec wn__exec;

/* Runs the op; x gives threads and scratch. Never called with arguments the op's check or accepts
 * refused. */
typedef wn_status wn__kernel_fn(const void *args, wn__exec *x);
/* Whether a variant can run these arguments; if not, says why in why[n] ("k=1000 is not a multiple
 * of 64"). NULL: any. */
typedef bool wn__accepts_fn(const void *args, char *why, size_t n);
/* Scratch bytes for these arguments with this many threads. NULL: none. More tokens or threads may
 * need less: what runs is what must have been planned. */
typedef size_t wn__workspace_fn(const void *args, int threads);
/* Checks the contract itself (shapes agree, dtypes, strides, no illegal aliasing): INVALID with a
 * message. One for each op, in <op>.c beside its header: wn__check_<op>. */
typedef wn_status wn__check_fn(const void *args);

/* The rank of rows that exist to be checked: they run where they are forced, and are neither chosen
 * nor tuned to. */
enum { WN__CHECKED_ONLY = -1 };

/* Ways that a variant has for the arguments of a run, each a text without blanks that names it
 * again on another start; a library's own, so only rows that call one have any. */
enum { WN__WAY_TEXT = 64, WN__MOST_WAYS = 8 };
typedef struct wn__ways {
    int count;
    char text[WN__MOST_WAYS][WN__WAY_TEXT];
    int taken; /* by the last run; -1: that which the library chooses */
} wn__ways;

typedef struct wn__kernel {
    wn__op op;
    const char *name;    /* "spmm24_avx512": op, '_', variant; symbol and file */
    const char *variant; /* "avx512" */
    uint32_t needs;      /* WN_CPU_* flags, or WN_GPU_* ones of a row that runs on a GPU */
    int rank;            /* the highest accepted rank wins; or WN__CHECKED_ONLY */
    wn__kernel_fn *run;
    wn__accepts_fn *accepts;
    wn__workspace_fn *workspace;
} wn__kernel;

/* Whether a row runs on a GPU. */
static inline bool wn__kernel_on_gpu(const wn__kernel *k) {
    return (k->needs & WN_GPU_ANY) != 0;
}
/* Whether this machine has what a row needs, as far as WN_CPU allows. */
bool wn__kernel_available(const wn__kernel *k);

/* All rows, in file order. */
const wn__kernel *wn__kernel_table(size_t *count);
const char *wn__op_name(wn__op op);
const char *wn__op_summary(wn__op op);
wn__check_fn *wn__op_check(wn__op op);
/* Whether results below the smallest normal number may be zero: WN_OP_FLUSH in kernels.def. */
bool wn__op_flushes(wn__op op);

/* What runs and on what. Not shared between threads that plan or run at once. */
struct wn__exec {
    wn_device device;
    wn__gpu *gpu;   /* borrowed; what device names when it is a GPU. Variants there queue their
                       work; wn__gpu_finish waits and tells what they refused */
    wn__pool *pool; /* borrowed; NULL: one thread */
    bool planning;  /* select and count, do not run */
    bool strict; /* running `ref` where another variant of the op exists is an error, unless forced
                  */
    const char *force; /* borrowed; "matmul:ref,spmm24:avx2" or NULL: these variants or an error;
                          the last of an op counts */
    const struct wn__tuned *tuned; /* borrowed; choices that were measured (kernels/tuned.h); NULL:
                                      by rank alone */
    size_t need;                   /* largest workspace any op has asked for so far */
    char *scratch;                 /* borrowed block of scratch_size bytes, 64-byte aligned */
    size_t scratch_size;
    uint8_t *used; /* optional, one byte for each row of the table, set when the row was chosen */
    struct wn__profile *profile; /* borrowed; NULL: nothing is timed (kernels/profile.h) */
    const char *way; /* borrowed; that of the variant that runs, NULL: as it does by itself. wn__run
                        takes it from a measured choice; what runs a stated row sets it */
    wn__ways *ways;  /* borrowed; what a variant with ways lists them in; NULL: it is not asked */
};

/* Checks the contract and selects: the variant that would run, with the reasons of those refused
 * available through wn_plan_explain (winnow/kernels.h). UNSUPPORTED lists every refusal. */
WN_NODISCARD wn_status wn__plan(const wn__exec *x, wn__op op, const void *args,
                                const wn__kernel **out);
/* The way in which a measured choice has k run these (checked) arguments, NULL: none does. What is
 * forced on x runs as it does by itself. */
const char *wn__plan_way(const wn__exec *x, const wn__kernel *k, const void *args);
/* Checks, selects, and (unless planning) runs. BUG if the workspace is smaller than planned. */
WN_NODISCARD wn_status wn__run(wn__exec *x, wn__op op, const void *args);
/* As wn__run with a stated row of the table (tests, benches). */
WN_NODISCARD wn_status wn__run_kernel(wn__exec *x, const wn__kernel *k, const void *args);

#endif
