// SPDX-License-Identifier: MIT
// The 2:4 sparse linear layer. The master weight stays dense; a mask is chosen from it now and
// then, and after every update the kept values are packed for the forward product and, when
// training, for the input gradient. The weight gradient goes straight through the mask to the
// master (Hubara et al. 2021; Zhou et al. 2021).
#include "base/fail.h"
#include "base/log.h"
#include "kernels/matmul.h"
#include "kernels/spmm24.h"
#include "nn/linear.h"
#include "sparse/pattern24.h"
#include "sparse/weight24.h"
#include <stdlib.h>

struct wn__linear_sparse24 {
    wn__weight24 weight;
    wn_tensor merged; // [out, in] with zeros: the input gradient of a row mask; else absent
};

static bool transposable(const wn__linear *l) {
    return l->structure.method != WN_MASK24_ROW;
}

static void tell_padding(const wn__linear *l, wn__build *b) {
    if (l->in % 4 == 0 || b->padding_told || wn__build_measuring(b)) return;
    b->padding_told = true;
    wn__log(WN_LOG_INFO,
            "%s: in_features %lld is not a multiple of 4; its rows are padded to %lld inside "
            "(as in every such layer)",
            l->name, (long long)l->in, (long long)(4 * wn__groups24(l->in)));
}

static wn_status sparse24_build(wn__linear *l, wn__build *b) {
    WN_TRY(wn__linear_add_params(l, b));
    struct wn__linear_sparse24 *s = l->as.sparse24 = calloc(1, sizeof *s);
    if (s == NULL) return wn__fail(WN_NOMEM, "%s: no memory for the layer", l->name);
    const wn__weight24_spec spec = {.dtype = b->dtype,
                                    .r = l->out,
                                    .c = l->in,
                                    .method = l->structure.method,
                                    .renews = b->training,
                                    .backward = b->training && transposable(l)};
    wn_status status = wn__weight24_alloc(b->weights, &spec, &s->weight);
    if (status != WN_OK) return wn__fail_in(status, "%s", l->name);
    tell_padding(l, b);
    if (b->training && !transposable(l))
        WN_TRY(wn__tensor_alloc2(b->weights, b->dtype, l->out, l->in, &s->merged));
    l->positions = l->out * l->in;
    l->state[0].view = s->weight.mask;
    l->state_count = 1;
    return wn__name_join(l->state[0].name, l->name, "mask");
}

// The packs, and what depends on them, from the master and the mask.
static wn_status repack(wn__linear *l, wn__exec *x) {
    struct wn__linear_sparse24 *s = l->as.sparse24;
    WN_TRY(wn__weight24_pack(&s->weight, x, &wn__linear_weight(l)->w));
    if (wn__given(&s->merged)) WN_TRY(wn__weight24_unpack(&s->weight, x, &s->merged));
    if (!x->planning) l->ready = true;
    return WN_OK;
}

static bool renewal_due(const wn__linear *l, int64_t step) {
    const wn__structure *s = &l->structure;
    return l->as.sparse24->weight.spec.renews && step % s->mask_every == 0 &&
           (s->freeze_after == 0 || step < s->freeze_after);
}

static wn_status sparse24_prepare(wn__linear *l, wn__exec *x, int64_t step) {
    wn__weight24 *w = &l->as.sparse24->weight;
    l->flips = -1;
    if (!l->ready) w->chosen = false; // the masters are new: an old mask says nothing about them
    if (!l->ready || renewal_due(l, step))
        WN_TRY(wn__weight24_choose(w, x, &wn__linear_weight(l)->w, &l->flips));
    return repack(l, x);
}

static wn_status sparse24_restore(wn__linear *l, wn__exec *x) {
    l->flips = -1;
    WN_TRY(wn__weight24_adopt(&l->as.sparse24->weight));
    return repack(l, x);
}

static wn_status check_ready(const wn__linear *l, const wn__exec *x) {
    return l->ready || x->planning ? WN_OK : wn__fail(WN_BUG, "used before it was prepared");
}

static wn_status sparse24_forward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                  const wn_tensor *out, bool accumulate) {
    WN_TRY(check_ready(l, x));
    const wn__weight24 *w = &l->as.sparse24->weight;
    const wn__spmm24 product = {.x = *in,
                                .values = w->values,
                                .index = w->index,
                                .bias = wn__linear_bias(l),
                                .y = *out,
                                .accumulate = accumulate};
    return wn__run(x, WN__OP_spmm24, &product);
}

// dx (+)= dy W by the pack of the transpose, or, where a row mask has none, by the dense matrix
// with its zeros.
static wn_status input_gradient(wn__linear *l, wn__exec *x, const wn_tensor *dy,
                                const wn_tensor *dx, bool accumulate) {
    const struct wn__linear_sparse24 *s = l->as.sparse24;
    if (wn__given(&s->merged)) {
        const wn__matmul dense = {.a = *dy, .b = s->merged, .c = *dx, .accumulate = accumulate};
        return wn__run(x, WN__OP_matmul, &dense);
    }
    const wn__spmm24 product = {.x = *dy,
                                .values = s->weight.values_t,
                                .index = s->weight.index_t,
                                .y = *dx,
                                .accumulate = accumulate};
    return wn__run(x, WN__OP_spmm24, &product);
}

static wn_status sparse24_backward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                   const wn_tensor *dy, const wn_tensor *dx, bool accumulate) {
    WN_TRY(check_ready(l, x));
    WN_TRY(wn__linear_param_gradients(l, x, in, dy));
    return wn__given(dx) ? input_gradient(l, x, dy, dx, accumulate) : WN_OK;
}

static wn_status sparse24_regularize(wn__linear *l, wn__exec *x, double factor) {
    if (l->structure.decay <= 0) return WN_OK;
    const wn__param *p = wn__linear_weight(l);
    const wn__decay24 decay = {.w = p->w,
                               .mask = l->as.sparse24->weight.mask,
                               .g = p->g,
                               .lambda = l->structure.decay * factor};
    return wn__run(x, WN__OP_decay24, &decay);
}

static wn_status sparse24_merge(wn__linear *l, wn__exec *x, const wn_tensor *out) {
    WN_TRY(check_ready(l, x));
    return wn__weight24_unpack(&l->as.sparse24->weight, x, out);
}

static void sparse24_bytes(const wn__linear *l, wn__linear_bytes *out) {
    const wn__weight24 *w = &l->as.sparse24->weight;
    size_t dense = wn__tensor_bytes(&wn__linear_weight(l)->w);
    *out = (wn__linear_bytes){
        .dense = dense,
        .master = dense,
        .forward = wn__tensor_bytes(&w->values) + wn__tensor_bytes(&w->index),
        .backward = wn__tensor_bytes(&w->values_t) + wn__tensor_bytes(&w->index_t) +
                    wn__tensor_bytes(&l->as.sparse24->merged),
        .state = wn__tensor_bytes(&w->mask) + wn__tensor_bytes(&w->next),
    };
}

// Two products for each group of four; the weight gradient is dense.
static void sparse24_flops(const wn__linear *l, wn__linear_flops *out) {
    double dense = 2.0 * (double)l->in * (double)l->out;
    double forward = 4.0 * (double)wn__groups24(l->in) * (double)l->out;
    *out = (wn__linear_flops){.forward = forward,
                              .input_gradient = transposable(l) ? forward : dense,
                              .weight_gradient = dense};
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
    .bytes = sparse24_bytes,
    .flops = sparse24_flops,
    .release = sparse24_release,
};
