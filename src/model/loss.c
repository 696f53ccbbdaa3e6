// SPDX-License-Identifier: MIT
// The head and the loss, in chunks of rows: the logits of a chunk become their own gradient in
// place, so at most WN_MODEL_LOGITS_BYTES of them exist at a time.
#include "base/fail.h"
#include "kernels/cross_entropy.h"
#include "kernels/profile.h"
#include "kernels/reduce.h"
#include "model/internal.h"
#include "nn/round16.h"

typedef struct chunk {
    wn_tensor hidden;  // [rows, C] of exit_norm
    wn_tensor dhidden; // [rows, C] of dnorm, absent without gradients
    wn_tensor logits;  // [rows, V]
    wn_tensor target, loss;
} chunk;

static chunk chunk_at(const wn__model *m, int64_t begin, int64_t rows, bool with_gradients) {
    const wn__model_buffers *b = &m->buffers;
    chunk c = {.hidden = wn__tensor_slice(&b->exit_norm, 0, begin, rows),
               .logits = wn__tensor_slice(&b->logits, 0, 0, rows),
               .target = wn__tensor_slice(&b->targets, 0, begin, rows),
               .loss = wn__tensor_slice(&b->losses, 0, begin, rows)};
    if (with_gradients) c.dhidden = wn__tensor_slice(&b->dnorm, 0, begin, rows);
    return c;
}

// What the teacher has for the rows of a chunk, in its own buffer of logits.
static wn_status ask(wn__model *teacher, int64_t begin, int64_t rows, wn_tensor *logits) {
    const wn__model_buffers *b = &teacher->buffers;
    const wn_tensor hidden = wn__tensor_slice(&b->exit_norm, 0, begin, rows);
    *logits = wn__tensor_slice(&b->logits, 0, 0, rows);
    return wn__linear_forward(&teacher->head, teacher->x, &hidden, logits, false);
}

static wn_status run_chunk(wn__model *m, const chunk *c, int64_t begin, double grad_scale) {
    bool with_gradients = wn__given(&c->dhidden);
    wn_tensor teacher = {0};
    if (with_gradients && m->teacher != NULL)
        WN_TRY(ask(m->teacher, begin, c->logits.shape[0], &teacher));
    WN_TRY(wn__linear_forward(&m->head, m->x, &c->hidden, &c->logits, false));
    const wn__cross_entropy loss = {.logits = c->logits,
                                    .target = c->target,
                                    .loss = c->loss,
                                    .dlogits = with_gradients ? c->logits : (wn_tensor){0},
                                    .scale = grad_scale,
                                    .teacher = teacher,
                                    .share = m->share,
                                    .temperature = m->temperature};
    WN_TRY(wn__run(m->x, WN__OP_cross_entropy, &loss));
    if (!with_gradients) return WN_OK;
    WN_TRY(wn__keep16(m->spec.round16, m->x, &c->logits)); // by now their gradient
    return wn__linear_backward(&m->head, m->x, &c->hidden, &c->logits, &c->dhidden, false);
}

wn_status wn__model_head_loss(wn__model *m, wn__span s, bool with_gradients, double grad_scale,
                              double *loss_sum) {
    const wn__model_buffers *b = &m->buffers;
    int64_t rows = s.B * s.T, step = b->logits.shape[0];
    WN_TRY(wn__model_exit_norm(m, 0, rows));
    for (int64_t begin = 0; begin < rows; begin += step) {
        int64_t n = rows - begin < step ? rows - begin : step;
        const chunk c = chunk_at(m, begin, n, with_gradients);
        WN_TRY(run_chunk(m, &c, begin, grad_scale));
    }
    const wn__reduce sum = {.x = wn__tensor_slice(&b->losses, 0, 0, rows), .out = b->loss_sum};
    WN_TRY(wn__run(m->x, WN__OP_sum, &sum));
    if (!m->x->planning) *loss_sum = *(const double *)b->loss_sum.data;
    return WN_OK;
}

static wn_status check_fed(const wn__model *m) {
    if (m->fed.T == 0) return wn__fail(WN_INVALID, "no tokens were fed");
    return m->has_targets ? WN_OK : wn__fail(WN_INVALID, "no targets were fed");
}

wn_status wn__model_loss(wn__model *m, double *loss_sum, int64_t *labels) {
    WN_TRY(check_fed(m));
    WN_TRY(wn__model_plan_span(m, m->fed));
    m->pass.learning = false;
    WN_TRY(wn__model_blocks(m, m->fed, &m->rope, NULL));
    WN_TRY(wn__model_head_loss(m, m->fed, false, 0, loss_sum));
    *labels = m->labels;
    return WN_OK;
}

wn_status wn__model_distil(wn__model *m, wn__model *teacher, double share, double temperature) {
    m->teacher = NULL;
    m->planned = (wn__span){0}; // the pass is another one
    if (teacher == NULL) return WN_OK;
    const wn__model_spec *s = &teacher->spec;
    if (s->training || s->dtype != m->spec.dtype || teacher->rt != m->rt)
        return wn__fail(WN_BUG, "a teacher trains, or is of another dtype or runtime");
    if (s->config.vocab_size != m->spec.config.vocab_size)
        return wn__fail(WN_INVALID,
                        "a teacher with %lld ids for a model with %lld: one vocabulary expected",
                        (long long)s->config.vocab_size, (long long)m->spec.config.vocab_size);
    if (s->batch < m->spec.batch || s->seq < m->spec.seq)
        return wn__fail(WN_INVALID,
                        "a teacher of %lld x %lld tokens for a model of %lld x %lld: as many "
                        "expected",
                        (long long)s->batch, (long long)s->seq, (long long)m->spec.batch,
                        (long long)m->spec.seq);
    m->teacher = teacher;
    m->share = share;
    m->temperature = temperature;
    return WN_OK;
}

// The teacher reads what was fed, up to where its head begins.
static wn_status teach(wn__model *m) {
    wn__model *teacher = m->teacher;
    WN_TRY(wn__model_feed(teacher, m->buffers.tokens.data, NULL, m->fed.B, m->fed.T));
    WN_TRY(wn__model_plan_span(teacher, teacher->fed));
    teacher->pass.learning = false;
    WN_TRY(wn__model_blocks(teacher, teacher->fed, &teacher->rope, NULL));
    return wn__model_exit_norm(teacher, 0, m->fed.B * m->fed.T);
}

wn_status wn__model_loss_backward(wn__model *m, double grad_scale, double *loss_sum,
                                  int64_t *labels) {
    WN_TRY(check_fed(m));
    if (!m->spec.training) return wn__fail(WN_INVALID, "the model was not made for training");
    WN_TRY(wn__model_plan_span(m, m->fed));
    m->pass.learning = true;
    wn__profile_enter(m->x, WN_PROFILE_FORWARD);
    if (m->teacher != NULL) WN_TRY(teach(m));
    WN_TRY(wn__model_blocks(m, m->fed, &m->rope, NULL));
    wn__profile_enter(m->x, WN_PROFILE_HEAD);
    WN_TRY(wn__model_head_loss(m, m->fed, true, grad_scale, loss_sum));
    wn__profile_enter(m->x, WN_PROFILE_BACKWARD);
    WN_TRY(wn__model_blocks_backward(m, m->fed));
    m->pass.learning = false;
    m->pass.counter++;
    *labels = m->labels;
    return WN_OK;
}
