// SPDX-License-Identifier: MIT
// 2:4 sparse activations: when a pass is sparse, what is kept of each token, how large the scale of
// soft thresholding is, and which features and tokens the weight gradients prune along tokens.
#include "nn/act24.h"

#include "base/fail.h"
#include "base/philox.h"
#include "kernels/act24.h"
#include "kernels/elementwise.h"
#include "kernels/mask24.h"
#include "kernels/reduce.h"
#include "kernels/soft24.h"
#include "nn/product.h"
#include "nn/round16.h"
#include "sparse/soft24.h"
#include <math.h>
#include <string.h>

// Of the eight draws that a layer number has (0, 1: its products, 2: its inputs), the one of the
// activation after it.
#define ACT_PRODUCT 7
// SOFT_WEIGHTS compares what down_proj makes of this many rows at a time.
#define TRIAL_ROWS 64

static wn_status named(const wn__act24 *a, wn_status status) {
    return status == WN_OK ? WN_OK : wn__fail_in(status, "%s", a->name);
}

static bool soft(const wn__act24 *a) {
    wn__act24_method m = a->structure.act;
    return m == WN_ACT24_SOFT || m == WN_ACT24_SOFT_WEIGHTS || m == WN_ACT24_SOFT_DYNAMIC;
}

static int64_t groups_of(int64_t width) {
    return (width + 3) / 4;
}

// Elements of the shared scratch that hold `bytes`.
static int64_t elements_of(wn_dtype dtype, int64_t bytes) {
    int64_t size = (int64_t)wn_dtype_size(dtype);
    return (bytes + size - 1) / size;
}

// Whether one of both layers does.
static bool packs(const wn__act24 *a) {
    return a->dense_up == NULL || a->dense_down == NULL;
}

static wn_status add_state(wn__act24 *a, const char *suffix, const wn_tensor *view) {
    wn__state *s = &a->state[a->state_count++];
    s->view = *view;
    return wn__name_join(s->name, a->name, suffix);
}

static wn_status build_counts(wn__act24 *a, wn__build *b) {
    WN_TRY(wn__tensor_alloc1(b->activations, WN_DTYPE_I32, a->width, &a->zeros));
    return wn__tensor_alloc1(b->activations, WN_DTYPE_I64, 2, &a->total);
}

static wn_status build_training(wn__act24 *a, wn__build *b) {
    WN_TRY(build_counts(a, b));
    WN_TRY(wn__tensor_alloc1(b->activations, WN_DTYPE_F64, 3, &a->dots));
    wn__scratch_wish(b->scratch, wn__scratch_cost(1, elements_of(b->dtype, 4 * a->width)));
    if (a->structure.backward != WN_ACT24_SPLIT) return WN_OK;
    WN_TRY(wn__tensor_alloc1(b->activations, WN_DTYPE_U8, a->width, &a->dense));
    if (!a->structure.permute) return WN_OK;
    WN_TRY(wn__tensor_alloc1(b->activations, WN_DTYPE_I32, b->rows, &a->order));
    WN_TRY(wn__tensor_alloc1(b->weights, WN_DTYPE_I32, b->seq, &a->positions));
    return add_state(a, "order", &a->positions);
}

wn_status wn__act24_build(wn__act24 *a, const char *block, int64_t width, int64_t number,
                          wn__structure_rules *rules, wn__build *b) {
    *a = (wn__act24){.width = width,
                     .number = number,
                     .pass = b->pass,
                     .scratch = b->scratch,
                     .round16 = b->round16,
                     .scaled_at = -1,
                     .zero_share = -1,
                     .dropped = -1};
    WN_TRY(wn__name_join(a->name, block, "act"));
    a->structure = wn__structure_of_activation(rules, a->name);
    if (!wn__act24_given(a)) return b->training && b->count_zeros ? build_counts(a, b) : WN_OK;
    if (soft(a)) {
        WN_TRY(wn__tensor_alloc1(b->weights, WN_DTYPE_F64, 1, &a->scale));
        WN_TRY(add_state(a, "scale", &a->scale));
    }
    wn__scratch_wish(b->scratch,
                     wn__scratch_cost(1, elements_of(b->dtype, b->rows * groups_of(width))));
    return b->training ? build_training(a, b) : WN_OK;
}

