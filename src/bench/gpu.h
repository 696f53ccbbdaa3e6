// SPDX-License-Identifier: MIT
/* Timing on a GPU: the device of a suite, its work, and how samples are taken. */
#ifndef WN_BENCH_GPU_H
#define WN_BENCH_GPU_H

#include "bench/nvml.h"
#include "bench/suite.h"
#include "kernels/cuda/blaslt.h"
#include "kernels/cuda/gpu.h"
#include "kernels/tuned.h"

typedef struct wn__gpu_bench {
    wn__gpu *gpu;
    wn__cuda *d;
    wn__nvml nvml;
    bool sustained;
    char machine[200]; /* "NVIDIA H200, driver for CUDA 13.0, 700 W" */
    char cublaslt[160], cusparselt[160];
    char cublaslt_file[256], cusparselt_file[256]; /* versions, or why there is none */
    bool have_cublaslt, have_cusparselt;
    wn__tuned tuned;
} wn__gpu_bench;

/* UNSUPPORTED: no GPU, with the reason. Sets the suite's peak and rate. */
WN_NODISCARD wn_status wn__gpu_bench_open(wn__suite *s);
void wn__gpu_bench_close(wn__suite *s);
WN_NODISCARD wn_status wn__gpu_bench_run(wn__suite *s);

/* Samples of all entries of a cell: lane.run(ctx) queues one run. Burst: 25 ms of sleep, then a
 * batch of about 4 ms. Sustained: 0.8 s of each without a pause, of which the second half counts;
 * forward and backward in turn. Runs shorter than 30 us are replayed from graphs. */
WN_NODISCARD wn_status wn__gpu_sample(wn__cell *c);

/* gpu_data.c: n normal numbers at `to`; zeroed words of memory are the arena's. */
WN_NODISCARD wn_status wn__gpu_random(wn__gpu_bench *g, void *to, wn_dtype dtype, int64_t n,
                                      uint64_t seed);
/* Normal numbers [rows, columns] in 8 bits with a scale a row, which nobody sees. */
WN_NODISCARD wn_status wn__gpu_random8(wn__suite *s, void *to, int64_t rows, int64_t columns,
                                       uint64_t seed);
/* Values for every part that a declared case reads; the parts lie on the device. */
struct wn__case;
WN_NODISCARD wn_status wn__gpu_fill_case(wn__suite *s, struct wn__case *c, uint64_t seed);
/* Plans, makes room for the workspace and runs one op on the device, and waits. */
WN_NODISCARD wn_status wn__gpu_run_op(wn__suite *s, wn__op op, const void *args);

/* gpu_work.c: entries of our kernels, by works_gpu.def, as wn__work_*. */
WN_NODISCARD wn_status wn__gpu_work_add(wn__cell *c, bool cold);
/* As wn__ops_add, with the rows of matrices one behind the other. force NULL: variants that are
 * asked for, or the best. */
WN_NODISCARD wn_status wn__gpu_ops_add(wn__cell *c, wn_bench_role role, const char *ops,
                                       const char *problems, const char *force, wn__entry **out);

/* How many copies of what has that many bytes are needed so that none is in the caches when its
 * turn comes again; 1 when not cold. */
int wn__gpu_copies(double bytes, bool cold);

/* The fastest of cuBLASLt's choices for a product, each tried on its own data. */
typedef struct wn__gpu_best {
    wn__blaslt *lt;
    const wn__lt_plan *plan;
    int choice;
} wn__gpu_best;
enum { WN__GPU_BEST_WORKSPACE = 64 << 20 };
WN_NODISCARD wn_status wn__gpu_best_find(wn__gpu_bench *g, const wn__matmul *p, void *workspace,
                                         wn__gpu_best *out);
WN_NODISCARD wn_status wn__gpu_best_run(const wn__gpu_best *b, const wn__matmul *p,
                                        void *workspace);

/* gpu_mlp.c: a whole MLP, dense and with 2:4 weights. */
WN_NODISCARD wn_status wn__gpu_bench_mlp(wn__suite *s);

/* Entries of NVIDIA's libraries: the best of cuBLASLt's choices, cuSPARSELt with everything
 * searched, cuSPARSELt's own pruning. */
WN_NODISCARD wn_status wn__gpu_dense_add(wn__cell *c, wn__product what, bool cold);
WN_NODISCARD wn_status wn__gpu_sparse_add(wn__cell *c, wn__product what, bool cold);
WN_NODISCARD wn_status wn__gpu_compress_add(wn__cell *c, bool prune);
/* The library, opened; version or reason into g. */
void wn__gpu_sparse_open(wn__gpu_bench *g);

#endif
