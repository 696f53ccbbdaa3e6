// SPDX-License-Identifier: MIT
// The 2:4 sparse linear layer. The master weight stays dense; a mask is chosen from it now and
// then, and after every update the kept values are packed for the forward product and, when
// training, packed or listed by column for the input gradient. The weight gradient goes straight
// through the mask to the master (Hubara et al. 2021; Zhou et al. 2021), perhaps from an output
// gradient that is itself 2:4 (Hu et al. 2024), or only at kept places once the mask is frozen. At
// the end of training the weight may become dense again.
#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/mask24.h"
#include "nn/product.h"
#include "sparse/pattern24.h"
#include "sparse/weight24.h"
#include <stdlib.h>

struct wn__linear_sparse24 {
    wn__weight24 weight;
    wn_tensor dense; // U8 [1], 1 once the weight is dense again; absent where it never is
};

static wn_status add_state(wn__linear *l, const char *suffix, const wn_tensor *view) {
    wn__state *s = &l->state[l->state_count++];
    s->view = *view;
    return wn__name_join(s->name, l->name, suffix);
}

static wn_status build_training(wn__linear *l, wn__build *b) {
    struct wn__linear_sparse24 *s = l->as.sparse24;
    if (l->structure.dense_after == 0) return WN_OK;
    WN_TRY(wn__tensor_alloc1(b->weights, WN_DTYPE_U8, 1, &s->dense));
    return add_state(l, "dense", &s->dense);
}

static wn_status check_kept(const wn__linear *l) {
    const wn__structure *s = &l->structure;
    if (s->freeze_after == 0)
        return wn__fail(WN_INVALID,
                        "%s: gradients at kept places (+kept) need a mask that is frozen: "
                        "mask_freeze_after is 0, at least 1 expected",
                        l->name);
    if (!s->fp8) return WN_OK;
    return wn__fail(
        WN_INVALID,
        "%s: gradients at kept places (+kept) are not made in FP8: leave out one of the "
        "two",
        l->name);
}

// The optimizer may pack the master that it has just updated.
static void tell_packs(wn__linear *l) {
    const wn__weight24 *w = &l->as.sparse24->weight;
    wn__param *p = wn__linear_weight(l);
    if (!w->spec.backward || wn__given(&p->master)) return;
    p->packs = (wn__param_packs){.mask = w->mask,
                                 .values = w->values,
                                 .index = w->index,
                                 .values_t = w->values_t,
                                 .index_t = w->index_t};
}

// ---- a weight of BF16: masks and packs are made of floats, in the shared block ----

static int64_t cost_of(const wn_tensor *t) {
    return wn__given(t) ? wn__scratch_cost(t->shape[0], t->shape[1]) : 0;
}

static int64_t floats_cost(const wn__linear *l) {
    const wn__weight24 *w = &l->as.sparse24->weight;
    return wn__scratch_cost(l->out, l->in) + cost_of(&w->values) + cost_of(&w->values_t);
}

static wn_tensor take_like(const wn__linear *l, int64_t *at, const wn_tensor *t) {
    return wn__given(t) ? wn__scratch_take(l->scratch, at, t->shape[0], t->shape[1]) : *t;
}

static wn_status convert(wn__exec *x, const wn_tensor *from, const wn_tensor *to) {
    const wn__copy copy = {.src = *from, .dst = *to};
    return wn__given(from) ? wn__run(x, WN__OP_copy, &copy) : WN_OK;
}

// The weight as floats: itself, or widened into the shared block from *at on.
static wn_status weight_floats(const wn__linear *l, wn__exec *x, int64_t *at, wn_tensor *w) {
    *w = wn__linear_weight(l)->w;
    if (!l->store16) return WN_OK;
    *w = wn__scratch_take(l->scratch, at, l->out, l->in);
    return convert(x, &wn__linear_weight(l)->w, w);
}

