// SPDX-License-Identifier: MIT
/* Tables over characters: an id for each, and sets of pairs. */
#ifndef WN_TEXT_CHARSET_H
#define WN_TEXT_CHARSET_H

#include "winnow/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WN_CHAR_NONE (-1)

typedef struct wn__char_ids {
    int32_t *page[0x1100]; /* [256] ids of the characters cp >> 8; NULL: none has one */
} wn__char_ids;
WN_NODISCARD wn_status wn__char_ids_put(wn__char_ids *c, uint32_t cp, int32_t id);
void wn__char_ids_free(wn__char_ids *c);
static inline int32_t wn__char_ids_get(const wn__char_ids *c, uint32_t cp) {
    const int32_t *page = c->page[cp >> 8];
    return page != NULL ? page[cp & 0xFF] : WN_CHAR_NONE;
}

typedef struct wn__char_pairs {
    uint64_t ascii[128][2]; /* bit b of row a: the pair a, b */
    uint64_t *slot;         /* the others, left << 32 | right, plus 1; 0 when free */
    size_t slots, count;    /* a power of two */
} wn__char_pairs;
WN_NODISCARD wn_status wn__char_pairs_add(wn__char_pairs *p, uint32_t left, uint32_t right);
void wn__char_pairs_free(wn__char_pairs *p);
bool wn__char_pairs_has(const wn__char_pairs *p, uint32_t left, uint32_t right);

#endif
