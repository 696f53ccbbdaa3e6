// SPDX-License-Identifier: MIT
/* Creation of a runtime, and the growth of its workspace at the end of planning (never during a
 * run). */
#include "kernels/runtime.h"
#include "base/fail.h"
#include <stdlib.h>
#include <string.h>

wn_status wn__runtime_create(int threads, const char *force, bool strict, wn__runtime **out) {
    *out = NULL;
    wn_status status = WN_OK;
    size_t rows = 0;
    wn__kernel_table(&rows);
    wn__runtime *rt = calloc(1, sizeof *rt);
    if (!rt) return wn__fail(WN_NOMEM, "no memory for a runtime");
    if (!force) force = getenv("WN_KERNEL");
    rt->used = calloc(rows + 1, 1);
    if (force) rt->force = strdup(force);
    if (!rt->used || (force && !rt->force)) {
        status = wn__fail(WN_NOMEM, "no memory for a runtime");
        goto out;
    }
    WN_TRY_OUT(wn__pool_create(threads, &rt->pool));
    rt->exec = (wn__exec){.pool = rt->pool, .strict = strict, .force = rt->force, .used = rt->used};
    *out = rt;
    rt = NULL;
out:
    wn__runtime_free(rt);
    return status;
}

void wn__runtime_free(wn__runtime *rt) {
    if (!rt) return;
    wn__pool_free(rt->pool);
    wn__arena_free(&rt->scratch);
    free(rt->force);
    free(rt->used);
    free(rt);
}

void wn__runtime_plan_begin(wn__runtime *rt) {
    rt->exec.planning = true;
}

wn_status wn__runtime_plan_end(wn__runtime *rt) {
    rt->exec.planning = false;
    if (rt->exec.need <= rt->exec.scratch_size) return WN_OK;
    wn__arena grown = {0};
    void *block;
    WN_TRY(wn__arena_create("workspace", rt->exec.need, &grown));
    WN_TRY(wn__arena_alloc(&grown, grown.size, &block));
    wn__arena_free(&rt->scratch);
    rt->scratch = grown;
    rt->exec.scratch = block;
    rt->exec.scratch_size = grown.size;
    return WN_OK;
}

wn_status wn__runtime_run(wn__runtime *rt, wn__op op, const void *args) {
    wn__runtime_plan_begin(rt);
    wn_status status = wn__run(&rt->exec, op, args);
    wn_status ended = wn__runtime_plan_end(rt);
    WN_TRY(status);
    WN_TRY(ended);
    return wn__run(&rt->exec, op, args);
}
