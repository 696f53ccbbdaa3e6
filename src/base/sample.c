// SPDX-License-Identifier: MIT
// Interleaved samples, medians, ratios.
#include "base/sample.h"

#include "base/cpu.h"
#include "base/fail.h"
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#define ENOUGH 200e-6 // seconds of a sample, so that the clock's grain does not count
#define SHORT  20e-3  // runs up to this long are made once more to warm up
#define LOOPS  (INT64_C(1) << 20)

static void sleep_for(double seconds) {
    if (!(seconds > 0)) return;
    double whole = floor(seconds);
    struct timespec t = {.tv_sec = (time_t)whole, .tv_nsec = (long)((seconds - whole) * 1e9)};
    (void)nanosleep(&t, NULL);
}

static wn_status timed(const wn__lane *l, double *seconds) {
    double start = wn__clock();
    for (int64_t i = 0; i < l->loops; i++)
        WN_TRY(l->run(l->ctx));
    *seconds = (wn__clock() - start) / (double)l->loops;
    return WN_OK;
}

// How often a thread of this process lost its processor without asking.
static long switches(void) {
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? u.ru_nivcsw : 0;
}

// *clean: nothing else ran in between.
static wn_status sample(const wn__lane *l, bool warm, double *seconds, bool *clean) {
    if (l->before) l->before(l->around);
    wn_status status = warm ? l->run(l->ctx) : WN_OK;
    long before = switches();
    if (status == WN_OK) status = timed(l, seconds);
    *clean = switches() == before;
    if (l->after) l->after(l->around);
    sleep_for(l->settle);
    return status;
}

// The first run touches memory; then as many as last long enough. *seconds: of one.
static wn_status choose_loops(wn__lane *l, double *seconds) {
    bool clean;
    l->loops = 1;
    WN_TRY(sample(l, false, seconds, &clean));
    for (; !l->cold && l->loops < LOOPS; l->loops *= 2) {
        WN_TRY(sample(l, false, seconds, &clean));
        if (*seconds * (double)l->loops >= ENOUGH) break;
    }
    return WN_OK;
}

wn_status wn__lanes_sample(wn__lane *lane, int count, int repeats) {
    double *once = calloc((size_t)count + 1, sizeof *once), thrown;
    bool clean;
    wn_status status = once ? WN_OK : wn__fail(WN_NOMEM, "no memory for %d timings", count);
    for (int i = 0; status == WN_OK && i < count; i++)
        status = choose_loops(lane + i, once + i);
    for (int r = -1; r < repeats; r++)
        for (int i = 0; status == WN_OK && i < count; i++) {
            int at = (i + r + 1) % count;
            bool warm = !lane[at].cold && once[at] <= SHORT;
            status = sample(lane + at, warm, r < 0 ? &thrown : lane[at].seconds + r, &clean);
            if (r >= 0 && !clean) lane[at].interrupted++;
        }
    free(once);
    return status;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

wn_status wn__spread_ratio(const double *over, const double *under, int n, wn__spread *out) {
    double *sorted = calloc((size_t)n, sizeof *sorted);
    if (!sorted) return wn__fail(WN_NOMEM, "no memory for %d samples", n);
    for (int i = 0; i < n; i++)
        sorted[i] = under ? over[i] / under[i] : over[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    double middle = sorted[n / 2];
    if (n % 2 == 0) middle = (middle + sorted[n / 2 - 1]) / 2;
    *out = (wn__spread){middle, sorted[0], sorted[n - 1]};
    free(sorted);
    return WN_OK;
}

wn_status wn__spread_of(const double *value, int n, wn__spread *out) {
    return wn__spread_ratio(value, NULL, n, out);
}
