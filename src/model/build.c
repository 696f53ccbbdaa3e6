// SPDX-License-Identifier: MIT
// Lays out a model: its parameters, its layers and its buffers. Runs twice, with measuring arenas
// and then with real ones.
#include "model/internal.h"

#include "base/fail.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t max_rows(const wn__model *m) {
    return m->spec.batch * m->spec.seq;
}

// Rows of logits that exist at a time.
static int64_t chunk_rows(const wn__model *m) {
    int64_t size = (int64_t)wn_dtype_size(m->spec.dtype);
    if (m->spec.training && m->spec.round16) size += 2; // their gradients as BF16
    int64_t row = m->spec.config.vocab_size * size;
    int64_t rows = WN_MODEL_LOGITS_BYTES / row;
    if (rows > 16) rows -= rows % 16;
    if (rows > max_rows(m)) rows = max_rows(m);
    return rows > 0 ? rows : 1;
}

// "model.layers.<i>.<part>"
static void part_name(char *out, int64_t i, const char *part) {
    (void)snprintf(out, WN_NAME_MAX, "model.layers.%lld.%s", (long long)i, part);
}

static wn_status build_block(wn__model *m, wn__build *b, int64_t i) {
    const wn__model_config *c = &m->spec.config;
    wn__block *k = &m->block[i];
    char name[WN_NAME_MAX];
    part_name(name, i, "input_layernorm");
    WN_TRY(wn__norm_build(&k->attn_norm, name, c->hidden_size, c->rms_eps, b));
    part_name(name, i, "self_attn");
    WN_TRY(wn__attn_build(&k->attn, name, c, m->spec.rules, b));
    part_name(name, i, "post_attention_layernorm");
    WN_TRY(wn__norm_build(&k->mlp_norm, name, c->hidden_size, c->rms_eps, b));
    part_name(name, i, "mlp");
    return wn__mlp_build(&k->mlp, name, c, m->spec.rules, b);
}

static wn_status build_head(wn__model *m, wn__build *b) {
    const wn__model_config *c = &m->spec.config;
    if (c->tied) {
        wn__linear_tie(&m->head, "lm_head", m->embedding, b);
        return WN_OK;
    }
    wn__structure structure = wn__structure_of(m->spec.rules, "lm_head");
    structure.fp8 = false; // of the blocks' layers only
    return wn__linear_build(&m->head, "lm_head", c->hidden_size, c->vocab_size, false, &structure,
                            b);
}

static wn_status build_layers(wn__model *m, wn__build *b) {
    const wn__model_config *c = &m->spec.config;
    const int64_t table[] = {c->vocab_size, c->hidden_size};
    b->narrow = wn__build_stores16(b);
    WN_TRY(wn__param_add(b, "model.embed_tokens.weight", 2, table, true, &m->embedding));
    b->narrow = false;
    m->block = calloc((size_t)c->layers, sizeof *m->block);
    if (m->block == NULL)
        return wn__fail(WN_NOMEM, "no memory for %lld layers", (long long)c->layers);
    for (int64_t i = 0; i < c->layers; i++)
        WN_TRY(build_block(m, b, i));
    WN_TRY(wn__norm_build(&m->norm, "model.norm", c->hidden_size, c->rms_eps, b));
    b->dy_rows = chunk_rows(m);
    return build_head(m, b);
}

static wn_status list_linears(wn__model *m) {
    size_t most = 7 * (size_t)m->spec.config.layers + 1;
    m->linear = calloc(most, sizeof *m->linear);
    if (m->linear == NULL) return wn__fail(WN_NOMEM, "no memory for %zu layers", most);
    for (int64_t i = 0; i < m->spec.config.layers; i++) {
        wn__block *k = &m->block[i];
        wn__linear *all[] = {&k->attn.q,   &k->attn.k, &k->attn.v,  &k->attn.o,
                             &k->mlp.gate, &k->mlp.up, &k->mlp.down};
        for (size_t j = 0; j < sizeof all / sizeof all[0]; j++)
            if (all[j]->type != NULL) m->linear[m->linear_count++] = all[j];
    }
    if (!m->spec.config.tied) m->linear[m->linear_count++] = &m->head;
    return WN_OK;
}

static wn_status name_weights(wn__model *m) {
    m->weight_name = calloc(m->linear_count + 1, sizeof *m->weight_name);
    if (m->weight_name == NULL)
        return wn__fail(WN_NOMEM, "no memory for %zu names", m->linear_count);
    for (size_t i = 0; i < m->linear_count; i++)
        WN_TRY(wn__name_join(m->weight_name[i], m->linear[i]->name, "weight"));
    return WN_OK;
}

