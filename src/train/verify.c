// SPDX-License-Identifier: MIT
// The self-test: its checks in order, how each is reported, and how operators run in it.
#include "train/verify.h"

#include "base/cpu.h"
#include "base/fail.h"
#include <stdarg.h>
#include <stdio.h>

wn_status wn__verify_run(void *ctx, wn__runtime *rt, wn__op op, const void *args) {
    (void)ctx;
    return wn__runtime_run(rt, op, args);
}

wn_status wn__verify_op(wn__verify *v, wn__op op, const void *args) {
    return v->run(v->ctx, v->rt, op, args);
}

void wn__verify_say(wn__verify *v, const char *name, bool passed, const char *fmt, ...) {
    char detail[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    double now = wn__clock();
    v->checks++;
    if (!passed) v->failed++;
    const wn_verify_result result = {
        .name = name, .passed = passed, .detail = detail, .seconds = now - v->started};
    if (v->fn != NULL) v->fn(v->fn_ctx, &result);
    v->started = now;
}

#define VERIFY_BYTES ((size_t)96 << 20)

wn_status wn__verify_all(wn__verify *v) {
    wn_status (*const group[])(wn__verify *) = {wn__verify_masks,  wn__verify_formats,
                                                wn__verify_mvue,   wn__verify_product,
                                                wn__verify_shapes, wn__verify_training};
    for (size_t i = 0; i < sizeof group / sizeof *group; i++) {
        v->started = wn__clock();
        WN_TRY(wn__arena_create("self-test", VERIFY_BYTES, &v->arena));
        wn_status status = group[i](v);
        wn__arena_free(&v->arena);
        WN_TRY(status);
    }
    return WN_OK;
}

wn_status wn_verify(int threads, const char *kernels, wn_verify_fn *fn, void *ctx, int64_t *checks,
                    int64_t *failed) {
    wn__verify v = {.run = wn__verify_run,
                    .train = wn_train,
                    .threads = threads,
                    .kernels = kernels,
                    .fn = fn,
                    .fn_ctx = ctx};
    *checks = *failed = 0;
    WN_TRY(wn__runtime_create(threads, kernels, false, &v.rt));
    wn_status status = wn__verify_all(&v);
    wn__runtime_free(v.rt);
    *checks = v.checks;
    *failed = v.failed;
    return status;
}
