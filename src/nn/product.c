// SPDX-License-Identifier: MIT
// Products of linear layers: dense or packed, plain or in simulated FP8, with or without pruned
// gradients.
#include "nn/product.h"

#include "base/fail.h"
#include "base/philox.h"
#include "kernels/columns24.h"
#include "kernels/matmul.h"
#include "kernels/mvue24_tokens.h"
#include "kernels/numeric.h"
#include "kernels/spmm24.h"
#include "kernels/spmm24_rows.h"
#include "sparse/pattern24.h"

// One side of a product. With an index, t has the packed values of the left-hand side, or of the
// transpose of the right-hand side; with a start, those of the column lists of the right-hand side.
typedef struct operand {
    wn_tensor t;
    bool transposed;
    wn_tensor index;
    wn_tensor start, row;
} operand;

// c (+)= a b (+ bias)
typedef struct product {
    operand a, b;
    wn_tensor bias, c;
    bool accumulate;
    bool rounded16; // both operands are bfloat16 numbers
    wn__fp8 format;
} product;

static wn_tensor seen(const operand *o) {
    return o->transposed ? wn__tensor_transpose(&o->t) : o->t;
}

static wn_status multiply(wn__exec *x, const product *p) {
    const wn__spmm24 packed = {.x = p->a.t,
                               .values = p->b.t,
                               .index = p->b.index,
                               .bias = p->bias,
                               .y = p->c,
                               .accumulate = p->accumulate,
                               .rounded16 = p->rounded16};
    const wn__spmm24_columns listed = {.x = p->a.t,
                                       .start = p->b.start,
                                       .values = p->b.t,
                                       .row = p->b.row,
                                       .y = p->c,
                                       .accumulate = p->accumulate};
    const wn__spmm24_rows rows = {
        .b = p->b.t, .values = p->a.t, .index = p->a.index, .c = p->c, .accumulate = p->accumulate};
    const wn__matmul dense = {.a = seen(&p->a),
                              .b = seen(&p->b),
                              .bias = p->bias,
                              .c = p->c,
                              .accumulate = p->accumulate,
                              .rounded16 = p->rounded16};
    if (wn__given(&p->a.index)) return wn__run(x, WN__OP_spmm24_rows, &rows);
    if (wn__given(&p->b.start)) return wn__run(x, WN__OP_spmm24_columns, &listed);
    return wn__given(&p->b.index) ? wn__run(x, WN__OP_spmm24, &packed)
                                  : wn__run(x, WN__OP_matmul, &dense);
}

// A double of its own in the shared block, whose elements may be floats.
static wn_tensor take_scale(const wn__linear *l, int64_t *at) {
    const wn_tensor room = wn__scratch_take(l->scratch, at, 1, 16);
    return wn__tensor1(room.data, WN_DTYPE_F64, 1);
}

// Rounds an operand into the shared block, where it is read from then on.
static wn_status round_operand(const wn__linear *l, wn__exec *x, wn__fp8 format, int64_t *at,
                               operand *o, wn_tensor *scale) {
    *scale = take_scale(l, at);
    const wn__round8 round = {.x = o->t,
                              .y = wn__scratch_take(l->scratch, at, o->t.shape[0], o->t.shape[1]),
                              .scale = *scale,
                              .format = format};
    o->t = round.y;
    return wn__run(x, WN__OP_round8, &round);
}

// c += bias, as the bias of a product over nothing.
static wn_status add_bias(wn__exec *x, const product *p) {
    if (!wn__given(&p->bias)) return WN_OK;
    const wn__matmul sum = {.a = wn__tensor_slice(&p->c, 1, 0, 0),
                            .b = wn__tensor2(p->bias.data, p->c.dtype, 0, p->c.shape[1]),
                            .bias = p->bias,
                            .c = p->c,
                            .accumulate = true};
    return wn__run(x, WN__OP_matmul, &sum);
}

static wn_status multiply8(const wn__linear *l, wn__exec *x, int64_t at, const product *p) {
    product rounded = {.a = p->a, .b = p->b, .c = p->c};
    wn_tensor a, b;
    WN_TRY(round_operand(l, x, p->format, &at, &rounded.a, &a));
    WN_TRY(round_operand(l, x, p->format, &at, &rounded.b, &b));
    if (p->accumulate) rounded.c = wn__scratch_take(l->scratch, &at, p->c.shape[0], p->c.shape[1]);
    WN_TRY(multiply(x, &rounded));
    const wn__rescale rescale = {
        .x = rounded.c, .y = p->c, .a = a, .b = b, .accumulate = p->accumulate};
    WN_TRY(wn__run(x, WN__OP_rescale, &rescale));
    return add_bias(x, p);
}

static wn_status run(const wn__linear *l, wn__exec *x, int64_t at, const product *p) {
    return l->structure.fp8 ? multiply8(l, x, at, p) : multiply(x, p);
}

