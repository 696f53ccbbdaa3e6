// SPDX-License-Identifier: MIT
// AdamW: one kernel a parameter.
#include "base/fail.h"
#include "kernels/adamw.h"
#include "optim/internal.h"

static wn_status build_moments(wn__optimizer *o, wn__params *p, size_t i, wn__arena *arena) {
    (void)o;
    wn__param *t = &p->item[i];
    const wn_tensor *like = wn__param_master(t);
    for (int k = 0; k < 2; k++)
        WN_TRY(wn__tensor_alloc(arena, like->dtype, like->ndim, like->shape, &t->state[k]));
    return WN_OK;
}

static wn_status update_adamw(wn__optimizer_step *s, size_t i, int64_t t) {
    const wn__param *p = &s->p->item[i];
    const wn__optimizer_options *o = &s->o->options;
    const wn__adamw update = {.w = *wn__param_master(p),
                              .m = p->state[0],
                              .v = p->state[1],
                              .g = p->g,
                              .lr = s->lr,
                              .beta1 = o->beta1,
                              .beta2 = o->beta2,
                              .eps = o->eps,
                              .weight_decay = wn__decay_of(s->o, p),
                              .grad_scale = s->scale,
                              .step = t};
    return wn__run(s->x, WN__OP_adamw, &update);
}

const wn__optimizer_rule wn__rule_adamw = {
    .name = "adamw", .state = {"m", "v"}, .build = build_moments, .update = update_adamw};