wn_status wn__act24_buffers_alloc(const wn__act24 *a, const wn_tensor *act, int64_t out,
                                  wn__build *b, wn__act24_buffers *s) {
    int64_t rows = act->shape[0], trial = rows < TRIAL_ROWS ? rows : TRIAL_ROWS;
    if (!wn__given(&s->pruned)) s->pruned = *act;
    if (!wn__act24_given(a) || !b->training) return WN_OK;
    if (!wn__given(&s->mask))
        WN_TRY(wn__tensor_alloc2(b->activations, WN_DTYPE_U8, rows, groups_of(a->width), &s->mask));
    if (a->structure.backward == WN_ACT24_DENSE && !s->apart) {
        WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, rows, a->width, &s->pruned));
        s->apart = true;
    }
    if (a->structure.act != WN_ACT24_SOFT_WEIGHTS || wn__given(&s->soft)) return WN_OK;
    WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, trial, a->width, &s->soft));
    WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, trial, out, &s->full));
    return wn__tensor_alloc2(b->activations, b->dtype, trial, out, &s->part);
}

// ---- the scale of soft thresholding ----

static bool scale_chosen(const wn__act24 *a) {
    return *(const double *)a->scale.data != 0;
}

// The first sparse training pass; dynamic ones: also the first pass of every act_every-th update.
static bool scale_due(const wn__act24 *a) {
    const wn__structure *s = &a->structure;
    if (!scale_chosen(a)) return true;
    if (s->act != WN_ACT24_SOFT_DYNAMIC || a->scaled_at == a->pass->update) return false;
    return (a->pass->update - s->act_warmup) % (s->act_every > 0 ? s->act_every : 1) == 0;
}

// At most `most` rows, evenly spread.
static wn_tensor sample_rows(const wn_tensor *t, int64_t most) {
    wn_tensor view = *t;
    int64_t rows = t->shape[0];
    if (most < 1 || rows <= most) return view;
    view.shape[0] = most;
    view.stride[0] *= rows / most;
    return view;
}

static wn_status scale_by_values(wn__act24 *a, wn__exec *x, const wn_tensor *act) {
    bool dynamic = a->structure.act == WN_ACT24_SOFT_DYNAMIC;
    const wn_tensor seen = dynamic ? sample_rows(act, a->structure.act_samples) : *act;
    return wn__soft24_scale(x, &seen, a->structure.scale_norm, &a->dots, &a->scale);
}

static wn_status sum_of_squares(wn__exec *x, const wn_tensor *t, const wn_tensor *out) {
    const wn__reduce square = {.x = *t, .out = *out};
    return wn__run(x, WN__OP_sumsq, &square);
}

// dots: ||A||^2, ||B||^2 and ||A + B||^2 of A = Y2 W^T and B = S(Y2) W^T.
static wn_status try_rows(wn__act24 *a, wn__exec *x, const wn_tensor *act,
                          const wn__act24_buffers *s, wn__linear *down) {
    int64_t rows = act->shape[0];
    const wn_tensor thresholded = wn__first_rows(&s->soft, rows);
    const wn_tensor full = wn__first_rows(&s->full, rows), part = wn__first_rows(&s->part, rows);
    const wn__soft24 threshold = {.w = *act, .out = thresholded};
    const wn__add both = {.a = full, .b = part, .c = part};
    const wn_tensor first = wn__tensor_slice(&a->dots, 0, 0, 1),
                    second = wn__tensor_slice(&a->dots, 0, 1, 1),
                    third = wn__tensor_slice(&a->dots, 0, 2, 1);
    WN_TRY(wn__run(x, WN__OP_soft24, &threshold));
    WN_TRY(wn__linear_forward(down, x, act, &full, false));
    WN_TRY(wn__linear_forward(down, x, &thresholded, &part, false));
    WN_TRY(sum_of_squares(x, &full, &first));
    WN_TRY(sum_of_squares(x, &part, &second));
    WN_TRY(wn__run(x, WN__OP_add, &both));
    return sum_of_squares(x, &part, &third);
}

// The scale s that brings s S(Y2) W^T nearest to Y2 W^T, by 2<A, B> = ||A + B||^2 - ||A||^2 -
// ||B||^2.
static wn_status scale_by_output(wn__act24 *a, wn__exec *x, const wn_tensor *act,
                                 const wn__act24_buffers *s, const wn__linear *down) {
    wn__linear product = *down; // neither the bias nor pruned inputs are part of what is compared
    product.has_bias = false;
    product.input24 = true;
    product.operands = (wn__operands24){0};
    double ab = 0, bb = 0;
    int64_t rows = act->shape[0];
    for (int64_t begin = 0; begin < rows; begin += s->soft.shape[0]) {
        int64_t n = rows - begin < s->soft.shape[0] ? rows - begin : s->soft.shape[0];
        const wn_tensor part = wn__tensor_slice(act, 0, begin, n);
        WN_TRY(try_rows(a, x, &part, s, &product));
        const double *d = a->dots.data;
        if (x->planning) continue;
        ab += (d[2] - d[0] - d[1]) / 2;
        bb += d[1];
    }
    if (x->planning) return WN_OK;
    if (!isfinite(ab) || !isfinite(bb))
        return wn__fail(WN_INVALID, "the scale is %g / %g: not finite", ab, bb);
    // no positive scale brings the output nearer: S as it is
    *(double *)a->scale.data = bb > 0 && ab > 0 ? ab / bb : 1;
    return WN_OK;
}

