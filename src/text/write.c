// SPDX-License-Identifier: MIT
// A tokenizer to tokenizer.json and tokenizer_config.json. One that came from files is written as
// those files were, so nothing this library does not read is lost.
#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "text/impl.h"
#include <stdlib.h>
#include <string.h>

static wn_status add_flag(wn__json *o, const char *key, bool value) {
    return wn__json_set(o, key, wn__json_new_bool(value));
}

// {"type": type} with booleans; NULL when out of memory.
static wn__json *component(const char *type, const char *const *flags, const bool *values,
                           size_t n) {
    wn__json *o = wn__json_new_object();
    wn_status status = wn__json_set(o, "type", wn__json_new_string(type));
    for (size_t i = 0; i < n && status == WN_OK; i++)
        status = add_flag(o, flags[i], values[i]);
    if (status == WN_OK) return o;
    wn__json_free(o);
    return NULL;
}

static wn__json *byte_level(bool use_regex) {
    static const char *const flags[] = {"add_prefix_space", "trim_offsets", "use_regex"};
    return component("ByteLevel", flags, (const bool[]){false, true, use_regex}, 3);
}

static wn__json *split(const char *regex) {
    static const char *const flags[] = {"invert"};
    wn__json *pattern = wn__json_new_object();
    wn__json *o = component("Split", flags, (const bool[]){false}, 1);
    wn_status status = wn__json_set(pattern, "Regex", wn__json_new_string(regex));
    if (status != WN_OK) {
        wn__json_free(pattern);
        pattern = NULL;
    }
    status = wn__json_set(o, "pattern", pattern);
    if (status == WN_OK) status = wn__json_set(o, "behavior", wn__json_new_string("Isolated"));
    if (status == WN_OK) return o;
    wn__json_free(o);
    return NULL;
}

static wn__json *pre_tokenizer(const wn_tokenizer *t) {
    if (!t->has_pretokenizer) return byte_level(false);
    if (t->trained == WN_PRETOKENIZER_GPT2) return byte_level(true);
    wn__json *o = component("Sequence", NULL, NULL, 0), *list = wn__json_new_array();
    wn_status status = wn__json_append(list, split(wn__pretokenizer_pattern(t->trained)));
    if (status == WN_OK) status = wn__json_append(list, byte_level(false));
    if (status != WN_OK) {
        wn__json_free(list);
        list = NULL;
    }
    if (wn__json_set(o, "pretokenizers", list) == WN_OK) return o;
    wn__json_free(o);
    return NULL;
}

static wn_status add_added_tokens(const wn_tokenizer *t, wn__json *list) {
    for (size_t id = 0; id < t->vocab.count; id++) {
        const wn__token *k = &t->vocab.token[id];
        if (!(k->flags & WN_TOKEN_ADDED)) continue;
        size_t n;
        const char *text = wn__intern_string(&t->vocab.names, k->name, &n);
        wn__json *o = wn__json_new_object();
        wn_status status = wn__json_set(o, "id", wn__json_new_int((int64_t)id));
        if (status == WN_OK) status = wn__json_set(o, "content", wn__json_new_stringn(text, n));
        if (status == WN_OK) status = add_flag(o, "single_word", false);
        if (status == WN_OK) status = add_flag(o, "lstrip", false);
        if (status == WN_OK) status = add_flag(o, "rstrip", false);
        if (status == WN_OK) status = add_flag(o, "normalized", false);
        if (status == WN_OK) status = add_flag(o, "special", k->flags & WN_TOKEN_SPECIAL);
        if (status != WN_OK) {
            wn__json_free(o);
            return status;
        }
        WN_TRY(wn__json_append(list, o));
    }
    return WN_OK;
}

static wn_status add_vocab(const wn_tokenizer *t, wn__json *vocab) {
    for (size_t id = 0; id < t->vocab.count; id++) {
        const wn__token *k = &t->vocab.token[id];
        if (!k->flags || (k->flags & WN_TOKEN_ADDED)) continue;
        size_t n; // byte-level spellings hold no NUL
        const char *text = wn__intern_string(&t->vocab.names, k->name, &n);
        char *key = strndup(text, n);
        if (key == NULL) return wn__fail(WN_NOMEM, "tokenizer: out of memory");
        wn_status status = wn__json_set(vocab, key, wn__json_new_int((int64_t)id));
        free(key);
        WN_TRY(status);
    }
    return WN_OK;
}

// "a b": no byte is spelled as a space, and every version of the reader takes it.
static wn_status add_merges(const wn_tokenizer *t, wn__json *merges) {
    wn__bytes line = {0};
    wn_status status = WN_OK;
    for (size_t i = 0; i < t->bpe.merges; i++) {
        size_t n;
        line.size = 0;
        const wn__vocab *v = &t->vocab;
        const char *text = wn__intern_string(&v->names, v->token[t->merge[i].left].name, &n);
        WN_TRY_OUT(wn__bytes_append(&line, text, n));
        WN_TRY_OUT(wn__bytes_append(&line, " ", 1));
        text = wn__intern_string(&v->names, v->token[t->merge[i].right].name, &n);
        WN_TRY_OUT(wn__bytes_append(&line, text, n));
        WN_TRY_OUT(wn__json_append(merges, wn__json_new_stringn(line.data, line.size)));
    }
out:
    wn__bytes_free(&line);
    return status;
}

