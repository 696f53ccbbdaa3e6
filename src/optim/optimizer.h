// SPDX-License-Identifier: MIT
/* Optimizers: one list of what each keeps for a parameter and how it updates it.
 *
 * - adamw: Loshchilov and Hutter 2019, as in PyTorch (kernels/adamw.h).
 * - adam: Kingma and Ba 2015, with L2 decay: g + weight_decay w (PyTorch).
 * - sgd: buffer = momentum buffer + g, w -= lr buffer; L2 decay (PyTorch, no dampening, no
 *   Nesterov).
 * - adafactor: Shazeer and Stern 2018: factored second moments of matrices, eps1 1e-30, clip 1,
 *   fixed learning rate.
 * - adam8bit: Dettmers et al. 2022: AdamW's moments in blocks of 8-bit codes. As there, parameters
 *   below WN_ADAM8BIT_LEAST elements keep moments of full size.
 * - galore_adamw: Zhao et al. 2024: Adam in the space of the leading singular vectors of each
 *   matrix's gradient. As in its authors' training script, only the matrices of attention and MLP
 *   (".self_attn." or ".mlp." in the name) are projected, no factors of low-rank layers among them;
 *   the others take plain steps. The rank is at most the smaller side.
 * - loro_adamw: Mo et al. 2025: Adam-normalised directions for every tensor, an exact Riemannian
 *   step (sparse/lowrank.h) for pairs of factors every exact_every updates and a scaled step
 *   between.
 *
 * The last two follow the first transformers AdamW: d = m / (sqrt(v) + eps) (kernels/update.h),
 *   step = lr sqrt(1-beta2^t) / (1-beta1^t);  p -= step d;  p -= lr weight_decay p
 * and for the factors M, N of loro_adamw, with s = lr_scaler:
 *   lazy: p -= step s d;  p -= step weight_decay p      exact: neither s nor decay, lr = step
 *
 * Every parameter has its own count t of updates since its moments began (refresh sets it back).
 * All states lie in one arena, are sized before the run, and are listed for checkpoints. Optimizers
 * update the master (wn__param_master); a rounded w follows it. Parameters without a gradient are
 * passed over. Weight decay applies where the parameter says so. */
#ifndef WN_OPTIM_OPTIMIZER_H
#define WN_OPTIM_OPTIMIZER_H

#include "base/arena.h"
#include "kernels/op.h"
#include "sparse/lowrank.h"
#include "tensor/param.h"

#define WN_ADAM8BIT_LEAST 4096

typedef enum wn__optimizer_kind {
    WN_OPTIMIZER_ADAMW,
    WN_OPTIMIZER_ADAM,
    WN_OPTIMIZER_SGD,
    WN_OPTIMIZER_ADAFACTOR,
    WN_OPTIMIZER_ADAM8BIT,
    WN_OPTIMIZER_GALORE_ADAMW,
    WN_OPTIMIZER_LORO_ADAMW
} wn__optimizer_kind;
/* "adamw", "adam", ...; INVALID lists them. Case is ignored ("Adam" as the original spells it). */
WN_NODISCARD wn_status wn__optimizer_parse(const char *text, wn__optimizer_kind *out);
const char *wn__optimizer_name(wn__optimizer_kind kind);

typedef enum wn__refresh {
    WN_REFRESH_NONE,
    WN_REFRESH_REGULAR, /* "reg" */
    WN_REFRESH_LOWRANK, /* "lrk" */
    WN_REFRESH_ALL      /* "all" */
} wn__refresh;

typedef struct wn__optimizer_options {
    wn__optimizer_kind kind;
    double beta1, beta2, eps, weight_decay;
    double momentum; /* sgd; adafactor's beta1 */
    /* loro_adamw */
    int64_t
        exact_every;  /* K: the exact step at updates u with (u+1) mod K == 0; 0: never ("eucl") */
    double lr_scaler; /* of lazy steps; negative: rank / width. "eucl": 1 */
    double width;     /* hidden_size of the model */
    wn__exact_options exact;
    wn__refresh refresh;   /* moments and counts back to zero ... */
    int64_t refresh_every; /* ... after each update u with (u+1) mod this == 0; 0: never */
    int64_t reset_every; /* --momentum_reset_steps: all moments back to zero after u with u mod n ==
                            0; 0: never */
    /* galore_adamw */
    int64_t galore_rank, galore_gap; /* a new projector every gap updates */
    double galore_scale;
    const char *galore_type; /* "std", "reverse_std", "left", "right", "full" */
} wn__optimizer_options;

/* What one update did besides moving weights. */
typedef struct wn__optimizer_report {
    int64_t exact, fell_back; /* pairs updated exactly; pairs that took a lazy step because the
                                 exact one was refused */
    const char *why;          /* of the last fall-back; valid until the next update */
    const char *pair;         /* its layer's parameter */
    double moved,
        condition;  /* exact steps: largest ||W_new - W||_F, largest condition number of a factor */
    bool refreshed; /* moments were set back */
} wn__optimizer_report;

typedef struct wn__optimizer wn__optimizer;

WN_NODISCARD wn_status wn__optimizer_create(const wn__optimizer_options *o, wn__optimizer **out);
void wn__optimizer_free(wn__optimizer *o); /* NULL is fine */
const wn__optimizer_options *wn__optimizer_options_of(const wn__optimizer *o);
/* Gives every parameter with a gradient its states from `arena` (which may measure: then called
 * again with a real one), zeroed, and names them "<parameter>.m" and so on. */
WN_NODISCARD wn_status wn__optimizer_build(wn__optimizer *o, wn__params *p, wn__arena *arena);
/* Everything a checkpoint must keep: "<parameter>.<state>" and the update counts
 * "optimizer.updates" I64 [parameters]. Names and views live as long as the optimizer and the
 * arena. */
size_t wn__optimizer_state_count(const wn__optimizer *o, const wn__params *p);
void wn__optimizer_state_at(const wn__optimizer *o, const wn__params *p, size_t i,
                            const char **name, wn_tensor *view);
/* Counts of updates that a checkpoint brought back: INVALID names the first parameter whose count
 * is not 0 .. most. */
WN_NODISCARD wn_status wn__optimizer_check_counts(const wn__optimizer *o, const wn__params *p,
                                                  int64_t most);
/* One update number u (0-based, as in the schedules) with learning rate lr; gradients are
 * multiplied by grad_scale first and may be overwritten. In planning mode it plans every kind of
 * update (lazy and exact, a new projector). report may be NULL. */
WN_NODISCARD wn_status wn__optimizer_update(wn__optimizer *o, wn__params *p, wn__exec *x, double lr,
                                            double grad_scale, int64_t u,
                                            wn__optimizer_report *report);
/* Whether the last update took an exact step with this parameter, a factor. */
bool wn__optimizer_replaced(const wn__optimizer *o, size_t param);

#endif
