// SPDX-License-Identifier: MIT
// Token by token: logits of the last position, a draw, its bytes. With a key/value cache each token
// is run once; without one the whole text is run again through the training path, which must say
// the same.
#include "infer/generate.h"

#include "base/cpu.h"
#include "base/fail.h"
#include "infer/sampler.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 512 // prompt tokens in one pass

typedef struct generation {
    wn__model *model;
    const wn_tokenizer *tokenizer;
    const wn_generate_options *o;
    wn__sampler sampler;
    wn__kv_cache cache;
    float *logits;  // [V]
    float *all;     // [prompt + new, V] without a cache
    wn_tokens text; // prompt, then new tokens; room for all
    char *pending;  // bytes not yet handed over
    size_t pending_size;
} generation;

size_t wn__utf8_ready(const char *text, size_t n) {
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = (unsigned char)text[n - back];
        if ((c & 0xc0) == 0x80) continue; // a continuation byte: its first byte is further left
        size_t length = c >= 0xf0 && c <= 0xf4  ? 4
                        : c >= 0xe0 && c < 0xf0 ? 3
                        : c >= 0xc2 && c < 0xe0 ? 2
                                                : 1;
        return length > back ? n - back : n;
    }
    return n;
}

wn_status wn__prompt_encode(const wn_tokenizer *t, const char *text, size_t size, wn_tokens *out) {
    WN_TRY(wn_tokenizer_encode(t, text, size, true, true, out));
    if (out->count > 0) return WN_OK;
    wn_tokens_free(out);
    int32_t eos = wn_tokenizer_eos(t);
    out->id = malloc(sizeof *out->id);
    if (out->id == NULL) return wn__fail(WN_NOMEM, "no memory for a prompt");
    out->id[0] = eos >= 0 ? eos : 0;
    out->count = 1;
    return WN_OK;
}

static wn_status check(const wn_tokens *prompt, const wn_generate_options *o, int64_t context) {
    if (o->max_tokens < 0)
        return wn__fail(WN_INVALID, "%" PRId64 " new tokens asked for, expected at least 0",
                        o->max_tokens);
    int64_t n = (int64_t)prompt->count;
    if (n < 1) return wn__fail(WN_INVALID, "an empty prompt, at least 1 token is needed");
    if (n > context || o->max_tokens > context - n)
        return wn__fail(WN_INVALID,
                        "a prompt of %" PRId64 " tokens and %" PRId64
                        " new ones exceed the context of %" PRId64 "; at most %" PRId64
                        " new ones fit",
                        n, o->max_tokens, context, n < context ? context - n : 0);
    return WN_OK;
}

static wn_status prepare(generation *g, const wn_tokens *prompt) {
    int64_t V = wn__model_config_of(g->model)->vocab_size;
    size_t room = prompt->count + (size_t)g->o->max_tokens;
    WN_TRY(wn__sampler_create(&g->o->sampling, V, &g->sampler));
    g->logits = calloc((size_t)V, sizeof *g->logits);
    g->text.id = calloc(room, sizeof *g->text.id);
    if (g->o->no_cache) g->all = calloc(room * (size_t)V, sizeof *g->all);
    if (g->logits == NULL || g->text.id == NULL || (g->o->no_cache && g->all == NULL))
        return wn__fail(WN_NOMEM, "no memory for a text of %zu tokens", room);
    memcpy(g->text.id, prompt->id, prompt->count * sizeof *prompt->id);
    g->text.count = prompt->count;
    return g->o->no_cache ? WN_OK : wn__kv_cache_create(g->model, (int64_t)room, &g->cache);
}

static void release(generation *g) {
    wn__sampler_free(&g->sampler);
    wn__kv_cache_free(&g->cache);
    free(g->logits);
    free(g->all);
    wn_tokens_free(&g->text);
    free(g->pending);
}

// Logits of the last position, by running what the cache does not hold yet.
static wn_status run_cached(generation *g, int64_t seq) {
    int64_t step = seq < CHUNK ? seq : CHUNK;
    while ((size_t)g->cache.length < g->text.count) {
        int64_t left = (int64_t)g->text.count - g->cache.length, n = left < step ? left : step;
        WN_TRY(wn__model_decode(g->model, &g->cache, g->text.id + g->cache.length, n, g->logits));
    }
    return WN_OK;
}

