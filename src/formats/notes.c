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

// "<prefix><key>": value, neither terminated.
static wn_status add(wn__notes *n, const char *prefix, const char *key, size_t key_size,
                     const char *value, size_t size) {
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

// Lists of integers, in lists.
static wn_status json_of(const wn__pickle_value *v, int depth, wn__json **out) {
    *out = NULL;
    if (v != NULL && v->type == WN__PICKLE_INT) {
        *out = wn__json_new_int(v->integer);
        return *out != NULL ? WN_OK : wn__fail(WN_NOMEM, "out of memory for patterns");
    }
    if (!is_sequence(v) || depth > 1)
        return wn__fail(WN_FORMAT, "patterns hold %s, lists of integers expected",
                        wn__pickle_typename(v));
    wn__json *list = wn__json_new_array(), *item;
    wn_status status = list != NULL ? WN_OK : wn__fail(WN_NOMEM, "out of memory for patterns");
    for (size_t i = 0; i < wn__pickle_count(v) && status == WN_OK; i++) {
        status = json_of(wn__pickle_at(v, i), depth + 1, &item);
        if (status == WN_OK) status = wn__json_append(list, item);
    }
    if (status == WN_OK)
        *out = list;
    else
        wn__json_free(list);
    return status;
}

static wn_status add_patterns(wn__notes *n, const wn__pickle_value *patterns) {
    wn__json *list;
    char *text = NULL;
    WN_TRY(json_of(patterns, 0, &list));
    wn_status status = wn__json_dump(list, 0, &text);
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

wn_status wn__notes_of_pth(wn__notes *n, const wn__pth *p) {
    const wn__pickle_value *patterns = wn__pickle_get(p->root, PATTERNS);
    const wn__pickle_value *chain = wn__pickle_get(wn__pickle_get(p->root, "winnow"), "chain");
    if (patterns != NULL && add_patterns(n, patterns) != WN_OK)
        return wn__fail_in(WN_FORMAT, "%s", p->path);
    if (patterns != NULL && chain != NULL && chain->type == WN__PICKLE_STRING)
        WN_TRY(add(n, "", CHAIN, strlen(CHAIN), chain->text.bytes, chain->text.size));
    return p->root->type == WN__PICKLE_DICT ? add_layers(n, p->root->list.metadata) : WN_OK;
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

static void put_patterns(const wn__json *list, wn__pth_writer *w) {
    wn__pth_put_text(w, PATTERNS);
    wn__pth_begin(w, WN__PICKLE_LIST);
    for (size_t i = 0; i < wn__json_count(list); i++) {
        const wn__json *pattern = wn__json_at(list, i);
        wn__pth_begin(w, WN__PICKLE_TUPLE);
        for (size_t q = 0; q < wn__json_count(pattern); q++)
            wn__pth_put_int(w, wn__json_int(wn__json_at(pattern, q)));
        wn__pth_end(w);
    }
    wn__pth_end(w);
}

wn_status wn__notes_put_chain(const wn__notes *n, wn__pth_writer *w) {
    const char *patterns = wn__notes_get(n, PATTERNS), *chain = wn__notes_get(n, CHAIN);
    wn__json *list;
    if (patterns == NULL) return WN_OK;
    WN_TRY(wn__json_parse(patterns, strlen(patterns), PATTERNS, &list));
    put_patterns(list, w);
    wn__json_free(list);
    if (chain == NULL) return WN_OK;
    wn__pth_put_text(w, "winnow");
    wn__pth_begin(w, WN__PICKLE_DICT);
    wn__pth_put_text(w, "chain");
    wn__pth_put_text(w, chain);
    wn__pth_end(w);
    return WN_OK;
}
