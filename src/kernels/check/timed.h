// SPDX-License-Identifier: MIT
/* A kernel with a case of its op in memory, ready to be run again and again. */
#ifndef WN_KERNELS_CHECK_TIMED_H
#define WN_KERNELS_CHECK_TIMED_H

#include "kernels/check/harness.h"

typedef struct wn__timed {
    const wn__kernel *kernel;
    wn__case *c; /* owned by whoever made it */
    wn__stage stage;
    wn__exec exec;
    int batch;             /* runs in one sample: 1, more on a GPU, whose host waits once */
    wn__cuda_graph *graph; /* of some runs there: queueing a short one takes longer than it runs */
} wn__timed;

/* A case of the op with data, checked by the op's contract. */
WN_NODISCARD wn_status wn__timed_case(wn__op op, const char *problem, wn__case **out);
/* Stages c for k and runs it once, which touches the memory and makes the workspace. way: that it
 * takes, borrowed, or NULL. gpu: for kernels that run on one, where the case then stays. */
WN_NODISCARD wn_status wn__timed_open(wn__timed *t, const wn__kernel *k, const char *way,
                                      wn__case *c, wn__pool *pool, wn__gpu *gpu);
void wn__timed_close(wn__timed *t); /* safe on a zeroed struct; the case stays */
/* A batch; ctx is a wn__timed. */
WN_NODISCARD wn_status wn__timed_run(void *ctx);
/* Bytes if every input is read once and every output written once. */
double wn__timed_bytes(const wn__case *c);
/* Executed FLOPs, 0 where the notion does not fit. */
double wn__timed_flops(const wn__case *c);

#endif
