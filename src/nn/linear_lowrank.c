// SPDX-License-Identifier: MIT
// Factored linear layers. Low rank: y = (x N) M^T in place of a weight, either factor perhaps as
// scale S(.) (S-STE), with groups along what its product sums over: N^T [r,in] along in, M [out,r]
// along r. Adapter: a frozen weight plus (alpha/r) M N^T; the weight gives up what the initial
// factors add, so training begins at the weight it was given. h = x N is kept for backward, or made
// again there where activations are.
#include "base/fail.h"
#include "base/log.h"
#include "base/philox.h"
#include "kernels/element.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/numeric.h"
#include "kernels/update.h"
#include "nn/lowrank_init.h"
#include "nn/product.h"
#include "nn/round16.h"
#include "nn/sste.h"
#include "sparse/lowrank.h"
#include "sparse/pattern24.h"
#include <math.h>
#include <stdlib.h>

// Numbers of the draws of product.h.
enum { FACTOR_OUT, FACTOR_IN };

struct wn__linear_lowrank {
    wn__sste in, out; // of the factors that are 2:4
    wn_tensor h;      // [rows, r] kept for backward; absent: made in the shared block
};

static bool is_adapter(const wn__linear *l) {
    return l->structure.kind == WN_STRUCTURE_ADAPTER;
}

static bool is_sparse(const wn__linear *l, int factor) {
    return factor == FACTOR_IN ? l->structure.sparse_in : l->structure.sparse_out;
}

static wn__sste *sste_of(const wn__linear *l, int factor) {
    return factor == FACTOR_IN ? &l->as.lowrank->in : &l->as.lowrank->out;
}

static wn__param *param_of(const wn__linear *l, int factor) {
    return &l->params->item[factor == FACTOR_IN ? l->factor_in : l->factor_out];
}

// What M N^T counts.
static double share_of(const wn__linear *l) {
    return is_adapter(l) ? l->structure.alpha / (double)l->structure.rank : 1;
}

// ---- building ----

static wn_status add_factor(wn__linear *l, wn__build *b, const char *suffix, int factor) {
    char name[WN_NAME_MAX];
    bool in = factor == FACTOR_IN;
    int64_t r = l->structure.rank;
    const int64_t shape[] = {in ? r : l->out, in ? l->in : r};
    WN_TRY(wn__name_join(name, l->name, suffix));
    WN_TRY(wn__param_add_as(b, name, 2, shape, true,
                            in ? WN_PARAM_LOWRANK_IN : WN_PARAM_LOWRANK_OUT,
                            in ? &l->factor_in : &l->factor_out));
    param_of(l, factor)->by_product = true;
    if (!is_sparse(l, factor)) return WN_OK;
    l->positions += shape[0] * shape[1];
    wn__linear_tell_padding(l, b, in ? "in_features" : "the rank", shape[1]);
    return wn__sste_build(sste_of(l, factor), l, name, shape[0], shape[1], b);
}

