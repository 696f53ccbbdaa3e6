// SPDX-License-Identifier: MIT
// AdamW, Adam with L2 decay and SGD with momentum, as in PyTorch.
#include "base/fail.h"
#include "optim/internal.h"

static wn_status update_adamw(wn__optimizer_step *s, size_t i, int64_t t) {
    return wn__adamw_step(s, i, t, s->scale, wn__decay_of(s->o, &s->p->item[i]));
}

const wn__optimizer_rule wn__rule_adamw = {
    .name = "adamw", .state = {"m", "v"}, .build = wn__moments_build, .update = update_adamw};

// The gradient becomes scale g + decay w.
static wn_status add_decay(const wn__optimizer_step *s, const wn__param *p, double decay) {
    return wn__axpby_run(s->x, decay, wn__param_master(p), s->scale, &p->g);
}

static wn_status update_adam(wn__optimizer_step *s, size_t i, int64_t t) {
    const wn__param *p = &s->p->item[i];
    double decay = wn__decay_of(s->o, p);
    if (decay == 0) return wn__adamw_step(s, i, t, s->scale, 0);
    WN_TRY(add_decay(s, p, decay));
    return wn__adamw_step(s, i, t, 1, 0);
}

const wn__optimizer_rule wn__rule_adam = {
    .name = "adam", .state = {"m", "v"}, .build = wn__moments_build, .update = update_adam};

static wn_status check_momentum(const wn__optimizer_options *o) {
    if (o->momentum >= 0 && o->momentum < 1) return WN_OK;
    return wn__fail(WN_INVALID, "momentum is %g; it must be in [0, 1)", o->momentum);
}

static wn_status build_sgd(wn__optimizer *o, wn__params *p, size_t i, wn__arena *arena) {
    return o->options.momentum > 0 ? wn__state_like(&p->item[i], 0, arena) : WN_OK;
}

static wn_status update_sgd(wn__optimizer_step *s, size_t i, int64_t t) {
    (void)t; // the buffer begins at 0, so its first value is the gradient
    const wn__param *p = &s->p->item[i];
    const wn_tensor *w = wn__param_master(p), *buffer = &p->state[0];
    double decay = wn__decay_of(s->o, p), scale = s->scale;
    if (!wn__given(buffer)) return wn__axpby_run(s->x, -s->lr * scale, &p->g, 1 - s->lr * decay, w);
    if (decay != 0) {
        WN_TRY(add_decay(s, p, decay));
        scale = 1;
    }
    WN_TRY(wn__axpby_run(s->x, scale, &p->g, s->o->options.momentum, buffer));
    return wn__axpby_run(s->x, -s->lr, buffer, 1, w);
}

const wn__optimizer_rule wn__rule_sgd = {.name = "sgd",
                                         .state = {"momentum"},
                                         .check = check_momentum,
                                         .build = build_sgd,
                                         .update = update_sgd};
