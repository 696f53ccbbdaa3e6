// SPDX-License-Identifier: MIT
// Choosing by measurement: what agrees with ref is timed, the fastest is kept.
#include "base/fail.h"
#include "base/file.h"
#include "base/pin.h"
#include "base/sample.h"
#include "kernels/check/timed.h"
#include "kernels/registry.h"
#include "kernels/tuned.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What ref does in a few seconds.
#define REF_FLOPS 6e7

enum { MOST = 96 };

typedef struct tuning {
    const wn_tune_options *options;
    wn_tune_fn *fn;
    void *ctx;
    wn__check_pools pools;
    wn__pin pin;
    wn__exec x;
    wn__case *full, *small; // the problem, and one that ref can do
    wn__case *rows;         // some of the problem's, where they go alone; or NULL
    bool whole;             // small is the problem itself
    wn__timed timed[MOST];
    wn__lane lane[MOST];
    char way[MOST][WN__WAY_TEXT]; // "": as the variant does by itself
    int count, repeats;
    wn__tuned tuned;
} tuning;

static void tell(const tuning *t, const wn__kernel *k, const char *way, double seconds,
                 const char *why, bool chosen) {
    if (t->fn == NULL) return;
    t->fn(t->ctx, &(wn_tune_result){k->name, way, seconds, why, chosen});
}

// The largest size of at least `least`, with or without k; -1: none.
static int largest_of(const wn__case_type *type, const wn__problem *p, bool with_k, int64_t least) {
    int largest = -1;
    for (int i = 0; i < type->field_count; i++) {
        if (type->fields[i].sweep == 0 || p->value[i] < least) continue;
        if (!with_k && strcmp(type->fields[i].name, "k") == 0) continue;
        if (largest < 0 || p->value[i] > p->value[largest]) largest = i;
    }
    return largest;
}

// Halves the largest size until ref can do it; whole sixteens stay whole. The depth of a sum goes
// last, since how it is cut into parts is part of what runs.
static void shrink(const wn__case_type *type, wn__problem *p) {
    while (type->flops != NULL && type->flops(p) > REF_FLOPS) {
        int largest = largest_of(type, p, false, 64);
        if (largest < 0) largest = largest_of(type, p, true, 32);
        if (largest < 0) return;
        int64_t half = p->value[largest] / 2;
        p->value[largest] = p->value[largest] % 16 == 0 ? (half + 15) / 16 * 16 : half;
        if (type->settle != NULL) type->settle(p);
    }
}

static wn_status make_cases(tuning *t) {
    wn__op op;
    const char *name = t->options->op, *problem = t->options->problem;
    wn__problem p;
    WN_TRY(wn__op_find(name, strlen(name), &op));
    WN_TRY(wn__timed_case(op, problem ? problem : "", &t->full));
    p = t->full->problem;
    shrink(t->full->type, &p);
    WN_TRY(wn__case_create(t->full->type, &p, 1, true, &t->small));
    t->whole = memcmp(p.value, t->full->problem.value, sizeof p.value) == 0;
    return wn__case_rows(t->full, REF_FLOPS, &t->rows);
}

// Whether k agrees with ref on the smaller problem, and in some rows of the problem itself; if not,
// says why in why[n].
static wn_status verify(tuning *t, const wn__kernel *k, char *why, size_t n) {
    bool fits;
    double worst;
    if (!wn__kernel_fits(&t->x, k, t->small->args, why, n)) {
        char reason[160];
        (void)snprintf(reason, sizeof reason, "%.150s", why);
        (void)snprintf(why, n, "cannot be checked on %.100s: %s", t->small->text, reason);
        return WN_OK;
    }
    WN_TRY(wn__check_kernel(t->small, k, &t->pools, &fits, &worst, why, n));
    if (*why != '\0' || t->rows == NULL || t->whole) return WN_OK;
    return wn__check_rows(t->rows, t->full, k, (wn__check_way){0}, &t->pools, why, n);
}

static wn_status add(tuning *t, const wn__kernel *k, const char *way) {
    if (t->count == MOST) return wn__fail(WN_BUG, "more than %d ways to do an op", MOST);
    const int i = t->count++;
    (void)snprintf(t->way[i], sizeof t->way[i], "%s", way);
    t->lane[i] = (wn__lane){.run = wn__timed_run, .ctx = t->timed + i};
    t->lane[i].seconds = calloc((size_t)t->repeats, sizeof(double));
    if (!t->lane[i].seconds) return wn__fail(WN_NOMEM, "no memory for %d samples", t->repeats);
    return wn__timed_open(t->timed + i, k, *way != '\0' ? t->way[i] : NULL, t->full, t->x.pool,
                          t->x.gpu);
}

// What a library proposes for a problem is not what it proposes for a smaller one, so its ways are
// checked on rows of the problem itself; where none go alone it does what it chooses.
static wn_status add_ways(tuning *t, const wn__kernel *k) {
    wn__ways ways = {0};
    char why[640] = "";
    if ((k->needs & WN_GPU_LIBRARY) != 0 && t->rows != NULL)
        WN_TRY(wn__check_rows(t->rows, t->full, k, (wn__check_way){.ways = &ways}, &t->pools, why,
                              sizeof why));
    if (ways.count == 0) return add(t, k, "");
    for (int i = 0; i < ways.count; i++) {
        wn__ways again = {0};
        const wn__check_way way = {ways.text[i], &again};
        WN_TRY(wn__check_rows(t->rows, t->full, k, way, &t->pools, why, sizeof why));
        if (*why == '\0' && again.taken < 0)
            (void)snprintf(why, sizeof why, "the library did not propose it again");
        if (*why != '\0')
            tell(t, k, ways.text[i], 0, why, false);
        else
            WN_TRY(add(t, k, ways.text[i]));
    }
    return WN_OK;
}

