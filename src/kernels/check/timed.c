// SPDX-License-Identifier: MIT
// Cases that are run for their time.
#include "kernels/check/timed.h"

#include "base/cpu.h"
#include "base/fail.h"

enum { GRAPHED = 20 };

wn_status wn__timed_case(wn__op op, const char *problem, wn__case **out) {
    const wn__case_type *type = wn__case_type_of(op);
    wn__problem p;
    WN_TRY(wn__problem_parse(type, problem, &p));
    WN_TRY(wn__case_create(type, &p, 0, true, out));
    return wn__op_check(op)((*out)->args);
}

// A graph of some runs, and as many of it as take about two milliseconds.
static wn_status capture(wn__timed *t) {
    enum { MOST = 100 };
    wn__cuda *d = wn__gpu_device(t->exec.gpu);
    WN_TRY(wn__cuda_capture_begin(d));
    wn_status status = WN_OK;
    for (int i = 0; i < GRAPHED && status == WN_OK; i++)
        status = wn__run_kernel(&t->exec, t->kernel, t->stage.args);
    const wn_status ended = wn__cuda_capture_end(d, &t->graph);
    WN_TRY(status != WN_OK ? status : ended);
    t->batch = GRAPHED;
    WN_TRY(wn__timed_run(t)); // the first takes longer
    const double start = wn__clock();
    WN_TRY(wn__timed_run(t));
    const double times = 2e-3 / (wn__clock() - start + 1e-9);
    t->batch = GRAPHED * (times < 1 ? 1 : times > MOST ? MOST : (int)times);
    return WN_OK;
}

wn_status wn__timed_open(wn__timed *t, const wn__kernel *k, const char *way, wn__case *c,
                         wn__pool *pool, wn__gpu *gpu) {
    *t = (wn__timed){.kernel = k, .c = c, .batch = 1};
    WN_TRY(wn__stage_create(c, 0, &t->stage));
    t->stage.gpu = gpu;
    t->stage.way = way;
    WN_TRY(wn__stage_run(&t->stage, k, pool));
    if (wn__kernel_on_gpu(k)) {
        WN_TRY(wn__stage_to_gpu(&t->stage, k));
        t->exec = t->stage.gpu_exec;
        return capture(t);
    }
    size_t need = k->workspace ? k->workspace(t->stage.args, wn__pool_threads(pool)) : 0;
    t->exec = (wn__exec){.pool = pool, .scratch = t->stage.scratch, .scratch_size = need};
    return WN_OK;
}

void wn__timed_close(wn__timed *t) {
    if (t->graph != NULL) wn__cuda_graph_free(wn__gpu_device(t->exec.gpu), t->graph);
    wn__stage_free(&t->stage);
    *t = (wn__timed){0};
}

wn_status wn__timed_run(void *ctx) {
    wn__timed *t = ctx;
    if (t->graph == NULL) return wn__run_kernel(&t->exec, t->kernel, t->stage.args);
    for (int i = 0; i < t->batch; i += GRAPHED)
        WN_TRY(wn__cuda_graph_run(wn__gpu_device(t->exec.gpu), t->graph));
    return wn__gpu_finish(t->exec.gpu);
}

double wn__timed_bytes(const wn__case *c) {
    double bytes = 0;
    for (int i = 0; i < c->parts; i++)
        bytes += (double)wn__tensor_bytes(&c->part[i].view) * (c->part[i].role == WN__UPDATE ? 2
                                                               : c->part[i].instead          ? 0
                                                                                             : 1);
    return bytes;
}

double wn__timed_flops(const wn__case *c) {
    return c->type->flops ? c->type->flops(&c->problem) : 0;
}
