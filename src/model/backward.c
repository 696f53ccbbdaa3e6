// SPDX-License-Identifier: MIT
// The backward pass through the blocks. dstream holds the gradient of the residual stream and is
// added to in place by each norm; dnorm is the gradient of whatever normalised stream the current
// part read. With recompute the blocks share their buffers, which hold the last block's pass: those
// of every other are filled again from its entry right before it goes back. Where activations were
// saved as BF16 each part brings back what it needs as floats.
#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/embed.h"
#include "model/internal.h"
#include "nn/round16.h"

static wn_status exit_backward(wn__model *m, int64_t rows) {
    const wn__model_buffers *b = &m->buffers;
    const wn_tensor in = wn__first_rows(&b->exit, rows), rstd = wn__first_rows(&b->exit_rstd, rows);
    const wn_tensor dnorm = wn__first_rows(&b->dnorm, rows),
                    dstream = wn__first_rows(&b->dstream, rows);
    return wn__norm_backward(&m->norm, m->x, &in, &rstd, &dnorm, &dstream, false);
}

static wn_status bring_back(wn__model *m, const wn_tensor *saved, const wn_tensor *t) {
    const wn_tensor rows = wn__first_rows(saved, t->shape[0]);
    return wn__load16(m->x, &rows, t);
}

static wn_status mlp_backward(wn__model *m, wn__block *k, wn__span s) {
    const wn__model_buffers *b = &m->buffers;
    int64_t rows = s.B * s.T;
    const wn_tensor dstream = wn__first_rows(&b->dstream, rows),
                    dnorm = wn__first_rows(&b->dnorm, rows);
    const wn_tensor middle = wn__first_rows(&k->middle, rows),
                    rstd = wn__first_rows(&k->middle_rstd, rows);
    const wn_tensor norm = wn__first_rows(&k->middle_norm, rows);
    WN_TRY(wn__mlp_backward(&k->mlp, m->x, s.T, &norm, &k->mlp_buffers, &dstream, &dnorm,
                            &b->scratch));
    WN_TRY(bring_back(m, &k->saved_middle, &middle));
    return wn__norm_backward(&k->mlp_norm, m->x, &middle, &rstd, &dnorm, &dstream, true);
}

static wn_status attention_backward(wn__model *m, wn__block *k, wn__span s) {
    const wn__model_buffers *b = &m->buffers;
    int64_t rows = s.B * s.T;
    const wn_tensor dstream = wn__first_rows(&b->dstream, rows),
                    dnorm = wn__first_rows(&b->dnorm, rows);
    const wn_tensor entry = wn__first_rows(&k->entry, rows),
                    rstd = wn__first_rows(&k->entry_rstd, rows);
    const wn_tensor norm = wn__first_rows(&k->entry_norm, rows);
    WN_TRY(wn__attn_backward(&k->attn, m->x, &m->rope, s, &norm, &k->attn_buffers, &dstream, &dnorm,
                             &b->scratch));
    WN_TRY(bring_back(m, &k->saved_entry, &entry));
    return wn__norm_backward(&k->attn_norm, m->x, &entry, &rstd, &dnorm, &dstream, true);
}

wn_status wn__model_blocks_backward(wn__model *m, wn__span s) {
    int64_t rows = s.B * s.T;
    WN_TRY(exit_backward(m, rows));
    int64_t last = m->spec.config.layers - 1;
    for (int64_t i = last; i >= 0; i--) {
        if (m->spec.recompute && i < last) WN_TRY(wn__model_block_again(m, i, s));
        WN_TRY(mlp_backward(m, &m->block[i], s));
        WN_TRY(attention_backward(m, &m->block[i], s));
    }
    const wn__embed_grad table = {.token = wn__first_rows(&m->buffers.tokens, rows),
                                  .dout = wn__first_rows(&m->buffers.dstream, rows),
                                  .dtable = m->params.item[m->embedding].g};
    return wn__run(m->x, WN__OP_embed_grad, &table);
}

// Those of products are only marked: the next product overwrites what it would add to.
wn_status wn__model_zero_gradients(wn__model *m) {
    if (!m->spec.training) return wn__fail(WN_INVALID, "the model was not made for training");
    for (size_t i = 0; i < m->params.count; i++) {
        wn__param *p = &m->params.item[i];
        const wn__fill zero = {.x = p->g};
        if (!wn__given(&p->g)) continue;
        p->fresh = p->by_product && !m->x->planning;
        if (!p->fresh) WN_TRY(wn__run(m->x, WN__OP_fill, &zero));
    }
    return WN_OK;
}

wn_status wn__model_regularize(wn__model *m, double factor) {
    for (size_t i = 0; i < m->linear_count; i++)
        WN_TRY(wn__linear_regularize(m->linear[i], m->x, factor));
    return WN_OK;
}
