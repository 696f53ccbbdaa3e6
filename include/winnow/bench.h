// SPDX-License-Identifier: MIT
/* Timing on this machine: structured work beside the dense work it replaces, and beside other
 * libraries that do the dense work, all in one run.
 *
 * Threads are pinned, data are random, samples of everything that is compared are taken in turn;
 * ratios are made repetition by repetition, and their median stands. No figure is a time alone. */
#ifndef WINNOW_BENCH_H
#define WINNOW_BENCH_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Texts are borrowed for the call; NULL and 0 mean the suite's default. */
typedef struct wn_bench_options {
    const char *suite;   /* gemm: products of a linear layer; decode: weights from memory, few rows;
                            prune: making structure, beside memcpy; layer: forward and backward of
                            one layer; train: whole updates of a model; ks: chains of Kronecker-sparse
                            factors */
    const char *device;  /* "cpu", or "cuda": the first GPU; gemm, decode and prune */
    const char *dtype;   /* f32 (float32), bf16 (bfloat16), int8, int4; on a GPU f32, bf16, f16 */
    const char *shapes;  /* "3072x768,768x3072": out features x in features of the weight; of
                            ks only its works of these sizes */
    const char *rows;    /* "64,512": tokens of a product, batch of decode */
    const char *work;    /* "forward,input": only the work whose names begin so */
    const char *peers;   /* "openblas,blis,onednn", on a GPU "cublaslt,cusparselt"; or "none" */
    const char *kernels; /* "op:variant,..." */
    const char *const *sparsity; /* layer, train: 'PATTERN=STRUCTURE', each measured by itself;
                                    layer takes STRUCTURE alone too */
    size_t sparsity_count;
    int threads; /* 0: one for each processor */
    int repeats; /* 0: 9, of train 5 */
    int64_t hidden_size, layers, heads, vocab_size, seq_len, batch_size; /* train */
    const char *mlp;      /* train: relu2, swiglu, relu */
    const char *protocol; /* GPU: "burst" (each batch behind 25 ms of rest) or "sustained" (0.8 s of
                             each without a pause, the second half counted) */
    const char *tuned;    /* GPU: a file of wn_kernels_tune, whose choices are measured */
    const char *command, *commit; /* kept in the result */
    const char *merge; /* a result of bench/peers/: its rows join as peers of the same work. Those
                          were timed in a process of their own, and say so */
    bool no_dense;     /* ks: without the dense product, which takes most of its time */
} wn_bench_options;

typedef enum wn_bench_role {
    WN_BENCH_DENSE,     /* ours, dense; in prune: memcpy. On a GPU dense is cuBLASLt's, by our
                           dispatch and the best of its choices; in prune: a copy there */
    WN_BENCH_STRUCTURE, /* ours */
    WN_BENCH_PEER       /* another library: dense; on a GPU cuSPARSELt, 2:4 */
} wn_bench_role;

/* median 0: there is nothing to compare with */
typedef struct wn_bench_spread {
    double median, least, most;
} wn_bench_spread;

/* One line of a result. Texts are valid during the call. */
typedef struct wn_bench_row {
    const char *suite, *work, *dtype; /* "gemm", "forward", "f32" */
    const char *name;                 /* "spmm24_avx2", "openblas 0.3.21" */
    wn_bench_role role;
    int64_t out, in, rows; /* of the weight; tokens or batch. 0: does not fit (train) */
    wn_bench_spread seconds;
    double flops, bytes;               /* executed (on a GPU those of the dense product); least
                                          traffic. 0: does not fit */
    double tokens;                     /* trained on in one run; 0: does not fit */
    double peak_share, stream_share;   /* of the float32 multiply-add peak and of the read
                                          bandwidth, both measured with these threads. On a GPU of
                                          the 2:4 peak at its highest clock, and of what a copy
                                          reads and writes */
    wn_bench_spread dense, peer, best; /* times of our fastest dense, of the best peer, and of the
                                          faster of those two, over this one's: above 1 this one is
                                          faster */
    wn_bench_spread bmm;               /* of ks: that of permuted and batched products over it */
    const char *peer_name;             /* the best peer, "" when there is none */
    double watts, megahertz;           /* of a GPU while it ran, 0: not known */
    int interrupted; /* samples in which a thread of ours had to give way to another process */
} wn_bench_row;

/* What is known before the first row, and a note in between ("bf16: only the reference has it"). */
typedef struct wn_bench_head {
    const char *machine, *date, *commit, *command, *version;
    const char *device, *protocol; /* "cpu" and "", "cuda" and "burst" or "sustained" */
    int threads;                   /* 0 on a GPU */
    double peak, stream;           /* FLOP/s and bytes/s of the threads */
} wn_bench_head;
typedef struct wn_bench_library {
    const char *name, *version, *path;
    const char *why; /* it is not measured; "" when it is */
} wn_bench_library;

/* Any of them may be NULL. */
typedef struct wn_bench_events {
    void (*head)(void *ctx, const wn_bench_head *head);
    void (*library)(void *ctx, const wn_bench_library *library);
    void (*row)(void *ctx, const wn_bench_row *row);
    void (*note)(void *ctx, const char *text);
    void *ctx;
} wn_bench_events;

/* Runs a suite: head, libraries, then rows, those of one comparison behind one another. *json: all
 * of it as a JSON object, malloc'ed; may be NULL. INVALID names what is wrong with an option;
 * UNSUPPORTED: the device. The calling thread is pinned during the call. */
WN_API WN_NODISCARD wn_status wn_bench(const wn_bench_options *options,
                                       const wn_bench_events *events, char **json);

/* Reads a result of wn_bench again, with the same events. */
WN_API WN_NODISCARD wn_status wn_bench_read(const char *path, const wn_bench_events *events);

#ifdef __cplusplus
}
#endif
#endif