wn_status wn__product_forward(const wn__linear *l, wn__exec *x, const wn__weight_view *w,
                              const wn_tensor *in, const wn_tensor *bias, const wn_tensor *out,
                              bool accumulate) {
    bool packed = wn__given(&w->values);
    const product p = {
        .a = {.t = *in},
        .b = {.t = packed ? w->values : w->dense, .transposed = !packed, .index = w->index},
        .bias = *bias,
        .c = *out,
        .accumulate = accumulate,
        .rounded16 = l->round16,
        .format = WN_FP8_E4M3};
    return run(l, x, w->scratch, &p);
}

wn_status wn__product_input(const wn__linear *l, wn__exec *x, const wn__weight_view *w,
                            const wn_tensor *dy, const wn_tensor *dx, bool accumulate) {
    operand b = {.t = w->dense};
    if (wn__given(&w->values_t)) b = (operand){.t = w->values_t, .index = w->index_t};
    if (wn__given(&w->lists.start))
        b = (operand){.t = w->lists.values, .start = w->lists.start, .row = w->lists.row};
    const product p = {.a = {.t = *dy},
                       .b = b,
                       .c = *dx,
                       .accumulate = accumulate,
                       .rounded16 = l->round16,
                       .format = WN_FP8_E5M2};
    return run(l, x, w->scratch, &p);
}

// Elements of the shared block that hold `bytes`.
static int64_t elements_of(wn_dtype dtype, int64_t bytes) {
    int64_t size = (int64_t)wn_dtype_size(dtype);
    return (bytes + size - 1) / size;
}

// The pack of the transpose of T(dy), in the shared block.
static wn_status prune(const wn__linear *l, wn__exec *x, const wn__weight_view *w, int64_t *at,
                       operand *dy) {
    if (w->mvue == WN_MVUE_OFF) return WN_OK;
    int64_t groups = wn__groups24(dy->t.shape[0]), out = dy->t.shape[1], bytes = (groups + 1) / 2;
    const wn_tensor values = wn__scratch_take(l->scratch, at, out, 2 * groups);
    const wn_tensor room =
        wn__scratch_take(l->scratch, at, 1, elements_of(dy->t.dtype, out * bytes));
    const wn__mvue24_tokens draw = {
        .x = dy->t,
        .values = values,
        .index = wn__tensor2(room.data, WN_DTYPE_U8, out, bytes),
        .method = w->mvue == WN_MVUE_EXACT ? WN_MVUE24_EXACT : WN_MVUE24_APPROX,
        .seed = l->pass->seed,
        .stream = WN_STREAM_MVUE + 8 * (uint64_t)l->number + (uint64_t)w->factor,
        .counter = l->pass->counter};
    *dy = (operand){.t = values, .index = draw.index};
    return wn__run(x, WN__OP_mvue24_tokens, &draw);
}

wn_status wn__product_weight(const wn__linear *l, wn__exec *x, const wn__weight_view *w,
                             const wn_tensor *in, const wn_tensor *dy, wn__param *param) {
    product p = {.a = {.t = *dy, .transposed = true},
                 .b = {.t = *in},
                 .c = param->g,
                 .accumulate = !param->fresh,
                 .rounded16 = l->round16 && w->mvue == WN_MVUE_OFF, // draws are not rounded
                 .format = WN_FP8_E5M2};
    int64_t at = w->scratch;
    WN_TRY(prune(l, x, w, &at, &p.a));
    WN_TRY(run(l, x, at, &p));
    if (!x->planning) param->fresh = false;
    return WN_OK;
}

double wn__product_weight_flops(const wn__structure *s, double dense) {
    return s->mvue == WN_MVUE_OFF ? dense : dense / 2;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

int64_t wn__product_scratch(const wn__structure *s, const wn__build *b, int64_t out, int64_t in) {
    int64_t cost = 0, rows_out = wn__scratch_cost(b->rows, out), groups = wn__groups24(b->rows);
    bool pruned = b->training && s->mvue != WN_MVUE_OFF;
    int64_t packed = wn__scratch_cost(out, 2 * groups);
    if (pruned)
        cost = packed + wn__scratch_cost(1, elements_of(b->dtype, out * ((groups + 1) / 2)));
    if (!s->fp8) return cost;
    // Two operands, their scales and a product: of x, dy and W with its padding, packed or listed,
    // in any order.
    int64_t padded = wn__scratch_cost(4 * wn__groups24(out), 4 * wn__groups24(in));
    int64_t listed = wn__scratch_cost(wn__columns24_slices(out), wn__columns24_room(out, in));
    return cost + 2 * wn__scratch_cost(1, 16) + larger(rows_out, packed) +
           wn__scratch_cost(b->rows, in) + larger(padded, listed);
}
