// SPDX-License-Identifier: MIT
// Notes beside tensors, from one kind of file to another.
#include "formats/notes.h"

#include "base/fail.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYER    "kron:"
#define CHAIN    "winnow.chain"
#define PATTERNS "patterns"

void wn__notes_free(wn__notes *n) {
    for (size_t i = 0; i < n->count; i++) {
        free(n->item[i].key);
        free(n->item[i].value);
    }
    free(n->item);
    *n = (wn__notes){0};
}

const char *wn__notes_get(const wn__notes *n, const char *key) {
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->item[i].key, key) == 0) return n->item[i].value;
    return NULL;
}

// "<prefix><key>": value, neither terminated. A byte of 0 would end them where they are read again.
static wn_status add(wn__notes *n, const char *prefix, const char *key, size_t key_size,
                     const char *value, size_t size) {
    if (memchr(key, 0, key_size) != NULL || memchr(value, 0, size) != NULL)
        return wn__fail(WN_FORMAT, "a byte of 0 in the note '%s%.*s'", prefix,
                        (int)(key_size < 200 ? key_size : 200), key);
    if (n->count == n->room) {
        size_t room = n->room < 8 ? 8 : 2 * n->room;
        wn__st_meta *grown = realloc(n->item, room * sizeof *grown);
        if (grown == NULL) return wn__fail(WN_NOMEM, "out of memory for metadata");
        n->item = grown;
        n->room = room;
    }
    wn__st_meta *m = &n->item[n->count];
    size_t before = strlen(prefix);
    m->key = malloc(before + key_size + 1);
    m->value = strndup(value, size);
    if (m->key == NULL || m->value == NULL) {
        free(m->key);
        free(m->value);
        return wn__fail(WN_NOMEM, "out of memory for metadata");
    }
    memcpy(m->key, prefix, before);
    memcpy(m->key + before, key, key_size);
    m->key[before + key_size] = '\0';
    n->count++;
    return WN_OK;
}

wn_status wn__notes_of_safetensors(wn__notes *n, const wn__safetensors *st) {
    for (size_t i = 0; i < st->meta_count; i++) {
        const wn__st_meta *m = &st->meta[i];
        if (strcmp(m->key, "format") == 0 || wn__notes_get(n, m->key) != NULL) continue;
        WN_TRY(add(n, "", m->key, strlen(m->key), m->value, strlen(m->value)));
    }
    return WN_OK;
}

// ---- of torch.save

static bool is_sequence(const wn__pickle_value *v) {
    return v != NULL && (v->type == WN__PICKLE_LIST || v->type == WN__PICKLE_TUPLE);
}

static bool is_pattern(const wn__pickle_value *v) {
    if (!is_sequence(v) || wn__pickle_count(v) != 4) return false;
    for (size_t i = 0; i < 4; i++) {
        const wn__pickle_value *n = wn__pickle_at(v, i);
        if (n == NULL || n->type != WN__PICKLE_INT) return false;
    }
    return true;
}

const wn__pickle_value *wn__notes_patterns_of(const wn__pth *p) {
    const wn__pickle_value *list = wn__pickle_get(p->root, PATTERNS);
    const wn__pickle_value *model = wn__pickle_get(p->root, "model_state_dict");
    if (!is_sequence(list) || wn__pickle_count(list) == 0) return NULL;
    if (model == NULL || model->type != WN__PICKLE_DICT) return NULL;
    for (size_t t = 0; t < wn__pickle_count(list); t++)
        if (!is_pattern(wn__pickle_at(list, t))) return NULL;
    return list;
}

static wn_status append_pattern(wn__json *list, const wn__pickle_value *pattern) {
    wn__json *four = wn__json_new_array();
    wn_status status = WN_OK;
    for (size_t i = 0; i < 4 && status == WN_OK; i++)
        status = wn__json_append(four, wn__json_new_int(wn__pickle_at(pattern, i)->integer));
    if (status == WN_OK) return wn__json_append(list, four);
    wn__json_free(four);
    return status;
}

static wn_status add_patterns(wn__notes *n, const wn__pickle_value *patterns) {
    wn__json *list = wn__json_new_array();
    char *text = NULL;
    wn_status status = WN_OK;
    for (size_t t = 0; t < wn__pickle_count(patterns) && status == WN_OK; t++)
        status = append_pattern(list, wn__pickle_at(patterns, t));
    if (status == WN_OK) status = wn__json_dump(list, 0, &text);
    if (status == WN_OK) status = add(n, "", PATTERNS, strlen(PATTERNS), text, strlen(text));
    free(text);
    wn__json_free(list);
    return status;
}

