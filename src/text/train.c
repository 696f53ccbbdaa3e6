// SPDX-License-Identifier: MIT
// Training a tokenizer: cut the text, count the pieces, learn merges, put a tokenizer together.
#include "base/fail.h"
#include "base/log.h"
#include "base/utf8.h"
#include "text/alphabet.h"
#include "text/bpe_train.h"
#include "text/impl.h"
#include <stdlib.h>
#include <string.h>

static wn_status count_piece(void *ctx, const char *piece, size_t n) {
    wn__intern *pieces = ctx;
    size_t number;
    WN_TRY(wn__intern_add(pieces, piece, n, &number, NULL));
    pieces->entry[number].value++;
    return WN_OK;
}

// A byte that is not UTF-8 ends a piece and has no neighbours.
static wn_status count_bytes(wn__intern *pieces, const wn__pattern *pattern, wn__matcher *m,
                             const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t valid = wn__utf8_span(text + i, n - i);
        if (valid > 0) WN_TRY(wn__pattern_split(pattern, m, text + i, valid, count_piece, pieces));
        i += valid < n - i ? valid + 1 : valid;
    }
    return WN_OK;
}

// The end-of-text token in the text parts documents and is not learned.
static wn_status count_text(wn__intern *pieces, const wn__pattern *pattern, const char *text,
                            size_t n) {
    static const char end[] = WN_END_OF_TEXT;
    wn__matcher *m;
    WN_TRY(wn__matcher_create(&m));
    wn_status status = WN_OK;
    while (n > 0 && status == WN_OK) {
        const char *found = memmem(text, n, end, sizeof end - 1);
        size_t part = found ? (size_t)(found - text) : n;
        size_t used = found ? part + sizeof end - 1 : n;
        status = count_bytes(pieces, pattern, m, text, part);
        text += used;
        n -= used;
    }
    wn__matcher_free(m);
    return status;
}

static wn_status add_tokens(wn_tokenizer *t, const wn__merge_list *list) {
    wn__bytes spelled = {0};
    wn_status status = WN_OK;
    for (int32_t id = 256; id < list->ids && status == WN_OK; id++) {
        size_t n;
        const char *bytes = wn__intern_string(&list->token, (size_t)id, &n);
        spelled.size = 0;
        status = wn__byte_spell(bytes, n, &spelled);
        if (status == WN_OK)
            status = wn__vocab_add(&t->vocab, "tokenizer", spelled.data, spelled.size, id, 0);
    }
    wn__bytes_free(&spelled);
    return status;
}

static wn_status add_merges(wn_tokenizer *t, const wn__merge_list *list) {
    if (list->count == 0) return WN_OK;
    WN_TRY(wn__bpe_reserve(&t->bpe, list->count, 0));
    t->merge = malloc(list->count * sizeof *t->merge);
    if (t->merge == NULL) return wn__fail(WN_NOMEM, "tokenizer: out of memory");
    for (size_t i = 0; i < list->count; i++) {
        const wn__learned *m = &list->merge[i];
        t->merge[i] = (struct wn__merge){.left = m->left, .right = m->right};
        wn__bpe_merge(&t->bpe, m->left, m->right, m->id);
    }
    return WN_OK;
}

static wn_status build(wn_tokenizer *t, const wn__merge_list *list, wn_pretokenizer kind,
                       wn__pattern **pattern) {
    const char *regex = wn__pretokenizer_pattern(kind);
    wn__pattern *taken = *pattern;
    *pattern = NULL;
    WN_TRY(wn__tokenizer_add_step(t, "tokenizer", (wn__step){.pattern = taken}));
    WN_TRY(add_tokens(t, list));
    WN_TRY(add_merges(t, list));
    wn__added_token end = {.size = strlen(WN_END_OF_TEXT), .id = list->ids, .special = true};
    WN_TRY(wn__tokenizer_add_token(t, "tokenizer", WN_END_OF_TEXT, end, false));
    t->kind = wn__pattern_kind(regex, strlen(regex));
    t->has_pretokenizer = true;
    t->trained = kind;
    return wn__tokenizer_finish(t, "tokenizer");
}

static wn_status check_options(const wn_bpe_options *o) {
    if (o->vocab_size < 257 || o->vocab_size > WN_MAX_IDS)
        return wn__fail(WN_INVALID, "tokenizer training: vocab_size %d is outside 257..%lld",
                        o->vocab_size, (long long)WN_MAX_IDS);
    if (o->min_frequency < 0)
        return wn__fail(WN_INVALID, "tokenizer training: min_frequency %lld is below 0",
                        (long long)o->min_frequency);
    if (wn__pretokenizer_pattern(o->pretokenizer) == NULL)
        return wn__fail(WN_INVALID, "tokenizer training: no pre-tokenizer %d",
                        (int)o->pretokenizer);
    return WN_OK;
}

wn_status wn_tokenizer_train(const char *text, size_t size, const wn_bpe_options *o,
                             wn_tokenizer **out) {
    *out = NULL;
    WN_TRY(check_options(o));
    if (size == 0) return wn__fail(WN_INVALID, "tokenizer training: the text is empty");
    const char *regex = wn__pretokenizer_pattern(o->pretokenizer);
    wn__intern pieces = {0};
    wn__merge_list list = {0};
    wn__pattern *pattern = NULL;
    wn_tokenizer *t = NULL;
    wn_status status;
    WN_TRY_OUT(wn__pattern_compile(regex, strlen(regex), false, "tokenizer training", &pattern));
    WN_TRY_OUT(count_text(&pieces, pattern, text, size));
    WN_TRY_OUT(
        wn__bpe_learn(&pieces, o->vocab_size - 1, o->min_frequency ? o->min_frequency : 2, &list));
    WN_TRY_OUT(wn__tokenizer_new_bytes(&t));
    WN_TRY_OUT(build(t, &list, o->pretokenizer, &pattern));
    if (wn_tokenizer_vocab_size(t) < o->vocab_size)
        wn__log(WN_LOG_WARN, "tokenizer: the text gives %d ids, fewer than the %d asked for",
                wn_tokenizer_vocab_size(t), o->vocab_size);
    *out = t;
    t = NULL;
out:
    wn_tokenizer_free(t);
    wn__merge_list_free(&list);
    wn__pattern_free(pattern);
    wn__intern_free(&pieces);
    return status;
}
