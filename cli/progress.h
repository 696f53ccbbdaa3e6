// SPDX-License-Identifier: MIT
/* A training run's events as lines for people: plain lines, or on a terminal one line that is
 * rewritten. */
#ifndef WN_CLI_PROGRESS_H
#define WN_CLI_PROGRESS_H

#include <stdbool.h>
#include <winnow/train.h>

typedef struct progress {
    bool terminal; /* standard error is one */
    bool quiet;
    bool open; /* a line that is still to be ended */
    double last_loss;
} progress;

void progress_begin(progress *p, bool quiet);
void progress_event(progress *p, const wn_train_event *e);
/* Ends an open line. */
void progress_end(progress *p);

#endif