// The weight, and what is made of it, without lists: those are made of either dtype.
static wn_status begin_floats(const wn__linear *l, wn__exec *x, wn__weight24 *all, wn_tensor *w) {
    int64_t at = 0;
    *all = l->as.sparse24->weight;
    WN_TRY(weight_floats(l, x, &at, w));
    if (!l->store16) return WN_OK;
    all->spec.dtype = WN_DTYPE_F32;
    all->lists = (wn__lists24){0};
    all->values = take_like(l, &at, &all->values);
    all->values_t = take_like(l, &at, &all->values_t);
    return WN_OK;
}

static wn_status end_floats(wn__linear *l, wn__exec *x, const wn__weight24 *all) {
    wn__weight24 *w = &l->as.sparse24->weight;
    w->chosen = all->chosen;
    if (!l->store16) return WN_OK;
    WN_TRY(convert(x, &all->values, &w->values));
    WN_TRY(convert(x, &all->values_t, &w->values_t));
    return wn__weight24_follow(w, x, &wn__linear_weight(l)->w);
}

static wn_status sparse24_build(wn__linear *l, wn__build *b) {
    if (b->training && l->structure.kept) WN_TRY(check_kept(l));
    WN_TRY(wn__linear_add_params(l, b));
    struct wn__linear_sparse24 *s = l->as.sparse24 = calloc(1, sizeof *s);
    if (s == NULL) return wn__fail(WN_NOMEM, "%s: no memory for the layer", l->name);
    const wn__weight24_spec spec = {.dtype = wn__linear_weight(l)->w.dtype,
                                    .r = l->out,
                                    .c = l->in,
                                    .method = l->structure.method,
                                    .renews = b->training,
                                    .backward = b->training};
    wn_status status = wn__weight24_alloc(b->weights, &spec, &s->weight);
    if (status != WN_OK) return wn__fail_in(status, "%s", l->name);
    wn__linear_tell_padding(l, b, "in_features", l->in);
    wn__scratch_wish(b->scratch, wn__product_scratch(&l->structure, b, l->out, l->in));
    if (l->store16) wn__scratch_wish(b->scratch, floats_cost(l));
    l->positions = l->out * l->in;
    tell_packs(l);
    WN_TRY(add_state(l, "mask", &s->weight.mask));
    return b->training ? build_training(l, b) : WN_OK;
}

static bool dense_now(const wn__linear *l) {
    const wn_tensor *flag = &l->as.sparse24->dense;
    return wn__given(flag) && flag->data != NULL && *(const uint8_t *)flag->data != 0;
}

// The packs, and what depends on them, from the master and the mask.
static wn_status repack(wn__linear *l, wn__exec *x) {
    wn__weight24 all;
    wn_tensor w;
    WN_TRY(begin_floats(l, x, &all, &w));
    WN_TRY(wn__weight24_pack(&all, x, &w));
    WN_TRY(end_floats(l, x, &all));
    if (!x->planning) l->ready = true;
    return WN_OK;
}

// A new mask, then the same.
static wn_status make(wn__linear *l, wn__exec *x) {
    wn__weight24 all;
    wn_tensor w;
    WN_TRY(begin_floats(l, x, &all, &w));
    WN_TRY(wn__weight24_make(&all, x, &w, &l->flips));
    WN_TRY(end_floats(l, x, &all));
    if (!x->planning) l->ready = true;
    return WN_OK;
}

static bool renewal_due(const wn__linear *l, int64_t step) {
    const wn__structure *s = &l->structure;
    return l->as.sparse24->weight.spec.renews && step % s->mask_every == 0 &&
           (s->freeze_after == 0 || step < s->freeze_after);
}

// Whether the next update leaves the weight under the mask of now.
static bool rests(const wn__linear *l, int64_t step) {
    int64_t dense = l->structure.dense_after;
    return !renewal_due(l, step + 1) && (dense == 0 || step + 1 < dense);
}

// Whether the mask will not change any more, and gradients of what it drops are not wanted.
static bool frozen(const wn__linear *l) {
    return l->structure.kept && l->pass->update >= l->structure.freeze_after;
}

