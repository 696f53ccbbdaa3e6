// SPDX-License-Identifier: MIT
// tokenizer.json to a tokenizer: its members in the order in which one needs another, the added
// tokens, and the file beside it. `truncation` and `padding` are settings of a caller, not of the
// mapping, and are not looked at.
#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "text/impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)512 << 20) // bytes

static wn_status get_flag(const wn__json *o, const char *file, const char *key, bool fallback,
                          bool *out) {
    return wn__json_get_bool(o, file, key, &fallback, out);
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
    WN_TRY(wn__read_pre_tokenizer(t, file, wn__json_get(root, "pre_tokenizer")));
    WN_TRY(wn__read_model(t, file, wn__json_get(root, "model"), seed));
    WN_TRY(wn__read_normalizer(t, file, wn__json_get(root, "normalizer")));
    WN_TRY(wn__read_decoder(t, file, wn__json_get(root, "decoder")));
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
    t->unigram.unknown_id = WN_UNIGRAM_NONE;
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
    bool bos = false, eos = false;
    if (wn__json_typeof(config) != WN_JSON_OBJECT)
        status = wn__fail(WN_FORMAT, "%s: expected an object, found %s", path,
                          wn__json_typename(config));
    if (status == WN_OK) status = get_flag(config, path, "add_bos_token", false, &bos);
    if (status == WN_OK) status = get_flag(config, path, "add_eos_token", false, &eos);
    if (status == WN_OK) {
        if (!t->adds_bos) read_named(t, path, config, "bos_token", &t->bos);
        t->adds_bos |= bos;
        t->adds_eos |= eos;
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
