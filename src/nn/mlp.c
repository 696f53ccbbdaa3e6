// SPDX-License-Identifier: MIT
// Feed-forward blocks, gated (SwiGLU) and not (ReLU, squared ReLU), these with 2:4 activations when
// asked for.
#include "nn/mlp.h"

#include "base/fail.h"
#include "kernels/act24.h"
#include "kernels/mlp.h"
#include "nn/round16.h"

wn_status wn__mlp_build(wn__mlp *m, const char *name, const wn__model_config *c,
                        wn__structure_rules *rules, wn__build *b) {
    *m = (wn__mlp){.kind = c->mlp, .round16 = b->round16};
    int64_t width = c->hidden_size, inner = c->intermediate_size;
    if (m->kind == WN_MLP_SWIGLU)
        WN_TRY(
            wn__linear_build_in(&m->gate, name, "gate_proj", width, inner, c->mlp_bias, rules, b));
    else
        WN_TRY(wn__act24_build(&m->act, name, inner, b->layers, rules, b));
    if (wn__act24_given(&m->act) && b->training) b->packs24 = wn__act24_packs(&m->act, b);
    WN_TRY(wn__linear_build_in(&m->up, name, "up_proj", width, inner, c->mlp_bias, rules, b));
    WN_TRY(wn__linear_build_in(&m->down, name, "down_proj", inner, width, c->mlp_bias, rules, b));
    b->packs24 = 0;
    return WN_OK;
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
    if (b->training) WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, rows, inner, &out->act));
    return wn__act24_buffers_alloc(&m->act, &out->act, m->down.out, b, &out->act24);
}

wn_status wn__mlp_buffers_share(const wn__mlp *m, const wn__mlp_buffers *from, wn__build *b,
                                wn__mlp_buffers *out) {
    *out = *from;
    return wn__act24_buffers_alloc(&m->act, &out->act, m->down.out, b, &out->act24);
}

wn_status wn__mlp_buffers_save(const wn__mlp *m, int64_t rows, wn__build *b, wn__mlp_buffers *out) {
    wn__mlp_saved *s = &out->saved;
    int64_t inner = m->up.out;
    if (m->kind == WN_MLP_SWIGLU)
        WN_TRY(wn__tensor_alloc2(b->activations, WN_DTYPE_BF16, rows, inner, &s->gate));
    WN_TRY(wn__tensor_alloc2(b->activations, WN_DTYPE_BF16, rows, inner, &s->up));
    return wn__tensor_alloc2(b->activations, WN_DTYPE_BF16, rows, inner, &s->act);
}

// The gradient of the activation and, where they differ, what weight gradients take instead.
int64_t wn__mlp_scratch(const wn__mlp *m) {
    bool split = wn__act24_given(&m->act) && m->act.structure.backward == WN_ACT24_SPLIT;
    return m->up.out * (split ? 2 : 1);
}

static wn__mlp_buffers buffers_of(const wn__mlp_buffers *all, int64_t rows) {
    wn__mlp_buffers s = *all;
    s.gate = wn__first_rows(&all->gate, rows);
    s.up = wn__first_rows(&all->up, rows);
    s.act = wn__first_rows(&all->act, rows);
    s.act24.pruned = wn__first_rows(&all->act24.pruned, rows);
    s.act24.mask = wn__first_rows(&all->act24.mask, rows);
    s.saved = (wn__mlp_saved){.in = wn__first_rows(&all->saved.in, rows),
                              .gate = wn__first_rows(&all->saved.gate, rows),
                              .up = wn__first_rows(&all->saved.up, rows),
                              .act = wn__first_rows(&all->saved.act, rows)};
    return s;
}

static wn_status activate(const wn__mlp *m, wn__exec *x, const wn__mlp_buffers *s) {
    const wn__swiglu gated = {.gate = s->gate, .up = s->up, .y = s->act};
    const wn__relu2 squared = {.x = s->up, .y = s->act};
    const wn__relu plain = {.x = s->up, .y = s->act};
    switch (m->kind) {
    case WN_MLP_SWIGLU:
        return wn__run(x, WN__OP_swiglu, &gated);
    case WN_MLP_RELU2:
        return wn__run(x, WN__OP_relu2, &squared);
    case WN_MLP_RELU:
        return wn__run(x, WN__OP_relu, &plain);
    }
    return wn__fail(WN_BUG, "%s: an MLP of kind %d", m->up.name, (int)m->kind);
}

// Up to what down_proj reads.
static wn_status inner_forward(wn__mlp *m, wn__exec *x, const wn_tensor *in,
                               const wn__mlp_buffers *s, bool again) {
    const wn_tensor *gate_in = wn__linear_reads(&m->gate, &s->saved.in, in);
    if (m->kind == WN_MLP_SWIGLU) WN_TRY(wn__linear_forward(&m->gate, x, gate_in, &s->gate, false));
    WN_TRY(
        wn__linear_forward(&m->up, x, wn__linear_reads(&m->up, &s->saved.in, in), &s->up, false));
    WN_TRY(wn__save16(x, &s->gate, &s->saved.gate));
    WN_TRY(wn__save16(x, &s->up, &s->saved.up));
    WN_TRY(activate(m, x, s));
    WN_TRY(wn__keep16(m->round16, x, &s->act));
    WN_TRY(wn__save16(x, &s->act, &s->saved.act));
    if (wn__given(&s->act24.mask)) // training: packs are made by it
        WN_TRY(wn__act24_choose(&m->act, x, &s->act, &m->up, &m->down));
    WN_TRY(wn__act24_forward(&m->act, x, &s->act, &s->act24, &m->down, again));
    wn__act24_operands(&m->act, x, &s->act24, &m->up, &m->down);
    return WN_OK;
}

