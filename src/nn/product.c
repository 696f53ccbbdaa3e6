// SPDX-License-Identifier: MIT
// Products of linear layers: dense or packed, plain or in simulated FP8, with or without pruned
// gradients.
#include "nn/product.h"

#include "base/fail.h"
#include "base/philox.h"
#include "kernels/columns24.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/mvue24_tokens.h"
#include "kernels/numeric.h"
#include "kernels/pack24.h"
#include "kernels/pack24_tokens.h"
#include "kernels/registry.h"
#include "kernels/sddmm24.h"
#include "kernels/soft24.h"
#include "kernels/spmm24.h"
#include "kernels/spmm24_rows.h"
#include "nn/round16.h"
#include "sparse/pattern24.h"

// Fewer rows than the dense product streams its weight for, and fewer columns than pay for packing,
// which costs the same whatever their number.
#define LEAST_TOKENS  64
#define LEAST_COLUMNS 64

// One side of a product. With an index, t has the packed values of the left-hand side, or of the
// transpose of the right-hand side; with a start, those of the column lists of the right-hand side.
typedef struct operand {
    wn_tensor t;
    bool transposed;
    wn_tensor index;
    wn_tensor order, extra; // of a packed left-hand side: kernels/spmm24_rows.h
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
    const wn__spmm24_rows rows = {.b = seen(&p->b),
                                  .values = p->a.t,
                                  .index = p->a.index,
                                  .order = p->a.order,
                                  .extra = p->a.extra,
                                  .c = p->c,
                                  .accumulate = p->accumulate};
    const wn__matmul dense = {.a = seen(&p->a),
                              .b = seen(&p->b),
                              .bias = p->bias,
                              .c = p->c,
                              .accumulate = p->accumulate,
                              .rounded16 = p->rounded16};
    if (wn__given(&p->a.index)) {
        WN_TRY(wn__run(x, WN__OP_spmm24_rows, &rows));
        return wn__product_bias(x, &p->bias, &p->c);
    }
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

// As the bias of a product over nothing.
wn_status wn__product_bias(wn__exec *x, const wn_tensor *bias, const wn_tensor *c) {
    if (!wn__given(bias)) return WN_OK;
    const wn__matmul sum = {.a = wn__tensor_slice(c, 1, 0, 0),
                            .b = wn__tensor2(bias->data, c->dtype, 0, c->shape[1]),
                            .bias = *bias,
                            .c = *c,
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
    return wn__product_bias(x, &p->bias, &p->c);
}

static wn_status run(const wn__linear *l, wn__exec *x, int64_t at, const product *p) {
    return l->structure.fp8 ? multiply8(l, x, at, p) : multiply(x, p);
}

// ---- operands that are 2:4 ----

// Elements of the shared block that hold `bytes`.
static int64_t elements_of(wn_dtype dtype, int64_t bytes) {
    int64_t size = (int64_t)wn_dtype_size(dtype);
    return (bytes + size - 1) / size;
}

static int64_t index_bytes(int64_t depth) {
    return (wn__groups24(depth) + 1) / 2;
}

// `rows` packed rows over `depth`, and `marked` numbers of those that are extra.
static int64_t pack_cost(wn_dtype dtype, int64_t rows, int64_t depth, int64_t marked) {
    return wn__scratch_cost(rows, 2 * wn__groups24(depth)) +
           wn__scratch_cost(1, elements_of(dtype, rows * index_bytes(depth))) +
           wn__scratch_cost(1, elements_of(dtype, 4 * marked));
}

static operand take_pack(const wn__linear *l, wn_dtype dtype, int64_t rows, int64_t depth,
                         int64_t marked, int64_t *at) {
    operand o = {.t = wn__scratch_take(l->scratch, at, rows, 2 * wn__groups24(depth))};
    int64_t bytes = index_bytes(depth);
    const wn_tensor index = wn__scratch_take(l->scratch, at, 1, elements_of(dtype, rows * bytes));
    o.index = wn__tensor2(index.data, WN_DTYPE_U8, rows, bytes);
    if (marked == 0) return o;
    const wn_tensor extra = wn__scratch_take(l->scratch, at, 1, elements_of(dtype, 4 * marked));
    o.extra = wn__tensor1(extra.data, WN_DTYPE_I32, marked);
    return o;
}

// The pack of the transpose of what is 2:4 along tokens, in the shared block; operands: in which
// order and but for which features, or NULL.
static wn_status pack_tokens(const wn__linear *l, wn__exec *x, const wn__operands24 *operands,
                             int64_t *at, operand *o) {
    const wn__operands24 plain = {0}, *by = operands != NULL ? operands : &plain;
    int64_t tokens = o->t.shape[0], rows = o->t.shape[1] + by->marked;
    const operand to = take_pack(l, o->t.dtype, rows, tokens, by->marked, at);
    wn__pack24_tokens pack = {.x = o->t, .values = to.t, .index = to.index, .extra = to.extra};
    if (by->marked > 0) pack.dense = by->dense;
    pack.order = wn__first_rows(&by->order, tokens);
    *o = to;
    o->order = pack.order;
    return wn__run(x, WN__OP_pack24_tokens, &pack);
}

// A product whose left-hand side is 2:4 along its rows. A plan provides for its dense form too,
// which passes before it is.
static wn_status run_features(const wn__linear *l, wn__exec *x, int64_t at, const wn_tensor *mask,
                              const product *dense) {
    product p = *dense;
    int64_t rows = p.a.t.shape[0], depth = p.a.t.shape[1];
    if (!wn__given(mask) || x->planning) WN_TRY(run(l, x, at, dense));
    if (!wn__given(mask)) return WN_OK;
    p.a = take_pack(l, p.a.t.dtype, rows, depth, 0, &at);
    const wn__pack24 pack = {
        .w = dense->a.t, .mask = wn__first_rows(mask, rows), .values = p.a.t, .index = p.a.index};
    WN_TRY(wn__run(x, WN__OP_pack24, &pack));
    return run(l, x, at, &p);
}

// a^T b where one of them is 2:4 along tokens: of b, the transpose.
static wn_status run_tokens(const wn__linear *l, wn__exec *x, int64_t at,
                            const wn__operands24 *operands, const product *dense) {
    product p = *dense;
    bool packed = operands->in_tokens || operands->dy_tokens;
    if (!packed || x->planning) WN_TRY(run(l, x, at, dense));
    if (!packed) return WN_OK;
    if (!operands->dy_tokens) {
        p.a = dense->b;
        p.b = (operand){.t = dense->a.t};
        p.c = wn__tensor_transpose(&dense->c);
    }
    WN_TRY(pack_tokens(l, x, operands, &at, &p.a));
    return run(l, x, at, &p);
}

wn_status wn__product_packs24(const wn__linear *l, const wn__exec *x, const wn_tensor *t,
                              int64_t other, const char **why) {
    int64_t rows = t->shape[0], width = t->shape[1], m = l->factored ? l->structure.rank : other;
    const wn__spmm24_rows args = {.b = wn__tensor2(NULL, t->dtype, width, m),
                                  .values =
                                      wn__tensor2(NULL, t->dtype, rows, 2 * wn__groups24(width)),
                                  .index = wn__tensor2(NULL, WN_DTYPE_U8, rows, index_bytes(width)),
                                  .c = wn__tensor2(NULL, t->dtype, rows, m)};
    const wn__kernel *forced, *chosen;
    wn__exec asking = *x;
    asking.strict = false;
    *why = NULL;
    WN_TRY(wn__force_find(x->force, WN__OP_spmm24_rows, &forced));
    WN_TRY(wn__plan(&asking, WN__OP_spmm24_rows, &args, &chosen));
    if (l->structure.kind == WN_STRUCTURE_KRON)
        *why = "factors of a chain read no packs";
    else if (l->structure.fp8)
        *why = "FP8 rounds them in dense form";
    else if (forced != NULL)
        *why = NULL;
    else if (chosen->rank == 0)
        *why = "no vector kernel reads packs here";
    else if (rows < LEAST_TOKENS)
        *why = "the tokens of a pass are too few";
    else if (m < LEAST_COLUMNS)
        *why = "the layer is too narrow";
    return WN_OK;
}

int64_t wn__product_packs24_scratch(const wn__build *b, int64_t width, int64_t marked) {
    int64_t features = pack_cost(b->dtype, b->rows, width, 0),
            tokens = pack_cost(b->dtype, width + marked, b->rows, marked);
    return features > tokens ? features : tokens;
}

// ---- operands as BF16 ----

// Elements of a matrix of BF16 in a block of floats.
static int64_t narrow_cost(int64_t rows, int64_t columns) {
    return wn__scratch_cost(1, (rows * columns + 1) / 2);
}

// t as a product by a weight of BF16 reads it; as it is by others.
static wn_status narrowed(const wn__linear *l, wn__exec *x, const wn_tensor *t, int64_t *at,
                          wn_tensor *out) {
    int64_t rows = t->shape[0], columns = t->shape[1];
    *out = *t;
    if (!l->store16 || t->dtype == WN_DTYPE_BF16) return WN_OK;
    const wn_tensor room = wn__scratch_take(l->scratch, at, 1, (rows * columns + 1) / 2);
    *out = wn__tensor2(room.data, WN_DTYPE_BF16, rows, columns);
    const wn__copy narrow = {.src = *t, .dst = *out};
    return wn__run(x, WN__OP_copy, &narrow);
}

wn_status wn__product_narrow(const wn__linear *l, wn__exec *x, wn__weight_view *w,
                             const wn_tensor *dy) {
    bool both = l->store16 && !wn__given(&l->dy_for_weight); // take this dy
    return both ? narrowed(l, x, dy, &w->scratch, &w->dy16) : WN_OK;
}

static wn_status narrowed_dy(const wn__linear *l, wn__exec *x, const wn__weight_view *w,
                             const wn_tensor *dy, int64_t *at, wn_tensor *out) {
    *out = w->dy16;
    return wn__given(&w->dy16) ? WN_OK : narrowed(l, x, dy, at, out);
}

// ---- the products ----

wn_status wn__product_forward(const wn__linear *l, wn__exec *x, const wn__weight_view *w,
                              const wn_tensor *in, const wn_tensor *bias, const wn_tensor *out,
                              bool accumulate) {
    bool packed = wn__given(&w->values);
    int64_t at = w->scratch;
    wn_tensor a;
    WN_TRY(narrowed(l, x, in, &at, &a));
    const product p = {
        .a = {.t = a},
        .b = {.t = packed ? w->values : w->dense, .transposed = !packed, .index = w->index},
        .bias = *bias,
        .c = *out,
        .accumulate = accumulate,
        .rounded16 = l->round16,
        .format = WN_FP8_E4M3};
    return packed ? run(l, x, at, &p) : run_features(l, x, at, &w->operands.in, &p);
}

wn_status wn__product_input(const wn__linear *l, wn__exec *x, const wn__weight_view *w,
                            const wn_tensor *dy, const wn_tensor *dx, bool accumulate) {
    operand b = {.t = w->dense};
    if (wn__given(&w->values_t)) b = (operand){.t = w->values_t, .index = w->index_t};
    if (wn__given(&w->lists.start))
        b = (operand){.t = w->lists.values, .start = w->lists.start, .row = w->lists.row};
    int64_t at = w->scratch;
    wn_tensor a;
    WN_TRY(narrowed_dy(l, x, w, dy, &at, &a));
    const product p = {.a = {.t = a},
                       .b = b,
                       .c = *dx,
                       .accumulate = accumulate,
                       .rounded16 = l->round16,
                       .format = WN_FP8_E5M2};
    bool sparse = wn__given(&b.index) || wn__given(&b.start);
    return sparse ? run(l, x, at, &p) : run_features(l, x, at, &w->operands.dy, &p);
}

// The pack of the transpose of T(dy), in the shared block; rounded as dy would be for a dense
// product of bfloat16 numbers.
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
    WN_TRY(wn__run(x, WN__OP_mvue24_tokens, &draw));
    return l->store16 ? narrowed(l, x, &values, at, &dy->t) : wn__keep16(l->round16, x, &values);
}

// g (+)= dy^T x at kept places, zeros elsewhere: what was there before is packed like the weight,
// added to and unpacked again.
static wn_status weight_kept(const wn__linear *l, wn__exec *x, const wn__weight_view *w, int64_t at,
                             const wn_tensor *in, const wn_tensor *dy, const wn__param *param) {
    const operand v = take_pack(l, param->g.dtype, param->g.shape[0], param->g.shape[1], 0, &at);
    const wn__pack24 before = {.w = param->g, .mask = w->kept, .values = v.t, .index = v.index};
    const wn__sddmm24 kept = {
        .dy = *dy, .x = *in, .index = w->index, .v = v.t, .accumulate = !param->fresh};
    const wn__unpack24 after = {.values = v.t, .index = w->index, .w = param->g};
    if (!param->fresh || x->planning) WN_TRY(wn__run(x, WN__OP_pack24, &before));
    WN_TRY(wn__run(x, WN__OP_sddmm24, &kept));
    return wn__run(x, WN__OP_unpack24, &after);
}

// The dense gradient, or that of a pruned dy.
static wn_status weight_whole(const wn__linear *l, wn__exec *x, const wn__weight_view *w,
                              int64_t at, const wn_tensor *in, const wn_tensor *dy,
                              const wn__param *param) {
    product p = {.a = {.t = *dy, .transposed = true},
                 .b = {.t = *in},
                 .c = param->g,
                 .accumulate = !param->fresh,
                 .rounded16 = l->round16,
                 .format = WN_FP8_E5M2};
    if (w->mvue == WN_MVUE_OFF) return run_tokens(l, x, at, &w->operands, &p);
    WN_TRY(prune(l, x, w, &at, &p.a));
    return run(l, x, at, &p);
}

wn_status wn__product_weight(const wn__linear *l, wn__exec *x, const wn__weight_view *w,
                             const wn_tensor *in, const wn_tensor *dy, wn__param *param) {
    bool kept = wn__given(&w->kept), drawn = w->mvue != WN_MVUE_OFF;
    int64_t at = w->scratch;
    wn_tensor b, a = *dy;
    WN_TRY(narrowed(l, x, in, &at, &b));
    if (kept || !drawn) WN_TRY(narrowed_dy(l, x, w, dy, &at, &a));
    if (!kept || x->planning) WN_TRY(weight_whole(l, x, w, at, &b, drawn ? dy : &a, param));
    if (kept) WN_TRY(weight_kept(l, x, w, at, &b, &a, param));
    if (!x->planning) param->fresh = false;
    return WN_OK;
}

void wn__product_flops(const wn__structure *s, const wn__operands24 *o, double dense,
                       wn__linear_flops *out) {
    double whole = 0; // share of the features that take two packed rows
    if (o->marked > 0) whole = (double)o->marked / (double)o->dense.shape[0];
    *out = (wn__linear_flops){dense, dense, dense};
    if (wn__given(&o->in)) out->forward = dense / 2;
    if (wn__given(&o->dy)) out->input_gradient = dense / 2;
    if (o->in_tokens || o->dy_tokens) out->weight_gradient = dense * (1 + whole) / 2;
    if (s->mvue != WN_MVUE_OFF) out->weight_gradient = dense / 2;
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
    if (b->training && s->kept) cost = larger(cost, pack_cost(b->dtype, out, in, 0));
    if (wn__linear_stores16(s, b)) { // what came as floats, for all of a call, and draws
        cost += narrow_cost(b->rows, in) + narrow_cost(b->dy_rows, out);
        if (pruned) cost += narrow_cost(out, 2 * groups);
    }
    if (!s->fp8) return larger(cost, b->packs24);
    // Two operands, their scales and a product: of x, dy and W with its padding, packed or listed,
    // in any order.
    int64_t padded = wn__scratch_cost(4 * wn__groups24(out), 4 * wn__groups24(in));
    int64_t listed = wn__scratch_cost(wn__columns24_slices(out), wn__columns24_room(out, in));
    return cost + 2 * wn__scratch_cost(1, 16) + larger(rows_out, packed) +
           wn__scratch_cost(b->rows, in) + larger(padded, listed);
}