static wn_status add_params(wn__linear *l, wn__build *b) {
    char name[WN_NAME_MAX];
    if (is_adapter(l)) {
        WN_TRY(wn__name_join(name, l->name, "weight"));
        WN_TRY(wn__param_add_as(b, name, 2, (const int64_t[]){l->out, l->in}, true, WN_PARAM_FROZEN,
                                &l->weight));
    }
    WN_TRY(add_factor(l, b, "weight_in", FACTOR_IN));
    WN_TRY(add_factor(l, b, "weight_out", FACTOR_OUT));
    param_of(l, FACTOR_IN)->partner = l->factor_out;
    param_of(l, FACTOR_OUT)->partner = l->factor_in;
    return wn__linear_add_bias(l, b);
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

// Passes need h, dh and one of them before it is scaled, besides what products take; merging and
// measuring need both factors in dense form, M scaled, and M N^T or the Gram matrices.
static int64_t scratch_wish(const wn__linear *l, const wn__build *b) {
    const wn__structure *s = &l->structure;
    int64_t r = s->rank, rows = wn__scratch_cost(b->rows, r);
    int64_t pass =
        larger(wn__product_scratch(s, b, r, l->in), wn__product_scratch(s, b, l->out, r));
    if (is_adapter(l)) pass = larger(pass, wn__product_scratch(s, b, l->out, l->in));
    int64_t merge = wn__scratch_cost(r, l->in) + 2 * wn__scratch_cost(l->out, r);
    int64_t product = wn__scratch_cost(l->out, l->in),
            grams = 2 * wn__scratch_cost(r, r) + wn__scratch_cost(1, 1);
    return larger(3 * rows + pass, merge + larger(product, grams));
}

static void tell_rank(const wn__linear *l, wn__build *b) {
    int64_t least = l->in < l->out ? l->in : l->out;
    if (l->structure.rank <= least || b->rank_told || wn__build_measuring(b)) return;
    b->rank_told = true;
    wn__log(WN_LOG_INFO,
            "%s: rank %lld of a %lld x %lld weight: above %lld the factors hold no more than a "
            "dense weight",
            l->name, (long long)l->structure.rank, (long long)l->out, (long long)l->in,
            (long long)least);
}

static wn_status lowrank_build(wn__linear *l, wn__build *b) {
    l->factored = true;
    l->as.lowrank = calloc(1, sizeof *l->as.lowrank);
    if (l->as.lowrank == NULL) return wn__fail(WN_NOMEM, "%s: no memory for the layer", l->name);
    if (l->structure.rank < 1)
        return wn__fail(WN_INVALID, "%s: rank %lld; at least 1", l->name,
                        (long long)l->structure.rank);
    WN_TRY(add_params(l, b));
    tell_rank(l, b);
    wn__scratch_wish(b->scratch, scratch_wish(l, b));
    if (!b->training || b->recompute) return WN_OK;
    return wn__tensor_alloc2(b->activations, b->dtype, b->rows, l->structure.rank,
                             &l->as.lowrank->h);
}

// ---- products ----

// What of its operands is 2:4: h and dh never are.
static wn__operands24 operands_of(const wn__linear *l, int factor) {
    wn__operands24 o = l->operands;
    const wn_tensor dense = {0};
    if (factor == FACTOR_IN) {
        o.dy = dense;
        o.dy_tokens = false;
    } else {
        o.in = dense;
        o.in_tokens = false;
    }
    return o;
}

static wn__weight_view view_of(const wn__linear *l, int factor, int64_t scratch) {
    wn__weight_view v = {.mvue = l->structure.mvue,
                         .factor = factor,
                         .scratch = scratch,
                         .operands = operands_of(l, factor)};
    const wn__sste *s = sste_of(l, factor);
    if (!is_sparse(l, factor)) {
        v.dense = param_of(l, factor)->w;
        return v;
    }
    v.values = s->values;
    v.index = s->index;
    v.lists = s->lists;
    return v;
}

static wn__weight_view frozen_view(const wn__linear *l, int64_t scratch) {
    return (wn__weight_view){
        .dense = wn__linear_weight(l)->w, .scratch = scratch, .operands = l->operands};
}

// Where a [rows,r] result goes before it is scaled; `out` itself when nothing scales it.
static wn_tensor before_scale(const wn__linear *l, const wn_tensor *out, int64_t *at) {
    return share_of(l) == 1 ? *out : wn__scratch_take(l->scratch, at, out->shape[0], out->shape[1]);
}

static wn_status apply_share(const wn__linear *l, wn__exec *x, const wn_tensor *raw,
                             const wn_tensor *out) {
    const wn__axpby scale = {.x = *raw, .y = *out, .a = share_of(l), .b = 0};
    if (share_of(l) != 1) WN_TRY(wn__run(x, WN__OP_axpby, &scale));
    return wn__keep16(l->round16, x, out);
}

// h = share x N
static wn_status make_h(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *h,
                        int64_t at) {
    const wn_tensor raw = before_scale(l, h, &at), none = {0};
    const wn__weight_view n = view_of(l, FACTOR_IN, at);
    WN_TRY(wn__product_forward(l, x, &n, in, &none, &raw, false));
    return apply_share(l, x, &raw, h);
}

// dh = share dy M
static wn_status make_dh(wn__linear *l, wn__exec *x, const wn_tensor *dy, const wn_tensor *dh,
                         int64_t at) {
    const wn_tensor raw = before_scale(l, dh, &at);
    const wn__weight_view m = view_of(l, FACTOR_OUT, at);
    WN_TRY(wn__product_input(l, x, &m, dy, &raw, false));
    return apply_share(l, x, &raw, dh);
}

// The place of h for so many rows.
static wn_tensor place_of_h(const wn__linear *l, int64_t rows, int64_t *at) {
    const wn_tensor *kept = &l->as.lowrank->h;
    return wn__given(kept) ? wn__first_rows(kept, rows)
                           : wn__scratch_take(l->scratch, at, rows, l->structure.rank);
}

static wn_status lowrank_forward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                 const wn_tensor *out, bool accumulate) {
    int64_t at = 0;
    const wn_tensor bias = wn__linear_bias(l), none = {0};
    const wn_tensor h = place_of_h(l, in->shape[0], &at);
    const wn__weight_view m = view_of(l, FACTOR_OUT, at), frozen = frozen_view(l, at);
    WN_TRY(wn__linear_check_ready(l, x));
    WN_TRY(make_h(l, x, in, &h, at));
    if (!is_adapter(l)) return wn__product_forward(l, x, &m, &h, &bias, out, accumulate);
    WN_TRY(wn__product_forward(l, x, &frozen, in, &bias, out, accumulate));
    return wn__product_forward(l, x, &m, &h, &none, out, true);
}

