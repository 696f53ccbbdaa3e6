// SPDX-License-Identifier: MIT
// tokenizer.json's member model: BPE's vocabulary and merges, or a unigram model's scored pieces.
#include "base/fail.h"
#include "base/utf8.h"
#include "text/impl.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_PENALTY 10.0

// A string member that must be absent, null or empty.
static wn_status refuse_text(const wn__json *o, const char *file, const char *key) {
    size_t n;
    const wn__json *j = wn__json_get(o, key);
    wn__json_type type = wn__json_typeof(j);
    if (type == WN_JSON_NONE || type == WN_JSON_NULL) return WN_OK;
    if (wn__json_string(j, &n) != NULL && n == 0) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "%s: model: '%s' is not read here", file, key);
}

static wn_status get_flag(const wn__json *o, const char *file, const char *key, bool *out) {
    static const bool no = false;
    return wn__json_get_bool(o, file, key, &no, out);
}

static wn_status read_bpe_options(wn_tokenizer *t, const char *file, const wn__json *model) {
    static const double none = 0;
    double dropout;
    WN_TRY(wn__json_get_real(model, file, "dropout", &none, &dropout));
    if (dropout != 0)
        return wn__fail(WN_UNSUPPORTED, "%s: model: dropout %g is not read here", file, dropout);
    WN_TRY(refuse_text(model, file, "continuing_subword_prefix"));
    WN_TRY(refuse_text(model, file, "end_of_word_suffix"));
    WN_TRY(get_flag(model, file, "byte_fallback", &t->bpe.byte_fallback));
    if (t->bpe.byte_fallback && t->byte_level)
        return wn__fail(WN_UNSUPPORTED,
                        "%s: model: byte_fallback is not read here with a ByteLevel pre_tokenizer",
                        file);
    WN_TRY(get_flag(model, file, "fuse_unk", &t->bpe.fuse_unknown));
    return get_flag(model, file, "ignore_merges", &t->bpe.ignore_merges);
}

static wn_status read_vocab(wn_tokenizer *t, const char *file, const wn__json *model) {
    const wn__json *vocab = wn__json_get(model, "vocab");
    if (wn__json_typeof(vocab) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: model: 'vocab': expected an object, found %s", file,
                        wn__json_typename(vocab));
    void *iter = NULL;
    const char *key;
    size_t n;
    wn__json *value;
    while (wn__json_next(vocab, &iter, &key, &n, &value)) {
        if (wn__json_typeof(value) != WN_JSON_INT)
            return wn__fail(WN_FORMAT, "%s: model: vocab: '%.60s': expected an id, found %s", file,
                            key, wn__json_typename(value));
        WN_TRY(wn__vocab_add(&t->vocab, file, key, n, wn__json_int(value), 0));
    }
    return WN_OK;
}

static wn_status read_unknown(wn_tokenizer *t, const char *file, const wn__json *model) {
    static const char *const none = NULL;
    const char *text;
    WN_TRY(wn__json_get_string(model, file, "unk_token", &none, &text));
    if (text == NULL) return WN_OK;
    t->bpe.unknown_id = wn__vocab_find(&t->vocab, text, strlen(text));
    if (t->bpe.unknown_id < 0)
        return wn__fail(WN_FORMAT, "%s: model: unk_token '%.60s' is not in the vocabulary", file,
                        text);
    return WN_OK;
}

typedef struct merge_text {
    const char *left, *right;
    size_t left_size, right_size;
} merge_text;

// "a b" or ["a", "b"].
static bool parse_merge(const wn__json *j, merge_text *out) {
    size_t n;
    const char *text = wn__json_string(j, &n);
    if (text != NULL) {
        const char *space = memchr(text, ' ', n);
        if (space == NULL || memchr(space + 1, ' ', n - (size_t)(space + 1 - text))) return false;
        *out = (merge_text){.left = text,
                            .left_size = (size_t)(space - text),
                            .right = space + 1,
                            .right_size = n - (size_t)(space + 1 - text)};
    } else {
        if (wn__json_typeof(j) != WN_JSON_ARRAY || wn__json_count(j) != 2) return false;
        out->left = wn__json_string(wn__json_at(j, 0), &out->left_size);
        out->right = wn__json_string(wn__json_at(j, 1), &out->right_size);
        if (out->left == NULL || out->right == NULL) return false;
    }
    return out->left_size > 0 && out->right_size > 0;
}

