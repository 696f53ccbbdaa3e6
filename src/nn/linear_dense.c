// SPDX-License-Identifier: MIT
// The dense linear layer: the weight, the master or a copy of fewer bits, is what both products
// read.
#include "base/fail.h"
#include "kernels/elementwise.h"
#include "nn/product.h"

static wn_status dense_build(wn__linear *l, wn__build *b) {
    if (l->structure.fp8 || b->packs24 > 0 || wn__linear_stores16(&l->structure, b))
        wn__scratch_wish(b->scratch, wn__product_scratch(&l->structure, b, l->out, l->in));
    return wn__linear_add_params(l, b);
}

static wn__weight_view view_of(const wn__linear *l) {
    return (wn__weight_view){.dense = wn__linear_weight(l)->w, .operands = l->operands};
}

static wn_status dense_prepare(wn__linear *l, wn__exec *x, int64_t step) {
    (void)x;
    (void)step;
    l->ready = true;
    return WN_OK;
}

static wn_status dense_restore(wn__linear *l, wn__exec *x) {
    return dense_prepare(l, x, 0);
}

static wn_status dense_forward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                               const wn_tensor *out, bool accumulate) {
    const wn__weight_view w = view_of(l);
    const wn_tensor bias = wn__linear_bias(l);
    return wn__product_forward(l, x, &w, in, &bias, out, accumulate);
}

static wn_status dense_backward(wn__linear *l, wn__exec *x, const wn_tensor *in,
                                const wn_tensor *dy, const wn_tensor *dx, bool accumulate) {
    wn__weight_view w = view_of(l);
    WN_TRY(wn__product_narrow(l, x, &w, dy));
    WN_TRY(wn__linear_param_gradients(l, x, &w, in, dy));
    return wn__given(dx) ? wn__product_input(l, x, &w, dy, dx, accumulate) : WN_OK;
}

static wn_status dense_merge(wn__linear *l, wn__exec *x, const wn_tensor *out) {
    const wn__copy copy = {.src = wn__linear_weight(l)->w, .dst = *out};
    return copy.src.data == out->data && out->data != NULL ? WN_OK : wn__run(x, WN__OP_copy, &copy);
}

static void dense_bytes(const wn__linear *l, wn__linear_bytes *out) {
    const wn__param *p = wn__linear_weight(l);
    size_t bytes = wn__tensor_bytes(&p->w);
    *out = (wn__linear_bytes){
        .dense = bytes, .master = wn__tensor_bytes(wn__param_master(p)), .forward = bytes};
}

static void dense_flops(const wn__linear *l, wn__linear_flops *out) {
    wn__product_flops(&l->structure, &l->operands, 2.0 * (double)l->in * (double)l->out, out);
}

const wn__linear_type wn__linear_dense = {
    .kind = WN_STRUCTURE_DENSE,
    .build = dense_build,
    .prepare = dense_prepare,
    .forward = dense_forward,
    .backward = dense_backward,
    .merge = dense_merge,
    .restore = dense_restore,
    .bytes = dense_bytes,
    .flops = dense_flops,
};