static wn_status choose_scale(wn__act24 *a, wn__exec *x, const wn_tensor *act,
                              const wn__act24_buffers *s, const wn__linear *down) {
    WN_TRY(a->structure.act == WN_ACT24_SOFT_WEIGHTS ? scale_by_output(a, x, act, s, down)
                                                     : scale_by_values(a, x, act));
    if (!x->planning) a->scaled_at = a->pass->update;
    return WN_OK;
}

// ---- what is packed ----

// The features that stay dense: rounded up, save what rounding of the product adds.
static int64_t dense_count(const wn__act24 *a) {
    int64_t count = (int64_t)ceil(a->structure.act_dense * (double)a->width - 1e-9);
    return count < 0 ? 0 : count > a->width ? a->width : count;
}

int64_t wn__act24_packs(const wn__act24 *a, const wn__build *b) {
    return wn__product_packs24_scratch(b, a->width, dense_count(a));
}

wn_status wn__act24_choose(wn__act24 *a, const wn__exec *x, const wn_tensor *act,
                           const wn__linear *up, const wn__linear *down) {
    if (!wn__act24_given(a)) return WN_OK;
    WN_TRY(named(a, wn__product_packs24(up, x, act, up->in, &a->dense_up)));
    return named(a, wn__product_packs24(down, x, act, down->out, &a->dense_down));
}

void wn__act24_operands(const wn__act24 *a, const wn__exec *x, const wn__act24_buffers *s,
                        wn__linear *up, wn__linear *down) {
    up->operands = down->operands = (wn__operands24){0};
    if (!wn__act24_given(a) || !wn__given(&s->mask) || !(a->sparse || x->planning)) return;
    wn__operands24 along = {0};
    bool split = a->structure.backward == WN_ACT24_SPLIT;
    if (split)
        along = (wn__operands24){.order = a->order, .dense = a->dense, .marked = dense_count(a)};
    if (a->dense_down == NULL) {
        down->operands = along;
        down->operands.in = s->mask;
        down->operands.in_tokens = split;
    }
    if (a->dense_up == NULL && a->structure.backward != WN_ACT24_DENSE) {
        up->operands = along;
        up->operands.dy = s->mask;
        up->operands.dy_tokens = split;
    }
}

// ---- states ----

// Drawn, or brought back: one position is never there twice.
static bool positions_drawn(const wn__act24 *a) {
    const int32_t *p = a->positions.data;
    return a->positions.shape[0] < 2 || p[0] != p[1];
}

// Marks positions in the room of an order.
static bool permutes(const wn__act24 *a) {
    const int32_t *p = a->positions.data;
    int32_t *seen = a->order.data;
    int64_t n = a->positions.shape[0];
    memset(seen, 0, (size_t)n * sizeof *seen);
    for (int64_t i = 0; i < n; i++)
        if (p[i] < 0 || p[i] >= n || seen[p[i]]++ != 0) return false;
    return true;
}

// Nothing but zeros is what a run saves that has drawn no order yet.
static bool all_zero(const wn_tensor *positions) {
    const int32_t *p = positions->data;
    for (int64_t i = 0; i < positions->shape[0]; i++)
        if (p[i] != 0) return false;
    return true;
}

wn_status wn__act24_restore(wn__act24 *a) {
    a->scaled_at = -1;
    if (wn__given(&a->scale) && !isfinite(*(const double *)a->scale.data))
        return wn__fail(WN_INVALID, "%s: the scale is %g", a->name, *(const double *)a->scale.data);
    if (!wn__given(&a->positions) || all_zero(&a->positions) || permutes(a)) return WN_OK;
    return wn__fail(WN_INVALID, "%s: the order of the tokens is no permutation", a->name);
}

// ---- forward ----

// What of the shared scratch holds shape[a, b] of a smaller dtype.
static wn_tensor scratch_view(const wn__act24 *a, wn_dtype model, wn_dtype dtype, int64_t rows,
                              int64_t cols) {
    int64_t at = 0, bytes = rows * cols * (int64_t)wn_dtype_size(dtype);
    const wn_tensor block = wn__scratch_take(a->scratch, &at, 1, elements_of(model, bytes));
    return wn__tensor2(block.data, dtype, rows, cols);
}

