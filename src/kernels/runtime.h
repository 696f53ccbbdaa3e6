// SPDX-License-Identifier: MIT
/* A pool, an executor and its workspace: what a model, a trainer or a session runs on. */
#ifndef WN_KERNELS_RUNTIME_H
#define WN_KERNELS_RUNTIME_H

#include "base/arena.h"
#include "kernels/op.h"

typedef struct wn__runtime {
    wn__exec exec;
    wn__pool *pool;
    wn__arena scratch;
    char *force; /* owned copy of the forced kernels */
    uint8_t *used;
} wn__runtime;

/* threads <= 0: all CPUs of this process. force: "op:variant,..." or NULL (then the environment
 * variable WN_KERNEL). */
WN_NODISCARD wn_status wn__runtime_create(int threads, const char *force, bool strict,
                                          wn__runtime **out);
void wn__runtime_free(wn__runtime *rt); /* NULL is fine */
/* Between these two the executor plans: runs select kernels and add up workspace without touching
 * data. */
void wn__runtime_plan_begin(wn__runtime *rt);
/* Ends planning and makes the workspace at least as large as what was planned. */
WN_NODISCARD wn_status wn__runtime_plan_end(wn__runtime *rt);
/* Plans one op, grows the workspace and runs it. */
WN_NODISCARD wn_status wn__runtime_run(wn__runtime *rt, wn__op op, const void *args);

#endif
