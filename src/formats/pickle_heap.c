// SPDX-License-Identifier: MIT
// Values of pickles: made in chunks, freed all at once, whatever points at what.
#include "formats/pickle_impl.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256 };

struct wn__pickle_chunk {
    struct wn__pickle_chunk *next;
    size_t used;
    wn__pickle_value value[CHUNK];
};

wn_status wn__pickle_new(wn__pickle_heap *h, wn__pickle_type type, wn__pickle_value **out) {
    if (h->values == WN__PICKLE_MOST)
        return wn__fail(WN_UNSUPPORTED, "more than %zu values", WN__PICKLE_MOST);
    if (h->chunk == NULL || h->chunk->used == CHUNK) {
        struct wn__pickle_chunk *chunk = calloc(1, sizeof *chunk);
        if (chunk == NULL) return wn__fail(WN_NOMEM, "out of memory for values");
        chunk->next = h->chunk;
        h->chunk = chunk;
    }
    *out = &h->chunk->value[h->chunk->used++];
    (*out)->type = type;
    h->values++;
    return WN_OK;
}

static bool holds_items(const wn__pickle_value *v) {
    return v->type == WN__PICKLE_LIST || v->type == WN__PICKLE_TUPLE || v->type == WN__PICKLE_DICT;
}

void wn__pickle_free(wn__pickle_heap *h) {
    while (h->chunk != NULL) {
        struct wn__pickle_chunk *chunk = h->chunk;
        for (size_t i = 0; i < chunk->used; i++)
            if (holds_items(&chunk->value[i])) free(chunk->value[i].list.item);
        h->chunk = chunk->next;
        free(chunk);
    }
    free(h->storage);
    free(h->slot);
    free(h->tensor);
    *h = (wn__pickle_heap){0};
}

wn_status wn__pickle_grow(void **array, size_t count, size_t *room, size_t size) {
    if (count < *room) return WN_OK;
    size_t more = *room < 8 ? 8 : 2 * *room;
    void *grown = realloc(*array, more * size);
    if (grown == NULL) return wn__fail(WN_NOMEM, "out of memory for %zu values", more);
    *array = grown;
    *room = more;
    return WN_OK;
}

wn_status wn__pickle_push(wn__pickle_value *list, wn__pickle_value *item) {
    void *items = list->list.item;
    WN_TRY(wn__pickle_grow(&items, list->list.count, &list->list.room, sizeof item));
    list->list.item = items;
    list->list.item[list->list.count++] = item;
    return WN_OK;
}

const char *wn__pickle_typename(const wn__pickle_value *v) {
    static const char *const names[] = {"None",     "a boolean", "an integer", "a float",
                                        "a string", "a list",    "a tuple",    "a dictionary",
                                        "a tensor", "a name",    "a storage"};
    return v != NULL ? names[v->type] : "missing";
}

bool wn__pickle_is(const wn__pickle_value *v, const char *text) {
    return v != NULL && v->type == WN__PICKLE_STRING && v->text.size == strlen(text) &&
           memcmp(v->text.bytes, text, v->text.size) == 0;
}

wn__pickle_value *wn__pickle_get(const wn__pickle_value *dict, const char *key) {
    if (dict == NULL || dict->type != WN__PICKLE_DICT) return NULL;
    for (size_t i = dict->list.count; i >= 2; i -= 2)
        if (wn__pickle_is(dict->list.item[i - 2], key)) return dict->list.item[i - 1];
    return NULL;
}

size_t wn__pickle_count(const wn__pickle_value *v) {
    if (v == NULL || !holds_items(v)) return 0;
    return v->type == WN__PICKLE_DICT ? v->list.count / 2 : v->list.count;
}

wn__pickle_value *wn__pickle_at(const wn__pickle_value *list, size_t i) {
    if (list == NULL || !holds_items(list) || list->type == WN__PICKLE_DICT) return NULL;
    return i < list->list.count ? list->list.item[i] : NULL;
}
