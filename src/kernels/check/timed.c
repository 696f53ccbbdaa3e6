// SPDX-License-Identifier: MIT
// Cases that are run for their time.
#include "kernels/check/timed.h"

#include "base/fail.h"

wn_status wn__timed_case(wn__op op, const char *problem, wn__case **out) {
    const wn__case_type *type = wn__case_type_of(op);
    wn__problem p;
    WN_TRY(wn__problem_parse(type, problem, &p));
    WN_TRY(wn__case_create(type, &p, 0, true, out));
    return wn__op_check(op)((*out)->args);
}

wn_status wn__timed_open(wn__timed *t, const wn__kernel *k, wn__case *c, wn__pool *pool,
                         wn__gpu *gpu) {
    *t = (wn__timed){.kernel = k, .c = c, .batch = 1};
    WN_TRY(wn__stage_create(c, 0, &t->stage));
    t->stage.gpu = gpu;
    WN_TRY(wn__stage_run(&t->stage, k, pool));
    if (wn__kernel_on_gpu(k)) {
        WN_TRY(wn__stage_to_gpu(&t->stage, k));
        t->exec = t->stage.gpu_exec;
        t->batch = 20;
        return WN_OK;
    }
    size_t need = k->workspace ? k->workspace(t->stage.args, wn__pool_threads(pool)) : 0;
    t->exec = (wn__exec){.pool = pool, .scratch = t->stage.scratch, .scratch_size = need};
    return WN_OK;
}

void wn__timed_close(wn__timed *t) {
    wn__stage_free(&t->stage);
    *t = (wn__timed){0};
}

wn_status wn__timed_run(void *ctx) {
    wn__timed *t = ctx;
    for (int i = 0; i < t->batch; i++)
        WN_TRY(wn__run_kernel(&t->exec, t->kernel, t->stage.args));
    return t->exec.gpu != NULL ? wn__gpu_finish(t->exec.gpu) : WN_OK;
}

double wn__timed_bytes(const wn__case *c) {
    double bytes = 0;
    for (int i = 0; i < c->parts; i++)
        bytes +=
            (double)wn__tensor_bytes(&c->part[i].view) * (c->part[i].role == WN__UPDATE ? 2 : 1);
    return bytes;
}

double wn__timed_flops(const wn__case *c) {
    return c->type->flops ? c->type->flops(&c->problem) : 0;
}
