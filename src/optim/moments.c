// SPDX-License-Identifier: MIT
// What several rules share: moments like the master, AdamW's kernel, directions and moves along
// them.
#include "base/fail.h"
#include "kernels/adamw24.h"
#include "kernels/update.h"
#include "optim/internal.h"
#include <math.h>

wn_status wn__state_like(wn__param *p, int which, wn__arena *arena) {
    const wn_tensor *like = wn__param_master(p);
    return wn__tensor_alloc(arena, like->dtype, like->ndim, like->shape, &p->state[which]);
}

wn_status wn__moments_build(wn__optimizer *o, wn__params *p, size_t i, wn__arena *arena) {
    (void)o;
    WN_TRY(wn__state_like(&p->item[i], 0, arena));
    return wn__state_like(&p->item[i], 1, arena);
}

// A planned step may come to packs or not.
static wn_status adamw_and_pack(wn__exec *x, const wn__adamw *update, wn__param_packs *to) {
    const wn__adamw24 both = {.update = *update,
                              .mask = to->mask,
                              .values = to->values,
                              .index = to->index,
                              .values_t = to->values_t,
                              .index_t = to->index_t};
    WN_TRY(wn__run(x, WN__OP_adamw24, &both));
    to->done = !x->planning;
    return WN_OK;
}

wn_status wn__adamw_step(const wn__optimizer_step *s, size_t i, int64_t t, double scale,
                         double decay) {
    wn__param *p = &s->p->item[i];
    const wn__optimizer_options *o = &s->o->options;
    const wn__adamw update = {.w = *wn__param_master(p),
                              .m = p->state[0],
                              .v = p->state[1],
                              .g = p->g,
                              .lr = s->lr,
                              .beta1 = o->beta1,
                              .beta2 = o->beta2,
                              .eps = o->eps,
                              .weight_decay = decay,
                              .grad_scale = scale,
                              .step = t};
    bool packs = wn__given(&p->packs.mask);
    if (packs && (p->packs.rests || s->x->planning))
        WN_TRY(adamw_and_pack(s->x, &update, &p->packs));
    return packs && p->packs.rests && !s->x->planning ? WN_OK
                                                      : wn__run(s->x, WN__OP_adamw, &update);
}

wn_status wn__axpby_run(wn__exec *x, double a, const wn_tensor *from, double b,
                        const wn_tensor *to) {
    const wn__axpby sum = {.x = *from, .y = *to, .a = a, .b = b};
    return wn__run(x, WN__OP_axpby, &sum);
}

wn_status wn__direction_check(const wn__optimizer_options *o) {
    if (o->eps > 0) return WN_OK;
    return wn__fail(WN_INVALID, "eps is %g; %s needs one above 0", o->eps,
                    wn__optimizer_name(o->kind));
}

wn_status wn__direction(const wn__optimizer_step *s, const wn__param *p, const wn_tensor *g) {
    const wn__optimizer_options *o = &s->o->options;
    const wn__adam_direction direction = {.m = p->state[0],
                                          .v = p->state[1],
                                          .g = *g,
                                          .d = *g,
                                          .beta1 = o->beta1,
                                          .beta2 = o->beta2,
                                          .eps = o->eps,
                                          .grad_scale = s->scale};
    return wn__run(s->x, WN__OP_adam_direction, &direction);
}

double wn__corrected_lr(const wn__optimizer_step *s, int64_t t) {
    const wn__optimizer_options *o = &s->o->options;
    return s->lr * sqrt(1 - pow(o->beta2, (double)t)) / (1 - pow(o->beta1, (double)t));
}

wn_status wn__move(const wn__optimizer_step *s, const wn__param *p, double step, const wn_tensor *d,
                   double shrink) {
    double rest = 1 - shrink;
    return wn__axpby_run(s->x, -step * rest, d, rest, wn__param_master(p));
}

wn_status wn__plain_step(const wn__optimizer_step *s, size_t i, int64_t t) {
    const wn__param *p = &s->p->item[i];
    WN_TRY(wn__direction(s, p, &p->g));
    return wn__move(s, p, wn__corrected_lr(s, t), &p->g, s->lr * wn__decay_of(s->o, p));
}