// dx (+)= dh N^T (+ dy W of an adapter)
static wn_status input_gradient(wn__linear *l, wn__exec *x, const wn_tensor *dy,
                                const wn_tensor *dh, const wn_tensor *dx, bool accumulate,
                                int64_t at) {
    const wn__weight_view n = view_of(l, FACTOR_IN, at), frozen = frozen_view(l, at);
    if (!wn__given(dx)) return WN_OK;
    if (is_adapter(l)) WN_TRY(wn__product_input(l, x, &frozen, dy, dx, accumulate));
    return wn__product_input(l, x, &n, dh, dx, accumulate || is_adapter(l));
}

static wn_status lowrank_backward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                  const wn_tensor *dy, const wn_tensor *dx, bool accumulate) {
    int64_t at = 0, rows = in->shape[0];
    const wn_tensor h = place_of_h(l, rows, &at);
    const wn_tensor dh = wn__scratch_take(l->scratch, &at, rows, l->structure.rank);
    const wn__weight_view m = view_of(l, FACTOR_OUT, at), n = view_of(l, FACTOR_IN, at);
    WN_TRY(wn__linear_check_ready(l, x));
    if (!wn__given(&l->as.lowrank->h)) WN_TRY(make_h(l, x, in, &h, at));
    WN_TRY(wn__product_weight(l, x, &m, &h, wn__linear_weight_dy(l, dy), param_of(l, FACTOR_OUT)));
    WN_TRY(make_dh(l, x, dy, &dh, at));
    WN_TRY(wn__product_weight(l, x, &n, wn__linear_weight_in(l, in), &dh, param_of(l, FACTOR_IN)));
    WN_TRY(wn__linear_bias_gradient(l, x, dy));
    return input_gradient(l, x, dy, &dh, dx, accumulate, at);
}

// ---- masks and scales ----

// flips: -1 where no factor made a new mask.
static wn_status prepare_factors(wn__linear *l, wn__exec *x) {
    l->flips = -1;
    for (int f = FACTOR_OUT; f <= FACTOR_IN; f++) {
        int64_t flips;
        if (!is_sparse(l, f)) continue;
        WN_TRY(wn__sste_prepare(sste_of(l, f), l, x, &param_of(l, f)->w, &flips));
        if (flips >= 0) l->flips = (l->flips > 0 ? l->flips : 0) + flips;
    }
    return WN_OK;
}

