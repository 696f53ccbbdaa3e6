// SPDX-License-Identifier: MIT
// The linear layer whose weight is a chain of Kronecker-sparse factors, W = K_{n-1} ... K_0: a
// butterfly, or block low rank (sparse/kron.h). The factors are its parameters, "<name>.factor_0"
// the rightmost, as [a d c, b]. The forward pass is fused; backward makes what lies between the
// factors again, in the shared block, or, where a pair of factors is much wider there than on
// either side, in the caches of one pass that gives both gradients.
// A model that does not train multiplies by factors that were packed once, when they were loaded,
// those of a butterfly after each three were made one; one that does has other factors for every
// pass, which packs them as it goes.
// A head of rank k may be added, W = U V + K_{n-1} ... K_0: V [k, in] is "<name>.head_in", U
// [out, k] "<name>.head_out". x V^T is made again in backward.
#include "base/fail.h"
#include "base/philox.h"
#include "kernels/element.h"
#include "kernels/elementwise.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "kernels/kron_pack.h"
#include "kernels/kron_pair_grad.h"
#include "kernels/matmul.h"
#include "kernels/numeric.h"
#include "nn/product.h"
#include "nn/round16.h"
#include "sparse/kron_head.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MANY  64 // tokens that do not read factors as they lie, for which they are packed
#define RADIX 8  // sides of the blocks that factors of a butterfly become
#define STRIP 64 // rows of the identity that merging multiplies at a time
// Two factors' gradients in one pass: numbers between them for each on either side, and tokens, at
// least. Where there are fewer, what is packed and given back once takes longer than it saves.
#define PASS_WIDTH  4
#define PASS_TOKENS 512

struct wn__linear_kron {
    wn__kron_chain chain;
    // what a layer that does not train multiplies by instead; count 0: nothing else
    wn__kron_chain merged;
    wn_tensor merged_w[WN__KRON_MAX];
    int first[WN__KRON_MAX + 1]; // merged factor t is the product from factor first[t] on
    wn_tensor packed; // absent where they are never packed: nothing here reads such a form
    int64_t lanes;    // for which they are; 0: they are not
};

static const wn__kron_chain *chain_of(const wn__linear *l) {
    return &l->as.kron->chain;
}

const wn__kron_chain *wn__linear_chain(const wn__linear *l) {
    return l->type == &wn__linear_kron ? chain_of(l) : NULL;
}

static int64_t head_rank(const wn__linear *l) {
    return l->structure.kron_head;
}

