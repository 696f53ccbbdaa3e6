// SPDX-License-Identifier: MIT
// The public evaluations of a session: a text, a shard, documents, or given tokens.
#include "base/cpu.h"
#include "base/fail.h"
#include "data/shard.h"
#include "infer/evaluate.h"
#include "infer/session.h"
#include "winnow/data.h"
#include <inttypes.h>
#include <math.h>

#define DEFAULT_SEQ_LEN 1024

// Ids of a file, from a mapped shard or encoded here.
typedef struct source {
    wn__shard shard;
    wn_tokens encoded;
    wn__ids ids;
} source;

static void source_close(source *s) {
    wn_tokens_free(&s->encoded);
    wn__shard_close(&s->shard);
}

static wn_status open_shard(const wn_session *s, const char *path, source *out) {
    WN_TRY(wn__shard_open(path, true, &out->shard));
    const wn_shard_info *info = &out->shard.info;
    if ((int64_t)info->vocab_size > s->info.vocab_size)
        return wn__fail(WN_INVALID,
                        "%s: made for %" PRIu32 " ids, the model's vocabulary has %" PRId64, path,
                        info->vocab_size, s->info.vocab_size);
    uint64_t mine = s->tokenizer != NULL ? wn_tokenizer_fingerprint(s->tokenizer) : 0;
    if (mine != 0 && info->tokenizer != 0 && mine != info->tokenizer)
        return wn__fail(WN_INVALID,
                        "%s: made by tokenizer %016" PRIx64 ", the model's is %016" PRIx64, path,
                        info->tokenizer, mine);
    out->ids = out->shard.ids;
    return WN_OK;
}

static wn_status encode_text(const wn_session *s, const char *path, source *out) {
    wn__map text;
    WN_TRY(wn__session_need_tokenizer(s));
    WN_TRY(wn__map_open(path, &text));
    wn_status status = wn_tokenizer_encode(s->tokenizer, (const char *)text.data, text.size, true,
                                           false, &out->encoded);
    wn__map_close(&text);
    if (status != WN_OK) return wn__fail_in(status, "%s", path);
    out->ids = (wn__ids){.bytes = (const uint8_t *)out->encoded.id,
                         .id_bytes = 4,
                         .count = out->encoded.count,
                         .name = path};
    return WN_OK;
}

// Joined into full windows, as training evaluates them by default; the ids after the last one do
// not count.
static wn_status eval_documents(wn_session *s, const char *pattern, int64_t seq_len,
                                const wn_eval_options *eval, const wn__id_bytes *bytes,
                                wn__evaluation *e) {
    wn__source *documents = NULL;
    WN_TRY(wn__session_need_tokenizer(s));
    const wn__documents_options o = {.pattern = pattern,
                                     .tokenizer = s->tokenizer,
                                     .seq_len = seq_len,
                                     .pad = wn__source_padding(s->tokenizer),
                                     .append_eos = wn_tokenizer_eos(s->tokenizer) >= 0,
                                     .pack = eval->pack};
    WN_TRY(wn__source_documents(&o, &documents));
    wn_status status = wn__evaluate_source(s->model, documents, s->batch, seq_len, 0,
                                           eval->max_tokens, bytes, eval->compat, e);
    if (status == WN_OK && e->labels == 0)
        status = wn__fail(WN_INVALID,
                          "%s: fewer than the %" PRId64
                          " tokens of one window; a smaller seq_len needs fewer",
                          pattern, seq_len + 1);
    wn__source_free(documents);
    return status;
}

wn_status wn_eval(wn_session *s, const char *data, const wn_eval_options *o, wn_eval_result *out) {
    *out = (wn_eval_result){0};
    int64_t seq_len = o->seq_len;
    if (seq_len == 0) seq_len = s->context < DEFAULT_SEQ_LEN ? s->context : DEFAULT_SEQ_LEN;
    if (seq_len < 1 || seq_len > s->context)
        return wn__fail(WN_INVALID, "seq_len is %" PRId64 ", expected 1 to the context of %" PRId64,
                        seq_len, s->context);
    source src = {0};
    wn__id_bytes bytes = {0};
    wn__evaluation e;
    wn_status status;
    bool documents = wn_documents_named(data);
    if (!documents)
        WN_TRY_OUT(wn__shard_named(data) ? open_shard(s, data, &src) : encode_text(s, data, &src));
    if (s->tokenizer != NULL) WN_TRY_OUT(wn__id_bytes_create(s->tokenizer, &bytes));
    double start = wn__clock();
    WN_TRY_OUT(documents ? eval_documents(s, data, seq_len, o, &bytes, &e)
                         : wn__evaluate(s->model, &src.ids, s->batch, seq_len, 0, o->max_tokens,
                                        &bytes, &e));
    *out = (wn_eval_result){.loss = wn__evaluation_loss(&e),
                            .bits_per_byte = wn__evaluation_bits_per_byte(&e),
                            .tokens = e.labels,
                            .bytes = e.bytes,
                            .seconds = wn__clock() - start};
    out->perplexity = exp(out->loss);
    if (o->compat) out->compat_loss = wn__evaluation_compat_loss(&e);
out:
    wn__id_bytes_free(&bytes);
    source_close(&src);
    return status;
}

wn_status wn_eval_tokens(wn_session *s, const int32_t *ids, size_t count, double *loss) {
    *loss = 0;
    if (count < 2 || (int64_t)count - 1 > s->context)
        return wn__fail(WN_INVALID,
                        "%zu tokens, expected 2 to %" PRId64 " (the context and one more)", count,
                        s->context + 1);
    wn__ids span = {.bytes = (const uint8_t *)ids, .id_bytes = 4, .count = count, .name = "tokens"};
    wn__evaluation e;
    WN_TRY(wn__evaluate(s->model, &span, 1, (int64_t)count - 1, 1, 0, NULL, &e));
    *loss = wn__evaluation_loss(&e);
    return WN_OK;
}
