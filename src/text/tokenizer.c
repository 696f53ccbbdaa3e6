// SPDX-License-Identifier: MIT
// Tokenizers as the caller sees them: making and freeing, ids to bytes, questions.
#include "base/fail.h"
#include "base/utf8.h"
#include "text/alphabet.h"
#include "text/impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *pattern, *kind;
} patterns[] = {
    [WN_PRETOKENIZER_GPT2] = {WN_GPT2_PATTERN, "byte-level BPE (gpt2)"},
    [WN_PRETOKENIZER_LLAMA3] = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
                                "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
                                "\\s+(?!\\S)|\\s+",
                                "byte-level BPE (llama3)"},
    [WN_PRETOKENIZER_QWEN2] = {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
                               "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
                               "\\s+(?!\\S)|\\s+",
                               "byte-level BPE (qwen2)"},
};

const char *wn__pretokenizer_pattern(wn_pretokenizer kind) {
    return (size_t)kind < sizeof patterns / sizeof patterns[0] ? patterns[kind].pattern : NULL;
}

const char *wn__pattern_kind(const char *regex, size_t n) {
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++)
        if (strlen(patterns[i].pattern) == n && memcmp(patterns[i].pattern, regex, n) == 0)
            return patterns[i].kind;
    return "byte-level BPE";
}

wn_status wn__tokenizer_add_step(wn_tokenizer *t, const char *file, wn__step step) {
    if (t->steps == WN_MAX_STEPS) {
        wn__pattern_free(step.pattern);
        return wn__fail(WN_UNSUPPORTED, "%s: pre_tokenizer: more than %d steps", file,
                        WN_MAX_STEPS);
    }
    t->step[t->steps++] = step;
    return WN_OK;
}

// The text of a token as the model meets it: its bytes, or itself.
static wn_status model_text(const wn_tokenizer *t, const wn__token *k, wn__bytes *out) {
    size_t n;
    bool ok;
    const char *text = wn__intern_string(&t->vocab.names, k->name, &n);
    out->size = 0;
    return t->byte_level ? wn__byte_unspell(text, n, out, &ok) : wn__bytes_append(out, text, n);
}

static wn_status index_whole(wn_tokenizer *t) {
    wn__bytes text = {0};
    wn_status status = WN_OK;
    for (size_t id = 0; id < t->vocab.count && status == WN_OK; id++) {
        size_t number;
        if (!t->vocab.token[id].flags) continue;
        WN_TRY_OUT(model_text(t, &t->vocab.token[id], &text));
        if (text.size == 0) continue;
        WN_TRY_OUT(wn__intern_add(&t->bpe.whole, text.data, text.size, &number, NULL));
        t->bpe.whole.entry[number].value = (int64_t)id;
    }
out:
    wn__bytes_free(&text);
    return status;
}

static wn_status index_chars(wn_tokenizer *t) {
    for (size_t id = 0; id < t->vocab.count; id++) {
        if (!t->vocab.token[id].flags) continue;
        size_t n;
        uint32_t cp;
        const char *text = wn__intern_string(&t->vocab.names, t->vocab.token[id].name, &n);
        if (n > 0 && wn__utf8_decode(text, n, &cp) == n)
            WN_TRY(wn__char_ids_put(&t->bpe.chars, cp, (int32_t)id));
    }
    return WN_OK;
}

wn_status wn__tokenizer_index(wn_tokenizer *t) {
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        size_t n = t->byte_level ? wn__utf8_encode(wn__byte_to_char((uint8_t)byte), text)
                                 : (size_t)snprintf(text, sizeof text, "<0x%02X>", byte);
        t->bpe.byte_id[byte] = t->unigram.byte_id[byte] = wn__vocab_find(&t->vocab, text, n);
    }
    t->bpe.by_char = !t->byte_level;
    if (t->bpe.by_char && t->model == WN_MODEL_BPE) WN_TRY(index_chars(t));
    t->bpe.whole.seed = t->bpe.seed;
    return t->bpe.ignore_merges ? index_whole(t) : WN_OK;
}

static wn_status set_shown(wn__vocab *v, int32_t id, const char *text, size_t n) {
    size_t number;
    WN_TRY(wn__intern_add(&v->shown, text, n, &number, NULL));
    v->token[id].shown = (uint32_t)number + 1;
    return WN_OK;
}

