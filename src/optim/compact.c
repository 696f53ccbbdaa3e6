// SPDX-License-Identifier: MIT
// Optimizers with small states: Adafactor, and AdamW with 8-bit moments.
#include "base/fail.h"
#include "kernels/update.h"
#include "optim/internal.h"

enum { ROW, COL, WHOLE, MOMENTUM };

static wn_status check_adafactor(const wn__optimizer_options *o) {
    if (o->momentum >= 0 && o->momentum < 1) return WN_OK;
    return wn__fail(WN_INVALID, "momentum is %g; adafactor's must be in [0, 1)", o->momentum);
}

static wn_status build_adafactor(wn__optimizer *o, wn__params *p, size_t i, wn__arena *arena) {
    wn__param *t = &p->item[i];
    const wn_tensor *w = wn__param_master(t);
    if (w->ndim == 2) {
        WN_TRY(wn__tensor_alloc1(arena, w->dtype, w->shape[0], &t->state[ROW]));
        WN_TRY(wn__tensor_alloc1(arena, w->dtype, w->shape[1], &t->state[COL]));
    } else {
        WN_TRY(wn__state_like(t, WHOLE, arena));
    }
    return o->options.momentum > 0 ? wn__state_like(t, MOMENTUM, arena) : WN_OK;
}

static wn_status update_adafactor(wn__optimizer_step *s, size_t i, int64_t t) {
    const wn__param *p = &s->p->item[i];
    const wn__adafactor update = {.w = *wn__param_master(p),
                                  .g = p->g,
                                  .row = p->state[ROW],
                                  .col = p->state[COL],
                                  .v = p->state[WHOLE],
                                  .m = p->state[MOMENTUM],
                                  .lr = s->lr,
                                  .beta1 = s->o->options.momentum,
                                  .eps1 = 1e-30,
                                  .clip = 1,
                                  .weight_decay = wn__decay_of(s->o, p),
                                  .grad_scale = s->scale,
                                  .step = t};
    return wn__run(s->x, WN__OP_adafactor, &update);
}

const wn__optimizer_rule wn__rule_adafactor = {.name = "adafactor",
                                               .state = {"row", "col", "v", "m"},
                                               .check = check_adafactor,
                                               .build = build_adafactor,
                                               .update = update_adafactor};

// ---- adam8bit

static wn_status build_adam8bit(wn__optimizer *o, wn__params *p, size_t i, wn__arena *arena) {
    wn__param *t = &p->item[i];
    const wn_tensor *w = wn__param_master(t);
    int64_t count = wn__tensor_count(w);
    if (count < WN_ADAM8BIT_LEAST) return wn__moments_build(o, p, i, arena);
    for (int k = 0; k < 2; k++)
        WN_TRY(wn__tensor_alloc(arena, WN_DTYPE_U8, w->ndim, w->shape, &t->state[k]));
    for (int k = 2; k < 4; k++)
        WN_TRY(wn__tensor_alloc1(arena, WN_DTYPE_F32, (count + WN_BLOCK8 - 1) / WN_BLOCK8,
                                 &t->state[k]));
    return WN_OK;
}

static wn_status update_adam8bit(wn__optimizer_step *s, size_t i, int64_t t) {
    const wn__param *p = &s->p->item[i];
    const wn__optimizer_options *o = &s->o->options;
    if (!wn__given(&p->state[2])) return wn__adamw_step(s, i, t, s->scale, wn__decay_of(s->o, p));
    const wn__adam8bit update = {.w = *wn__param_master(p),
                                 .g = p->g,
                                 .m = p->state[0],
                                 .v = p->state[1],
                                 .m_scale = p->state[2],
                                 .v_scale = p->state[3],
                                 .lr = s->lr,
                                 .beta1 = o->beta1,
                                 .beta2 = o->beta2,
                                 .eps = o->eps,
                                 .weight_decay = wn__decay_of(s->o, p),
                                 .grad_scale = s->scale,
                                 .step = t};
    return wn__run(s->x, WN__OP_adam8bit, &update);
}

const wn__optimizer_rule wn__rule_adam8bit = {.name = "adam8bit",
                                              .state = {"m", "v", "m_scale", "v_scale"},
                                              .build = build_adam8bit,
                                              .update = update_adam8bit};
