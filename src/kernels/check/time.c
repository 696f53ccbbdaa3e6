// SPDX-License-Identifier: MIT
// Times the case objects of the harness, and explains what would run for one of them.
#include "base/cpu.h"
#include "base/fail.h"
#include "kernels/check/harness.h"
#include "kernels/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 24 };

// One line of the listing: a kernel with its case in memory.
typedef struct lane {
    const wn__kernel *kernel;
    const wn__case *c;
    wn__stage stage;
    wn__exec exec;
    int64_t loops; // runs in one sample
    double *samples;
} lane;

typedef struct timing {
    wn__case *c, *baseline; // of the op and of the dense op that it replaces (NULL: none)
    lane lanes[MOST];
    int count, repeats;
    wn__pool *pool;
} timing;

static wn_status add_lane(timing *t, const wn__kernel *k, const wn__case *c) {
    if (t->count == MOST) return wn__fail(WN_BUG, "more than %d variants of an op", MOST);
    lane *l = &t->lanes[t->count++];
    *l = (lane){.kernel = k, .c = c, .loops = 1};
    l->samples = calloc((size_t)t->repeats, sizeof *l->samples);
    if (!l->samples) return wn__fail(WN_NOMEM, "no memory for %d samples", t->repeats);
    WN_TRY(wn__stage_create(c, 0, &l->stage));
    WN_TRY(wn__stage_run(&l->stage, k,
                         t->pool)); // the first run touches memory and makes the workspace
    size_t need = k->workspace ? k->workspace(l->stage.args, wn__pool_threads(t->pool)) : 0;
    l->exec = (wn__exec){.pool = t->pool, .scratch = l->stage.scratch, .scratch_size = need};
    return WN_OK;
}

// Every row that takes the case.
static wn_status add_variants(timing *t, const wn__case *c) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    wn__exec x = {0};
    char why[160];
    for (size_t i = 0; i < rows; i++)
        if (table[i].op == c->type->op && wn__kernel_fits(&x, table + i, c->args, why, sizeof why))
            WN_TRY(add_lane(t, table + i, c));
    return WN_OK;
}

static wn_status make_case(wn__op op, const char *problem, wn__case **out) {
    const wn__case_type *type = wn__case_type_of(op);
    wn__problem p;
    WN_TRY(wn__problem_parse(type, problem, &p));
    WN_TRY(wn__case_create(type, &p, 0, true, out));
    return wn__op_check(op)((*out)->args);
}

// The dense kernel that would run in place of a sparse one.
static wn_status add_baseline(timing *t) {
    char problem[WN__PROBLEM_TEXT];
    wn__op op;
    wn__exec x = {0};
    const wn__kernel *k;
    if (!t->c->type->baseline) return WN_OK;
    t->c->type->baseline(&t->c->problem, &op, problem, sizeof problem);
    WN_TRY(make_case(op, problem, &t->baseline));
    WN_TRY(wn__plan(&x, op, t->baseline->args, &k));
    return add_lane(t, k, t->baseline);
}

static wn_status sample(lane *l, double *seconds) {
    double start = wn__clock();
    for (int64_t i = 0; i < l->loops; i++)
        WN_TRY(wn__run_kernel(&l->exec, l->kernel, l->stage.args));
    *seconds = (wn__clock() - start) / (double)l->loops;
    return WN_OK;
}

// As many runs a sample as take a fifth of a millisecond, so that the clock's grain does not count.
static wn_status choose_loops(lane *l) {
    const double enough = 200e-6;
    double seconds = 0;
    for (; l->loops < 1 << 20; l->loops *= 2) {
        WN_TRY(sample(l, &seconds));
        if (seconds * (double)l->loops >= enough) break;
    }
    return WN_OK;
}

// One sample of each lane in turn, so that a disturbance falls on all of them.
static wn_status run_lanes(timing *t) {
    for (int i = 0; i < t->count; i++)
        WN_TRY(choose_loops(t->lanes + i));
    for (int r = 0; r < t->repeats; r++)
        for (int i = 0; i < t->count; i++)
            WN_TRY(sample(t->lanes + i, t->lanes[i].samples + r));
    return WN_OK;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Every input read once, every output written once.
static double least_bytes(const wn__case *c) {
    double bytes = 0;
    for (int i = 0; i < c->parts; i++)
        bytes +=
            (double)wn__tensor_bytes(&c->part[i].view) * (c->part[i].role == WN__UPDATE ? 2 : 1);
    return bytes;
}

static void report(const timing *t, wn_time_fn *fn, void *ctx) {
    for (int i = 0; i < t->count; i++) {
        const lane *l = t->lanes + i;
        const wn__case_type *type = l->c->type;
        qsort(l->samples, (size_t)t->repeats, sizeof *l->samples, by_value);
        double middle = l->samples[t->repeats / 2];
        if (t->repeats % 2 == 0) middle = (middle + l->samples[t->repeats / 2 - 1]) / 2;
        fn(ctx, &(wn_time_result){.name = l->kernel->name,
                                  .seconds = middle,
                                  .flops = type->flops ? type->flops(&l->c->problem) : 0,
                                  .bytes = least_bytes(l->c)});
    }
}

wn_status wn_kernels_time(const char *op, const char *problem, int threads, int repeats,
                          wn_time_fn *fn, void *ctx) {
    timing t = {.repeats = repeats > 0 ? repeats : 9};
    wn__op which;
    wn_status status = WN_OK;
    WN_TRY(wn__op_find(op, strlen(op), &which));
    WN_TRY_OUT(wn__pool_create(threads, &t.pool));
    WN_TRY_OUT(make_case(which, problem, &t.c));
    WN_TRY_OUT(add_variants(&t, t.c));
    WN_TRY_OUT(add_baseline(&t));
    WN_TRY_OUT(run_lanes(&t));
    report(&t, fn, ctx);
out:
    for (int i = 0; i < t.count; i++) {
        wn__stage_free(&t.lanes[i].stage);
        free(t.lanes[i].samples);
    }
    wn__case_free(t.c);
    wn__case_free(t.baseline);
    wn__pool_free(t.pool);
    return status;
}