static wn_status put_normalized(wn_tokenizer *t, const char *file, const char *text,
                                wn__added_token token) {
    wn__rewriter s = {0};
    size_t n, origin = 0;
    const char *form;
    wn_status status =
        wn__rewrite_all(t->rewrite, t->rewrites, &s, text, token.size, &origin, &form, &n);
    if (status == WN_OK && n > WN_ADDED_MAX)
        status = wn__fail(WN_UNSUPPORTED, "%s: added token %d is longer than %d bytes", file,
                          token.id, WN_ADDED_MAX);
    if (status == WN_OK && n == 0)
        status = wn__fail(WN_FORMAT, "%s: added_tokens: normalization leaves nothing of token %d",
                          file, token.id);
    if (status == WN_OK && (n != token.size || memcmp(form, text, n) != 0))
        status = set_shown(&t->vocab, token.id, form, n);
    token.size = n;
    if (status == WN_OK) status = wn__added_put(&t->normalized, form, token);
    wn__rewriter_free(&s);
    return status;
}

wn_status wn__tokenizer_add_token(wn_tokenizer *t, const char *file, const char *text,
                                  wn__added_token token, bool normalized) {
    if (token.size > WN_ADDED_MAX)
        return wn__fail(WN_UNSUPPORTED, "%s: added token %d is longer than %d bytes", file,
                        token.id, WN_ADDED_MAX);
    uint32_t flags = WN_TOKEN_ADDED | (token.special ? WN_TOKEN_SPECIAL : 0);
    WN_TRY(wn__vocab_add(&t->vocab, file, text, token.size, token.id, flags));
    return normalized ? put_normalized(t, file, text, token) : wn__added_put(&t->raw, text, token);
}

static bool is_plain_bytes(const wn_tokenizer *t) {
    if (!t->byte_level || t->model != WN_MODEL_BPE) return false;
    for (int32_t byte = 0; byte < 256; byte++)
        if (t->bpe.byte_id[byte] != byte) return false;
    return t->bpe.merges == 0 && !t->bpe.ignore_merges && t->steps == 0 && t->rewrites == 0;
}

static const char *kind_of(const wn_tokenizer *t) {
    if (t->model == WN_MODEL_UNIGRAM) return "unigram";
    if (!t->byte_level) return t->bpe.byte_fallback ? "BPE with byte fallback" : "BPE";
    return is_plain_bytes(t) ? "bytes" : t->kind != NULL ? t->kind : "byte-level BPE";
}

wn_status wn__tokenizer_finish(wn_tokenizer *t, const char *file) {
    static const char *const ends[] = {WN_END_OF_TEXT, "<|end_of_text|>", "</s>", "<|im_end|>"};
    if (!wn__added_seal(&t->raw) || !wn__added_seal(&t->normalized))
        return wn__fail(WN_FORMAT, "%s: added_tokens: two of them have the same text", file);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0] && t->eos < 0; i++)
        t->eos = wn__vocab_find(&t->vocab, ends[i], strlen(ends[i]));
    t->kind = kind_of(t);
    return wn__vocab_spell(&t->vocab, &t->decoder);
}

wn_status wn__tokenizer_new_bytes(wn_tokenizer **out) {
    *out = NULL;
    wn_tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL) return wn__fail(WN_NOMEM, "tokenizer: out of memory");
    t->bos = t->eos = -1;
    t->bpe.unknown_id = WN_BPE_NONE;
    t->byte_level = t->decoder.byte_level = true;
    wn_status status = WN_OK;
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        size_t n = wn__utf8_encode(wn__byte_to_char((uint8_t)byte), text);
        WN_TRY_OUT(wn__vocab_add(&t->vocab, "tokenizer", text, n, byte, 0));
    }
    WN_TRY_OUT(wn__tokenizer_index(t));
    *out = t;
out:
    if (status != WN_OK) wn_tokenizer_free(t);
    return status;
}

wn_status wn_tokenizer_bytes(wn_tokenizer **out) {
    wn_tokenizer *t;
    *out = NULL;
    WN_TRY(wn__tokenizer_new_bytes(&t));
    wn__added_token end = {.size = strlen(WN_END_OF_TEXT), .id = 256, .special = true};
    wn_status status = wn__tokenizer_add_token(t, "tokenizer", WN_END_OF_TEXT, end, false);
    if (status == WN_OK) status = wn__tokenizer_finish(t, "tokenizer");
    if (status != WN_OK) {
        wn_tokenizer_free(t);
        return status;
    }
    *out = t;
    return WN_OK;
}

