// SPDX-License-Identifier: MIT
// Decoding with a key/value cache: the projections write keys and values straight into views of the
// cache.
#include "base/fail.h"
#include "kernels/elementwise.h"
#include "model/internal.h"
#include <string.h>

static wn_status alloc_cache(const wn__model *m, wn__kv_cache *c) {
    const wn__model_config *g = &m->spec.config;
    const int64_t shape[] = {g->layers, c->capacity, g->kv_heads, g->head_dim};
    WN_TRY(wn__tensor_alloc(&c->arena, m->spec.dtype, 4, shape, &c->k));
    WN_TRY(wn__tensor_alloc(&c->arena, m->spec.dtype, 4, shape, &c->v));
    return wn__rope_tables_alloc(g, c->capacity, m->spec.dtype, &c->arena, &c->rope);
}

// The last logits, converted to F32 at `logits`.
static wn_status last_logits(wn__model *m, int64_t n, float *logits) {
    int64_t V = m->spec.config.vocab_size;
    WN_TRY(wn__model_exit_norm(m, n - 1, 1));
    const wn_tensor hidden = wn__tensor_slice(&m->buffers.exit_norm, 0, n - 1, 1);
    const wn_tensor out = wn__tensor_slice(&m->buffers.logits, 0, 0, 1);
    WN_TRY(wn__linear_forward(&m->head, m->x, &hidden, &out, false));
    const wn__copy copy = {.src = out, .dst = wn__tensor2(logits, WN_DTYPE_F32, 1, V)};
    return wn__run(m->x, WN__OP_copy, &copy);
}

static wn_status run_span(wn__model *m, const wn__kv_cache *c, wn__span s, float *logits) {
    WN_TRY(wn__model_blocks(m, s, &c->rope, c));
    return last_logits(m, s.T, logits);
}

// Plans n tokens at the end of the cache, where attention reads the most.
static wn_status plan_span(wn__model *m, wn__kv_cache *c, int64_t n) {
    if (n == c->planned) return WN_OK;
    wn__runtime_plan_begin(m->rt);
    const wn__span s = {.B = 1, .T = n, .start = c->capacity - n};
    wn_status status = run_span(m, c, s, NULL);
    wn_status ended = wn__runtime_plan_end(m->rt);
    if (status == WN_OK) status = ended;
    if (status == WN_OK) c->planned = n;
    return status;
}

static wn_status fill_rope(const wn__model *m, wn__kv_cache *c) {
    wn__runtime_plan_begin(m->rt);
    wn_status status = wn__rope_tables_fill(&m->spec.config, m->x, &c->rope);
    wn_status ended = wn__runtime_plan_end(m->rt);
    WN_TRY(status);
    WN_TRY(ended);
    return wn__rope_tables_fill(&m->spec.config, m->x, &c->rope);
}

wn_status wn__kv_cache_create(const wn__model *m, int64_t capacity, wn__kv_cache *out) {
    memset(out, 0, sizeof *out);
    if (capacity < 1)
        return wn__fail(WN_INVALID, "a cache of %lld positions: at least 1", (long long)capacity);
    wn_status status = WN_OK;
    wn__kv_cache c = {.capacity = capacity};
    wn__arena_measure("key/value cache", &c.arena);
    WN_TRY_OUT(alloc_cache(m, &c));
    size_t bytes = c.arena.used;
    WN_TRY_OUT(wn__arena_create("key/value cache", bytes, &c.arena));
    WN_TRY_OUT(alloc_cache(m, &c));
    WN_TRY_OUT(fill_rope(m, &c));
    *out = c;
    return WN_OK;
out:
    wn__arena_free(&c.arena);
    return status;
}

void wn__kv_cache_free(wn__kv_cache *c) {
    wn__arena_free(&c->arena);
    memset(c, 0, sizeof *c);
}

static wn_status check_decode(const wn__model *m, const wn__kv_cache *c, int64_t n) {
    if (n < 1 || n > m->spec.seq)
        return wn__fail(WN_INVALID, "%lld tokens at once, the model has room for 1 to %lld",
                        (long long)n, (long long)m->spec.seq);
    if (n > c->capacity - c->length)
        return wn__fail(WN_INVALID, "%lld tokens after %lld overflow a cache of %lld positions",
                        (long long)n, (long long)c->length, (long long)c->capacity);
    return WN_OK;
}

wn_status wn__model_decode(wn__model *m, wn__kv_cache *cache, const int32_t *tokens, int64_t n,
                           float *logits) {
    WN_TRY(check_decode(m, cache, n));
    WN_TRY(wn__model_check_tokens(m, "token", tokens, n, false));
    WN_TRY(plan_span(m, cache, n));
    m->fed = (wn__span){0}; // the inputs are overwritten
    memcpy(m->buffers.tokens.data, tokens, (size_t)n * sizeof *tokens);
    m->pass.learning = false;
    const wn__span s = {.B = 1, .T = n, .start = cache->length};
    WN_TRY(run_span(m, cache, s, logits));
    cache->length += n;
    return WN_OK;
}
