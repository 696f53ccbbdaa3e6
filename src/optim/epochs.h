// SPDX-License-Identifier: MIT
/* Learning rates that change after an epoch, as torch.optim.lr_scheduler has them: one state that
 * is moved on by the epoch's loss. */
#ifndef WN_OPTIM_EPOCHS_H
#define WN_OPTIM_EPOCHS_H

#include "winnow/status.h"
#include <stdint.h>

typedef enum wn__epochs_kind {
    WN__EPOCHS_NONE,
    WN__EPOCHS_PLATEAU, /* ReduceLROnPlateau(min, rel, threshold 1e-4, eps 1e-8) */
    WN__EPOCHS_COSINE,  /* CosineAnnealingLR(T_max = total, eta_min 1e-6): rises again after it */
    WN__EPOCHS_STEP     /* StepLR */
} wn__epochs_kind;

typedef struct wn__epochs {
    wn__epochs_kind kind;
    double first, lr; /* the rate at the start, and now */
    double factor;    /* plateau: lr factor; step: gamma */
    int64_t patience; /* plateau: bad epochs that are let pass; step: its size */
    int64_t total;    /* cosine */
    int64_t epoch;    /* that are over */
    double best;      /* plateau: of the losses; infinite at the start */
    int64_t bad;      /* plateau: epochs since */
} wn__epochs;

/* "none", "plateau", "cosine", "step"; INVALID lists them. */
WN_NODISCARD wn_status wn__epochs_parse(const char *text, wn__epochs_kind *out);
const char *wn__epochs_name(wn__epochs_kind kind);
/* best infinite, lr = first, nothing over. */
void wn__epochs_start(wn__epochs *e, double lr);
/* An epoch is over; `loss` counts for plateau, where NaN is no improvement. */
void wn__epochs_step(wn__epochs *e, double loss);

#endif
