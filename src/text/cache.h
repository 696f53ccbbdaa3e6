// SPDX-License-Identifier: MIT
/* Recent short pieces of text and their ids: words repeat. */
#ifndef WN_TEXT_CACHE_H
#define WN_TEXT_CACHE_H

#include "text/buffer.h"
#include <stdbool.h>

#define WN_CACHE_TEXT 24 /* longest piece that is kept, bytes */
#define WN_CACHE_IDS  8

typedef struct wn__cache wn__cache;
typedef struct wn__cache_entry wn__cache_entry;

/* NULL when out of memory, which every call here takes as a cache that keeps nothing. */
wn__cache *wn__cache_create(void);
void wn__cache_free(wn__cache *c);

/* The place of a piece, or NULL if it is not one that is kept. */
wn__cache_entry *wn__cache_at(wn__cache *c, const char *piece, size_t n);
/* Appends the ids of the piece if its place holds it. */
WN_NODISCARD wn_status wn__cache_get(const wn__cache_entry *e, const char *piece, size_t n,
                                     wn__id_list *out, bool *found);
void wn__cache_put(wn__cache_entry *e, const char *piece, size_t n, const int32_t *id,
                   size_t count);

#endif