// V, and U behind it; they follow the factors.
static wn__param *head_param(const wn__linear *l, int which) {
    return &l->params->item[l->factor_in + (size_t)(chain_of(l)->count + which)];
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

// Factors are consecutive parameters.
static wn__param *param_of(const wn__linear *l, int t) {
    return &l->params->item[l->factor_in + (size_t)t];
}

static wn_tensor view_of(const wn__linear *l, int t, const wn_tensor *data) {
    return wn__kron_view(&chain_of(l)->factor[t], WN__KRON_COLUMNS, data->data, data->dtype);
}

// Numbers that go into factor t, or come out of the last.
static int64_t width(const wn__linear *l, int t) {
    return t == 0 ? l->in : wn__kron_rows(&chain_of(l)->factor[t - 1]);
}

// ---- building ----

static wn_status make_chain(const wn__linear *l, wn__kron_chain *out) {
    const wn__structure *s = &l->structure;
    if (s->kron_b > 0)
        return wn__kron_chain_monarch(l->out, l->in, s->kron_b, s->kron_c, s->rank, out);
    if (l->in == l->out) return wn__kron_chain_butterfly(l->in, out);
    return wn__fail(WN_INVALID,
                    "a butterfly is square, not %lld x %lld; kron:monarch:B[xC][:R] is not",
                    (long long)l->out, (long long)l->in);
}

static wn_status add_head(wn__linear *l, wn__build *b) {
    static const char *const suffix[] = {"head_in", "head_out"};
    int64_t k = head_rank(l);
    const int64_t shape[][2] = {{k, l->in}, {l->out, k}};
    wn__kron_chain unused;
    char name[WN_NAME_MAX];
    if (k == 0) return WN_OK;
    wn_status status = wn__kron_head_chain(l->out, l->in, k, &unused);
    if (status != WN_OK) return wn__fail_in(status, "%s", l->name);
    for (int i = 0; i < 2; i++) {
        WN_TRY(wn__name_join(name, l->name, suffix[i]));
        WN_TRY(wn__param_add(b, name, 2, shape[i], true, &l->factor_out));
        l->params->item[l->factor_out].by_product = true;
    }
    return WN_OK;
}

static wn_status add_factors(wn__linear *l, wn__build *b) {
    for (int t = 0; t < chain_of(l)->count; t++) {
        const wn__kron *p = &chain_of(l)->factor[t];
        const int64_t shape[2] = {p->a * p->d * p->c, p->b};
        char name[WN_NAME_MAX], suffix[24];
        size_t index = 0;
        (void)snprintf(suffix, sizeof suffix, "factor_%d", t);
        WN_TRY(wn__name_join(name, l->name, suffix));
        WN_TRY(wn__param_add(b, name, 2, shape, true, &index));
        if (t == 0) l->factor_in = index;
        l->factor_out = index;
    }
    WN_TRY(add_head(l, b));
    return wn__linear_add_bias(l, b);
}

// Backward keeps what every factor but the first takes, and two gradients on their way; the head x
// V^T, what comes back to it, and what products take; merging a strip of the identity behind W.
static int64_t scratch_wish(const wn__linear *l, const wn__build *b) {
    const wn__structure *s = &l->structure;
    int64_t k = head_rank(l), own = 2 * wn__scratch_cost(b->rows, k);
    int64_t product =
        larger(wn__product_scratch(s, b, k, l->in), wn__product_scratch(s, b, l->out, k));
    if (k == 0) own = product = 0;
    int64_t between = 0, widest = 0;
    for (int t = 1; t < chain_of(l)->count; t++) {
        between += wn__scratch_cost(b->rows, width(l, t));
        if (width(l, t) > widest) widest = width(l, t);
    }
    int64_t pass = own + larger(product, between + 2 * wn__scratch_cost(b->rows, widest));
    int64_t merge = wn__scratch_cost(l->out, l->in) + wn__scratch_cost(STRIP, l->in);
    return larger(pass, merge);
}

// The factors that the whole chain is multiplied by.
static void take_whole(const wn__linear *l, wn__kron_mul *p) {
    const struct wn__linear_kron *k = l->as.kron;
    p->count = k->merged.count > 0 ? k->merged.count : k->chain.count;
    for (int t = 0; t < p->count; t++)
        p->w[t] = k->merged.count > 0 ? k->merged_w[t] : view_of(l, t, &param_of(l, t)->w);
}

// The whole chain on so many tokens, without data.
static wn__kron_mul product_of(const wn__linear *l, int64_t tokens) {
    wn__kron_mul p = {.x = wn__tensor2(NULL, WN_DTYPE_F32, tokens, l->in),
                      .y = wn__tensor2(NULL, WN_DTYPE_F32, tokens, l->out)};
    take_whole(l, &p);
    return p;
}

// A butterfly's factors move more numbers than they multiply.
static wn_status add_merged(wn__linear *l, wn__build *b) {
    struct wn__linear_kron *k = l->as.kron;
    if (l->structure.kron_b > 0) return WN_OK;
    WN_TRY(wn__kron_chain_merged(&k->chain, RADIX, &k->merged, k->first));
    if (k->merged.count == k->chain.count) k->merged.count = 0;
    for (int t = 0; t < k->merged.count; t++) {
        const wn__kron *p = &k->merged.factor[t];
        wn_tensor numbers;
        WN_TRY(wn__tensor_alloc1(b->weights, WN_DTYPE_F32, wn__kron_params(p), &numbers));
        k->merged_w[t] = wn__kron_view(p, WN__KRON_COLUMNS, numbers.data, WN_DTYPE_F32);
    }
    return WN_OK;
}

// What is made of the factors once, where they stay as they are.
static wn_status add_resident(wn__linear *l, wn__build *b) {
    if (b->training || b->round16 || b->dtype != WN_DTYPE_F32) return WN_OK;
    WN_TRY(add_merged(l, b));
    const wn__kron_mul p = product_of(l, MANY);
    const wn__exec any = {0};
    if (p.count < 2 || wn__kron_packed_lanes(&any, &p) == 0) return WN_OK;
    return wn__tensor_alloc1(b->weights, WN_DTYPE_U8, wn__kron_packed_bytes(p.w, p.count),
                             &l->as.kron->packed);
}

static wn_status kron_build(wn__linear *l, wn__build *b) {
    l->factored = true;
    if (l->structure.fp8)
        return wn__fail(WN_INVALID, "%s: kron has no simulated FP8; dense, 2:4 and lowrank have",
                        l->name);
    l->as.kron = calloc(1, sizeof *l->as.kron);
    if (l->as.kron == NULL) return wn__fail(WN_NOMEM, "%s: no memory for the layer", l->name);
    wn_status status = make_chain(l, &l->as.kron->chain);
    if (status != WN_OK) return wn__fail_in(status, "%s", l->name);
    WN_TRY(add_factors(l, b));
    status = add_resident(l, b);
    if (status != WN_OK) return wn__fail_in(status, "%s", l->name);
    wn__scratch_wish(b->scratch, scratch_wish(l, b));
    return WN_OK;
}

static wn_status kron_prepare(wn__linear *l, wn__exec *x, int64_t step) {
    struct wn__linear_kron *k = l->as.kron;
    wn_tensor w[WN__KRON_MAX];
    (void)step;
    for (int t = 0; t < k->chain.count; t++)
        w[t] = view_of(l, t, &param_of(l, t)->w);
    for (int t = 0; t < k->merged.count && !x->planning; t++)
        WN_TRY(wn__kron_merge_all(&w[k->first[t]], k->first[t + 1] - k->first[t], &k->merged_w[t]));
    if (wn__given(&k->packed)) {
        const wn__kron_mul p = product_of(l, MANY);
        wn__kron_pack pack = {.packed = k->packed, .count = p.count};
        k->lanes = pack.lanes = wn__kron_packed_lanes(x, &p);
        for (int t = 0; t < p.count; t++)
            pack.w[t] = p.w[t];
        if (k->lanes > 0) WN_TRY(wn__run(x, WN__OP_kron_pack, &pack));
    }
    if (!x->planning) l->ready = true;
    return WN_OK;
}

static wn_status kron_restore(wn__linear *l, wn__exec *x) {
    return kron_prepare(l, x, 0);
}

// ---- products ----

static wn_status multiply(const wn__linear *l, wn__exec *x, const wn_tensor *in, int first,
                          int count, const wn_tensor *out, bool accumulate) {
    wn__kron_mul all = {.x = *in, .y = *out, .count = count, .accumulate = accumulate};
    for (int t = 0; t < count; t++)
        all.w[t] = view_of(l, first + t, &param_of(l, first + t)->w);
    if (count == chain_of(l)->count) take_whole(l, &all);
    if (l->as.kron->lanes > 0 && count == chain_of(l)->count) {
        all.packed = l->as.kron->packed;
        all.lanes = l->as.kron->lanes;
    }
    return wn__run(x, WN__OP_kron_mul, &all);
}

// h[t], t from 1 on: what factor t takes.
static wn_status between(const wn__linear *l, wn__exec *x, const wn_tensor *in, int64_t *at,
                         wn_tensor *h) {
    h[0] = *in;
    for (int t = 1; t < chain_of(l)->count; t++) {
        h[t] = wn__scratch_take(l->scratch, at, in->shape[0], width(l, t));
        WN_TRY(multiply(l, x, &h[t - 1], t - 1, 1, &h[t], false));
        WN_TRY(wn__keep16(l->round16, x, &h[t]));
    }
    return WN_OK;
}

// ---- the head

static wn__weight_view head_view(const wn__linear *l, int which, int64_t scratch) {
    return (wn__weight_view){.dense = head_param(l, which)->w, .scratch = scratch};
}

// h = x V^T, in the shared block.
static wn_status head_in(const wn__linear *l, wn__exec *x, const wn_tensor *in, int64_t *at,
                         wn_tensor *h) {
    const wn_tensor none = {0};
    *h = wn__scratch_take(l->scratch, at, in->shape[0], head_rank(l));
    const wn__weight_view v = head_view(l, 0, *at);
    WN_TRY(wn__product_forward(l, x, &v, in, &none, h, false));
    return wn__keep16(l->round16, x, h);
}

// y += x V^T U^T
static wn_status head_forward(const wn__linear *l, wn__exec *x, const wn_tensor *in,
                              const wn_tensor *out) {
    int64_t at = 0;
    wn_tensor h;
    const wn_tensor none = {0};
    if (head_rank(l) == 0) return WN_OK;
    WN_TRY(head_in(l, x, in, &at, &h));
    const wn__weight_view u = head_view(l, 1, at);
    return wn__product_forward(l, x, &u, &h, &none, out, true);
}

// Both gradients of the head, and *dh = dy U, which stays in the shared block before *at.
static wn_status head_backward(const wn__linear *l, wn__exec *x, const wn_tensor *in,
                               const wn_tensor *dy, int64_t *at, wn_tensor *dh) {
    wn_tensor h;
    if (head_rank(l) == 0) return WN_OK;
    *dh = wn__scratch_take(l->scratch, at, in->shape[0], head_rank(l));
    int64_t free = *at;
    WN_TRY(head_in(l, x, in, &free, &h));
    const wn__weight_view u = head_view(l, 1, free), v = head_view(l, 0, free);
    WN_TRY(wn__product_weight(l, x, &u, &h, wn__linear_weight_dy(l, dy), head_param(l, 1)));
    WN_TRY(wn__product_input(l, x, &u, dy, dh, false));
    WN_TRY(wn__keep16(l->round16, x, dh));
    return wn__product_weight(l, x, &v, wn__linear_weight_in(l, in), dh, head_param(l, 0));
}

// dx += dh V; dh lies in the shared block before `at`.
static wn_status head_input(const wn__linear *l, wn__exec *x, const wn_tensor *dh,
                            const wn_tensor *dx, int64_t at) {
    const wn__weight_view v = head_view(l, 0, at);
    return head_rank(l) == 0 || !wn__given(dx) ? WN_OK : wn__product_input(l, x, &v, dh, dx, true);
}

// ---- both

static wn_status kron_forward(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *out,
                              bool accumulate) {
    wn_tensor h[WN__KRON_MAX];
    const wn_tensor bias = wn__linear_bias(l);
    int64_t at = 0;
    int count = chain_of(l)->count;
    WN_TRY(wn__linear_check_ready(l, x));
    if (l->round16) { // rounded after each factor
        WN_TRY(between(l, x, in, &at, h));
        WN_TRY(multiply(l, x, &h[count - 1], count - 1, 1, out, accumulate));
    } else {
        WN_TRY(multiply(l, x, in, 0, count, out, accumulate));
    }
    WN_TRY(head_forward(l, x, in, out));
    return wn__product_bias(x, &bias, out);
}

static wn_status factor_gradient(const wn__linear *l, wn__exec *x, int t, const wn_tensor *h,
                                 const wn_tensor *dy) {
    const wn__kron_grad grad = {
        .x = *h, .dy = *dy, .dw = view_of(l, t, &param_of(l, t)->g), .accumulate = true};
    return wn__run(x, WN__OP_kron_grad, &grad);
}

// dy through factor t, transposed.
static wn_status back(const wn__linear *l, wn__exec *x, int t, const wn_tensor *dy,
                      const wn_tensor *dx, bool accumulate) {
    const wn_tensor w = view_of(l, t, &param_of(l, t)->w);
    wn__kron_mul one = {.x = *dy, .y = *dx, .count = 1, .accumulate = accumulate};
    one.w[0] = wn__kron_view_transpose(&w);
    return wn__run(x, WN__OP_kron_mul, &one);
}

// Whether the gradients of both factors come from one pass: args are theirs then.
static wn_status plan_pass(const wn__linear *l, const wn__exec *x, const wn_tensor *in,
                           const wn_tensor *dy, wn__kron_pair_grad *args, bool *out) {
    const wn__kernel *chosen;
    wn__exec asking = *x;
    asking.strict = false;
    *out = false;
    if (chain_of(l)->count != 2 || l->round16 || in->shape[0] < PASS_TOKENS ||
        2 * width(l, 1) < PASS_WIDTH * (l->in + l->out) || wn__given(&l->in_for_weight) ||
        wn__given(&l->dy_for_weight))
        return WN_OK;
    *args = (wn__kron_pair_grad){.x = *in,
                                 .dy = *dy,
                                 .w0 = view_of(l, 0, &param_of(l, 0)->w),
                                 .w1 = view_of(l, 1, &param_of(l, 1)->w),
                                 .dw0 = view_of(l, 0, &param_of(l, 0)->g),
                                 .dw1 = view_of(l, 1, &param_of(l, 1)->g),
                                 .accumulate = true};
    WN_TRY(wn__plan(&asking, WN__OP_kron_pair_grad, args, &chosen));
    *out = chosen->rank > 0;
    return WN_OK;
}

// dy through the whole chain, transposed.
static wn_status back_all(const wn__linear *l, wn__exec *x, const wn_tensor *dy,
                          const wn_tensor *dx, bool accumulate) {
    const int count = chain_of(l)->count;
    wn__kron_mul all = {.x = *dy, .y = *dx, .count = count, .accumulate = accumulate};
    for (int t = 0; t < count; t++) {
        const wn_tensor w = view_of(l, count - 1 - t, &param_of(l, count - 1 - t)->w);
        all.w[t] = wn__kron_view_transpose(&w);
    }
    return wn__run(x, WN__OP_kron_mul, &all);
}

// Gradients of the factors and of x, step by step; the shared block is free from `at` on.
static wn_status back_by_step(const wn__linear *l, wn__exec *x, const wn_tensor *in,
                              const wn_tensor *dy, const wn_tensor *dx, bool accumulate,
                              int64_t at) {
    wn_tensor h[WN__KRON_MAX], g[2], now = *dy;
    int64_t widest = 0, n = in->shape[0];
    int last = chain_of(l)->count - 1;
    WN_TRY(between(l, x, in, &at, h));
    for (int t = 1; t <= last; t++)
        if (width(l, t) > widest) widest = width(l, t);
    for (int i = 0; i < 2 && last > 0; i++)
        g[i] = wn__scratch_take(l->scratch, &at, n, widest);
    for (int t = last; t >= 0; t--) {
        const wn_tensor *from = t == 0 ? wn__linear_weight_in(l, in) : &h[t];
        WN_TRY(factor_gradient(l, x, t, from, t == last ? wn__linear_weight_dy(l, dy) : &now));
        if (t == 0) break;
        const wn_tensor to = wn__tensor2(g[t % 2].data, dy->dtype, n, width(l, t));
        WN_TRY(back(l, x, t, &now, &to, false));
        WN_TRY(wn__keep16(l->round16, x, &to));
        now = to;
    }
    return wn__given(dx) ? back(l, x, 0, &now, dx, accumulate) : WN_OK;
}

static wn_status kron_backward(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *dy,
                               const wn_tensor *dx, bool accumulate) {
    wn_tensor dh = {0};
    int64_t at = 0;
    wn__kron_pair_grad pass;
    bool one_pass;
    WN_TRY(wn__linear_check_ready(l, x));
    WN_TRY(head_backward(l, x, in, dy, &at, &dh));
    WN_TRY(wn__linear_bias_gradient(l, x, dy));
    WN_TRY(plan_pass(l, x, in, dy, &pass, &one_pass));
    if (one_pass) {
        WN_TRY(wn__run(x, WN__OP_kron_pair_grad, &pass));
        if (wn__given(dx)) WN_TRY(back_all(l, x, dy, dx, accumulate));
    } else {
        WN_TRY(back_by_step(l, x, in, dy, dx, accumulate, at));
    }
    return head_input(l, x, &dh, dx, at);
}

// ---- the weight ----

// Rows of the identity are columns of W.
static wn_status kron_merge(wn__linear *l, wn__exec *x, const wn_tensor *out) {
    int64_t at = wn__scratch_cost(l->out, l->in);
    const wn_tensor columns = wn__tensor_transpose(out);
    wn_tensor unit = wn__scratch_take(l->scratch, &at, STRIP, l->in);
    const wn__fill zeros = {.x = unit, .value = 0};
    WN_TRY(wn__linear_check_ready(l, x));
    for (int64_t i = 0; i < l->in; i += STRIP) {
        int64_t n = l->in - i < STRIP ? l->in - i : STRIP;
        WN_TRY(wn__run(x, WN__OP_fill, &zeros));
        for (int64_t r = 0; r < n && !x->planning; r++)
            wn__set(&unit, wn__at(&unit, r, i + r), 1);
        const wn_tensor from = wn__tensor_slice(&unit, 0, 0, n);
        const wn_tensor to = wn__tensor_slice(&columns, 0, i, n);
        WN_TRY(multiply(l, x, &from, 0, chain_of(l)->count, &to, false));
    }
    if (head_rank(l) == 0) return WN_OK;
    const wn__matmul head = {
        .a = head_param(l, 1)->w, .b = head_param(l, 0)->w, .c = *out, .accumulate = true};
    return wn__run(x, WN__OP_matmul, &head);
}

static wn_status follow_master(const wn__linear *l, wn__exec *x, const wn__param *p) {
    const wn__round16 round = {.x = *wn__param_master(p), .y = p->w};
    return l->round16 ? wn__run(x, WN__OP_round16, &round) : WN_OK;
}

static wn_status draw(const wn__linear *l, wn__exec *x, uint64_t seed, size_t param, double std) {
    const wn__param *p = &l->params->item[param];
    const wn__normal normal = {
        .x = *wn__param_master(p), .seed = seed, .stream = WN_STREAM_INIT + param, .std = std};
    WN_TRY(wn__run(x, WN__OP_normal, &normal));
    return follow_master(l, x, p);
}

// Each factor multiplies the variance of a vector by as much, all of them by that of W's rows. A
// head and its chain have half of that variance each.
static wn_status kron_init(wn__linear *l, wn__exec *x, uint64_t seed, double std,
                           double *effective) {
    int count = chain_of(l)->count;
    int64_t k = head_rank(l);
    double variance = k > 0 ? std * std / 2 : std * std;
    double each = pow((double)l->in * variance, 1.0 / count);
    *effective = std;
    for (int t = 0; t < count; t++)
        WN_TRY(draw(l, x, seed, l->factor_in + (size_t)t,
                    sqrt(each / (double)chain_of(l)->factor[t].c)));
    for (int i = 0; i < 2 && k > 0; i++)
        WN_TRY(
            draw(l, x, seed, l->factor_in + (size_t)(count + i), pow(variance / (double)k, 0.25)));
    return WN_OK;
}

// factor: of the chain, then V and U.
static wn_status take_factors(const wn__linear *l, wn__exec *x, double *const *factor) {
    const int count = chain_of(l)->count;
    for (int t = 0; t < count; t++) {
        const wn_tensor from =
            wn__kron_view(&chain_of(l)->factor[t], WN__KRON_CANONICAL, factor[t], WN_DTYPE_F64);
        const wn_tensor to = view_of(l, t, wn__param_master(param_of(l, t)));
        WN_TRY(wn__kron_copy(&from, &to));
        WN_TRY(follow_master(l, x, param_of(l, t)));
    }
    for (int i = 0; i < 2 && head_rank(l) > 0; i++) {
        const wn__param *p = head_param(l, i);
        const wn_tensor *to = wn__param_master(p);
        for (int64_t j = 0; j < wn__tensor_count(to); j++)
            wn__set(to, j, factor[count + i][j]);
        WN_TRY(follow_master(l, x, p));
    }
    return WN_OK;
}

// The numbers of factor t, of V behind the last and of U behind V.
static int64_t numbers(const wn__linear *l, int t) {
    int count = chain_of(l)->count;
    if (t < count) return wn__kron_params(&chain_of(l)->factor[t]);
    return head_rank(l) * (t == count ? l->in : l->out);
}

// The nearest chain, in closed form.
static wn_status kron_adopt(wn__linear *l, wn__exec *x, const wn_tensor *weight) {
    double *factor[WN__KRON_MAX + 2] = {NULL};
    const int count = chain_of(l)->count, all = head_rank(l) > 0 ? count + 2 : count;
    wn__kron_fit report;
    wn__kron_inputs turns;
    wn_status status = WN_OK;
    if (x->planning) return WN_OK;
    int64_t n = l->out * l->in;
    double *w = malloc((size_t)n * sizeof *w);
    bool room = w != NULL;
    for (int t = 0; t < all; t++) {
        factor[t] = malloc((size_t)numbers(l, t) * sizeof(double));
        room = room && factor[t] != NULL;
    }
    if (!room) {
        status = wn__fail(WN_NOMEM, "no memory for a fit");
        goto out;
    }
    for (int64_t i = 0; i < n; i++)
        w[i] = wn__get(weight, i);
    if (all > count)
        WN_TRY_OUT(wn__kron_fit_head(NULL, x, chain_of(l), head_rank(l), w, NULL,
                                     WN__KRON_HEAD_TURNS, 0, factor, factor + count, &turns));
    else
        WN_TRY_OUT(wn__kron_fit_dense(NULL, x, chain_of(l), w, factor, false, &report));
    status = take_factors(l, x, factor);
out:
    for (int t = 0; t < all; t++)
        free(factor[t]);
    free(w);
    return status;
}

// ---- reading ----

static int64_t count_params(const wn__linear *l) {
    int64_t n = head_rank(l) * (l->in + l->out);
    for (int t = 0; t < chain_of(l)->count; t++)
        n += wn__kron_params(&chain_of(l)->factor[t]);
    return n;
}

static void kron_bytes(const wn__linear *l, wn__linear_bytes *out) {
    size_t size = wn_dtype_size(param_of(l, 0)->w.dtype), params = (size_t)count_params(l) * size;
    size_t resident = wn__tensor_bytes(&l->as.kron->packed);
    for (int t = 0; t < l->as.kron->merged.count; t++)
        resident += wn__tensor_bytes(&l->as.kron->merged_w[t]);
    *out = (wn__linear_bytes){
        .dense = (size_t)(l->out * l->in) * size, .master = params, .forward = params + resident};
}

static void kron_flops(const wn__linear *l, wn__linear_flops *out) {
    double pass = 2 * (double)count_params(l);
    const wn__kron *last = &chain_of(l)->factor[chain_of(l)->count - 1];
    double again = pass - 2 * (double)(wn__kron_params(last) + head_rank(l) * l->out);
    *out = (wn__linear_flops){
        .forward = pass, .input_gradient = pass, .weight_gradient = pass + again};
}

static void kron_release(wn__linear *l) {
    free(l->as.kron);
    l->as.kron = NULL;
}

const wn__linear_type wn__linear_kron = {
    .kind = WN_STRUCTURE_KRON,
    .build = kron_build,
    .prepare = kron_prepare,
    .forward = kron_forward,
    .backward = kron_backward,
    .merge = kron_merge,
    .restore = kron_restore,
    .init = kron_init,
    .adopt = kron_adopt,
    .bytes = kron_bytes,
    .flops = kron_flops,
    .release = kron_release,
};