static wn_status add_model(const wn_tokenizer *t, wn__json *model) {
    static const char *const null[] = {"dropout", "unk_token", "continuing_subword_prefix",
                                       "end_of_word_suffix"};
    static const char *const no[] = {"fuse_unk", "byte_fallback", "ignore_merges"};
    wn__json *vocab = wn__json_new_object(), *merges = wn__json_new_array();
    wn_status status = wn__json_set(model, "type", wn__json_new_string("BPE"));
    for (size_t i = 0; i < sizeof null / sizeof null[0] && status == WN_OK; i++)
        status = wn__json_set(model, null[i], wn__json_new_null());
    for (size_t i = 0; i < sizeof no / sizeof no[0] && status == WN_OK; i++)
        status = add_flag(model, no[i], false);
    if (status == WN_OK) status = add_vocab(t, vocab);
    if (status == WN_OK) status = add_merges(t, merges);
    if (status == WN_OK) status = wn__json_set(model, "vocab", wn__json_ref(vocab));
    if (status == WN_OK) status = wn__json_set(model, "merges", wn__json_ref(merges));
    wn__json_free(vocab);
    wn__json_free(merges);
    return status;
}

static wn_status add_root(const wn_tokenizer *t, wn__json *root) {
    wn__json *added = wn__json_new_array(), *model = wn__json_new_object();
    wn_status status = wn__json_set(root, "version", wn__json_new_string("1.0"));
    if (status == WN_OK) status = wn__json_set(root, "truncation", wn__json_new_null());
    if (status == WN_OK) status = wn__json_set(root, "padding", wn__json_new_null());
    if (status == WN_OK) status = add_added_tokens(t, added);
    if (status == WN_OK) status = wn__json_set(root, "added_tokens", wn__json_ref(added));
    if (status == WN_OK) status = wn__json_set(root, "normalizer", wn__json_new_null());
    if (status == WN_OK) status = wn__json_set(root, "pre_tokenizer", pre_tokenizer(t));
    if (status == WN_OK) status = wn__json_set(root, "post_processor", byte_level(true));
    if (status == WN_OK) status = wn__json_set(root, "decoder", byte_level(true));
    if (status == WN_OK) status = add_model(t, model);
    if (status == WN_OK) status = wn__json_set(root, "model", wn__json_ref(model));
    wn__json_free(added);
    wn__json_free(model);
    return status;
}

static wn_status write_json(const wn__json *root, const char *path) {
    char *text;
    WN_TRY(wn__json_dump(root, 2, &text));
    wn_status status = wn__file_write(path, text, strlen(text));
    free(text);
    return status;
}

wn_status wn_tokenizer_save(const wn_tokenizer *t, const char *path) {
    if (t->source != NULL) return wn__file_write(path, t->source, t->source_size);
    wn__json *root = wn__json_new_object();
    wn_status status = add_root(t, root);
    if (status == WN_OK) status = write_json(root, path);
    wn__json_free(root);
    return status;
}

static wn_status set_token(const wn_tokenizer *t, wn__json *root, const char *key, int32_t id) {
    if (id < 0) return WN_OK;
    size_t n;
    const char *text = wn__intern_string(&t->vocab.names, t->vocab.token[id].name, &n);
    return wn__json_set(root, key, wn__json_new_stringn(text, n));
}

static wn_status new_config(const wn_tokenizer *t, wn__json **out) {
    *out = t->config != NULL ? NULL : wn__json_new_object();
    if (t->config != NULL)
        return wn__json_parse(t->config, t->config_size, "tokenizer_config.json", out);
    WN_TRY(add_flag(*out, "add_prefix_space", false));
    WN_TRY(add_flag(*out, "add_bos_token", t->adds_bos));
    WN_TRY(set_token(t, *out, "bos_token", t->bos));
    WN_TRY(set_token(t, *out, "eos_token", t->eos));
    return add_flag(*out, "clean_up_tokenization_spaces", false);
}

wn_status wn_tokenizer_save_config(const wn_tokenizer *t, const char *path,
                                   int64_t model_max_length) {
    wn__json *root = NULL;
    wn_status status = new_config(t, &root);
    if (status == WN_OK)
        status =
            wn__json_set(root, "tokenizer_class", wn__json_new_string("PreTrainedTokenizerFast"));
    if (status == WN_OK && model_max_length > 0)
        status = wn__json_set(root, "model_max_length", wn__json_new_int(model_max_length));
    if (status == WN_OK) status = write_json(root, path);
    wn__json_free(root);
    return status;
}