// {LAYER: {"winnow.chain": text}} of a state_dict.
static wn_status add_layers(wn__notes *n, const wn__pickle_value *modules) {
    for (size_t i = 0; modules != NULL && i < modules->list.count; i += 2) {
        const wn__pickle_value *layer = modules->list.item[i];
        const wn__pickle_value *text = wn__pickle_get(modules->list.item[i + 1], CHAIN);
        if (layer->type != WN__PICKLE_STRING || text == NULL || text->type != WN__PICKLE_STRING)
            continue;
        WN_TRY(
            add(n, LAYER, layer->text.bytes, layer->text.size, text->text.bytes, text->text.size));
    }
    return WN_OK;
}

static wn_status add_all(wn__notes *n, const wn__pth *p) {
    const wn__pickle_value *patterns = wn__notes_patterns_of(p);
    const wn__pickle_value *chain = wn__pickle_get(wn__pickle_get(p->root, "winnow"), "chain");
    if (patterns != NULL) WN_TRY(add_patterns(n, patterns));
    if (patterns != NULL && chain != NULL && chain->type == WN__PICKLE_STRING)
        WN_TRY(add(n, "", CHAIN, strlen(CHAIN), chain->text.bytes, chain->text.size));
    return p->root->type == WN__PICKLE_DICT ? add_layers(n, p->root->list.metadata) : WN_OK;
}

wn_status wn__notes_of_pth(wn__notes *n, const wn__pth *p) {
    wn_status status = add_all(n, p);
    return status == WN_OK ? WN_OK : wn__fail_in(status, "%s", p->path);
}

bool wn__notes_has_layers(const wn__notes *n) {
    for (size_t i = 0; i < n->count; i++)
        if (strncmp(n->item[i].key, LAYER, strlen(LAYER)) == 0) return true;
    return false;
}

void wn__notes_put_layers(const wn__notes *n, wn__pth_writer *w) {
    bool any = false;
    for (size_t i = 0; i < n->count; i++) {
        const wn__st_meta *m = &n->item[i];
        if (strncmp(m->key, LAYER, strlen(LAYER)) != 0) continue;
        if (!any) wn__pth_begin_metadata(w);
        any = true;
        wn__pth_put_text(w, m->key + strlen(LAYER));
        wn__pth_begin(w, WN__PICKLE_DICT);
        wn__pth_put_text(w, CHAIN);
        wn__pth_put_text(w, m->value);
        wn__pth_end(w);
    }
    if (any) wn__pth_end_metadata(w);
}

static bool are_patterns(const wn__json *list) {
    if (wn__json_typeof(list) != WN_JSON_ARRAY || wn__json_count(list) == 0) return false;
    for (size_t t = 0; t < wn__json_count(list); t++) {
        const wn__json *pattern = wn__json_at(list, t);
        if (wn__json_typeof(pattern) != WN_JSON_ARRAY || wn__json_count(pattern) != 4) return false;
        for (size_t i = 0; i < 4; i++)
            if (wn__json_typeof(wn__json_at(pattern, i)) != WN_JSON_INT) return false;
    }
    return true;
}

wn_status wn__notes_patterns(const wn__notes *n, wn__json **out) {
    const char *text = wn__notes_get(n, PATTERNS);
    *out = NULL;
    if (text == NULL) return WN_OK;
    wn_status status = wn__json_parse(text, strlen(text), PATTERNS, out);
    if (status != WN_OK) return status == WN_NOMEM ? status : WN_OK;
    if (are_patterns(*out)) return WN_OK;
    wn__json_free(*out);
    *out = NULL;
    return WN_OK;
}

void wn__notes_put_chain(const wn__notes *n, const wn__json *patterns, wn__pth_writer *w) {
    const char *chain = wn__notes_get(n, CHAIN);
    wn__pth_put_text(w, PATTERNS);
    wn__pth_begin(w, WN__PICKLE_LIST);
    for (size_t t = 0; t < wn__json_count(patterns); t++) {
        wn__pth_begin(w, WN__PICKLE_TUPLE);
        for (size_t i = 0; i < 4; i++)
            wn__pth_put_int(w, wn__json_int(wn__json_at(wn__json_at(patterns, t), i)));
        wn__pth_end(w);
    }
    wn__pth_end(w);
    if (chain == NULL) return;
    wn__pth_put_text(w, "winnow");
    wn__pth_begin(w, WN__PICKLE_DICT);
    wn__pth_put_text(w, "chain");
    wn__pth_put_text(w, chain);
    wn__pth_end(w);
}
