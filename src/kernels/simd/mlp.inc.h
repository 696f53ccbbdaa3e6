// SPDX-License-Identifier: MIT
/* swiglu, relu2 and their gradients. The sigmoid is kept as a 2^n, so that silu(z) up is right
 * where exp(z) alone has no float. Lanes know nothing of each other: a tail gives the bits that it
 * would give elsewhere. */
#include "kernels/mlp.h"
#include "kernels/op.h"
#include "kernels/simd/vec.h"
#include "kernels/simd/vexp.h"

#define MLP_GRAIN 8192

/* s = 1/(1 + exp(-z)) = a 2^n and 1 - s = b. Below -709 exp(-z) has no double either and s is 0. */
typedef struct sigmoid {
    vf a, n, b;
} sigmoid;

static inline sigmoid sigmoid_of(vf z) {
    vf n, zero = vf_zero(), one = vf_set(1.0F);
    vm negative = vm_lt(z, zero);
    vf p = vf_exp_parts(vf_select(negative, z, vf_sub(zero, z)), -170.0F, &n);
    vf e = vf_scale(p, n), inverse = vf_div(one, vf_add(one, e)); /* e = exp(-|z|) */
    vf a = vf_select(vm_lt(z, vf_set(-709.0F)), zero, vf_mul(p, inverse));
    return (sigmoid){vf_select(negative, a, inverse), vf_select(negative, n, zero),
                     vf_select(negative, inverse, vf_mul(e, inverse))};
}

ALWAYS void swiglu_step(const wn__swiglu *p, int64_t i, int64_t n) {
    vf z = vf_get((const float *)p->gate.data + i, n),
       up = vf_get((const float *)p->up.data + i, n);
    sigmoid s = sigmoid_of(z);
    vf_put((float *)p->y.data + i, vf_scale(vf_mul(vf_mul(z, s.a), up), s.n), n);
}

ALWAYS void swiglu_grad_step(const wn__swiglu_grad *p, int64_t i, int64_t n) {
    vf z = vf_get((const float *)p->gate.data + i, n),
       up = vf_get((const float *)p->up.data + i, n);
    vf dy = vf_get((const float *)p->dy.data + i, n);
    sigmoid s = sigmoid_of(z);
    vf slope = vf_mul(s.a, vf_fma(z, s.b, vf_set(1.0F))); /* s + z s (1 - s) */
    vf_put((float *)p->dup.data + i, vf_scale(vf_mul(dy, vf_mul(z, s.a)), s.n), n);
    vf_put((float *)p->dgate.data + i, vf_scale(vf_mul(vf_mul(dy, up), slope), s.n), n);
}

/* max(x, 0), NaN for NaN: the second operand is the one that may be NaN. */
static inline vf positive(vf x) {
    return vf_max(vf_zero(), x);
}

ALWAYS void relu2_step(const wn__relu2 *p, int64_t i, int64_t n) {
    vf x = positive(vf_get((const float *)p->x.data + i, n));
    vf_put((float *)p->y.data + i, vf_mul(x, x), n);
}

ALWAYS void relu2_grad_step(const wn__relu2_grad *p, int64_t i, int64_t n) {
    vf slope = vf_mul(positive(vf_get((const float *)p->x.data + i, n)),
                      vf_get((const float *)p->dy.data + i, n));
    vf_put((float *)p->dx.data + i, vf_add(slope, slope),
           n); /* doubled last: 2 x may overflow where 2 x dy does not */
}

static void swiglu_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        swiglu_step(ctx, i, VF);
    if (i < end) swiglu_step(ctx, i, end - i);
}

static void swiglu_grad_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        swiglu_grad_step(ctx, i, VF);
    if (i < end) swiglu_grad_step(ctx, i, end - i);
}

static void relu2_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        relu2_step(ctx, i, VF);
    if (i < end) relu2_step(ctx, i, end - i);
}

static void relu2_grad_range(void *ctx, int64_t i, int64_t end, int worker) {
    (void)worker;
    for (; i + VF <= end; i += VF)
        relu2_grad_step(ctx, i, VF);
    if (i < end) relu2_grad_step(ctx, i, end - i);
}

static wn_status swiglu(const void *args, wn__exec *x) {
    const wn__swiglu *p = args;
    wn__parallel_for(x->pool, wn__tensor_count(&p->y), MLP_GRAIN, swiglu_range, (void *)args);
    return WN_OK;
}

static wn_status swiglu_grad(const void *args, wn__exec *x) {
    const wn__swiglu_grad *p = args;
    wn__parallel_for(x->pool, wn__tensor_count(&p->dy), MLP_GRAIN, swiglu_grad_range, (void *)args);
    return WN_OK;
}

static wn_status relu2(const void *args, wn__exec *x) {
    const wn__relu2 *p = args;
    wn__parallel_for(x->pool, wn__tensor_count(&p->y), MLP_GRAIN, relu2_range, (void *)args);
    return WN_OK;
}

static wn_status relu2_grad(const void *args, wn__exec *x) {
    const wn__relu2_grad *p = args;
    wn__parallel_for(x->pool, wn__tensor_count(&p->dx), MLP_GRAIN, relu2_grad_range, (void *)args);
    return WN_OK;
}
