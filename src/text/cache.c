// SPDX-License-Identifier: MIT
// A table with one place for each hash; what comes later takes the place.
#include "text/cache.h"

#include "text/intern.h"
#include <stdlib.h>
#include <string.h>

#define ENTRIES 8192

struct wn__cache_entry {
    char text[WN_CACHE_TEXT];
    int32_t id[WN_CACHE_IDS];
    uint8_t size, count; // size 0: empty
};

struct wn__cache {
    wn__cache_entry entry[ENTRIES];
};

wn__cache *wn__cache_create(void) {
    return calloc(1, sizeof(wn__cache));
}

void wn__cache_free(wn__cache *c) {
    free(c);
}

wn__cache_entry *wn__cache_at(wn__cache *c, const char *piece, size_t n) {
    if (c == NULL || n == 0 || n > WN_CACHE_TEXT) return NULL;
    return &c->entry[wn__hash_bytes(piece, n, 0) % ENTRIES];
}

wn_status wn__cache_get(const wn__cache_entry *e, const char *piece, size_t n, wn__id_list *out,
                        bool *found) {
    *found = e != NULL && e->size == n && memcmp(e->text, piece, n) == 0;
    return *found ? wn__id_list_append_all(out, e->id, e->count) : WN_OK;
}

void wn__cache_put(wn__cache_entry *e, const char *piece, size_t n, const int32_t *id,
                   size_t count) {
    if (e == NULL || count > WN_CACHE_IDS) return;
    memcpy(e->text, piece, n);
    memcpy(e->id, id, count * sizeof *id);
    e->size = (uint8_t)n;
    e->count = (uint8_t)count;
}
