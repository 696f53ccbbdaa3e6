// SPDX-License-Identifier: MIT
// The forward pass: one code path for training, evaluation and decoding. They differ in where
// buffers lie (build.c) and in whether keys and values come from a cache.
#include "model/internal.h"

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "kernels/embed.h"
#include "nn/round16.h"
#include <string.h>

// Rows of a table of BF16 are widened on their way from the shared block.
static wn_status embed(wn__model *m, int64_t rows, const wn_tensor *out) {
    const wn_tensor *table = &m->params.item[m->embedding].w;
    bool narrow = table->dtype != out->dtype;
    const wn_tensor room =
        wn__tensor2(m->scratch.block.data, table->dtype, rows, m->spec.config.hidden_size);
    const wn__embed lookup = {.token = wn__first_rows(&m->buffers.tokens, rows),
                              .table = *table,
                              .out = narrow ? room : *out};
    WN_TRY(wn__run(m->x, WN__OP_embed, &lookup));
    if (narrow) return wn__load16(m->x, &room, out);
    return wn__keep16(m->spec.round16, m->x, out);
}

// The residual stream goes on in another buffer when training, since backward reads this one; or it
// is saved for it.
static wn_status carry(wn__model *m, const wn_tensor *from, const wn_tensor *saved,
                       const wn_tensor *to) {
    const wn__copy copy = {.src = *from, .dst = *to};
    if (m->saves16) {
        const wn_tensor rows = wn__first_rows(saved, from->shape[0]);
        return wn__save16(m->x, from, &rows);
    }
    return m->spec.training ? wn__run(m->x, WN__OP_copy, &copy) : WN_OK;
}

// A normalised stream, which layers read.
static wn_status save_rows(wn__model *m, const wn_tensor *t, const wn_tensor *saved) {
    const wn_tensor rows = wn__first_rows(saved, t->shape[0]);
    return wn__save16(m->x, t, &rows);
}

// Rows of layer i of a cache, [capacity, Hk D].
static wn_tensor cache_rows(const wn_tensor *all, int64_t i) {
    const wn_tensor layer = wn__tensor_slice(all, 0, i, 1);
    return wn__tensor_view2(&layer, all->shape[1], all->shape[2] * all->shape[3]);
}

static wn_status attention_part(wn__model *m, int64_t i, wn__span s, const wn__rope_tables *rope,
                                const wn__kv_cache *cache) {
    wn__block *k = &m->block[i];
    int64_t rows = s.B * s.T;
    const wn_tensor entry = wn__first_rows(&k->entry, rows),
                    middle = wn__first_rows(&k->middle, rows);
    const wn_tensor norm = wn__first_rows(&k->entry_norm, rows),
                    rstd = wn__first_rows(&k->entry_rstd, rows);
    WN_TRY(wn__norm_forward(&k->attn_norm, m->x, &entry, &norm, &rstd));
    WN_TRY(save_rows(m, &norm, &k->attn_buffers.saved.in));
    WN_TRY(carry(m, &entry, &k->saved_entry, &middle));
    if (cache == NULL)
        return wn__attn_forward(&k->attn, m->x, rope, s, &norm, &k->attn_buffers, NULL, &middle);
    const wn__attn_cache rest = {.k = cache_rows(&cache->k, i), .v = cache_rows(&cache->v, i)};
    return wn__attn_forward(&k->attn, m->x, rope, s, &norm, &k->attn_buffers, &rest, &middle);
}

static wn_status middle_norm(wn__model *m, wn__block *k, int64_t rows, wn_tensor *norm) {
    const wn_tensor middle = wn__first_rows(&k->middle, rows),
                    rstd = wn__first_rows(&k->middle_rstd, rows);
    *norm = wn__first_rows(&k->middle_norm, rows);
    WN_TRY(wn__norm_forward(&k->mlp_norm, m->x, &middle, norm, &rstd));
    return save_rows(m, norm, &k->mlp_buffers.saved.in);
}