// How much of a text a message shows.
static int shown(size_t n) {
    return (int)(n < 60 ? n : 60);
}

static wn_status read_merge(wn_tokenizer *t, const char *file, size_t rank, const wn__json *j,
                            wn__bytes *both) {
    merge_text m = {0};
    if (!parse_merge(j, &m))
        return wn__fail(WN_FORMAT, "%s: model: merges[%zu]: expected \"a b\" or [\"a\", \"b\"]",
                        file, rank);
    both->size = 0;
    WN_TRY(wn__bytes_append(both, m.left, m.left_size));
    WN_TRY(wn__bytes_append(both, m.right, m.right_size));
    int32_t left = wn__vocab_find(&t->vocab, m.left, m.left_size),
            right = wn__vocab_find(&t->vocab, m.right, m.right_size),
            id = wn__vocab_find(&t->vocab, both->data, both->size);
    if (left < 0 || right < 0 || id < 0)
        return wn__fail(WN_FORMAT,
                        "%s: model: merges[%zu] ('%.*s' and '%.*s'): %s not in the vocabulary",
                        file, rank, shown(m.left_size), m.left, shown(m.right_size), m.right,
                        left < 0    ? "the first is"
                        : right < 0 ? "the second is"
                                    : "the two together are");
    wn__bpe_merge(&t->bpe, left, right, id);
    uint32_t last, first;
    if (wn__utf8_decode_last(m.left, m.left_size, &last) == 0 ||
        wn__utf8_decode(m.right, m.right_size, &first) == 0)
        return wn__fail(WN_BUG, "%s: model: merges[%zu] is not UTF-8", file, rank);
    return t->byte_level ? WN_OK : wn__char_pairs_add(&t->bpe.join, last, first);
}

static wn_status read_merges(wn_tokenizer *t, const char *file, const wn__json *model,
                             uint64_t seed) {
    const wn__json *merges = wn__json_get(model, "merges");
    if (wn__json_typeof(merges) != WN_JSON_ARRAY)
        return wn__fail(WN_FORMAT, "%s: model: 'merges': expected an array, found %s", file,
                        wn__json_typename(merges));
    size_t n = wn__json_count(merges);
    WN_TRY(wn__bpe_reserve(&t->bpe, n, seed));
    wn__bytes both = {0};
    wn_status status = WN_OK;
    for (size_t i = 0; i < n && status == WN_OK; i++)
        status = read_merge(t, file, i, wn__json_at(merges, i), &both);
    wn__bytes_free(&both);
    return status;
}

static wn_status read_bpe(wn_tokenizer *t, const char *file, const wn__json *model, uint64_t seed) {
    WN_TRY(read_bpe_options(t, file, model));
    WN_TRY(read_vocab(t, file, model));
    WN_TRY(read_unknown(t, file, model));
    return read_merges(t, file, model, seed);
}

// A score as Hugging Face tokenizers reads it, which decides between ways to cut that are otherwise
// even: the digits as an integer, divided by a power of ten, both rounded. That is the number
// itself up to 15 digits. The digits are the fewest that stand for the number, as files have them.
static double read_score(double v) {
    char text[40];
    int digits = 14;
    do
        (void)snprintf(text, sizeof text, "%.*e", digits, v);
    while (strtod(text, NULL) != v && ++digits < 17);
    if (digits == 14) return v;
    uint64_t integer = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') integer = integer * 10 + (uint64_t)(*p - '0');
    long exponent = strtol(p + 1, NULL, 10) - digits;
    if (exponent < -308 || exponent > 0) return v;
    (void)snprintf(text, sizeof text, "1e%ld", -exponent);
    double magnitude = (double)integer / strtod(text, NULL);
    return v < 0 ? -magnitude : magnitude;
}

