// SPDX-License-Identifier: MIT
// Cases of swiglu, relu, relu2 and their gradients, outputs on inputs too. relu and its gradient
// agree with ref bit for bit, any NaN with any other. Bounds of the others, with an exp that is
// off by 2 units in the last place (4 u) at most and s = 1/(1 + exp(-z)):
//
//   s is off by 6 u s (exp, sum, division); silu(z) up by 8 u: 10 u |y| leaves room for second
//   order. dgate = dy up (s + z s (1 - s)): s by 6 u s; 1 - s by 6 u s + u, so the second term by
//   |z| s (6 u (1 - s) + 6 u s + 3 u); products and sums add 4 u: at most 10 u |dy up| s (1 + 2
//   |z|). Where exp(-z) overflows, or is held just below, s is off by less than 2^-125 (2^-1021 in
//   double) altogether. relu2 and its gradient round one product.
#include "kernels/act24.h"
#include "kernels/check/harness.h"
#include "kernels/mlp.h"

#include <math.h>

enum { COUNT, DTYPE, DATA, SHARED, FIELDS };

// shared: which input the output is, counted from 1; of swiglu_grad 1: dgate is gate and dup is up,
// 2: dgate is dy, 3: dup is dy.
#define FIELDS_OF(most)                                                                            \
    {                                                                                              \
        WN__FIELD_SIZE("n", 0, 1 << 20, 129, 200000), WN__FIELD_DTYPE,                             \
            WN__FIELD_DATA(WN__DATA_NAN), WN__FIELD_CHOICE("shared", 0, most, 0)                   \
    }

static wn_tensor vector(const wn__case *c) {
    return wn__tensor1(NULL, wn__case_dtype(c, DTYPE), c->problem.value[COUNT]);
}

// Infinities times zero are the contract of nobody here: NaN is.
static void settle(wn__problem *p) {
    if (p->value[DATA] == WN__DATA_INFINITE) p->value[DATA] = WN__DATA_NAN;
}

// Gates reach where exp overflows and where it vanishes.
static void fill(wn__case *c) {
    wn__data kind = (wn__data)c->problem.value[DATA];
    wn__part *gate = wn__case_find(c, "gate");
    wn__case_fill(c, kind);
    if (gate && kind == WN__DATA_NORMAL)
        for (int64_t i = 0; i < gate->count; i += 3)
            wn__part_set(gate, i, 40 * wn__part_get(gate, i));
}

// What s loses where exp(-z) is too large for the arithmetic.
static double saturation(const wn__round *r) {
    return r->eta < 0x1p-1000 ? 0x1p-1021 : 0x1p-125;
}

static double sigmoid(double z) {
    return 1 / (1 + exp(-z));
}

static const wn__field swiglu_fields[FIELDS] = FIELDS_OF(2);

static void swiglu_declare(wn__case *c) {
    wn__swiglu *p = c->args;
    int64_t shared = c->problem.value[SHARED];
    wn__case_part(c, "gate", &p->gate, WN__READ, vector(c));
    wn__case_part(c, "up", &p->up, WN__READ, vector(c));
    wn__part *y = wn__case_part(c, "y", &p->y, WN__WRITE, vector(c));
    if (shared) wn__part_share(c, y, c->part + shared - 1);
}

static void swiglu_bound(wn__case *c, const wn__round *r) {
    wn__part *y = wn__case_find(c, "y");
    const double *gate = c->part[0].before, *up = c->part[1].before;
    for (int64_t i = 0; i < y->count; i++)
        y->bound[i] = wn__stored(r, y->want[i]) + 10 * r->acc * fabs(y->want[i]) +
                      fabs(gate[i] * up[i]) * saturation(r) + 2 * r->eta * (1 + fabs(up[i]));
}

static double swiglu_flops(const wn__problem *p) {
    return 5.0 * (double)p->value[COUNT];
}

const wn__case_type wn__cases_swiglu = {.op = WN__OP_swiglu,
                                        .args_size = sizeof(wn__swiglu),
                                        .fields = swiglu_fields,
                                        .field_count = FIELDS,
                                        .settle = settle,
                                        .declare = swiglu_declare,
                                        .fill = fill,
                                        .bound = swiglu_bound,
                                        .flops = swiglu_flops};

static const wn__field swiglu_grad_fields[FIELDS] = FIELDS_OF(3);

static void swiglu_grad_declare(wn__case *c) {
    wn__swiglu_grad *p = c->args;
    int64_t shared = c->problem.value[SHARED];
    wn__part *gate = wn__case_part(c, "gate", &p->gate, WN__READ, vector(c));
    wn__part *up = wn__case_part(c, "up", &p->up, WN__READ, vector(c));
    wn__part *dy = wn__case_part(c, "dy", &p->dy, WN__READ, vector(c));
    wn__part *dgate = wn__case_part(c, "dgate", &p->dgate, WN__WRITE, vector(c));
    wn__part *dup = wn__case_part(c, "dup", &p->dup, WN__WRITE, vector(c));
    if (shared == 1) wn__part_share(c, dgate, gate);
    if (shared == 1) wn__part_share(c, dup, up);
    if (shared == 2) wn__part_share(c, dgate, dy);
    if (shared == 3) wn__part_share(c, dup, dy);
}

