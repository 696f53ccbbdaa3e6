// SPDX-License-Identifier: MIT
// tokenizer.json to a tokenizer: the model and the added tokens. What surrounds them is read in
// read_pipeline.c. `truncation` and `padding` are settings of a caller, not of the mapping, and are
// not looked at.
#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "text/impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)512 << 20) // bytes

// A string member that must be absent, null or empty.
static wn_status refuse_text(const wn__json *o, const char *file, const char *key) {
    size_t n;
    const wn__json *j = wn__json_get(o, key);
    wn__json_type type = wn__json_typeof(j);
    if (type == WN_JSON_NONE || type == WN_JSON_NULL) return WN_OK;
    if (wn__json_string(j, &n) != NULL && n == 0) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "%s: model: '%s' is not read here", file, key);
}

static wn_status get_flag(const wn__json *o, const char *file, const char *key, bool fallback,
                          bool *out) {
    return wn__json_get_bool(o, file, key, &fallback, out);
}

static wn_status read_model_options(wn_tokenizer *t, const char *file, const wn__json *model) {
    static const char *const bpe = "BPE";
    static const double none = 0;
    const char *type;
    double dropout;
    bool byte_fallback;
    WN_TRY(wn__json_get_string(model, file, "type", &bpe, &type));
    if (strcmp(type, bpe) != 0)
        return wn__fail(WN_UNSUPPORTED, "%s: model '%.40s' is not read here, only BPE", file, type);
    WN_TRY(wn__json_get_real(model, file, "dropout", &none, &dropout));
    if (dropout != 0)
        return wn__fail(WN_UNSUPPORTED, "%s: model: dropout %g is not read here", file, dropout);
    WN_TRY(refuse_text(model, file, "continuing_subword_prefix"));
    WN_TRY(refuse_text(model, file, "end_of_word_suffix"));
    WN_TRY(get_flag(model, file, "byte_fallback", false, &byte_fallback));
    if (byte_fallback)
        return wn__fail(WN_UNSUPPORTED,
                        "%s: model: byte_fallback (SentencePiece BPE) is not read here, only "
                        "byte-level BPE",
                        file);
    WN_TRY(get_flag(model, file, "fuse_unk", false, &t->bpe.fuse_unknown));
    return get_flag(model, file, "ignore_merges", false, &t->bpe.ignore_merges);
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
    return WN_OK;
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

static wn_status read_model(wn_tokenizer *t, const char *file, const wn__json *root,
                            uint64_t seed) {
    const wn__json *model = wn__json_get(root, "model");
    if (wn__json_typeof(model) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: 'model': expected an object, found %s", file,
                        wn__json_typename(model));
    WN_TRY(read_model_options(t, file, model));
    WN_TRY(read_vocab(t, file, model));
    WN_TRY(read_unknown(t, file, model));
    WN_TRY(read_merges(t, file, model, seed));
    return wn__tokenizer_index(t);
}

static wn_status read_added(wn_tokenizer *t, const char *file, const wn__json *j) {
    wn__added_token token = {0};
    bool normalized;
    int64_t id;
    size_t n;
    const char *text = wn__json_string(wn__json_get(j, "content"), &n);
    if (text == NULL)
        return wn__fail(WN_FORMAT, "%s: added_tokens: 'content': expected a string, found %s", file,
                        wn__json_typename(wn__json_get(j, "content")));
    WN_TRY(wn__json_get_int(j, file, "id", NULL, &id));
    if (id < 0 || id >= WN_MAX_IDS)
        return wn__fail(WN_FORMAT, "%s: added_tokens: id %lld of '%.60s' is outside 0..%lld", file,
                        (long long)id, text, (long long)WN_MAX_IDS - 1);
    WN_TRY(get_flag(j, file, "special", false, &token.special));
    WN_TRY(get_flag(j, file, "normalized", !token.special, &normalized));
    WN_TRY(get_flag(j, file, "single_word", false, &token.single_word));
    WN_TRY(get_flag(j, file, "lstrip", false, &token.lstrip));
    WN_TRY(get_flag(j, file, "rstrip", false, &token.rstrip));
    if (n == 0) return WN_OK; // nothing to find, as Hugging Face has it
    token.id = (int32_t)id;
    token.size = n;
    return wn__tokenizer_add_token(t, file, text, token, normalized);
}

static wn_status read_added_tokens(wn_tokenizer *t, const char *file, const wn__json *root) {
    const wn__json *list = wn__json_get(root, "added_tokens");
    wn__json_type type = wn__json_typeof(list);
    if (type == WN_JSON_NONE || type == WN_JSON_NULL) return WN_OK;
    if (type != WN_JSON_ARRAY)
        return wn__fail(WN_FORMAT, "%s: 'added_tokens': expected an array, found %s", file,
                        wn__json_typename(list));
    for (size_t i = 0; i < wn__json_count(list); i++)
        WN_TRY(read_added(t, file, wn__json_at(list, i)));
    return WN_OK;
}

static wn_status read_root(wn_tokenizer *t, const char *file, const wn__json *root, uint64_t seed) {
    if (wn__json_typeof(root) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: expected an object, found %s", file,
                        wn__json_typename(root));
    t->vocab.names.seed = seed;
    WN_TRY(read_model(t, file, root, seed));
    WN_TRY(wn__read_pipeline(t, file, root)); // the normalizer, before tokens are normalized
    WN_TRY(read_added_tokens(t, file, root));
    if (t->vocab.count == 0) return wn__fail(WN_FORMAT, "%s: an empty vocabulary", file);
    WN_TRY(wn__read_post_processor(t, file, wn__json_get(root, "post_processor")));
    return wn__tokenizer_finish(t, file);
}

// Takes bytes, which it keeps on success and leaves to the caller on failure.
static wn_status parse(char *bytes, size_t size, const char *name, wn_tokenizer **out) {
    *out = NULL;
    wn__json *root = NULL;
    wn_tokenizer *t = calloc(1, sizeof *t);
    wn_status status;
    if (t == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", name);
    t->bos = t->eos = -1;
    t->bpe.unknown_id = WN_BPE_NONE;
    if (size > MAX_FILE) {
        status = wn__fail(WN_UNSUPPORTED, "%s: %zu bytes, at most %zu", name, size, MAX_FILE);
        goto out;
    }
    WN_TRY_OUT(wn__json_parse(bytes, size, name, &root));
    WN_TRY_OUT(read_root(t, name, root, wn__hash_bytes(bytes, size, 0)));
    t->source = bytes;
    t->source_size = size;
    *out = t;
out:
    wn__json_free(root);
    if (status != WN_OK) wn_tokenizer_free(t);
    return status;
}

wn_status wn_tokenizer_parse(const char *bytes, size_t size, const char *name, wn_tokenizer **out) {
    *out = NULL;
    char *copy = malloc(size + 1);
    if (copy == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", name);
    if (size > 0) memcpy(copy, bytes, size);
    wn_status status = parse(copy, size, name, out);
    if (status != WN_OK) free(copy);
    return status;
}

// The id that "KEY_token" of tokenizer_config.json names, a string or {"content": ...}; else *id
// stays.
static void read_named(const wn_tokenizer *t, const char *file, const wn__json *config,
                       const char *key, int32_t *id) {
    const wn__json *j = wn__json_get(config, key);
    size_t n;
    const char *text = wn__json_string(j, &n);
    if (text == NULL) text = wn__json_string(wn__json_get(j, "content"), &n);
    if (text == NULL) return;
    int32_t found = wn__vocab_find(&t->vocab, text, n);
    if (found >= 0)
        *id = found;
    else
        wn__log(WN_LOG_WARN, "%s: %s '%.60s' is not in the vocabulary", file, key, text);
}

// What tokenizer_config.json says and tokenizer.json does not: which tokens begin and end a text.
static wn_status read_config(wn_tokenizer *t, const char *path) {
    wn__json *config = NULL;
    WN_TRY(wn__file_read(path, MAX_FILE, &t->config, &t->config_size));
    WN_TRY(wn__json_parse(t->config, t->config_size, path, &config));
    wn_status status = WN_OK;
    bool adds = false;
    if (wn__json_typeof(config) != WN_JSON_OBJECT)
        status = wn__fail(WN_FORMAT, "%s: expected an object, found %s", path,
                          wn__json_typename(config));
    if (status == WN_OK) status = get_flag(config, path, "add_bos_token", false, &adds);
    if (status == WN_OK) {
        if (!t->adds_bos) read_named(t, path, config, "bos_token", &t->bos);
        if (adds) t->adds_bos = true;
        read_named(t, path, config, "eos_token", &t->eos);
    }
    wn__json_free(config);
    return status;
}

// "dir/tokenizer_config.json" of "dir/tokenizer.json", malloc'ed.
static char *sibling(const char *path) {
    static const char name[] = "tokenizer_config.json";
    const char *slash = strrchr(path, '/');
    size_t dir = slash ? (size_t)(slash - path) + 1 : 0;
    char *out = malloc(dir + sizeof name);
    if (out == NULL) return NULL;
    memcpy(out, path, dir);
    memcpy(out + dir, name, sizeof name);
    return out;
}

wn_status wn_tokenizer_open(const char *path, wn_tokenizer **out) {
    *out = NULL;
    char *bytes, *config = sibling(path);
    size_t size;
    wn_tokenizer *t = NULL;
    if (config == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    wn_status status = wn__file_read(path, MAX_FILE, &bytes, &size);
    if (status == WN_OK) {
        status = parse(bytes, size, path, &t);
        if (status != WN_OK) free(bytes);
    }
    if (status == WN_OK && wn__file_exists(config)) status = read_config(t, config);
    free(config);
    if (status == WN_OK)
        *out = t;
    else
        wn_tokenizer_free(t);
    return status;
}
