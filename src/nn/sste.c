// SPDX-License-Identifier: MIT
// Soft-thresholded 2:4 weights: the frozen scale, the mask of each update and its pack.
#include "nn/sste.h"

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "kernels/soft24.h"
#include "nn/round16.h"
#include "sparse/pattern24.h"
#include "sparse/soft24.h"
#include <math.h>

static wn_status add_scale(wn__sste *s, wn__linear *l, const char *name) {
    wn__state *state = &l->state[l->state_count++];
    state->view = s->scale;
    return wn__name_join(state->name, name, "scale");
}

wn_status wn__sste_build(wn__sste *s, wn__linear *l, const char *name, int64_t r, int64_t c,
                         wn__build *b) {
    int64_t g = wn__groups24(c);
    *s = (wn__sste){.r = r, .c = c};
    WN_TRY(wn__tensor_alloc1(b->weights, WN_DTYPE_F64, 1, &s->scale));
    WN_TRY(wn__tensor_alloc1(b->weights, WN_DTYPE_F64, 3, &s->dots));
    WN_TRY(wn__tensor_alloc2(b->weights, WN_DTYPE_U8, r, g, &s->mask));
    WN_TRY(wn__tensor_alloc2(b->weights, b->dtype, r, 2 * g, &s->values));
    WN_TRY(wn__tensor_alloc2(b->weights, WN_DTYPE_U8, r, (g + 1) / 2, &s->index));
    WN_TRY(add_scale(s, l, name));
    wn__scratch_wish(b->scratch, wn__scratch_cost(r, c));
    if (!b->training) return WN_OK;
    WN_TRY(wn__tensor_alloc2(b->weights, WN_DTYPE_U8, r, g, &s->next));
    WN_TRY(wn__tensor_alloc1(b->weights, WN_DTYPE_I64, 1, &s->flips));
    return wn__lists24_alloc(b->weights, b->dtype, r, c, &s->lists);
}

wn_status wn__sste_rescale(wn__sste *s, const wn__linear *l, wn__exec *x, const wn_tensor *w) {
    WN_TRY(wn__soft24_scale(x, w, l->structure.scale_norm, &s->dots, &s->scale));
    if (!x->planning) s->scaled = true;
    return WN_OK;
}

// W~ into out, its mask into mask.
static wn_status threshold(const wn__sste *s, const wn__linear *l, wn__exec *x, const wn_tensor *w,
                           const wn_tensor *out, const wn_tensor *mask) {
    const wn__soft24 soft = {.w = *w, .out = *out, .mask = *mask, .scale = s->scale};
    WN_TRY(wn__run(x, WN__OP_soft24, &soft));
    return wn__keep16(l->round16, x, out);
}

static wn_status count_flips(const wn__sste *s, wn__exec *x, int64_t *flips) {
    const wn__flips24 compare = {.a = s->mask, .b = s->next, .count = s->flips};
    const wn__copy replace = {.src = s->next, .dst = s->mask};
    WN_TRY(wn__run(x, WN__OP_flips24, &compare));
    WN_TRY(wn__run(x, WN__OP_copy, &replace));
    if (!x->planning) *flips = *(const int64_t *)s->flips.data;
    return WN_OK;
}

static wn_status pack(const wn__sste *s, wn__exec *x, const wn_tensor *dense) {
    const wn__pack24 args = {.w = *dense, .mask = s->mask, .values = s->values, .index = s->index};
    WN_TRY(wn__run(x, WN__OP_pack24, &args));
    return wn__given(&s->lists.start) ? wn__lists24_make(&s->lists, x, dense, &s->mask) : WN_OK;
}

wn_status wn__sste_prepare(wn__sste *s, const wn__linear *l, wn__exec *x, const wn_tensor *w,
                           int64_t *flips) {
    int64_t at = 0;
    const wn_tensor out = wn__scratch_take(l->scratch, &at, s->r, s->c);
    bool compared = wn__given(&s->next) && (s->masked || x->planning);
    *flips = -1;
    if (!s->scaled) WN_TRY(wn__sste_rescale(s, l, x, w));
    WN_TRY(threshold(s, l, x, w, &out, compared ? &s->next : &s->mask));
    if (compared) WN_TRY(count_flips(s, x, flips));
    if (!x->planning) s->masked = true;
    return pack(s, x, &out);
}

wn_status wn__sste_restore(wn__sste *s, const wn__linear *l, wn__exec *x, const wn_tensor *w) {
    double scale = *(const double *)s->scale.data;
    int64_t flips;
    if (!(isfinite(scale) && scale > 0))
        return wn__fail(WN_INVALID, "the state 'scale' is %g, a finite number above 0 expected",
                        scale);
    s->scaled = true;
    s->masked = false;
    return wn__sste_prepare(s, l, x, w, &flips);
}

void wn__sste_forget(wn__sste *s) {
    s->scaled = s->masked = false;
}

wn_status wn__sste_merge(const wn__sste *s, wn__exec *x, const wn_tensor *out) {
    const wn__unpack24 unpack = {.values = s->values, .index = s->index, .w = *out};
    return wn__run(x, WN__OP_unpack24, &unpack);
}

size_t wn__sste_forward_bytes(const wn__sste *s) {
    return wn__tensor_bytes(&s->values) + wn__tensor_bytes(&s->index);
}

size_t wn__sste_state_bytes(const wn__sste *s) {
    return wn__tensor_bytes(&s->scale) + wn__tensor_bytes(&s->mask) + wn__tensor_bytes(&s->next);
}