static void swiglu_grad_bound(wn__case *c, const wn__round *r) {
    wn__part *dgate = wn__case_find(c, "dgate"), *dup = wn__case_find(c, "dup");
    const double *gate = c->part[0].before, *up = c->part[1].before, *dy = c->part[2].before;
    for (int64_t i = 0; i < dgate->count; i++) {
        double z = fabs(gate[i]), product = fabs(dy[i] * up[i]), s = sigmoid(gate[i]);
        double lost = 2 * r->eta * (2 + z) * (1 + fabs(dy[i])); // to underflow
        dgate->bound[i] = wn__stored(r, dgate->want[i]) +
                          product * (10 * r->acc * s * (1 + 2 * z) + (1 + z) * saturation(r)) +
                          lost * (1 + fabs(up[i]));
        dup->bound[i] = wn__stored(r, dup->want[i]) + 10 * r->acc * fabs(dup->want[i]) +
                        fabs(dy[i] * z) * saturation(r) + lost;
    }
}

static double swiglu_grad_flops(const wn__problem *p) {
    return 12.0 * (double)p->value[COUNT];
}

const wn__case_type wn__cases_swiglu_grad = {.op = WN__OP_swiglu_grad,
                                             .args_size = sizeof(wn__swiglu_grad),
                                             .fields = swiglu_grad_fields,
                                             .field_count = FIELDS,
                                             .settle = settle,
                                             .declare = swiglu_grad_declare,
                                             .fill = fill,
                                             .bound = swiglu_grad_bound,
                                             .flops = swiglu_grad_flops};

// ---- one input and one output, and the gradient

static const wn__field one_fields[FIELDS] = FIELDS_OF(1), grad_fields[FIELDS] = FIELDS_OF(2);

static void declare_one(wn__case *c, wn_tensor *x_at, wn_tensor *y_at) {
    wn__part *x = wn__case_part(c, "x", x_at, WN__READ, vector(c));
    wn__part *y = wn__case_part(c, "y", y_at, WN__WRITE, vector(c));
    if (c->problem.value[SHARED]) wn__part_share(c, y, x);
}

static void declare_grad(wn__case *c, wn_tensor *x, wn_tensor *dy, wn_tensor *dx_at) {
    int64_t shared = c->problem.value[SHARED];
    wn__case_part(c, "x", x, WN__READ, vector(c));
    wn__case_part(c, "dy", dy, WN__READ, vector(c));
    wn__part *dx = wn__case_part(c, "dx", dx_at, WN__WRITE, vector(c));
    if (shared) wn__part_share(c, dx, c->part + shared - 1);
}

#define DECLARE_OF(op)                                                                             \
    static void op##_declare(wn__case *c) {                                                        \
        wn__##op *p = c->args;                                                                     \
        declare_one(c, &p->x, &p->y);                                                              \
    }                                                                                              \
    static void op##_grad_declare(wn__case *c) {                                                   \
        wn__##op##_grad *p = c->args;                                                              \
        declare_grad(c, &p->x, &p->dy, &p->dx);                                                    \
    }
DECLARE_OF(relu)
DECLARE_OF(relu2)
#undef DECLARE_OF

const wn__case_type wn__cases_relu = {.op = WN__OP_relu,
                                      .args_size = sizeof(wn__relu),
                                      .fields = one_fields,
                                      .field_count = FIELDS,
                                      .compare = WN__SAME_VALUES,
                                      .declare = relu_declare,
                                      .fill = fill};

const wn__case_type wn__cases_relu_grad = {.op = WN__OP_relu_grad,
                                           .args_size = sizeof(wn__relu_grad),
                                           .fields = grad_fields,
                                           .field_count = FIELDS,
                                           .compare = WN__SAME_VALUES,
                                           .declare = relu_grad_declare,
                                           .fill = fill};

// The last part of relu2 and of its gradient is the product that is rounded.
static void product_bound(wn__case *c, const wn__round *r) {
    wn__part *y = c->part + c->parts - 1;
    for (int64_t i = 0; i < y->count; i++)
        y->bound[i] = wn__stored(r, y->want[i]);
}

static double relu2_flops(const wn__problem *p) {
    return 2.0 * (double)p->value[COUNT];
}

const wn__case_type wn__cases_relu2 = {.op = WN__OP_relu2,
                                       .args_size = sizeof(wn__relu2),
                                       .fields = one_fields,
                                       .field_count = FIELDS,
                                       .declare = relu2_declare,
                                       .fill = fill,
                                       .bound = product_bound,
                                       .flops = relu2_flops};

const wn__case_type wn__cases_relu2_grad = {.op = WN__OP_relu2_grad,
                                            .args_size = sizeof(wn__relu2_grad),
                                            .fields = grad_fields,
                                            .field_count = FIELDS,
                                            .declare = relu2_grad_declare,
                                            .fill = fill,
                                            .bound = product_bound,
                                            .flops = relu2_flops};
