// SPDX-License-Identifier: MIT
// Where the time of the updates went: a line a kernel and part of the step, and what was spent
// between kernels, so that the lines add up. The first update of a session is left out: it touches
// memory for the first time.
#include "kernels/profile.h"

#include "base/fail.h"
#include "train/trainer.h"
#include <stdio.h>

#define LINES        256
#define COUNT(array) (sizeof(array) / sizeof *(array))

void wn__profile_begin(wn__trainer *t) {
    bool counts = t->profile != NULL && t->step > t->first_step;
    t->runtime->exec.profile = counts ? t->profile : NULL;
}

void wn__profile_end(wn__trainer *t) {
    if (t->runtime->exec.profile == NULL) return;
    t->runtime->exec.profile = NULL;
    t->profiled_updates++;
    t->profiled_seconds += t->last.seconds;
}

static double rate(double work, double seconds) {
    return seconds > 0 ? work / seconds / 1e9 : 0;
}

// One line of the table and of metrics.jsonl; numbers are of one update.
static wn_status report_cell(wn__trainer *t, const wn__profile_cell *c) {
    double updates = (double)t->profiled_updates, ms = c->seconds / updates * 1e3;
    double share = c->seconds / t->profiled_seconds, calls = (double)c->calls / updates;
    double gflops = rate(c->flops, c->seconds), gbytes = rate(c->bytes, c->seconds);
    const char *part = wn__profile_part_name(c->part);
    char work[24] = "-", moved[24] = "-";
    if (c->flops > 0) (void)snprintf(work, sizeof work, "%.1f", gflops);
    if (c->bytes > 0) (void)snprintf(moved, sizeof moved, "%.2f", gbytes);
    wn__say(t, "  %-8s %-22s %7.0f %9.2f %6.2f%% %9s %8s", part, c->kernel->name, calls, ms,
            100 * share, work, moved);
    const wn__metric m[] = {
        {"step", (double)t->step, NULL}, {"part", 0, part},       {"kernel", 0, c->kernel->name},
        {"calls", calls, NULL},          {"ms", ms, NULL},        {"share", share, NULL},
        {"gflops", gflops, NULL},        {"gbytes", gbytes, NULL}};
    return wn__metrics_write(&t->metrics, "profile", m, COUNT(m));
}

static wn_status report_rest(wn__trainer *t, double seconds) {
    double ms = seconds / (double)t->profiled_updates * 1e3, share = seconds / t->profiled_seconds;
    wn__say(t, "  %-8s %-22s %7s %9.2f %6.2f%%", "-", "between kernels", "", ms, 100 * share);
    const wn__metric m[] = {{"step", (double)t->step, NULL},
                            {"part", 0, "-"},
                            {"kernel", 0, "between kernels"},
                            {"ms", ms, NULL},
                            {"share", share, NULL}};
    return wn__metrics_write(&t->metrics, "profile", m, COUNT(m));
}

wn_status wn__report_profile(wn__trainer *t) {
    if (t->profile == NULL) return WN_OK;
    if (t->profiled_updates == 0) {
        wn__say(t, "note: nothing was profiled: the first update of a session is left out");
        return WN_OK;
    }
    const wn__profile_cell *cell[LINES];
    size_t count = wn__profile_list(t->profile, cell, LINES);
    double rest = t->profiled_seconds;
    wn__say(t, "profile  %lld updates after the first, %.1f ms each",
            (long long)t->profiled_updates,
            t->profiled_seconds / (double)t->profiled_updates * 1e3);
    wn__say(t, "  %-8s %-22s %7s %9s %7s %9s %8s", "part", "kernel", "calls", "ms", "share",
            "GFLOP/s", "GB/s");
    for (size_t i = 0; i < count; i++) {
        WN_TRY(report_cell(t, cell[i]));
        rest -= cell[i]->seconds;
    }
    return report_rest(t, rest);
}
