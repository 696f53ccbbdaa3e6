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
    /* The states of parameter i. */
    wn_status (*build)(wn__optimizer *o, wn__params *p, size_t i, wn__arena *arena);
    /* Moves the master of parameter i; t: its number of updates, this one included. A pair of
     * factors moves with its WN_PARAM_LOWRANK_OUT where the rule treats them as one. */
    wn_status (*update)(wn__optimizer_step *s, size_t i, int64_t t);
} wn__optimizer_rule;

extern const wn__optimizer_rule wn__rule_adamw;

/* A listed state: state[which] of a parameter. */
typedef struct wn__optimizer_slot {
    char name[WN_NAME_MAX];
    size_t param;
    int which;
} wn__optimizer_slot;

struct wn__optimizer {
    wn__optimizer_options options;
    const wn__optimizer_rule *rule;
    wn_tensor counts; /* I64 [parameters]: updates since the moments began */
    wn__optimizer_slot *slot;
    size_t slot_count;
};

/* Weight decay of a parameter: 0 where it does not apply. */
static inline double wn__decay_of(const wn__optimizer *o, const wn__param *p) {
    return p->decay ? o->options.weight_decay : 0;
}
/* Whether parameters are updated at all. */
static inline bool wn__param_trained(const wn__param *p) {
    return wn__given(&p->g);
}

#endif
