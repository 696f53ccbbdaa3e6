// SPDX-License-Identifier: MIT
/* Around the optimizer: global-norm clipping and learning-rate schedules. */
#ifndef WN_OPTIM_OPTIM_H
#define WN_OPTIM_OPTIM_H

#include "kernels/op.h"
#include "tensor/param.h"

/* Global L2 norm of all gradients, of factors as of everything else (sums of squares per tensor,
 * added in list order; parameters without a gradient are passed over). A NaN or infinity is INVALID
 * and names the tensor and the element. scratch: F64 [count] tensor for the per-tensor sums. */
WN_NODISCARD wn_status wn__gradient_norm(wn__params *p, wn__exec *x, const wn_tensor *scratch,
                                         double *norm);
/* max_norm / norm when max_norm > 0 and norm > max_norm, else 1 (PyTorch's rule has + 1e-6 in the
 * denominator; so has this one). */
double wn__clip_scale(double norm, double max_norm);

typedef enum wn__schedule_kind {
    WN_SCHEDULE_COSINE,
    WN_SCHEDULE_WSD,
    WN_SCHEDULE_LINEAR,
    WN_SCHEDULE_CONSTANT,
    /* those of run_c4.py */
    WN_SCHEDULE_COSINE_RESTART,
    WN_SCHEDULE_COSINE_RESTART_ZERO,
    WN_SCHEDULE_COSINE_CYCLE, /* its "cosine": warm-up from 0, m + (1-m)(1+cos pi p)/2 */
    WN_SCHEDULE_LINEAR_ZERO   /* its "linear": warm-up from 0, then linear to 0 */
} wn__schedule_kind;
typedef struct wn__schedule {
    wn__schedule_kind kind;
    double lr, min_ratio;  /* peak; floor as a share of it */
    int64_t warmup, steps; /* in updates */
    int64_t decay;         /* WSD: updates of the final decay */
    int64_t restart_every, restart_warmup,
        adjust; /* restarts: R, c, adj; cycle: restart_every is its length, 0: steps */
    bool restart_after_warmup; /* --lr_jag_after_warmup: no restarts during warm-up */
} wn__schedule;
/* Learning rate of update u (0-based). Warm-up: lr (u+1)/(warmup+1). Then over p =
 * (u-warmup)/max(1, steps-1-warmup), clamped to [0,1]: cosine: min + (1-min)(1+cos(pi p))/2;
 * linear: 1 - (1-min) p; WSD: 1 until steps-decay, then linear to min, reached by the last update
 * (1 - (1-min)(u-(steps-decay)+1)/decay); constant: 1. The schedules of run_c4.py follow its
 * formulas exactly, with floored division: docs/methods/optimizers.md; of a cosine_cycle after the
 * first the first two updates have 1e-7 of the peak, as there. */
double wn__schedule_lr(const wn__schedule *s, int64_t u);
/* "cosine", "wsd", "linear", "constant", "cosine_restart", "cosine_restart_zero", "cosine_cycle",
 * "linear_zero"; INVALID lists them. */
WN_NODISCARD wn_status wn__schedule_parse(const char *text, wn__schedule_kind *out);

#endif