static wn_status alloc_rows(wn__model *m, wn__build *b, int64_t width, wn_tensor *out) {
    return wn__tensor_alloc2(b->activations, b->dtype, max_rows(m), width, out);
}

// One number a row that only backward needs.
static wn_status alloc_rstd(wn__model *m, wn__build *b, wn_tensor *out) {
    *out = (wn_tensor){0};
    return b->training ? wn__tensor_alloc1(b->activations, b->dtype, max_rows(m), out) : WN_OK;
}

static wn_status alloc_saved(wn__model *m, wn__build *b, int64_t width, wn_tensor *out) {
    return wn__tensor_alloc2(b->activations, WN_DTYPE_BF16, max_rows(m), width, out);
}

// A block's own copies of what backward reads, where all the rest is shared.
static wn_status save_block(wn__model *m, wn__build *b, wn__block *k) {
    int64_t width = m->spec.config.hidden_size;
    WN_TRY(alloc_saved(m, b, width, &k->saved_entry));
    WN_TRY(alloc_saved(m, b, width, &k->saved_middle));
    WN_TRY(alloc_saved(m, b, width, &k->attn_buffers.saved.in));
    WN_TRY(alloc_saved(m, b, width, &k->mlp_buffers.saved.in));
    WN_TRY(wn__attn_buffers_save(&k->attn, max_rows(m), b, &k->attn_buffers));
    return wn__mlp_buffers_save(&k->mlp, max_rows(m), b, &k->mlp_buffers);
}

static wn_status alloc_block(wn__model *m, wn__build *b, wn__block *k) {
    int64_t width = m->spec.config.hidden_size;
    bool apart = b->training && !m->saves16;
    WN_TRY(alloc_rows(m, b, width, &k->entry));
    WN_TRY(alloc_rows(m, b, width, &k->entry_norm));
    k->middle = k->entry;
    k->middle_norm = k->entry_norm;
    if (apart) {
        WN_TRY(alloc_rows(m, b, width, &k->middle));
        WN_TRY(alloc_rows(m, b, width, &k->middle_norm));
    }
    WN_TRY(alloc_rstd(m, b, &k->entry_rstd));
    WN_TRY(alloc_rstd(m, b, &k->middle_rstd));
    WN_TRY(wn__attn_buffers_alloc(&k->attn, max_rows(m), b, &k->attn_buffers));
    return wn__mlp_buffers_alloc(&k->mlp, max_rows(m), b, &k->mlp_buffers);
}

// All of another block's buffers but, when training, its place in the residual stream, or what is
// saved of it and was not rounded.
static wn_status share_buffers(wn__model *m, wn__build *b, const wn__block *from, wn__block *to) {
    to->entry = from->entry;
    if (b->training && !m->saves16)
        WN_TRY(alloc_rows(m, b, m->spec.config.hidden_size, &to->entry));
    to->middle = from->middle;
    to->entry_norm = from->entry_norm;
    to->middle_norm = from->middle_norm;
    to->entry_rstd = from->entry_rstd;
    to->middle_rstd = from->middle_rstd;
    to->attn_buffers = from->attn_buffers;
    if (m->saves16) {
        WN_TRY(alloc_rstd(m, b, &to->entry_rstd));
        WN_TRY(alloc_rstd(m, b, &to->middle_rstd));
    }
    return wn__mlp_buffers_share(&to->mlp, &from->mlp_buffers, b, &to->mlp_buffers);
}

static wn_status alloc_blocks(wn__model *m, wn__build *b) {
    bool shared = !b->training || m->spec.recompute || m->saves16;
    for (int64_t i = 0; i < m->spec.config.layers; i++) {
        WN_TRY(i > 0 && shared ? share_buffers(m, b, &m->block[i - 1], &m->block[i])
                               : alloc_block(m, b, &m->block[i]));
        if (m->saves16) WN_TRY(save_block(m, b, &m->block[i]));
    }
    return WN_OK;
}

// Activations that are 2:4 are kept as they are, and of what is computed again there is little.
static bool saves16(const wn__model *m, const wn__build *b) {
    for (int64_t i = 0; i < m->spec.config.layers; i++)
        if (wn__act24_given(&m->block[i].mlp.act)) return false;
    return wn__build_stores16(b) && !m->spec.recompute && !m->spec.count_zeros;
}