static bool wanted(const tuning *t, const wn__kernel *k) {
    const char *glob = t->options->variant;
    return glob == NULL || fnmatch(glob, k->variant, 0) == 0;
}

// Verifies one row of the table and gets it ready to be timed, in each of its ways; or tells why
// not.
static wn_status gather_one(tuning *t, const wn__kernel *k) {
    char why[640];
    if (k->rank == WN__CHECKED_ONLY) {
        tell(t, k, "", 0, "there to be checked", false);
        return WN_OK;
    }
    if (!wn__kernel_fits(&t->x, k, t->full->args, why, sizeof why)) {
        tell(t, k, "", 0, why, false);
        return WN_OK;
    }
    // ref is what the others are measured against, and nobody waits for it on a large problem
    if (strcmp(k->variant, "ref") == 0 && t->small->type->flops != NULL &&
        t->full->type->flops(&t->full->problem) > REF_FLOPS) {
        tell(t, k, "", 0, "the reference, on a large problem", false);
        return WN_OK;
    }
    WN_TRY(verify(t, k, why, sizeof why));
    if (*why == '\0') return add_ways(t, k);
    tell(t, k, "", 0, why, false);
    return WN_OK;
}

static wn_status gather(tuning *t) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    for (size_t i = 0; i < rows; i++)
        if (table[i].op == t->full->type->op && wanted(t, table + i))
            WN_TRY(gather_one(t, table + i));
    if (t->count > 0) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "no variant of %s takes %s and agrees with ref",
                    wn__op_name(t->full->type->op), t->full->text);
}

// Microseconds of all variants, each in its fastest way.
static void write_times(const tuning *t, const double *seconds, char *out, size_t n) {
    size_t used = 0;
    for (int i = 0; i < t->count && used < n; i++) {
        bool least = true;
        for (int j = 0; j < t->count; j++)
            if (t->timed[j].kernel == t->timed[i].kernel &&
                (seconds[j] < seconds[i] || (seconds[j] == seconds[i] && j < i)))
                least = false;
        if (least)
            used += (size_t)snprintf(out + used, n - used, "%s%s=%.4g", used > 0 ? " " : "",
                                     t->timed[i].kernel->variant, seconds[i] * 1e6);
    }
}

static wn_status keep_fastest(tuning *t) {
    double seconds[MOST] = {0};
    int best = 0;
    for (int i = 0; i < t->count; i++) {
        wn__spread s;
        WN_TRY(wn__spread_of(t->lane[i].seconds, t->repeats, &s));
        seconds[i] = s.median / t->timed[i].batch;
        if (seconds[i] < seconds[best]) best = i;
    }
    for (int i = 0; i < t->count; i++)
        tell(t, t->timed[i].kernel, t->way[i], seconds[i], "", i == best);
    wn__tuned_line line = {.seconds = seconds[best]};
    write_times(t, seconds, line.times, sizeof line.times);
    wn__tuned_device(&t->x, &line);
    (void)snprintf(line.op, sizeof line.op, "%s", t->options->op);
    (void)snprintf(line.variant, sizeof line.variant, "%s", t->timed[best].kernel->variant);
    (void)snprintf(line.way, sizeof line.way, "%s", t->way[best]);
    (void)snprintf(line.checked, sizeof line.checked, "%s", *t->small->text ? t->small->text : "-");
    if (t->rows != NULL && !t->whole) // and, of the problem itself, so many rows
        (void)snprintf(line.checked, sizeof line.checked, "%.90s;%.90s", t->small->text,
                       t->rows->text);
    wn__class_of(t->full->type->op, t->full->args, line.class);
    return wn__tuned_put(&t->tuned, &line);
}

static wn_status open_device(tuning *t) {
    WN_TRY(wn__pool_create(t->options->threads, &t->pools.many));
    wn__pin_pool(&t->pin, t->pools.many);
    t->x.pool = t->pools.many;
    if (strcmp(t->options->device, "cpu") == 0) return WN_OK;
    if (strcmp(t->options->device, "cuda") != 0)
        return wn__fail(WN_UNSUPPORTED, "device '%.40s': there are cpu and cuda",
                        t->options->device);
    WN_TRY(wn__gpu_create(0, &t->pools.gpu));
    t->x.gpu = t->pools.gpu;
    t->x.device.kind = WN_DEVICE_CUDA;
    return WN_OK;
}

wn_status wn_kernels_tune(const wn_tune_options *options, wn_tune_fn *fn, void *ctx, char **text) {
    tuning t = {.options = options,
                .fn = fn,
                .ctx = ctx,
                .repeats = options->repeats > 0 ? options->repeats : 9};
    wn_status status = WN_OK;
    *text = NULL;
    if (options->cache != NULL && wn__file_exists(options->cache))
        WN_TRY_OUT(wn__tuned_read(&t.tuned, options->cache));
    WN_TRY_OUT(open_device(&t));
    WN_TRY_OUT(make_cases(&t));
    WN_TRY_OUT(gather(&t));
    WN_TRY_OUT(wn__lanes_sample(t.lane, t.count, t.repeats));
    WN_TRY_OUT(keep_fastest(&t));
    status = wn__tuned_text(&t.tuned, text);
out:
    for (int i = 0; i < t.count; i++) {
        wn__timed_close(t.timed + i);
        free(t.lane[i].seconds);
    }
    wn__case_free(t.full);
    wn__case_free(t.small);
    wn__case_free(t.rows);
    wn__gpu_free(t.pools.gpu);
    wn__pool_free(t.pools.many);
    wn__pin_release(&t.pin);
    wn__tuned_free(&t.tuned);
    return status;
}
