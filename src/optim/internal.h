// SPDX-License-Identifier: MIT
/* What the files of optim/ share: a rule a kind of optimizer, and one update in progress.
 *
 * Everything a rule does goes through kernels, so an update in planning mode selects what a later
 * one runs. */
#ifndef WN_OPTIM_INTERNAL_H
#define WN_OPTIM_INTERNAL_H

#include "optim/optimizer.h"

/* One update of all parameters. */
typedef struct wn__optimizer_step {
    wn__optimizer *o;
    wn__params *p;
    wn__exec *x;
    double lr, scale; /* scale: of the gradients */
    int64_t u;
    wn__optimizer_report *report; /* never NULL */
} wn__optimizer_step;

typedef struct wn__optimizer_rule {
    const char *name;
    const char *state[WN_PARAM_STATES]; /* suffixes; NULL: none */
    /* Options this kind refuses. NULL: none. */
    wn_status (*check)(const wn__optimizer_options *o);
    /* Of what `check` let pass. NULL: nothing. */
    void (*prepare)(wn__optimizer *o);
    /* The states of parameter i. */
    wn_status (*build)(wn__optimizer *o, wn__params *p, size_t i, wn__arena *arena);
    /* Moves the master of parameter i; t: its number of updates, this one included. A pair of
     * factors moves with its WN_PARAM_LOWRANK_OUT where the rule treats them as one. */
    wn_status (*update)(wn__optimizer_step *s, size_t i, int64_t t);
} wn__optimizer_rule;

extern const wn__optimizer_rule wn__rule_adamw, wn__rule_adam, wn__rule_sgd, wn__rule_adafactor,
    wn__rule_adam8bit, wn__rule_galore_adamw, wn__rule_loro_adamw;

/* A listed state: state[which] of a parameter. */
typedef struct wn__optimizer_slot {
    char name[WN_NAME_MAX];
    size_t param;
    int which;
} wn__optimizer_slot;

struct wn__optimizer {
    wn__optimizer_options options;
    const wn__optimizer_rule *rule;
    int sides;        /* galore_adamw: of galore_type */
    wn_tensor counts; /* I64 [parameters]: updates since the moments began */
    wn__optimizer_slot *slot;
    size_t slot_count;
    bool *replaced;         /* [parameters] by an exact step of the last update */
    size_t scratch_wish;    /* bytes the rule needs within an update */
    void *scratch;          /* from the arena of the states */
    wn__exact_report exact; /* of the last exact step: report->why is its text */
};

/* Wishes for bytes that an update may use; SIZE_MAX is INVALID. */
WN_NODISCARD wn_status wn__optimizer_wish(wn__optimizer *o, const wn__param *p, size_t bytes);
/* Whether u ends a period: (u+1) mod every == 0, never for every = 0. */
static inline bool wn__period_ends(int64_t u, int64_t every) {
    return every > 0 && (u + 1) % every == 0;
}

/* moments.c: what several rules share. */
/* state[which] like the master. */
WN_NODISCARD wn_status wn__state_like(wn__param *p, int which, wn__arena *arena);
/* m and v like the master, as states 0 and 1. */
WN_NODISCARD wn_status wn__moments_build(wn__optimizer *o, wn__params *p, size_t i,
                                         wn__arena *arena);
/* adamw.h on w with states 0 and 1 and the gradient times scale; packs that rest are made as well.
 */
WN_NODISCARD wn_status wn__adamw_step(const wn__optimizer_step *s, size_t i, int64_t t,
                                      double scale, double decay);
/* y = a x + b y */
WN_NODISCARD wn_status wn__axpby_run(wn__exec *x, double a, const wn_tensor *from, double b,
                                     const wn_tensor *to);
/* Moments of the parameter from `g`, whose place m / (sqrt(v) + eps) takes. */
WN_NODISCARD wn_status wn__direction(const wn__optimizer_step *s, const wn__param *p,
                                     const wn_tensor *g);
/* lr sqrt(1-beta2^t) / (1-beta1^t) */
double wn__corrected_lr(const wn__optimizer_step *s, int64_t t);
/* p -= step d, then p -= shrink p */
WN_NODISCARD wn_status wn__move(const wn__optimizer_step *s, const wn__param *p, double step,
                                const wn_tensor *d, double shrink);
/* Directions need an eps above 0: a gradient that was always 0 gives 0/0 without. */
WN_NODISCARD wn_status wn__direction_check(const wn__optimizer_options *o);
/* direction and move of a tensor by itself: step d, decay by lr. */
WN_NODISCARD wn_status wn__plain_step(const wn__optimizer_step *s, size_t i, int64_t t);

/* Weight decay of a parameter: 0 where it does not apply. */
static inline double wn__decay_of(const wn__optimizer *o, const wn__param *p) {
    return p->decay ? o->options.weight_decay : 0;
}
/* Whether parameters are updated at all. */
static inline bool wn__param_trained(const wn__param *p) {
    return wn__given(&p->g);
}

#endif