static void forget(wn__linear *l) {
    wn__sste_forget(&l->as.lowrank->in);
    wn__sste_forget(&l->as.lowrank->out);
}

static wn_status lowrank_prepare(wn__linear *l, wn__exec *x, int64_t step) {
    (void)step;
    if (!l->ready) forget(l);
    WN_TRY(prepare_factors(l, x));
    if (!x->planning) l->ready = true;
    return WN_OK;
}

static wn_status lowrank_restore(wn__linear *l, wn__exec *x) {
    l->flips = -1;
    for (int f = FACTOR_OUT; f <= FACTOR_IN; f++)
        if (is_sparse(l, f)) WN_TRY(wn__sste_restore(sste_of(l, f), l, x, &param_of(l, f)->w));
    l->ready = true;
    return WN_OK;
}

static wn_status lowrank_rebased(wn__linear *l, wn__exec *x) {
    if (l->structure.scale_rule != WN_SCALE_AT_EXACT) return WN_OK;
    for (int f = FACTOR_OUT; f <= FACTOR_IN; f++)
        if (is_sparse(l, f)) WN_TRY(wn__sste_rescale(sste_of(l, f), l, x, &param_of(l, f)->w));
    return WN_OK;
}

// ---- the weight as a whole ----

// A factor as products multiply by it, in dense form.
static wn_status dense_factor(const wn__linear *l, wn__exec *x, int factor, int64_t *at,
                              wn_tensor *out) {
    const wn__sste *s = sste_of(l, factor);
    *out = param_of(l, factor)->w;
    if (!is_sparse(l, factor)) return WN_OK;
    *out = wn__scratch_take(l->scratch, at, s->r, s->c);
    return wn__sste_merge(s, x, out);
}

// out[out,in] (+)= share M N^T; the shared block is free from element `at` on.
static wn_status multiply_factors(const wn__linear *l, wn__exec *x, const wn_tensor *out,
                                  bool accumulate, int64_t at) {
    wn_tensor m, n;
    WN_TRY(dense_factor(l, x, FACTOR_OUT, &at, &m));
    WN_TRY(dense_factor(l, x, FACTOR_IN, &at, &n));
    if (share_of(l) != 1) {
        const wn__axpby scale = {
            .x = m, .y = wn__scratch_take(l->scratch, &at, l->out, m.shape[1]), .a = share_of(l)};
        WN_TRY(wn__run(x, WN__OP_axpby, &scale));
        m = scale.y;
    }
    const wn__matmul product = {.a = m, .b = n, .c = *out, .accumulate = accumulate};
    return wn__run(x, WN__OP_matmul, &product);
}

// out may be the start of the shared block.
static wn_status lowrank_merge(wn__linear *l, wn__exec *x, const wn_tensor *out) {
    int64_t at = wn__scratch_cost(l->out, l->in);
    WN_TRY(wn__linear_check_ready(l, x));
    if (!is_adapter(l)) return multiply_factors(l, x, out, false, at);
    const wn__copy copy = {.src = wn__linear_weight(l)->w, .dst = *out};
    WN_TRY(wn__run(x, WN__OP_copy, &copy));
    return multiply_factors(l, x, out, true, at);
}

// An adapter's weight without what its factors add to it.
static wn_status absorb(wn__linear *l, wn__exec *x) {
    int64_t at = 0;
    const wn_tensor product = wn__scratch_take(l->scratch, &at, l->out, l->in);
    WN_TRY(multiply_factors(l, x, &product, false, at));
    const wn__axpby subtract = {.x = product, .y = wn__linear_weight(l)->w, .a = -1, .b = 1};
    return wn__run(x, WN__OP_axpby, &subtract);
}

// ---- values ----