// [piece, score], which is a finite number.
static wn_status read_piece(wn_tokenizer *t, const char *file, const wn__json *j, size_t id) {
    const wn__json *score = wn__json_at(j, 1);
    size_t n;
    const char *text = wn__json_string(wn__json_at(j, 0), &n);
    wn__json_type type = wn__json_typeof(score);
    bool number = (type == WN_JSON_INT || type == WN_JSON_REAL) && isfinite(wn__json_real(score));
    if (wn__json_typeof(j) != WN_JSON_ARRAY || wn__json_count(j) != 2 || text == NULL || !number)
        return wn__fail(WN_FORMAT, "%s: model: vocab[%zu]: expected [\"piece\", score]", file, id);
    t->score[id] = read_score(wn__json_real(score));
    return wn__vocab_find(&t->vocab, text, n) < 0
               ? wn__vocab_add(&t->vocab, file, text, n, (int64_t)id, 0)
               : wn__vocab_repeat(&t->vocab, text, n, (int64_t)id);
}

static wn_status read_pieces(wn_tokenizer *t, const char *file, const wn__json *vocab) {
    size_t n = wn__json_count(vocab);
    if (n > (size_t)WN_MAX_IDS)
        return wn__fail(WN_FORMAT, "%s: model: 'vocab': %zu pieces, at most %lld", file, n,
                        (long long)WN_MAX_IDS);
    t->score = malloc((n + 1) * sizeof *t->score);
    if (t->score == NULL) return wn__fail(WN_NOMEM, "%s: out of memory (%zu pieces)", file, n);
    double least = INFINITY;
    for (size_t id = 0; id < n; id++) {
        WN_TRY(read_piece(t, file, wn__json_at(vocab, id), id));
        if (t->score[id] < least) least = t->score[id];
    }
    t->unigram.score = t->score;
    t->unigram.unknown_score = least - UNKNOWN_PENALTY;
    return WN_OK;
}

static wn_status build_trie(wn_tokenizer *t) {
    size_t count = t->vocab.count;
    wn__trie_key *key = malloc((count + 1) * sizeof *key);
    if (key == NULL) return wn__fail(WN_NOMEM, "tokenizer: out of memory (%zu pieces)", count);
    size_t texts = t->vocab.names.count; // no more than ids
    for (size_t i = 0; i < texts; i++) {
        key[i].text = wn__intern_string(&t->vocab.names, i, &key[i].size);
        key[i].value = (int32_t)t->vocab.names.entry[i].value;
    }
    wn_status status = wn__trie_build(&t->unigram.trie, key, texts);
    free(key);
    return status;
}

static wn_status read_unigram(wn_tokenizer *t, const char *file, const wn__json *model) {
    const wn__json *vocab;
    if (t->byte_level)
        return wn__fail(WN_UNSUPPORTED,
                        "%s: model 'Unigram' is not read here with a ByteLevel pre_tokenizer",
                        file);
    WN_TRY(get_flag(model, file, "byte_fallback", &t->unigram.byte_fallback));
    WN_TRY(wn__read_list(file, "model", model, "vocab", &vocab));
    WN_TRY(read_pieces(t, file, vocab));
    if (!wn__read_is_null(wn__json_get(model, "unk_id"))) {
        int64_t id;
        WN_TRY(wn__json_get_int(model, file, "unk_id", NULL, &id));
        if (id < 0 || id >= (int64_t)t->vocab.count)
            return wn__fail(WN_FORMAT, "%s: model: unk_id %lld is outside the %zu pieces", file,
                            (long long)id, t->vocab.count);
        t->unigram.unknown_id = (int32_t)id;
    }
    return build_trie(t);
}

wn_status wn__read_model(wn_tokenizer *t, const char *file, const wn__json *j, uint64_t seed) {
    static const char *const bpe = "BPE";
    const char *type;
    if (wn__json_typeof(j) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: 'model': expected an object, found %s", file,
                        wn__json_typename(j));
    WN_TRY(wn__json_get_string(j, file, "type", &bpe, &type));
    bool unigram = strcmp(type, "Unigram") == 0;
    if (!unigram && strcmp(type, bpe) != 0)
        return wn__fail(WN_UNSUPPORTED, "%s: model '%.40s' is not read here, only BPE and Unigram",
                        file, type);
    t->model = unigram ? WN_MODEL_UNIGRAM : WN_MODEL_BPE;
    WN_TRY(unigram ? read_unigram(t, file, j) : read_bpe(t, file, j, seed));
    return wn__tokenizer_index(t);
}
