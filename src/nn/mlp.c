// SPDX-License-Identifier: MIT
// Feed-forward blocks, gated (SwiGLU) and not (squared ReLU).
#include "nn/mlp.h"

#include "base/fail.h"
#include "kernels/mlp.h"

wn_status wn__mlp_build(wn__mlp *m, const char *name, const wn__model_config *c,
                        wn__structure_rules *rules, wn__build *b) {
    *m = (wn__mlp){.kind = c->mlp};
    int64_t width = c->hidden_size, inner = c->intermediate_size;
    if (m->kind == WN_MLP_SWIGLU)
        WN_TRY(
            wn__linear_build_in(&m->gate, name, "gate_proj", width, inner, c->mlp_bias, rules, b));
    WN_TRY(wn__linear_build_in(&m->up, name, "up_proj", width, inner, c->mlp_bias, rules, b));
    return wn__linear_build_in(&m->down, name, "down_proj", inner, width, c->mlp_bias, rules, b);
}

void wn__mlp_free(wn__mlp *m) {
    wn__linear_free(&m->gate);
    wn__linear_free(&m->up);
    wn__linear_free(&m->down);
}

wn_status wn__mlp_buffers_alloc(const wn__mlp *m, int64_t rows, wn__build *b,
                                wn__mlp_buffers *out) {
    int64_t inner = m->up.out;
    *out = (wn__mlp_buffers){0};
    if (m->kind == WN_MLP_SWIGLU)
        WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, rows, inner, &out->gate));
    WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, rows, inner, &out->up));
    out->act = out->up;
    if (!b->training) return WN_OK;
    return wn__tensor_alloc2(b->activations, b->dtype, rows, inner, &out->act);
}

int64_t wn__mlp_scratch(const wn__mlp *m) {
    return m->up.out;
}

static wn__mlp_buffers buffers_of(const wn__mlp_buffers *all, int64_t rows) {
    return (wn__mlp_buffers){.gate = wn__first_rows(&all->gate, rows),
                             .up = wn__first_rows(&all->up, rows),
                             .act = wn__first_rows(&all->act, rows)};
}

static wn_status activate(const wn__mlp *m, wn__exec *x, const wn__mlp_buffers *s) {
    const wn__swiglu gated = {.gate = s->gate, .up = s->up, .y = s->act};
    const wn__relu2 plain = {.x = s->up, .y = s->act};
    return m->kind == WN_MLP_SWIGLU ? wn__run(x, WN__OP_swiglu, &gated)
                                    : wn__run(x, WN__OP_relu2, &plain);
}

wn_status wn__mlp_forward(wn__mlp *m, wn__exec *x, const wn_tensor *in,
                          const wn__mlp_buffers *buffers, const wn_tensor *out) {
    const wn__mlp_buffers s = buffers_of(buffers, in->shape[0]);
    if (m->kind == WN_MLP_SWIGLU) WN_TRY(wn__linear_forward(&m->gate, x, in, &s.gate, false));
    WN_TRY(wn__linear_forward(&m->up, x, in, &s.up, false));
    WN_TRY(activate(m, x, &s));
    return wn__linear_forward(&m->down, x, &s.act, out, true);
}

// The gradients of gate and up take the place of gate and up.
static wn_status activate_backward(const wn__mlp *m, wn__exec *x, const wn__mlp_buffers *s,
                                   const wn_tensor *dact) {
    const wn__swiglu_grad gated = {
        .gate = s->gate, .up = s->up, .dy = *dact, .dgate = s->gate, .dup = s->up};
    const wn__relu2_grad plain = {.x = s->up, .dy = *dact, .dx = s->up};
    return m->kind == WN_MLP_SWIGLU ? wn__run(x, WN__OP_swiglu_grad, &gated)
                                    : wn__run(x, WN__OP_relu2_grad, &plain);
}

wn_status wn__mlp_backward(wn__mlp *m, wn__exec *x, const wn_tensor *in,
                           const wn__mlp_buffers *buffers, const wn_tensor *dout,
                           const wn_tensor *din, const wn_tensor *scratch) {
    int64_t rows = in->shape[0];
    const wn__mlp_buffers s = buffers_of(buffers, rows);
    const wn_tensor flat = wn__tensor_slice(scratch, 0, 0, rows * m->up.out);
    const wn_tensor dact = wn__tensor_view2(&flat, rows, m->up.out);
    WN_TRY(wn__linear_backward(&m->down, x, &s.act, dout, &dact, false));
    WN_TRY(activate_backward(m, x, &s, &dact));
    bool gated = m->kind == WN_MLP_SWIGLU;
    if (gated) WN_TRY(wn__linear_backward(&m->gate, x, in, &s.gate, din, false));
    return wn__linear_backward(&m->up, x, in, &s.up, din, gated);
}