static wn_status draw_factors(wn__linear *l, wn__exec *x, uint64_t seed, double std) {
    wn__lowrank_init init;
    WN_TRY(wn__lowrank_init_parse(l->structure.init, &init));
    for (int f = FACTOR_OUT; f <= FACTOR_IN; f++) {
        bool in = f == FACTOR_IN;
        const wn__param *p = param_of(l, f);
        const wn_tensor *master = wn__param_master(p);
        const wn__round16 round = {.x = *master, .y = p->w};
        WN_TRY(wn__lowrank_factor_init(&init, x, master, in, std, seed,
                                       WN_STREAM_INIT + (in ? l->factor_in : l->factor_out)));
        if (l->round16) WN_TRY(wn__run(x, WN__OP_round16, &round));
    }
    return WN_OK;
}

// ||M N^T||_F^2 = <M^T M, N^T N>, so no [out,in] is made.
static wn_status measure_std(wn__linear *l, wn__exec *x, double *std) {
    int64_t at = 0, r = l->structure.rank;
    wn_tensor m, n;
    WN_TRY(dense_factor(l, x, FACTOR_OUT, &at, &m));
    WN_TRY(dense_factor(l, x, FACTOR_IN, &at, &n));
    const wn_tensor mm = wn__scratch_take(l->scratch, &at, r, r),
                    nn = wn__scratch_take(l->scratch, &at, r, r),
                    sum = wn__scratch_take(l->scratch, &at, 1, 1);
    const wn__matmul gram_m = {.a = wn__tensor_transpose(&m), .b = m, .c = mm};
    const wn__matmul gram_n = {.a = n, .b = wn__tensor_transpose(&n), .c = nn};
    const wn__matmul dot = {
        .a = wn__tensor_view2(&mm, 1, r * r), .b = wn__tensor_view2(&nn, r * r, 1), .c = sum};
    WN_TRY(wn__run(x, WN__OP_matmul, &gram_m));
    WN_TRY(wn__run(x, WN__OP_matmul, &gram_n));
    WN_TRY(wn__run(x, WN__OP_matmul, &dot));
    if (!x->planning) *std = sqrt(wn__get(&sum, 0) / ((double)l->out * (double)l->in));
    return WN_OK;
}

static wn_status lowrank_init(wn__linear *l, wn__exec *x, uint64_t seed, double std,
                              double *effective) {
    WN_TRY(draw_factors(l, x, seed, std));
    forget(l);
    WN_TRY(prepare_factors(l, x));
    return measure_std(l, x, effective);
}

static wn_status adapter_init(wn__linear *l, wn__exec *x, uint64_t seed, double std,
                              double *effective) {
    const wn__normal normal = {.x = wn__linear_weight(l)->w,
                               .seed = seed,
                               .stream = WN_STREAM_INIT + l->weight,
                               .std = std};
    *effective = std;
    WN_TRY(wn__run(x, WN__OP_normal, &normal));
    WN_TRY(draw_factors(l, x, seed, std));
    return absorb(l, x);
}

static wn_status lowrank_adopt(wn__linear *l, wn__exec *x, const wn_tensor *weight) {
    const wn_tensor n = wn__tensor_transpose(wn__param_master(param_of(l, FACTOR_IN)));
    const wn_tensor *m = wn__param_master(param_of(l, FACTOR_OUT));
    double kept = 1;
    wn__arena room = {0};
    if (!x->planning)
        WN_TRY(wn__arena_create("singular vectors",
                                wn__lowrank_from_dense_scratch(l->out, l->in, m->shape[1]), &room));
    wn_status status = wn__lowrank_from_dense(NULL, x, weight, m, &n, room.base, &kept);
    if (!x->planning) wn__arena_free(&room);
    if (status == WN_OK && !x->planning)
        wn__log(WN_LOG_INFO, "%s: rank %lld keeps %.2f %% of the weight's squared norm", l->name,
                (long long)l->structure.rank, 100 * kept);
    return status;
}

// What "auto" takes for a dense weight's standard deviation where there is no configuration's.
#define ADOPTED_STD 0.02

