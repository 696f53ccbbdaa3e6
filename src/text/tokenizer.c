// SPDX-License-Identifier: MIT
// Tokenizers as the caller sees them: making and freeing, ids to bytes, questions.
#include "base/fail.h"
#include "base/utf8.h"
#include "text/alphabet.h"
#include "text/impl.h"
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

wn_status wn__tokenizer_add_step(wn_tokenizer *t, const char *file, wn__pattern *pattern) {
    if (t->steps == WN_MAX_STEPS) {
        wn__pattern_free(pattern);
        return wn__fail(WN_UNSUPPORTED, "%s: pre_tokenizer: more than %d steps", file,
                        WN_MAX_STEPS);
    }
    t->step[t->steps++].pattern = pattern;
    return WN_OK;
}

static wn_status index_whole(wn_tokenizer *t) {
    wn__bytes bytes = {0};
    wn_status status = WN_OK;
    for (size_t id = 0; id < t->vocab.count && status == WN_OK; id++) {
        if (!t->vocab.token[id].flags) continue;
        size_t n, number;
        const char *text = wn__intern_string(&t->vocab.names, t->vocab.token[id].name, &n);
        bool ok;
        bytes.size = 0;
        WN_TRY_OUT(wn__byte_unspell(text, n, &bytes, &ok));
        if (!ok || bytes.size == 0) continue;
        WN_TRY_OUT(wn__intern_add(&t->bpe.whole, bytes.data, bytes.size, &number, NULL));
        t->bpe.whole.entry[number].value = (int64_t)id;
    }
out:
    wn__bytes_free(&bytes);
    return status;
}

wn_status wn__tokenizer_index(wn_tokenizer *t) {
    for (int byte = 0; byte < 256; byte++) {
        char text[4];
        size_t n = wn__utf8_encode(wn__byte_to_char((uint8_t)byte), text);
        t->bpe.byte_id[byte] = wn__vocab_find(&t->vocab, text, n);
    }
    t->bpe.whole.seed = t->bpe.seed;
    return t->bpe.ignore_merges ? index_whole(t) : WN_OK;
}

static wn_status put_normalized(wn_tokenizer *t, const char *file, const char *text,
                                wn__added_token token) {
    wn__normalizer z = {0};
    wn__bytes form = {0};
    wn_status status = wn__normalize(&z, t->form, text, token.size, &form);
    if (status == WN_OK && form.size > WN_ADDED_MAX)
        status = wn__fail(WN_UNSUPPORTED, "%s: added token %d is longer than %d bytes", file,
                          token.id, WN_ADDED_MAX);
    token.size = form.size;
    if (status == WN_OK) status = wn__added_put(&t->normalized, form.data, token);
    wn__bytes_free(&form);
    wn__normalizer_free(&z);
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
    for (int32_t byte = 0; byte < 256; byte++)
        if (t->bpe.byte_id[byte] != byte) return false;
    return t->bpe.merges == 0 && !t->bpe.ignore_merges && t->steps == 0 && t->form == WN_FORM_NONE;
}

wn_status wn__tokenizer_finish(wn_tokenizer *t, const char *file) {
    static const char *const ends[] = {WN_END_OF_TEXT, "<|end_of_text|>", "</s>", "<|im_end|>"};
    if (!wn__added_seal(&t->raw) || !wn__added_seal(&t->normalized))
        return wn__fail(WN_FORMAT, "%s: added_tokens: two of them have the same text", file);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0] && t->eos < 0; i++)
        t->eos = wn__vocab_find(&t->vocab, ends[i], strlen(ends[i]));
    if (is_plain_bytes(t))
        t->kind = "bytes";
    else if (t->kind == NULL)
        t->kind = "byte-level BPE";
    return WN_OK;
}

wn_status wn__tokenizer_new_bytes(wn_tokenizer **out) {
    *out = NULL;
    wn_tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL) return wn__fail(WN_NOMEM, "tokenizer: out of memory");
    t->bos = t->eos = -1;
    t->bpe.unknown_id = WN_BPE_NONE;
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
    for (size_t i = 0; i < t->steps; i++)
        wn__pattern_free(t->step[i].pattern);
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

wn_status wn_tokenizer_decode(const wn_tokenizer *t, const int32_t *ids, size_t count,
                              bool skip_special, char **out, size_t *size) {
    wn__bytes text = {0};
    wn_status status = WN_OK;
    *out = NULL;
    *size = 0;
    for (size_t i = 0; i < count; i++) {
        bool inside = ids[i] >= 0 && (size_t)ids[i] < t->vocab.count;
        const wn__token *k = inside ? &t->vocab.token[ids[i]] : NULL;
        if (k == NULL || !k->flags) {
            status = wn__fail(WN_INVALID, "decode: id %d (number %zu) %s 0..%zu", ids[i], i,
                              inside ? "is one of the ids without a token in" : "is outside",
                              t->vocab.count - 1);
            goto out;
        }
        if (skip_special && (k->flags & WN_TOKEN_SPECIAL)) continue;
        WN_TRY_OUT(wn__bytes_append(&text, t->vocab.bytes.data + k->offset, k->size));
    }
    WN_TRY_OUT(wn__bytes_append(&text, "", 1));
    *out = text.data;
    *size = text.size - 1;
    return WN_OK;
out:
    wn__bytes_free(&text);
    return status;
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