static wn_status run_again(generation *g) {
    int64_t V = wn__model_config_of(g->model)->vocab_size, n = (int64_t)g->text.count;
    wn_tensor out = wn__tensor2(g->all, WN_DTYPE_F32, n, V);
    WN_TRY(wn__model_feed(g->model, g->text.id, NULL, 1, n));
    WN_TRY(wn__model_logits(g->model, &out));
    memcpy(g->logits, g->all + (n - 1) * V, (size_t)V * sizeof *g->logits);
    return WN_OK;
}

// Hands over what is complete; `last` hands over all. false: the receiver has had enough.
static bool hand_over(generation *g, bool last, wn_text_fn *fn, void *ctx) {
    size_t n = last ? g->pending_size : wn__utf8_ready(g->pending, g->pending_size);
    if (n == 0) return true;
    bool more = fn == NULL || fn(ctx, g->pending, n);
    memmove(g->pending, g->pending + n, g->pending_size - n);
    g->pending_size -= n;
    return more;
}

// An id without a token is a padded row of the model's table.
static wn_status add_text(generation *g, int32_t id) {
    size_t n = 0;
    const char *bytes = wn_tokenizer_piece(g->tokenizer, id, &n);
    if (bytes == NULL || wn_tokenizer_is_special(g->tokenizer, id)) return WN_OK;
    char *grown = realloc(g->pending, g->pending_size + n + 1);
    if (grown == NULL) return wn__fail(WN_NOMEM, "no memory for new text");
    g->pending = grown;
    memcpy(grown + g->pending_size, bytes, n);
    g->pending_size += n;
    return WN_OK;
}

static bool is_end(const generation *g, int32_t id) {
    const wn__model_config *c = wn__model_config_of(g->model);
    for (int32_t i = 0; i < c->eos_count; i++)
        if (c->eos[i] == id) return true;
    return id == wn_tokenizer_eos(g->tokenizer);
}

static wn_status loop(generation *g, int64_t context, wn_text_fn *fn, void *ctx,
                      wn_generate_stats *stats) {
    size_t prompt = g->text.count;
    double start = wn__clock();
    for (int64_t i = 0; i < g->o->max_tokens; i++) {
        int32_t id;
        WN_TRY(g->o->no_cache ? run_again(g) : run_cached(g, context));
        if (i == 0) {
            stats->prompt_seconds = wn__clock() - start;
            start = wn__clock();
        }
        WN_TRY(wn__sampler_pick(&g->sampler, g->logits, g->text.count, &id));
        g->text.id[g->text.count++] = id;
        stats->new_tokens++;
        if (!g->o->ignore_eos && is_end(g, id)) {
            stats->ended = true;
            break;
        }
        WN_TRY(add_text(g, id));
        if (!hand_over(g, false, fn, ctx)) {
            g->pending_size = 0;
            break;
        }
    }
    stats->prompt_tokens = (int64_t)prompt;
    stats->new_seconds = wn__clock() - start;
    (void)hand_over(g, true, fn, ctx);
    return WN_OK;
}

static wn_status copy_new(const generation *g, size_t prompt, wn_tokens *out) {
    size_t n = g->text.count - prompt;
    out->id = malloc((n > 0 ? n : 1) * sizeof *out->id);
    if (out->id == NULL) return wn__fail(WN_NOMEM, "no memory for %zu tokens", n);
    memcpy(out->id, g->text.id + prompt, n * sizeof *out->id);
    out->count = n;
    return WN_OK;
}

wn_status wn__generate(wn__model *m, const wn_tokenizer *t, int64_t context,
                       const wn_tokens *prompt, const wn_generate_options *o, wn_text_fn *fn,
                       void *ctx, wn_tokens *ids, wn_generate_stats *stats) {
    wn_generate_stats ignored;
    if (stats == NULL) stats = &ignored;
    if (ids != NULL) *ids = (wn_tokens){0};
    *stats = (wn_generate_stats){0};
    WN_TRY(check(prompt, o, context));
    generation g = {.model = m, .tokenizer = t, .o = o};
    wn_status status;
    WN_TRY_OUT(prepare(&g, prompt));
    WN_TRY_OUT(loop(&g, context, fn, ctx, stats));
    if (ids != NULL) status = copy_new(&g, prompt->count, ids);
out:
    release(&g);
    return status;
}