void wn_tokenizer_free(wn_tokenizer *t) {
    if (t == NULL) return;
    wn__vocab_free(&t->vocab);
    wn__bpe_free(&t->bpe);
    wn__trie_free(&t->unigram.trie);
    free(t->score);
    for (size_t i = 0; i < t->rewrites; i++)
        wn__rewrite_free(&t->rewrite[i]);
    for (size_t i = 0; i < t->steps; i++)
        wn__pattern_free(t->step[i].pattern);
    wn__decoder_free(&t->decoder);
    wn__added_free(&t->raw);
    wn__added_free(&t->normalized);
    free(t->merge);
    free(t->source);
    free(t->config);
    free(t);
}

void wn_tokens_free(wn_tokens *tokens) {
    free(tokens->id);
    *tokens = (wn_tokens){0};
}

// NULL if the id has no token.
static const wn__token *token_of(const wn_tokenizer *t, int32_t id) {
    bool inside = id >= 0 && (size_t)id < t->vocab.count;
    return inside && t->vocab.token[id].flags ? &t->vocab.token[id] : NULL;
}

static const char *bytes_of(const wn_tokenizer *t, const wn__token *k) {
    return k->size > 0 ? t->vocab.bytes.data + k->offset : "";
}

static wn_status no_token(const wn_tokenizer *t, int32_t id, size_t i) {
    bool inside = id >= 0 && (size_t)id < t->vocab.count;
    return wn__fail(WN_INVALID, "decode: id %d (number %zu) %s 0..%zu", id, i,
                    inside ? "is one of the ids without a token in" : "is outside",
                    t->vocab.count - 1);
}

wn_status wn_tokenizer_decode(const wn_tokenizer *t, const int32_t *ids, size_t count,
                              bool skip_special, char **out, size_t *size) {
    wn__texts texts = {0};
    wn_status status = WN_OK;
    *out = NULL;
    *size = 0;
    for (size_t i = 0; i < count; i++) {
        const wn__token *k = token_of(t, ids[i]);
        if (k == NULL) WN_TRY_OUT(no_token(t, ids[i], i));
        if (skip_special && (k->flags & WN_TOKEN_SPECIAL)) continue;
        size_t n = k->size;
        const char *text =
            t->decoder.byte_level ? bytes_of(t, k) : wn__vocab_text(&t->vocab, k, &n);
        WN_TRY_OUT(wn__bytes_append(&texts.bytes, text, n));
        if (!t->decoder.byte_level) WN_TRY_OUT(wn__texts_end(&texts));
    }
    if (!t->decoder.byte_level) WN_TRY_OUT(wn__decoder_run(&t->decoder, &texts));
    WN_TRY_OUT(wn__bytes_append(&texts.bytes, "", 1));
    *out = texts.bytes.data;
    *size = texts.bytes.size - 1;
    texts.bytes = (wn__bytes){0};
out:
    wn__texts_free(&texts);
    return status;
}

const char *wn_tokenizer_piece(const wn_tokenizer *t, int32_t id, size_t *size) {
    const wn__token *k = token_of(t, id);
    *size = k != NULL ? k->size : 0;
    return k != NULL ? bytes_of(t, k) : NULL;
}

bool wn_tokenizer_is_special(const wn_tokenizer *t, int32_t id) {
    const wn__token *k = token_of(t, id);
    return k != NULL && (k->flags & WN_TOKEN_SPECIAL);
}

int32_t wn_tokenizer_vocab_size(const wn_tokenizer *t) {
    return (int32_t)t->vocab.count;
}
int32_t wn_tokenizer_bos(const wn_tokenizer *t) {
    return t->bos;
}
int32_t wn_tokenizer_eos(const wn_tokenizer *t) {
    return t->eos;
}
const char *wn_tokenizer_kind(const wn_tokenizer *t) {
    return t->kind;
}
int32_t wn_tokenizer_find(const wn_tokenizer *t, const char *token) {
    return wn__vocab_find(&t->vocab, token, strlen(token));
}
