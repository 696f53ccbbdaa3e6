// SPDX-License-Identifier: MIT
/* Timing things against each other: samples of all of them in turn, so that a disturbance of the
 * machine falls on all, and ratios of what lies side by side. */
#ifndef WN_BASE_SAMPLE_H
#define WN_BASE_SAMPLE_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stdint.h>

/* One thing that is timed. */
typedef struct wn__lane {
    wn_status (*run)(void *ctx); /* the work, once */
    void *ctx;
    void (*before)(void *around); /* ahead of each sample and not timed; NULL: nothing */
    void (*after)(void *around);  /* behind it; NULL: nothing */
    void *around;
    bool cold;       /* every sample is one run, as it is found: `before` emptied the caches */
    double settle;   /* seconds of sleep behind each sample, for threads that spin on */
    int64_t loops;   /* runs in one sample, chosen by wn__lanes_sample */
    double *seconds; /* [repeats] of one run */
    int interrupted; /* of those, samples in which the system took a processor from this process */
} wn__lane;

/* Fills seconds[0..repeats) of every lane: a round takes one sample of each and begins one lane
 * later than the one before; the first round is thrown away. A sample is as many runs as last a
 * fifth of a millisecond, behind one that is not timed (unless that takes longer than 20 ms, or the
 * lane is cold). */
WN_NODISCARD wn_status wn__lanes_sample(wn__lane *lane, int count, int repeats);

/* The middle one of n values, and the extremes. */
typedef struct wn__spread {
    double median, least, most;
} wn__spread;
/* n >= 1. NOMEM: no room to sort in. */
WN_NODISCARD wn_status wn__spread_of(const double *value, int n, wn__spread *out);
/* Of over[i] / under[i]. */
WN_NODISCARD wn_status wn__spread_ratio(const double *over, const double *under, int n,
                                        wn__spread *out);

#endif
