// SPDX-License-Identifier: MIT
/* RUN/metrics.jsonl: one flat JSON object a line, appended as the run goes on. */
#ifndef WN_TRAIN_METRICS_H
#define WN_TRAIN_METRICS_H

#include "winnow/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct wn__metrics {
    int fd;     /* -1: closed */
    char *path; /* NULL: closed */
} wn__metrics;

/* One member: a text when it has one, else a number (an integer is written as such; what is not
 * finite becomes null). */
typedef struct wn__metric {
    const char *name;
    double value;
    const char *text;
} wn__metric;

/* Opens path for appending after removing, atomically, every line of a later step than `step`, and
 * a line cut short. step < 0: begins anew. */
WN_NODISCARD wn_status wn__metrics_open(const char *path, int64_t step, wn__metrics *out);
/* Appends {"kind":..., members...}. */
WN_NODISCARD wn_status wn__metrics_write(wn__metrics *m, const char *kind, const wn__metric *member,
                                         size_t count);
WN_NODISCARD wn_status wn__metrics_sync(wn__metrics *m);
void wn__metrics_close(wn__metrics *m); /* safe when closed; a zeroed struct must be given fd -1 */

#endif
