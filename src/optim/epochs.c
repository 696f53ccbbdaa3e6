// SPDX-License-Identifier: MIT
// Learning rates by epoch.
#include "optim/epochs.h"
#include "base/fail.h"

#include <math.h>
#include <string.h>

#define THRESHOLD 1e-4 // of an improvement, relative
#define LEAST     1e-8 // change of a rate that is made
#define FLOOR     1e-6 // of the cosine
#define PI        3.14159265358979323846264338328

static const char *const names[] = {[WN__EPOCHS_NONE] = "none",
                                    [WN__EPOCHS_PLATEAU] = "plateau",
                                    [WN__EPOCHS_COSINE] = "cosine",
                                    [WN__EPOCHS_STEP] = "step"};

wn_status wn__epochs_parse(const char *text, wn__epochs_kind *out) {
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (wn__epochs_kind)i;
            return WN_OK;
        }
    return wn__fail(WN_INVALID, "no scheduler '%s': plateau, cosine, step or none", text);
}

const char *wn__epochs_name(wn__epochs_kind kind) {
    return names[kind];
}

void wn__epochs_start(wn__epochs *e, double lr) {
    e->first = e->lr = lr;
    e->epoch = e->bad = 0;
    e->best = INFINITY;
}

static void plateau(wn__epochs *e, double loss) {
    if (loss < e->best * (1 - THRESHOLD)) {
        e->best = loss;
        e->bad = 0;
    } else if (++e->bad > e->patience) {
        double lower = e->lr * e->factor;
        if (e->lr - lower > LEAST) e->lr = lower;
        e->bad = 0;
    }
}

void wn__epochs_step(wn__epochs *e, double loss) {
    e->epoch++;
    switch (e->kind) {
    case WN__EPOCHS_PLATEAU:
        plateau(e, loss);
        break;
    case WN__EPOCHS_COSINE:
        e->lr = FLOOR +
                (e->first - FLOOR) *
                    (1 + cos(PI * (double)e->epoch / (double)(e->total > 0 ? e->total : 1))) / 2;
        break;
    case WN__EPOCHS_STEP:
        e->lr = e->first * pow(e->factor, (double)(e->epoch / (e->patience > 0 ? e->patience : 1)));
        break;
    case WN__EPOCHS_NONE:
        break;
    }
}