static wn_status alloc_head(wn__model *m, wn__build *b) {
    wn__model_buffers *s = &m->buffers;
    int64_t width = m->spec.config.hidden_size, rows = max_rows(m);
    s->exit = m->block[0].entry;
    if (b->training && !m->saves16) WN_TRY(alloc_rows(m, b, width, &s->exit));
    WN_TRY(alloc_rows(m, b, width, &s->exit_norm));
    WN_TRY(alloc_rstd(m, b, &s->exit_rstd));
    WN_TRY(wn__tensor_alloc2(b->activations, b->dtype, chunk_rows(m), m->spec.config.vocab_size,
                             &s->logits));
    WN_TRY(wn__tensor_alloc1(b->activations, b->dtype, rows, &s->losses));
    return wn__tensor_alloc1(b->activations, WN_DTYPE_F64, 1, &s->loss_sum);
}

static wn_status alloc_backward(wn__model *m, wn__build *b) {
    wn__model_buffers *s = &m->buffers;
    int64_t most = wn__attn_scratch(&m->block[0].attn);
    for (int64_t i = 0; i < m->spec.config.layers; i++) {
        int64_t mlp = wn__mlp_scratch(&m->block[i].mlp);
        if (mlp > most) most = mlp;
    }
    wn_tensor scratch;
    WN_TRY(alloc_rows(m, b, m->spec.config.hidden_size, &s->dstream));
    WN_TRY(alloc_rows(m, b, m->spec.config.hidden_size, &s->dnorm));
    WN_TRY(alloc_rows(m, b, most, &scratch));
    s->scratch = wn__tensor_reshape(&scratch, 1, (const int64_t[]){wn__tensor_count(&scratch)});
    return WN_OK;
}

static wn_status alloc_buffers(wn__model *m, wn__build *b) {
    wn__model_buffers *s = &m->buffers;
    WN_TRY(wn__tensor_alloc1(b->activations, WN_DTYPE_I32, max_rows(m), &s->tokens));
    WN_TRY(wn__tensor_alloc1(b->activations, WN_DTYPE_I32, max_rows(m), &s->targets));
    WN_TRY(wn__rope_tables_alloc(&m->spec.config, m->spec.seq, b->dtype, b->activations, &m->rope));
    WN_TRY(alloc_blocks(m, b));
    WN_TRY(alloc_head(m, b));
    return b->training ? alloc_backward(m, b) : WN_OK;
}

// Weights are merged, and those of a checkpoint taken over, one at a time.
static bool merges_in_scratch(const wn__linear *l, const wn__build *b) {
    if (wn__linear_streams(l)) return false;
    return l->structure.kind == WN_STRUCTURE_SPARSE24 ? b->training : !wn__linear_plain(l);
}

// By now every layer has said how much it wants.
static wn_status alloc_scratch(wn__model *m, wn__build *b) {
    for (size_t i = 0; i < m->linear_count; i++)
        if (merges_in_scratch(m->linear[i], b))
            wn__scratch_wish(&m->scratch, wn__scratch_cost(m->linear[i]->out, m->linear[i]->in));
    if (wn__build_stores16(b)) // the embedded tokens
        wn__scratch_wish(&m->scratch,
                         wn__scratch_cost(max_rows(m), m->spec.config.hidden_size) / 2);
    return wn__tensor_alloc1(b->activations, b->dtype, m->scratch.elements, &m->scratch.block);
}

wn_status wn__model_build(wn__model *m) {
    bool training = m->spec.training;
    wn__build b = {.weights = &m->arenas.weights,
                   .gradients = training ? &m->arenas.gradients : NULL,
                   .activations = &m->arenas.activations,
                   .params = &m->params,
                   .dtype = m->spec.dtype,
                   .training = training,
                   .round16 = m->spec.round16,
                   .stored = m->spec.stored,
                   .recompute = m->spec.recompute,
                   .count_zeros = m->spec.count_zeros,
                   .rows = max_rows(m),
                   .dy_rows = max_rows(m),
                   .seq = m->spec.seq,
                   .pass = &m->pass,
                   .scratch = &m->scratch};
    m->scratch = (wn__scratch){0};
    WN_TRY(build_layers(m, &b));
    m->saves16 = saves16(m, &b);
    WN_TRY(list_linears(m));
    WN_TRY(name_weights(m));
    if (training) WN_TRY(wn__optimizer_build(m->spec.optimizer, &m->params, &m->arenas.moments));
    WN_TRY(alloc_buffers(m, &b));
    return alloc_scratch(m, &b);
}

void wn__model_unbuild(wn__model *m) {
    for (int64_t i = 0; m->block != NULL && i < m->spec.config.layers; i++) {
        wn__attn_free(&m->block[i].attn);
        wn__mlp_free(&m->block[i].mlp);
    }
    wn__linear_free(&m->head);
    wn__params_free(&m->params);
    free(m->block);
    free(m->linear);
    free(m->weight_name);
    m->block = NULL;
    m->linear = NULL;
    m->linear_count = 0;
    m->weight_name = NULL;
    memset(&m->buffers, 0, sizeof m->buffers);
}
