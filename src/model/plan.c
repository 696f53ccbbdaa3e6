// SPDX-License-Identifier: MIT
// Planning: everything a model will run, with the executor in planning mode, so that what no kernel
// can do fails at creation and the workspace is large enough for all that follows.
#include "base/fail.h"
#include "kernels/elementwise.h"
#include "model/internal.h"
#include "optim/optim.h"

static wn_status plan_pass(wn__model *m, wn__span s) {
    double unused;
    WN_TRY(wn__model_blocks(m, s, &m->rope, NULL));
    WN_TRY(wn__model_head_loss(m, s, false, 0, &unused));
    if (!m->spec.training) return WN_OK;
    WN_TRY(wn__model_head_loss(m, s, true, 1, &unused));
    return wn__model_blocks_backward(m, s);
}

static wn_status plan_logits(wn__model *m, wn__span s) {
    int64_t rows = s.B * s.T;
    const wn_tensor in = wn__tensor_slice(&m->buffers.exit_norm, 0, 0, rows);
    const wn_tensor out = wn__tensor2(NULL, m->spec.dtype, rows, m->spec.config.vocab_size);
    return wn__linear_forward(&m->head, m->x, &in, &out, false);
}

static wn_status plan_update(wn__model *m) {
    const wn_tensor sums = wn__tensor1(NULL, WN_DTYPE_F64, (int64_t)m->params.count);
    double norm;
    WN_TRY(wn__model_zero_gradients(m));
    WN_TRY(wn__gradient_norm(&m->params, m->x, &sums, &norm));
    WN_TRY(wn__model_regularize(m, 1));
    return wn__model_update(m, 0, 1, 0, NULL);
}

// Initial values, those of a checkpoint, and structured weights written out for another.
static wn_status plan_weights(wn__model *m) {
    WN_TRY(wn__model_init(m, 0));
    for (size_t i = 0; i < m->linear_count; i++) {
        wn__linear *l = m->linear[i];
        const wn_tensor weight = wn__tensor2(NULL, m->spec.dtype, l->out, l->in),
                        merged = wn__tensor2(NULL, wn__model_merged_dtype(m, l), l->out, l->in);
        WN_TRY(wn__linear_adopt(l, m->x, &weight));
        if (!wn__linear_streams(l)) WN_TRY(wn__linear_merge(l, m->x, &merged));
    }
    return WN_OK;
}

wn_status wn__model_plan_all(wn__model *m) {
    const wn__span s = {.B = m->spec.batch, .T = m->spec.seq};
    WN_TRY(wn__rope_tables_fill(&m->spec.config, m->x, &m->rope));
    WN_TRY(plan_weights(m));
    WN_TRY(wn__model_prepare(m, 0));
    WN_TRY(plan_pass(m, s));
    WN_TRY(plan_logits(m, s));
    return m->spec.training ? plan_update(m) : WN_OK;
}

wn_status wn__model_plan_span(wn__model *m, wn__span s) {
    if (s.B == m->planned.B && s.T == m->planned.T) return WN_OK;
    wn__runtime_plan_begin(m->rt);
    wn_status status = plan_pass(m, s);
    if (status == WN_OK) status = plan_logits(m, s);
    wn_status ended = wn__runtime_plan_end(m->rt);
    if (status == WN_OK) status = ended;
    if (status == WN_OK) m->planned = s;
    return status;
}