// The mask that packs are made by, or one for this moment.
static wn_tensor mask_of(const wn__act24 *a, const wn_tensor *act, const wn__act24_buffers *s) {
    int64_t rows = act->shape[0];
    return wn__given(&s->mask)
               ? wn__first_rows(&s->mask, rows)
               : scratch_view(a, act->dtype, WN_DTYPE_U8, rows, groups_of(a->width));
}

static wn_status prune_by_magnitude(wn__exec *x, const wn_tensor *act, const wn_tensor *pruned,
                                    const wn_tensor *kept) {
    const wn_tensor mask = *kept;
    const wn__mask24 choose = {.w = *act, .mask = mask, .method = WN_MASK24_ROW};
    const wn__apply24 apply = {.x = *act, .y = *pruned, .mask = mask};
    WN_TRY(wn__run(x, WN__OP_mask24, &choose));
    return wn__run(x, WN__OP_apply24, &apply);
}

static wn_status draw(const wn__act24 *a, wn__exec *x, const wn_tensor *act,
                      const wn_tensor *pruned) {
    const wn__mvue24 random = {.x = *act,
                               .y = *pruned,
                               .axis = 1,
                               .group = 4,
                               .method = WN_MVUE24_EXACT,
                               .seed = a->pass->seed,
                               .stream = WN_STREAM_MVUE + 8 * (uint64_t)a->number + ACT_PRODUCT,
                               .counter = a->pass->counter};
    return wn__run(x, WN__OP_mvue24, &random);
}

// Two of four values that are drawn are the largest.
static wn_status draw_masked(const wn__act24 *a, wn__exec *x, const wn_tensor *act,
                             const wn_tensor *pruned, const wn_tensor *mask) {
    const wn__mask24 drawn = {.w = *pruned, .mask = *mask, .method = WN_MASK24_ROW};
    WN_TRY(draw(a, x, act, pruned));
    return packs(a) || x->planning ? wn__run(x, WN__OP_mask24, &drawn) : WN_OK;
}

static wn_status prune(const wn__act24 *a, wn__exec *x, const wn_tensor *act,
                       const wn_tensor *pruned, const wn__act24_buffers *s) {
    const wn_tensor mask = mask_of(a, act, s);
    wn__soft24 threshold = {.w = *act, .out = *pruned, .scale = a->scale};
    if (wn__given(&s->mask)) threshold.mask = mask;
    bool draws = a->structure.act == WN_ACT24_MVUE && a->pass->learning;
    if (soft(a)) return wn__run(x, WN__OP_soft24, &threshold);
    if (draws || x->planning) WN_TRY(draw_masked(a, x, act, pruned, &mask));
    return draws ? WN_OK : prune_by_magnitude(x, act, pruned, &mask);
}

static wn_status count_zeros(const wn__act24 *a, wn__exec *x, const wn_tensor *t,
                             const wn_tensor *zeros, int64_t which) {
    const wn__column_zeros count = {
        .x = *t, .zeros = *zeros, .total = wn__tensor_slice(&a->total, 0, which, 1)};
    return wn__run(x, WN__OP_column_zeros, &count);
}

static wn_status measure_act(wn__act24 *a, wn__exec *x, const wn_tensor *act) {
    WN_TRY(count_zeros(a, x, act, &a->zeros, 0));
    if (x->planning) return WN_OK;
    const int64_t *zeros = a->total.data;
    a->zero_share = (double)zeros[0] / (double)wn__tensor_count(act);
    if (wn__act24_given(a)) a->dropped = 0;
    return WN_OK;
}

static wn_status measure_pruned(wn__act24 *a, wn__exec *x, const wn_tensor *pruned) {
    const wn_tensor row = scratch_view(a, pruned->dtype, WN_DTYPE_I32, 1, a->width);
    const wn_tensor unused = wn__tensor1(row.data, WN_DTYPE_I32, a->width);
    WN_TRY(count_zeros(a, x, pruned, &unused, 1));
    if (x->planning) return WN_OK;
    const int64_t *zeros = a->total.data;
    int64_t alive = wn__tensor_count(pruned) - zeros[0];
    a->dropped = alive > 0 ? (double)(zeros[1] - zeros[0]) / (double)alive : 0;
    return WN_OK;
}

static bool warm(const wn__act24 *a) {
    return a->pass->update >= a->structure.act_warmup;
}

bool wn__act24_evaluates(const wn__act24 *a) {
    return wn__act24_given(a) && warm(a) && (!soft(a) || scale_chosen(a));
}

