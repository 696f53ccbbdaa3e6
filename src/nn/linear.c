// SPDX-License-Identifier: MIT
// The list of structures a linear layer can have, and what all of them share.
#include "nn/linear.h"

#include "base/fail.h"
#include "base/log.h"
#include "base/philox.h"
#include "kernels/elementwise.h"
#include "kernels/reduce.h"
#include "nn/product.h"
#include "nn/round16.h"
#include "sparse/pattern24.h"
#include <stdio.h>
#include <string.h>

static const wn__linear_type *const types[] = {
    &wn__linear_dense,   &wn__linear_sparse24, &wn__linear_sste, &wn__linear_lowrank,
    &wn__linear_adapter, &wn__linear_in24,     &wn__linear_kron};

wn_status wn__linear_build(wn__linear *l, const char *name, int64_t in, int64_t out, bool bias,
                           const wn__structure *structure, wn__build *b) {
    *l = (wn__linear){.in = in,
                      .out = out,
                      .has_bias = bias,
                      .structure = *structure,
                      .params = b->params,
                      .number = b->layers++,
                      .pass = b->pass,
                      .scratch = b->scratch,
                      .round16 = b->round16,
                      .flips = -1};
    int n = snprintf(l->name, sizeof l->name, "%s", name);
    if (n < 0 || n >= WN_NAME_MAX)
        return wn__fail(WN_INVALID, "the layer name '%s' has %d bytes, at most %d fit", name, n,
                        WN_NAME_MAX - 1);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i]->kind == structure->kind) l->type = types[i];
    bool streams = l->type == &wn__linear_dense || l->type == &wn__linear_sparse24;
    if (streams && b->stored != WN_STORED_MASTER) l->type = &wn__linear_stream;
    if (l->type == NULL)
        return wn__fail(WN_BUG, "%s: structure %d has no implementation", name,
                        (int)structure->kind);
    return l->type->build(l, b);
}

wn_status wn__linear_build_in(wn__linear *l, const char *block, const char *name, int64_t in,
                              int64_t out, bool bias, wn__structure_rules *rules, wn__build *b) {
    char full[WN_NAME_MAX];
    WN_TRY(wn__name_join(full, block, name));
    const wn__structure structure = wn__structure_of(rules, full);
    return wn__linear_build(l, full, in, out, bias, &structure, b);
}

void wn__linear_tie(wn__linear *l, const char *name, size_t weight, wn__build *b) {
    const wn_tensor *w = &b->params->item[weight].w;
    b->params->item[weight].by_product = true;
    *l = (wn__linear){.type = &wn__linear_dense,
                      .in = w->shape[1],
                      .out = w->shape[0],
                      .structure = {.kind = WN_STRUCTURE_DENSE, .mask_every = 1},
                      .params = b->params,
                      .weight = weight,
                      .scratch = b->scratch,
                      .round16 = b->round16,
                      .store16 = w->dtype == WN_DTYPE_BF16,
                      .flips = -1};
    if (l->store16)
        wn__scratch_wish(b->scratch, wn__product_scratch(&l->structure, b, l->out, l->in));
    (void)snprintf(l->name, sizeof l->name, "%s", name);
}

void wn__linear_free(wn__linear *l) {
    if (l->type != NULL && l->type->release != NULL) l->type->release(l);
    memset(l, 0, sizeof *l);
}

wn__param *wn__linear_weight(const wn__linear *l) {
    return &l->params->item[l->weight];
}

bool wn__linear_owns(const wn__linear *l, size_t param) {
    if (wn__linear_streams(l)) return false;
    wn__structure_kind kind = l->structure.kind;
    bool factors = kind == WN_STRUCTURE_LOWRANK || kind == WN_STRUCTURE_ADAPTER;
    if (factors && (param == l->factor_in || param == l->factor_out)) return true;
    if (kind == WN_STRUCTURE_KRON) return param >= l->factor_in && param <= l->factor_out;
    return kind != WN_STRUCTURE_LOWRANK && param == l->weight;
}

wn_tensor wn__linear_bias(const wn__linear *l) {
    return l->has_bias ? l->params->item[l->bias].w : (wn_tensor){0};
}

wn_status wn__linear_add_bias(wn__linear *l, wn__build *b) {
    char name[WN_NAME_MAX];
    if (!l->has_bias) return WN_OK;
    WN_TRY(wn__name_join(name, l->name, "bias"));
    return wn__param_add(b, name, 1, &l->out, false, &l->bias);
}

// Not where operands are rounded further or packed, which reads floats.
bool wn__linear_stores16(const wn__structure *s, const wn__build *b) {
    bool plain = s->kind == WN_STRUCTURE_DENSE || s->kind == WN_STRUCTURE_SPARSE24;
    return wn__build_stores16(b) && plain && !s->fp8 && b->packs24 == 0;
}

wn_status wn__linear_add_params(wn__linear *l, wn__build *b) {
    char name[WN_NAME_MAX];
    WN_TRY(wn__name_join(name, l->name, "weight"));
    b->narrow = l->store16 = wn__linear_stores16(&l->structure, b);
    wn_status status =
        wn__param_add(b, name, 2, (const int64_t[]){l->out, l->in}, true, &l->weight);
    b->narrow = false;
    if (status != WN_OK) return status;
    wn__linear_weight(l)->by_product = true;
    return wn__linear_add_bias(l, b);
}