// Whether the weight is dense from this step on.
static bool turn_dense(wn__linear *l, const wn__exec *x, int64_t step) {
    const wn_tensor *flag = &l->as.sparse24->dense;
    if (!wn__given(flag) || x->planning) return false;
    *(uint8_t *)flag->data = step >= l->structure.dense_after;
    return dense_now(l);
}

static wn_status sparse24_prepare(wn__linear *l, wn__exec *x, int64_t step) {
    wn__weight24 *w = &l->as.sparse24->weight;
    wn__param *p = wn__linear_weight(l);
    bool packed = p->packs.done; // by the optimizer
    l->flips = -1;
    p->packs.done = p->packs.rests = false;
    if (turn_dense(l, x, step)) {
        l->ready = true;
        return WN_OK;
    }
    p->packs.rests = !x->planning && rests(l, step);
    if (!l->ready) w->chosen = false; // the masters are new: an old mask says nothing about them
    if (l->ready && !renewal_due(l, step))
        return packed ? wn__weight24_follow(w, x, &p->w) : repack(l, x);
    return make(l, x);
}

static wn_status sparse24_restore(wn__linear *l, wn__exec *x) {
    const wn_tensor *flag = &l->as.sparse24->dense;
    wn__param *p = wn__linear_weight(l);
    l->flips = -1;
    p->packs.done = p->packs.rests = false;
    if (wn__given(flag) && *(const uint8_t *)flag->data > 1)
        return wn__fail(WN_INVALID, "the state 'dense' is %d, 0 or 1 expected",
                        *(const uint8_t *)flag->data);
    if (dense_now(l)) {
        l->ready = true;
        return WN_OK;
    }
    WN_TRY(wn__weight24_adopt(&l->as.sparse24->weight));
    return repack(l, x);
}

static wn__weight_view dense_view(const wn__linear *l) {
    return (wn__weight_view){.dense = wn__linear_weight(l)->w, .operands = l->operands};
}

// What the products read: the packs, for the input gradient of a row mask the column lists, or the
// weight itself once it is dense.
static wn__weight_view view_of(const wn__linear *l) {
    const struct wn__linear_sparse24 *s = l->as.sparse24;
    if (dense_now(l)) return dense_view(l);
    return (wn__weight_view){.values = s->weight.values,
                             .index = s->weight.index,
                             .values_t = s->weight.values_t,
                             .index_t = s->weight.index_t,
                             .lists = s->weight.lists,
                             .mvue = l->structure.mvue,
                             .kept = frozen(l) ? s->weight.mask : (wn_tensor){0},
                             .operands = l->operands};
}

// Planning goes through both lives of a weight that turns dense.
static bool plans_dense(const wn__linear *l, const wn__exec *x) {
    return x->planning && wn__given(&l->as.sparse24->dense);
}

static wn_status sparse24_forward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                  const wn_tensor *out, bool accumulate) {
    const wn_tensor bias = wn__linear_bias(l);
    const wn__weight_view w = view_of(l), dense = dense_view(l);
    WN_TRY(wn__linear_check_ready(l, x));
    if (plans_dense(l, x)) WN_TRY(wn__product_forward(l, x, &dense, in, &bias, out, accumulate));
    return wn__product_forward(l, x, &w, in, &bias, out, accumulate);
}

static wn_status backward_by(wn__linear *l, wn__exec *x, wn__weight_view *w, const wn_tensor *in,
                             const wn_tensor *dy, const wn_tensor *dx, bool accumulate) {
    WN_TRY(wn__product_narrow(l, x, w, dy));
    WN_TRY(wn__linear_param_gradients(l, x, w, in, dy));
    return wn__given(dx) ? wn__product_input(l, x, w, dy, dx, accumulate) : WN_OK;
}

static wn_status sparse24_backward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                   const wn_tensor *dy, const wn_tensor *dx, bool accumulate) {
    wn__weight_view dense = dense_view(l), w = view_of(l);
    if (l->structure.kept && x->planning) w.kept = l->as.sparse24->weight.mask;
    WN_TRY(wn__linear_check_ready(l, x));
    if (plans_dense(l, x)) WN_TRY(backward_by(l, x, &dense, in, dy, dx, accumulate));
    return backward_by(l, x, &w, in, dy, dx, accumulate);
}

