// SPDX-License-Identifier: MIT
// The S-STE linear layer (Hu et al. 2024): products by W~ = scale S(W), the gradient of W~ goes
// straight to W, without mask or scale. 2:4 runs along in_features, so forward reads the pack and
// the input gradient column lists.
#include "base/fail.h"
#include "nn/product.h"
#include "nn/sste.h"
#include "sparse/pattern24.h"
#include <stdlib.h>

struct wn__linear_sste {
    wn__sste weight;
};

static wn_status sste_build(wn__linear *l, wn__build *b) {
    WN_TRY(wn__linear_add_params(l, b));
    struct wn__linear_sste *s = l->as.sste = calloc(1, sizeof *s);
    if (s == NULL) return wn__fail(WN_NOMEM, "%s: no memory for the layer", l->name);
    WN_TRY(wn__sste_build(&s->weight, l, l->name, l->out, l->in, b));
    wn__linear_tell_padding(l, b, "in_features", l->in);
    wn__scratch_wish(b->scratch, wn__product_scratch(&l->structure, b, l->out, l->in));
    l->positions = l->out * l->in;
    return WN_OK;
}

static wn_status sste_prepare(wn__linear *l, wn__exec *x, int64_t step) {
    (void)step;
    wn__sste *s = &l->as.sste->weight;
    if (!l->ready) wn__sste_forget(s);
    WN_TRY(wn__sste_prepare(s, l, x, &wn__linear_weight(l)->w, &l->flips));
    if (!x->planning) l->ready = true;
    return WN_OK;
}

static wn_status sste_restore(wn__linear *l, wn__exec *x) {
    l->flips = -1;
    WN_TRY(wn__sste_restore(&l->as.sste->weight, l, x, &wn__linear_weight(l)->w));
    l->ready = true;
    return WN_OK;
}

static wn__weight_view view_of(const wn__linear *l) {
    const wn__sste *s = &l->as.sste->weight;
    return (wn__weight_view){.values = s->values,
                             .index = s->index,
                             .lists = s->lists,
                             .mvue = l->structure.mvue,
                             .operands = l->operands};
}

static wn_status sste_forward(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *out,
                              bool accumulate) {
    const wn__weight_view w = view_of(l);
    const wn_tensor bias = wn__linear_bias(l);
    WN_TRY(wn__linear_check_ready(l, x));
    return wn__product_forward(l, x, &w, in, &bias, out, accumulate);
}

static wn_status sste_backward(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *dy,
                               const wn_tensor *dx, bool accumulate) {
    const wn__weight_view w = view_of(l);
    WN_TRY(wn__linear_check_ready(l, x));
    WN_TRY(wn__linear_param_gradients(l, x, &w, in, dy));
    return wn__given(dx) ? wn__product_input(l, x, &w, dy, dx, accumulate) : WN_OK;
}

static wn_status sste_merge(wn__linear *l, wn__exec *x, const wn_tensor *out) {
    WN_TRY(wn__linear_check_ready(l, x));
    return wn__sste_merge(&l->as.sste->weight, x, out);
}

static const char *sste_pattern(const wn__linear *l) {
    (void)l;
    return "row";
}

static void sste_bytes(const wn__linear *l, wn__linear_bytes *out) {
    const wn__sste *s = &l->as.sste->weight;
    size_t dense = wn__tensor_bytes(&wn__linear_weight(l)->w);
    *out = (wn__linear_bytes){.dense = dense,
                              .master = dense,
                              .forward = wn__sste_forward_bytes(s),
                              .backward = wn__lists24_bytes(&s->lists),
                              .state = wn__sste_state_bytes(s)};
}

static void sste_flops(const wn__linear *l, wn__linear_flops *out) {
    double dense = 2.0 * (double)l->in * (double)l->out;
    wn__product_flops(&l->structure, &l->operands, dense, out);
    out->forward = 4.0 * (double)wn__groups24(l->in) * (double)l->out;
    out->input_gradient = 2.0 * (double)wn__lists24_kept(l->out, l->in);
}

static void sste_release(wn__linear *l) {
    free(l->as.sste);
    l->as.sste = NULL;
}

const wn__linear_type wn__linear_sste = {
    .kind = WN_STRUCTURE_SSTE,
    .build = sste_build,
    .prepare = sste_prepare,
    .forward = sste_forward,
    .backward = sste_backward,
    .merge = sste_merge,
    .restore = sste_restore,
    .pattern = sste_pattern,
    .bytes = sste_bytes,
    .flops = sste_flops,
    .release = sste_release,
};
