// SPDX-License-Identifier: MIT
// Times the case objects of the harness: all variants of an op on one case, side by side.
#include "base/fail.h"
#include "base/pin.h"
#include "base/sample.h"
#include "kernels/check/timed.h"
#include "kernels/registry.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };

typedef struct timing {
    wn__case *c, *baseline; // of the op and of the dense op that it replaces (NULL: none)
    wn__timed timed[MOST];
    wn__lane lane[MOST];
    int count, repeats;
    wn__pool *pool;
    wn__gpu *gpu; // NULL until a variant runs on one
} timing;

static wn_status add_lane(timing *t, const wn__kernel *k, wn__case *c) {
    if (t->count == MOST) return wn__fail(WN_BUG, "more than %d variants of an op", MOST);
    int i = t->count++;
    t->lane[i] = (wn__lane){.run = wn__timed_run, .ctx = t->timed + i};
    t->lane[i].seconds = calloc((size_t)t->repeats, sizeof(double));
    if (!t->lane[i].seconds) return wn__fail(WN_NOMEM, "no memory for %d samples", t->repeats);
    return wn__timed_open(t->timed + i, k, NULL, c, t->pool, t->gpu);
}

// Whether the row is of this op and wanted, and runs here; opens the GPU for the first that needs
// one.
static wn_status wanted(timing *t, const wn__kernel *k, const wn__case *c, const char *variant,
                        bool *yes) {
    char why[160];
    *yes = k->op == c->type->op && (!variant || fnmatch(variant, k->variant, 0) == 0) &&
           wn__kernel_available(k);
    if (!*yes) return WN_OK;
    const bool on_gpu = wn__kernel_on_gpu(k);
    if (on_gpu && t->gpu == NULL) WN_TRY(wn__gpu_create(0, &t->gpu));
    const wn__exec x = {.gpu = on_gpu ? t->gpu : NULL,
                        .device = {.kind = on_gpu ? WN_DEVICE_CUDA : WN_DEVICE_CPU}};
    *yes = wn__kernel_fits(&x, k, c->args, why, sizeof why);
    return WN_OK;
}

// Every row that takes the case and whose variant is wanted.
static wn_status add_variants(timing *t, wn__case *c, const char *variant) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++) {
        bool yes;
        WN_TRY(wanted(t, table + i, c, variant, &yes));
        if (yes) WN_TRY(add_lane(t, table + i, c));
    }
    if (t->count > 0) return WN_OK;
    char what[WN__PROBLEM_TEXT + 200];
    (void)snprintf(what, sizeof what,
                   "no variant of %s that runs here and takes %s matches '%.60s'",
                   wn__op_name(c->type->op), c->text, variant ? variant : "*");
    return wn__fail_selection(wn__op_name(c->type->op), variant, what);
}

// The dense kernel that would run in place of a sparse one.
static wn_status add_baseline(timing *t) {
    char problem[WN__PROBLEM_TEXT];
    wn__op op;
    wn__exec x = {0};
    const wn__kernel *k;
    if (!t->c->type->baseline) return WN_OK;
    t->c->type->baseline(&t->c->problem, &op, problem, sizeof problem);
    WN_TRY(wn__timed_case(op, problem, &t->baseline));
    WN_TRY(wn__plan(&x, op, t->baseline->args, &k));
    return add_lane(t, k, t->baseline);
}

static wn_status report(const timing *t, wn_time_fn *fn, void *ctx) {
    for (int i = 0; i < t->count; i++) {
        wn__spread s;
        WN_TRY(wn__spread_of(t->lane[i].seconds, t->repeats, &s));
        fn(ctx, &(wn_time_result){.name = t->timed[i].kernel->name,
                                  .seconds = s.median / t->timed[i].batch,
                                  .flops = wn__timed_flops(t->timed[i].c),
                                  .bytes = wn__timed_bytes(t->timed[i].c)});
    }
    return WN_OK;
}

wn_status wn_kernels_time(const char *op, const char *variant, const char *problem, int threads,
                          int repeats, wn_time_fn *fn, void *ctx) {
    timing t = {.repeats = repeats > 0 ? repeats : 9};
    wn__pin pin = {.count = 0};
    wn__op which;
    wn_status status = WN_OK;
    WN_TRY(wn__op_find(op, strlen(op), &which));
    WN_TRY_OUT(wn__pool_create(threads, &t.pool));
    wn__pin_pool(&pin, t.pool);
    WN_TRY_OUT(wn__timed_case(which, problem, &t.c));
    WN_TRY_OUT(add_variants(&t, t.c, variant));
    WN_TRY_OUT(add_baseline(&t));
    WN_TRY_OUT(wn__lanes_sample(t.lane, t.count, t.repeats));
    status = report(&t, fn, ctx);
out:
    for (int i = 0; i < t.count; i++) {
        wn__timed_close(t.timed + i);
        free(t.lane[i].seconds);
    }
    wn__case_free(t.c);
    wn__case_free(t.baseline);
    wn__gpu_free(t.gpu);
    wn__pool_free(t.pool);
    wn__pin_release(&pin);
    return status;
}