// A training pass chooses the scale that is missing.
static bool sparse_now(const wn__act24 *a) {
    return a->pass->learning ? warm(a) : wn__act24_evaluates(a);
}

// learns: this pass is a training pass, seen for the first time.
static wn_status forward(wn__act24 *a, wn__exec *x, const wn_tensor *act,
                         const wn__act24_buffers *s, const wn__linear *down, bool learns) {
    if (learns) WN_TRY(measure_act(a, x, act));
    if (!x->planning) a->sparse = sparse_now(a);
    if (!x->planning && !a->sparse) return WN_OK;
    const wn_tensor pruned = wn__first_rows(&s->pruned, act->shape[0]);
    if (learns && soft(a) && (x->planning || scale_due(a)))
        WN_TRY(choose_scale(a, x, act, s, down));
    WN_TRY(prune(a, x, act, &pruned, s));
    WN_TRY(wn__keep16(a->round16, x, &pruned));
    return learns ? measure_pruned(a, x, &pruned) : WN_OK;
}

wn_status wn__act24_forward(wn__act24 *a, wn__exec *x, const wn_tensor *act,
                            const wn__act24_buffers *s, wn__linear *down, bool again) {
    bool trains = wn__given(&a->zeros);
    bool learns = trains && !again && (x->planning || a->pass->learning);
    if (!wn__act24_given(a)) return learns ? named(a, measure_act(a, x, act)) : WN_OK;
    return named(a, forward(a, x, act, s, down, learns));
}

// ---- backward ----

bool wn__act24_along_tokens(const wn__act24 *a, const wn__exec *x) {
    return wn__act24_given(a) && a->structure.backward == WN_ACT24_SPLIT &&
           (a->sparse || x->planning);
}

// Fisher-Yates.
static void draw_positions(const wn__act24 *a) {
    int32_t *p = a->positions.data;
    int64_t n = a->positions.shape[0];
    if (positions_drawn(a)) return;
    for (int64_t i = 0; i < n; i++)
        p[i] = (int32_t)i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)wn__philox_below(a->pass->seed, WN_STREAM_TOKENS, (uint64_t)i,
                                              (uint64_t)i + 1);
        int32_t other = p[j];
        p[j] = p[i];
        p[i] = other;
    }
}

// Each sequence's tokens in the fixed order of positions; shorter sequences leave out what they
// lack. Where T is no multiple of 4 a group spans two sequences.
static wn_status order_tokens(const wn__act24 *a, int64_t rows, int64_t T) {
    const int32_t *p = a->positions.data;
    int32_t *order = a->order.data;
    int64_t n = 0;
    for (int64_t first = 0; first < rows; first += T)
        for (int64_t i = 0; i < a->positions.shape[0]; i++)
            if (p[i] < T && n < rows) order[n++] = (int32_t)first + p[i];
    return n == rows ? WN_OK : wn__fail(WN_INVALID, "the order of the tokens is no permutation");
}

wn_status wn__act24_begin_tokens(wn__act24 *a, wn__exec *x, int64_t rows, int64_t T) {
    const wn__densest rank = {.zeros = a->zeros, .dense = a->dense, .count = dense_count(a)};
    if (a->structure.permute && !x->planning) {
        if (T > a->positions.shape[0] || rows > a->order.shape[0] || rows % T != 0)
            return wn__fail(WN_BUG, "%s: %lld tokens in sequences of %lld", a->name,
                            (long long)rows, (long long)T);
        draw_positions(a);
        WN_TRY(named(a, order_tokens(a, rows, T)));
    }
    return named(a, wn__run(x, WN__OP_densest, &rank));
}

wn_status wn__act24_tokens(wn__act24 *a, wn__exec *x, const wn_tensor *in, const wn_tensor *out) {
    const wn__tokens24 prune_tokens = {
        .x = *in, .y = *out, .order = wn__first_rows(&a->order, in->shape[0]), .dense = a->dense};
    return named(a, wn__run(x, WN__OP_tokens24, &prune_tokens));
}

// Y2s is never negative, so that relu's gradient at Y2s is F.
wn_status wn__act24_mask(const wn__act24 *a, wn__exec *x, const wn_tensor *pruned,
                         const wn_tensor *dact) {
    const wn__relu_grad survivors = {.x = *pruned, .dy = *dact, .dx = *dact};
    bool masks = wn__act24_given(a) && a->structure.backward != WN_ACT24_DENSE;
    return masks && (a->sparse || x->planning) ? named(a, wn__run(x, WN__OP_relu_grad, &survivors))
                                               : WN_OK;
}