static wn_status mlp_part(wn__model *m, int64_t i, int64_t rows) {
    wn__block *k = &m->block[i];
    bool last = i + 1 == m->spec.config.layers;
    const wn_tensor middle = wn__first_rows(&k->middle, rows);
    const wn_tensor next = wn__first_rows(last ? &m->buffers.exit : &m->block[i + 1].entry, rows);
    wn_tensor norm;
    WN_TRY(middle_norm(m, k, rows, &norm));
    WN_TRY(carry(m, &middle, &k->saved_middle, &next));
    return wn__mlp_forward(&k->mlp, m->x, &norm, &k->mlp_buffers, &next);
}

wn_status wn__model_block_again(wn__model *m, int64_t i, wn__span s) {
    wn__block *k = &m->block[i];
    wn_tensor norm;
    WN_TRY(attention_part(m, i, s, &m->rope, NULL));
    WN_TRY(middle_norm(m, k, s.B * s.T, &norm));
    return wn__mlp_again(&k->mlp, m->x, &norm, &k->mlp_buffers);
}

wn_status wn__model_blocks(wn__model *m, wn__span s, const wn__rope_tables *rope,
                           const wn__kv_cache *cache) {
    const wn_tensor first = wn__first_rows(&m->block[0].entry, s.B * s.T);
    WN_TRY(embed(m, s.B * s.T, &first));
    for (int64_t i = 0; i < m->spec.config.layers; i++) {
        WN_TRY(attention_part(m, i, s, rope, cache));
        WN_TRY(mlp_part(m, i, s.B * s.T));
    }
    return WN_OK;
}

wn_status wn__model_stream_begin(wn__model *m, const wn_tensor *stream) {
    if (m->spec.training) return wn__fail(WN_BUG, "a training model keeps its own stream");
    WN_TRY(wn__model_plan_span(m, m->fed));
    m->pass.learning = false;
    return embed(m, m->fed.B * m->fed.T, stream);
}

// Entry and exit of a block are one buffer.
wn_status wn__model_stream_block(wn__model *m, int64_t i, const wn_tensor *stream) {
    int64_t rows = m->fed.B * m->fed.T;
    const wn_tensor entry = wn__first_rows(&m->block[i].entry, rows);
    size_t bytes = wn__tensor_bytes(stream);
    if (bytes != wn__tensor_bytes(&entry)) return wn__fail(WN_BUG, "a stream of another shape");
    WN_TRY(wn__model_plan_span(m, m->fed));
    m->pass.learning = false;
    memcpy(entry.data, stream->data, bytes);
    WN_TRY(attention_part(m, i, m->fed, &m->rope, NULL));
    WN_TRY(mlp_part(m, i, rows));
    memcpy(stream->data, entry.data, bytes);
    return WN_OK;
}

wn_status wn__model_exit_norm(wn__model *m, int64_t begin, int64_t rows) {
    const wn__model_buffers *b = &m->buffers;
    const wn_tensor in = wn__tensor_slice(&b->exit, 0, begin, rows);
    const wn_tensor out = wn__tensor_slice(&b->exit_norm, 0, begin, rows);
    const wn_tensor rstd =
        wn__given(&b->exit_rstd) ? wn__tensor_slice(&b->exit_rstd, 0, begin, rows) : b->exit_rstd;
    return wn__norm_forward(&m->norm, m->x, &in, &out, &rstd);
}

wn_status wn__model_logits(wn__model *m, const wn_tensor *out) {
    const int64_t rows = m->fed.B * m->fed.T;
    const int64_t shape[] = {rows, m->spec.config.vocab_size};
    if (rows == 0) return wn__fail(WN_INVALID, "no tokens were fed");
    if (!wn__tensor_is(out, m->spec.dtype, 2, shape)) {
        char text[160];
        return wn__fail(WN_INVALID, "logits are %s [%lld, %lld], not %s",
                        wn_dtype_name(m->spec.dtype), (long long)shape[0], (long long)shape[1],
                        wn__tensor_describe(out, text, sizeof text));
    }
    WN_TRY(wn__model_plan_span(m, m->fed));
    m->pass.learning = false;
    WN_TRY(wn__model_blocks(m, m->fed, &m->rope, NULL));
    WN_TRY(wn__model_exit_norm(m, 0, rows));
    const wn_tensor in = wn__first_rows(&m->buffers.exit_norm, rows);
    return wn__linear_forward(&m->head, m->x, &in, out, false);
}