wn_status wn__linear_bias_gradient(wn__linear *l, wn__exec *x, const wn_tensor *dy) {
    if (!l->has_bias) return WN_OK;
    const wn__colsum columns = {.x = *dy, .out = l->params->item[l->bias].g};
    return wn__run(x, WN__OP_colsum, &columns);
}

// Straight through whatever mask or scale the forward product applied.
wn_status wn__linear_param_gradients(wn__linear *l, wn__exec *x, const wn__weight_view *w,
                                     const wn_tensor *in, const wn_tensor *dy) {
    WN_TRY(wn__product_weight(l, x, w, wn__linear_weight_in(l, in), wn__linear_weight_dy(l, dy),
                              wn__linear_weight(l)));
    return wn__linear_bias_gradient(l, x, dy);
}

void wn__linear_tell_padding(const wn__linear *l, wn__build *b, const char *what, int64_t size) {
    if (size % 4 == 0 || b->padding_told || wn__build_measuring(b)) return;
    b->padding_told = true;
    wn__log(WN_LOG_INFO,
            "%s: %s %lld is not a multiple of 4; its rows are padded to %lld inside "
            "(as in every such layer)",
            l->name, what, (long long)size, (long long)(4 * wn__groups24(size)));
}

wn_status wn__linear_check_ready(const wn__linear *l, const wn__exec *x) {
    return l->ready || x->planning ? WN_OK : wn__fail(WN_BUG, "used before it was prepared");
}

static wn_status named(const wn__linear *l, wn_status status) {
    return status == WN_OK ? WN_OK : wn__fail_in(status, "%s", l->name);
}

wn_status wn__linear_prepare(wn__linear *l, wn__exec *x, int64_t step) {
    return named(l, l->type->prepare(l, x, step));
}

wn_status wn__linear_restore(wn__linear *l, wn__exec *x) {
    return named(l, l->type->restore(l, x));
}

wn_status wn__linear_forward(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *out,
                             bool accumulate) {
    if (l->watch != NULL && !x->planning) WN_TRY(named(l, l->watch(l->watcher, l, in)));
    WN_TRY(named(l, l->type->forward(l, x, in, out, accumulate)));
    return wn__keep16(l->round16, x, out);
}

wn_status wn__linear_backward(wn__linear *l, wn__exec *x, const wn_tensor *in, const wn_tensor *dy,
                              const wn_tensor *dx, bool accumulate) {
    const wn_tensor absent = {0};
    if (dx == NULL) dx = &absent;
    WN_TRY(named(l, l->type->backward(l, x, in, dy, dx, accumulate)));
    return wn__keep16(l->round16 && wn__given(dx), x, dx);
}

wn_status wn__linear_backward_split(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                    const wn_tensor *dy, const wn_tensor *dx, bool accumulate,
                                    const wn_tensor *in_for_weight,
                                    const wn_tensor *dy_for_weight) {
    const wn_tensor absent = {0};
    l->in_for_weight = in_for_weight != NULL ? *in_for_weight : absent;
    l->dy_for_weight = dy_for_weight != NULL ? *dy_for_weight : absent;
    wn_status status = wn__linear_backward(l, x, in, dy, dx, accumulate);
    l->in_for_weight = l->dy_for_weight = absent;
    return status;
}

wn_status wn__linear_regularize(wn__linear *l, wn__exec *x, double factor) {
    return l->type->regularize == NULL ? WN_OK : named(l, l->type->regularize(l, x, factor));
}

wn_status wn__linear_merge(wn__linear *l, wn__exec *x, const wn_tensor *out) {
    return named(l, l->type->merge(l, x, out));
}

const char *wn__linear_pattern(const wn__linear *l) {
    return l->type->pattern != NULL ? l->type->pattern(l) : NULL;
}

static wn_status init_weight(wn__linear *l, wn__exec *x, uint64_t seed, double std) {
    const wn__normal normal = {.x = *wn__param_master(wn__linear_weight(l)),
                               .seed = seed,
                               .stream = WN_STREAM_INIT + l->weight,
                               .std = std};
    return wn__run(x, WN__OP_normal, &normal);
}

wn_status wn__linear_init(wn__linear *l, wn__exec *x, uint64_t seed, double std,
                          double *effective) {
    *effective = std;
    if (!x->planning) l->ready = false;
    return named(l, l->type->init != NULL ? l->type->init(l, x, seed, std, effective)
                                          : init_weight(l, x, seed, std));
}

wn_status wn__linear_adopt(wn__linear *l, wn__exec *x, const wn_tensor *weight) {
    if (!x->planning) l->ready = false;
    const wn__copy copy = {.src = *weight, .dst = *wn__param_master(wn__linear_weight(l))};
    return named(l, l->type->adopt != NULL ? l->type->adopt(l, x, weight)
                                           : wn__run(x, WN__OP_copy, &copy));
}

wn_status wn__linear_rebased(wn__linear *l, wn__exec *x) {
    return l->type->rebased == NULL ? WN_OK : named(l, l->type->rebased(l, x));
}
