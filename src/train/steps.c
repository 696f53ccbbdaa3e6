// SPDX-License-Identifier: MIT
// The step directories of a run, by their names.
#include "base/fail.h"
#include "train/checkpoint.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wn__step_name(int64_t step, char *out, size_t n) {
    (void)snprintf(out, n, "step-%06" PRId64, step);
}

// -1 for other names: only what wn__step_name writes counts.
static int64_t parse(const char *name) {
    char again[40];
    if (strncmp(name, "step-", 5) != 0 || strlen(name) > 24) return -1;
    int64_t step = strtoll(name + 5, NULL, 10);
    wn__step_name(step, again, sizeof again);
    return step >= 0 && strcmp(name, again) == 0 ? step : -1;
}

static int ascending(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

// All steps below `below`, ascending; *out is malloc'ed.
static wn_status list(const char *run, int64_t below, int64_t **out, size_t *count) {
    wn__names names;
    *out = NULL;
    *count = 0;
    WN_TRY(wn__dir_list(run, &names));
    int64_t *steps = calloc(names.count + 1, sizeof *steps);
    for (size_t i = 0; steps != NULL && i < names.count; i++) {
        int64_t step = parse(names.name[i]);
        if (step >= 0 && step < below) steps[(*count)++] = step;
    }
    wn__names_free(&names);
    if (steps == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", run);
    qsort(steps, *count, sizeof *steps, ascending);
    *out = steps;
    return WN_OK;
}

wn_status wn__steps_newest(const char *run, int64_t below, int64_t *out) {
    int64_t *steps;
    size_t count;
    *out = -1;
    WN_TRY(list(run, below, &steps, &count));
    if (count > 0) *out = steps[count - 1];
    free(steps);
    return WN_OK;
}

// Renamed first, so that a step directory is never there in part.
static wn_status remove_step(const char *run, int64_t step) {
    char name[32], path[WN_RUN_PATH], gone[WN_RUN_PATH + 16];
    wn__step_name(step, name, sizeof name);
    WN_TRY(wn__path_join(path, sizeof path, run, name));
    (void)snprintf(gone, sizeof gone, "%s.tmp-old", path);
    WN_TRY(wn__dir_remove(gone));
    if (rename(path, gone) != 0) return wn__fail_errno("%s: cannot remove", path);
    return wn__dir_remove(gone);
}

wn_status wn__steps_prune(const char *run, int64_t step, int64_t keep) {
    int64_t *steps;
    size_t count;
    WN_TRY(list(run, step + 1, &steps, &count));
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i + (size_t)keep < count; i++)
        status = remove_step(run, steps[i]);
    free(steps);
    return status;
}
