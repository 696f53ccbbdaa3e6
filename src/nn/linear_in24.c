// SPDX-License-Identifier: MIT
// The linear layer with 2:4 inputs and a dense weight (a published fork of LORO, no paper):
//
//   forward   Y = X~ W^T, X~ = two of each four consecutive features of a row of X: beta S(X), beta
//             by S-STE's rule from the first training pass (SOFT), or an unbiased random choice in
//             training and the largest in evaluation (MVUE)
//   backward  dX = dY W, dW = T(dY)^T X, of the unpruned X; T as in nn/product.h
//
// An evaluation before beta is chosen prunes nothing. Of a head that runs in chunks of rows, beta
// is that of the first. Nothing but beta is kept: X~ lies in the shared block while Y is computed.
#include "base/fail.h"
#include "base/philox.h"
#include "kernels/mask24.h"
#include "kernels/soft24.h"
#include "nn/product.h"
#include "nn/round16.h"
#include "sparse/pattern24.h"
#include "sparse/soft24.h"
#include <math.h>
#include <stdlib.h>

// Of the eight draws that a layer number has: 0 and 1 are the products', 7 the activation's.
#define INPUT_DRAW 2

struct wn__linear_in24 {
    wn_tensor scale; // F64 [1], a state, 0 until it is chosen; absent but with SOFT
    wn_tensor dots;  // F64 [3], when training with SOFT
    bool training;
};

static bool soft(const wn__linear *l) {
    return l->structure.in24 == WN_IN24_SOFT;
}

double *wn__linear_input_scale(const wn__linear *l) {
    bool has = l->structure.kind == WN_STRUCTURE_IN24 && soft(l);
    return has ? (double *)l->as.in24->scale.data : NULL;
}

bool wn__linear_prunes_input(const wn__linear *l) {
    const double *scale = wn__linear_input_scale(l);
    return l->structure.kind == WN_STRUCTURE_IN24 && (scale == NULL || *scale != 0);
}

static wn_status build_scale(wn__linear *l, struct wn__linear_in24 *s, wn__build *b) {
    wn__state *state = &l->state[l->state_count++];
    WN_TRY(wn__tensor_alloc1(b->weights, WN_DTYPE_F64, 1, &s->scale));
    if (b->training) WN_TRY(wn__tensor_alloc1(b->weights, WN_DTYPE_F64, 3, &s->dots));
    state->view = s->scale;
    return wn__name_join(state->name, l->name, "input_scale");
}

// Elements of the shared block that hold a mask of `rows` rows.
static int64_t mask_elements(const wn__linear *l, wn_dtype dtype, int64_t rows) {
    int64_t size = (int64_t)wn_dtype_size(dtype);
    return (rows * wn__groups24(l->in) + size - 1) / size;
}

static wn_status in24_build(wn__linear *l, wn__build *b) {
    struct wn__linear_in24 *s = l->as.in24 = calloc(1, sizeof *s);
    if (s == NULL) return wn__fail(WN_NOMEM, "%s: no memory for the layer", l->name);
    s->training = b->training;
    WN_TRY(wn__linear_add_params(l, b));
    if (soft(l)) WN_TRY(build_scale(l, s, b));
    int64_t pruned = wn__scratch_cost(b->rows, l->in);
    int64_t mask = wn__scratch_cost(1, mask_elements(l, b->dtype, b->rows));
    int64_t products = wn__product_scratch(&l->structure, b, l->out, l->in);
    wn__scratch_wish(b->scratch, pruned + (mask > products ? mask : products));
    return WN_OK;
}

// ---- state ----

// New masters: the first training pass chooses a scale for them.
static wn_status in24_prepare(wn__linear *l, wn__exec *x, int64_t step) {
    (void)step;
    double *scale = wn__linear_input_scale(l);
    if (x->planning) return WN_OK;
    if (!l->ready && scale != NULL) *scale = 0;
    l->ready = true;
    return WN_OK;
}

static wn_status in24_restore(wn__linear *l, wn__exec *x) {
    (void)x;
    const double *scale = wn__linear_input_scale(l);
    if (scale != NULL && !(isfinite(*scale) && *scale >= 0))
        return wn__fail(WN_INVALID,
                        "the state 'input_scale' is %g, a finite number of at least 0 expected",
                        *scale);
    l->ready = true;
    return WN_OK;
}

// ---- forward ----