static wn_status sparse24_regularize(wn__linear *l, wn__exec *x, double factor) {
    if (l->structure.decay <= 0 || dense_now(l)) return WN_OK;
    const wn__param *p = wn__linear_weight(l);
    int64_t at = 0;
    wn_tensor w;
    WN_TRY(weight_floats(l, x, &at, &w));
    const wn__decay24 decay = {.w = w,
                               .mask = l->as.sparse24->weight.mask,
                               .g = p->g,
                               .lambda = l->structure.decay * factor};
    return wn__run(x, WN__OP_decay24, &decay);
}

static wn_status sparse24_merge(wn__linear *l, wn__exec *x, const wn_tensor *out) {
    wn__weight24 w = l->as.sparse24->weight;
    int64_t at = wn__scratch_cost(l->out, l->in);
    WN_TRY(wn__linear_check_ready(l, x));
    if (plans_dense(l, x) || dense_now(l)) WN_TRY(convert(x, &wn__linear_weight(l)->w, out));
    if (dense_now(l)) return WN_OK;
    if (out->dtype != w.values.dtype) { // behind where out may be
        w.values = take_like(l, &at, &w.values);
        WN_TRY(convert(x, &l->as.sparse24->weight.values, &w.values));
    }
    return wn__weight24_unpack(&w, x, out);
}

// A greedy mask may leave rows short, but has no more than two in any row or column of a tile.
static const char *sparse24_pattern(const wn__linear *l) {
    if (dense_now(l)) return NULL;
    return l->structure.method == WN_MASK24_ROW ? "row" : "tile";
}

static void sparse24_bytes(const wn__linear *l, wn__linear_bytes *out) {
    const wn__weight24 *w = &l->as.sparse24->weight;
    const wn__param *p = wn__linear_weight(l);
    *out = (wn__linear_bytes){
        .dense = wn__tensor_bytes(&p->w),
        .master = wn__tensor_bytes(wn__param_master(p)),
        .forward = wn__tensor_bytes(&w->values) + wn__tensor_bytes(&w->index),
        .backward = wn__tensor_bytes(&w->values_t) + wn__tensor_bytes(&w->index_t) +
                    wn__lists24_bytes(&w->lists),
        .state = wn__tensor_bytes(&w->mask) + wn__tensor_bytes(&w->next),
    };
}

// Two products for each group of four, of padding too but where columns are listed; the weight
// gradient is dense unless half of dy is zero or only kept places are wanted.
static void sparse24_flops(const wn__linear *l, wn__linear_flops *out) {
    double dense = 2.0 * (double)l->in * (double)l->out;
    double forward = 4.0 * (double)wn__groups24(l->in) * (double)l->out;
    bool listed = wn__given(&l->as.sparse24->weight.lists.start);
    if (dense_now(l)) {
        *out = (wn__linear_flops){dense, dense, dense};
        return;
    }
    wn__product_flops(&l->structure, &l->operands, dense, out);
    out->forward = forward;
    if (frozen(l)) out->weight_gradient = forward;
    out->input_gradient = listed ? 2.0 * (double)wn__lists24_kept(l->out, l->in) : forward;
}

static void sparse24_release(wn__linear *l) {
    free(l->as.sparse24);
    l->as.sparse24 = NULL;
}

const wn__linear_type wn__linear_sparse24 = {
    .kind = WN_STRUCTURE_SPARSE24,
    .build = sparse24_build,
    .prepare = sparse24_prepare,
    .forward = sparse24_forward,
    .backward = sparse24_backward,
    .regularize = sparse24_regularize,
    .merge = sparse24_merge,
    .restore = sparse24_restore,
    .pattern = sparse24_pattern,
    .bytes = sparse24_bytes,
    .flops = sparse24_flops,
    .release = sparse24_release,
};