static const wn_tensor *multiplied(const wn__mlp *m, const wn__mlp_buffers *s) {
    return m->act.sparse ? &s->act24.pruned : wn__linear_reads(&m->down, &s->saved.act, &s->act);
}

wn_status wn__mlp_forward(wn__mlp *m, wn__exec *x, const wn_tensor *in,
                          const wn__mlp_buffers *buffers, const wn_tensor *out) {
    const wn__mlp_buffers s = buffers_of(buffers, in->shape[0]);
    WN_TRY(inner_forward(m, x, in, &s, false));
    m->down.input24 = m->act.sparse;
    return wn__linear_forward(&m->down, x, multiplied(m, &s), out, true);
}

wn_status wn__mlp_again(wn__mlp *m, wn__exec *x, const wn_tensor *in,
                        const wn__mlp_buffers *buffers) {
    const wn__mlp_buffers s = buffers_of(buffers, in->shape[0]);
    return inner_forward(m, x, in, &s, true);
}

// dact = gradient of what down_proj read. Its weight's gradient takes the unpruned activation
// (straight through), or the pruned one pruned again along tokens, into `tokens`.
static wn_status down_backward(wn__mlp *m, wn__exec *x, const wn__mlp_buffers *s,
                               const wn_tensor *dout, const wn_tensor *dact,
                               const wn_tensor *tokens) {
    const wn_tensor *in = multiplied(m, s),
                    *for_weight = wn__linear_reads(&m->down, &s->saved.act, &s->act);
    if (m->act.structure.backward != WN_ACT24_DENSE) for_weight = in;
    if (wn__given(tokens)) {
        WN_TRY(wn__act24_tokens(&m->act, x, in, tokens));
        for_weight = tokens;
    }
    return wn__linear_backward_split(&m->down, x, in, dout, dact, false, for_weight, NULL);
}

// The gradients of gate and up take the place of gate and up.
static wn_status activate_backward(const wn__mlp *m, wn__exec *x, const wn__mlp_buffers *s,
                                   const wn_tensor *dact) {
    const wn__swiglu_grad gated = {
        .gate = s->gate, .up = s->up, .dy = *dact, .dgate = s->gate, .dup = s->up};
    const wn__relu2_grad squared = {.x = s->up, .dy = *dact, .dx = s->up};
    const wn__relu_grad plain = {.x = s->up, .dy = *dact, .dx = s->up};
    if (m->kind == WN_MLP_SWIGLU) {
        WN_TRY(wn__run(x, WN__OP_swiglu_grad, &gated));
        WN_TRY(wn__keep16(m->round16, x, &s->gate));
        return wn__keep16(m->round16, x, &s->up);
    }
    WN_TRY(m->kind == WN_MLP_RELU2 ? wn__run(x, WN__OP_relu2_grad, &squared)
                                   : wn__run(x, WN__OP_relu_grad, &plain));
    WN_TRY(wn__keep16(m->round16, x, &s->up));
    return wn__act24_mask(&m->act, x, &s->act24.pruned, &s->up);
}

static wn_status up_backward(wn__mlp *m, wn__exec *x, const wn_tensor *in, const wn__mlp_buffers *s,
                             const wn_tensor *din, const wn_tensor *tokens) {
    bool gated = m->kind == WN_MLP_SWIGLU;
    const wn_tensor *gate_in = wn__linear_reads(&m->gate, &s->saved.in, in);
    if (gated) WN_TRY(wn__linear_backward(&m->gate, x, gate_in, &s->gate, din, false));
    if (wn__given(tokens)) WN_TRY(wn__act24_tokens(&m->act, x, &s->up, tokens));
    return wn__linear_backward_split(&m->up, x, wn__linear_reads(&m->up, &s->saved.in, in), &s->up,
                                     din, gated, NULL, tokens);
}

// What was saved comes back as floats: what the activation's gradient reads, and what layers do
// that read no BF16.
static wn_status bring_back(const wn__mlp *m, wn__exec *x, const wn_tensor *in,
                            const wn__mlp_buffers *s) {
    bool floats = !m->up.store16 || (m->kind == WN_MLP_SWIGLU && !m->gate.store16);
    if (floats) WN_TRY(wn__load16(x, &s->saved.in, in));
    if (!m->down.store16) WN_TRY(wn__load16(x, &s->saved.act, &s->act));
    WN_TRY(wn__load16(x, &s->saved.gate, &s->gate));
    return wn__load16(x, &s->saved.up, &s->up);
}

// Cuts the next rows x width matrix off the scratch.
static wn_tensor take(const wn_tensor *scratch, int64_t which, int64_t rows, int64_t width) {
    const wn_tensor t = wn__tensor_slice(scratch, 0, which * rows * width, rows * width);
    return wn__tensor_view2(&t, rows, width);
}

wn_status wn__mlp_backward(wn__mlp *m, wn__exec *x, int64_t T, const wn_tensor *in,
                           const wn__mlp_buffers *buffers, const wn_tensor *dout,
                           const wn_tensor *din, const wn_tensor *scratch) {
    int64_t rows = in->shape[0], inner = m->up.out;
    const wn__mlp_buffers s = buffers_of(buffers, rows);
    const wn_tensor dact = take(scratch, 0, rows, inner);
    wn_tensor tokens = {0};
    if (wn__act24_along_tokens(&m->act, x)) {
        tokens = take(scratch, 1, rows, inner);
        WN_TRY(wn__act24_begin_tokens(&m->act, x, rows, T));
    }
    WN_TRY(bring_back(m, x, in, &s));
    WN_TRY(down_backward(m, x, &s, dout, &dact, &tokens));
    WN_TRY(activate_backward(m, x, &s, &dact));
    return up_backward(m, x, in, &s, din, &tokens);
}
