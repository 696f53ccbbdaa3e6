// SPDX-License-Identifier: MIT
/* Updating parameters: global-norm clipping, AdamW, learning-rate schedules. */
#ifndef WN_OPTIM_OPTIM_H
#define WN_OPTIM_OPTIM_H

#include "kernels/op.h"
#include "tensor/param.h"

typedef struct wn__adamw_options {
    double beta1, beta2, eps, weight_decay;
} wn__adamw_options;

/* Global L2 norm of all gradients (sums of squares per tensor, added in list order). A NaN or
 * infinity is INVALID and names the tensor and the element. scratch: F64 [count] tensor for the
 * per-tensor sums. */
WN_NODISCARD wn_status wn__gradient_norm(wn__params *p, wn__exec *x, const wn_tensor *scratch,
                                         double *norm);
/* max_norm / norm when max_norm > 0 and norm > max_norm, else 1 (PyTorch's rule has + 1e-6 in the
 * denominator; so has this one). */
double wn__clip_scale(double norm, double max_norm);
/* One update of every parameter; step counts from 1. */
WN_NODISCARD wn_status wn__adamw_update(wn__params *p, wn__exec *x, const wn__adamw_options *o,
                                        double lr, double grad_scale, int64_t step);

typedef enum wn__schedule_kind {
    WN_SCHEDULE_COSINE,
    WN_SCHEDULE_WSD,
    WN_SCHEDULE_LINEAR,
    WN_SCHEDULE_CONSTANT
} wn__schedule_kind;
typedef struct wn__schedule {
    wn__schedule_kind kind;
    double lr, min_ratio;  /* peak; floor as a share of it */
    int64_t warmup, steps; /* in updates */
    int64_t decay;         /* WSD: updates of the final decay */
} wn__schedule;
/* Learning rate of update u (0-based). Warm-up: lr (u+1)/(warmup+1). Then over p =
 * (u-warmup)/max(1, steps-1-warmup), clamped to [0,1]: cosine: min + (1-min)(1+cos(pi p))/2;
 * linear: 1 - (1-min) p; WSD: 1 until steps-decay, then linear to min, reached by the last update
 * (1 - (1-min)(u-(steps-decay)+1)/decay); constant: 1. */
double wn__schedule_lr(const wn__schedule *s, int64_t u);
/* "cosine", "wsd", "linear", "constant"; INVALID lists them. */
WN_NODISCARD wn_status wn__schedule_parse(const char *text, wn__schedule_kind *out);

#endif