// The factors are drawn with the pass's seed: a checkpoint has none.
static wn_status adapter_adopt(wn__linear *l, wn__exec *x, const wn_tensor *weight) {
    const wn__copy copy = {.src = *weight, .dst = wn__linear_weight(l)->w};
    WN_TRY(wn__run(x, WN__OP_copy, &copy));
    WN_TRY(draw_factors(l, x, l->pass->seed, ADOPTED_STD));
    return absorb(l, x);
}

// ---- counting ----

static void lowrank_bytes(const wn__linear *l, wn__linear_bytes *out) {
    const wn_tensor dense = wn__tensor2(NULL, param_of(l, FACTOR_IN)->w.dtype, l->out, l->in);
    *out = (wn__linear_bytes){.dense = wn__tensor_bytes(&dense)};
    for (int f = FACTOR_OUT; f <= FACTOR_IN; f++) {
        size_t bytes = wn__tensor_bytes(&param_of(l, f)->w);
        const wn__sste *s = sste_of(l, f);
        out->master += bytes;
        out->forward += is_sparse(l, f) ? wn__sste_forward_bytes(s) : bytes;
        out->backward += wn__lists24_bytes(&s->lists);
        out->state += wn__sste_state_bytes(s);
    }
    if (!is_adapter(l)) return;
    out->master += out->dense;
    out->forward += out->dense;
}

// Of a row of x, by its pack and its column lists where the factor is 2:4.
static wn__linear_flops factor_flops(const wn__linear *l, int factor) {
    const int64_t *shape = param_of(l, factor)->w.shape;
    const wn__operands24 operands = operands_of(l, factor);
    wn__linear_flops f;
    wn__product_flops(&l->structure, &operands, 2.0 * (double)shape[0] * (double)shape[1], &f);
    if (!is_sparse(l, factor)) return f;
    f.forward = 4.0 * (double)shape[0] * (double)wn__groups24(shape[1]);
    f.input_gradient = 2.0 * (double)wn__lists24_kept(shape[0], shape[1]);
    return f;
}

// h may be made twice.
static void lowrank_flops(const wn__linear *l, wn__linear_flops *out) {
    const wn__linear_flops n = factor_flops(l, FACTOR_IN), m = factor_flops(l, FACTOR_OUT);
    double again = wn__given(&l->as.lowrank->h) ? 0 : n.forward;
    wn__linear_flops frozen = {0};
    if (is_adapter(l))
        wn__product_flops(&l->structure, &l->operands, 2.0 * (double)l->in * (double)l->out,
                          &frozen);
    *out = (wn__linear_flops){.forward = n.forward + m.forward + frozen.forward,
                              .input_gradient = n.input_gradient + m.input_gradient + again +
                                                frozen.input_gradient,
                              .weight_gradient = n.weight_gradient + m.weight_gradient};
}

static void lowrank_release(wn__linear *l) {
    free(l->as.lowrank);
    l->as.lowrank = NULL;
}

const wn__linear_type wn__linear_lowrank = {
    .kind = WN_STRUCTURE_LOWRANK,
    .build = lowrank_build,
    .prepare = lowrank_prepare,
    .forward = lowrank_forward,
    .backward = lowrank_backward,
    .merge = lowrank_merge,
    .restore = lowrank_restore,
    .init = lowrank_init,
    .adopt = lowrank_adopt,
    .rebased = lowrank_rebased,
    .bytes = lowrank_bytes,
    .flops = lowrank_flops,
    .release = lowrank_release,
};

const wn__linear_type wn__linear_adapter = {
    .kind = WN_STRUCTURE_ADAPTER,
    .build = lowrank_build,
    .prepare = lowrank_prepare,
    .forward = lowrank_forward,
    .backward = lowrank_backward,
    .merge = lowrank_merge,
    .restore = lowrank_restore,
    .init = adapter_init,
    .adopt = adapter_adopt,
    .bytes = lowrank_bytes,
    .flops = lowrank_flops,
    .release = lowrank_release,
};