static wn_status largest(const wn__linear *l, wn__exec *x, const wn_tensor *in,
                         const wn_tensor *out, int64_t at) {
    const wn_tensor block =
        wn__scratch_take(l->scratch, &at, 1, mask_elements(l, in->dtype, in->shape[0]));
    const wn_tensor mask = wn__tensor2(block.data, WN_DTYPE_U8, in->shape[0], wn__groups24(l->in));
    const wn__mask24 choose = {.w = *in, .mask = mask, .method = WN_MASK24_ROW};
    const wn__apply24 apply = {.x = *in, .y = *out, .mask = mask};
    WN_TRY(wn__run(x, WN__OP_mask24, &choose));
    return wn__run(x, WN__OP_apply24, &apply);
}

static wn_status draw(const wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *out) {
    const wn__mvue24 random = {.x = *in,
                               .y = *out,
                               .axis = 1,
                               .group = 4,
                               .method = WN_MVUE24_EXACT,
                               .seed = l->pass->seed,
                               .stream = WN_STREAM_MVUE + 8 * (uint64_t)l->number + INPUT_DRAW,
                               .counter = l->pass->counter};
    return wn__run(x, WN__OP_mvue24, &random);
}

static wn_status threshold(const wn__linear *l, wn__exec *x, const wn_tensor *in,
                           const wn_tensor *out) {
    const struct wn__linear_in24 *s = l->as.in24;
    const wn__soft24 soften = {.w = *in, .out = *out, .scale = s->scale};
    bool due = !x->planning && l->pass->learning && !wn__linear_prunes_input(l);
    if (due || (x->planning && s->training))
        WN_TRY(wn__soft24_scale(x, in, l->structure.scale_norm, &s->dots, &s->scale));
    return wn__run(x, WN__OP_soft24, &soften);
}

// X~ at the start of the shared block; *at moves behind it.
static wn_status prune(const wn__linear *l, wn__exec *x, const wn_tensor *in, int64_t *at,
                       wn_tensor *out) {
    bool training = l->as.in24->training, learning = training && l->pass->learning;
    *out = wn__scratch_take(l->scratch, at, in->shape[0], l->in);
    if (soft(l)) {
        WN_TRY(threshold(l, x, in, out));
    } else {
        if (x->planning ? training : learning) WN_TRY(draw(l, x, in, out));
        if (x->planning || !learning) WN_TRY(largest(l, x, in, out, *at));
    }
    return wn__keep16(l->round16, x, out);
}

static bool prunes(const wn__linear *l, const wn__exec *x) {
    if (x->planning) return true;
    if (l->input24) return false;
    return wn__linear_prunes_input(l) || (l->as.in24->training && l->pass->learning);
}

static wn__weight_view view_of(const wn__linear *l) {
    return (wn__weight_view){
        .dense = wn__linear_weight(l)->w, .mvue = l->structure.mvue, .operands = l->operands};
}

static wn_status in24_forward(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *out,
                              bool accumulate) {
    wn__weight_view w = view_of(l);
    const wn_tensor bias = wn__linear_bias(l);
    wn_tensor pruned = *in;
    WN_TRY(wn__linear_check_ready(l, x));
    if (prunes(l, x)) WN_TRY(prune(l, x, in, &w.scratch, &pruned));
    return wn__product_forward(l, x, &w, &pruned, &bias, out, accumulate);
}

static wn_status in24_backward(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *dy,
                               const wn_tensor *dx, bool accumulate) {
    const wn__weight_view w = view_of(l);
    WN_TRY(wn__linear_check_ready(l, x));
    WN_TRY(wn__linear_param_gradients(l, x, &w, in, dy));
    return wn__given(dx) ? wn__product_input(l, x, &w, dy, dx, accumulate) : WN_OK;
}

// ---- reading ----

static void in24_bytes(const wn__linear *l, wn__linear_bytes *out) {
    size_t bytes = wn__tensor_bytes(&wn__linear_weight(l)->w);
    *out = (wn__linear_bytes){.dense = bytes,
                              .master = bytes,
                              .forward = bytes,
                              .state = wn__tensor_bytes(&l->as.in24->scale)};
}

static void in24_release(wn__linear *l) {
    free(l->as.in24);
    l->as.in24 = NULL;
}

// As if the layer were dense: the weight is, and pruned inputs are multiplied like any.
static wn_status in24_merge(wn__linear *l, wn__exec *x, const wn_tensor *out) {
    return wn__linear_dense.merge(l, x, out);
}

static void in24_flops(const wn__linear *l, wn__linear_flops *out) {
    wn__linear_dense.flops(l, out);
}

const wn__linear_type wn__linear_in24 = {
    .kind = WN_STRUCTURE_IN24,
    .build = in24_build,
    .prepare = in24_prepare,
    .forward = in24_forward,
    .backward = in24_backward,
    .merge = in24_merge,
    .restore = in24_restore,
    .bytes = in24_bytes,
    .flops = in24_flops,
    .release = in24_release,
};
