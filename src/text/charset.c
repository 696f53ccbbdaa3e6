// SPDX-License-Identifier: MIT
// Pages of ids by character, and a hash set of pairs with a bit matrix for ASCII.
#include "text/charset.h"

#include "base/fail.h"
#include "text/intern.h"
#include <stdlib.h>
#include <string.h>

wn_status wn__char_ids_put(wn__char_ids *c, uint32_t cp, int32_t id) {
    int32_t **page = &c->page[cp >> 8];
    if (*page == NULL) {
        *page = malloc(256 * sizeof **page);
        if (*page == NULL) return wn__fail(WN_NOMEM, "tokenizer: out of memory");
        for (int i = 0; i < 256; i++)
            (*page)[i] = WN_CHAR_NONE;
    }
    (*page)[cp & 0xFF] = id;
    return WN_OK;
}

void wn__char_ids_free(wn__char_ids *c) {
    for (size_t i = 0; i < sizeof c->page / sizeof c->page[0]; i++)
        free(c->page[i]);
    *c = (wn__char_ids){0};
}

static uint64_t *locate(const wn__char_pairs *p, uint64_t key) {
    size_t i = (size_t)wn__hash_u64(key) & (p->slots - 1);
    while (p->slot[i] != 0 && p->slot[i] != key)
        i = (i + 1) & (p->slots - 1);
    return &p->slot[i];
}

static uint64_t key_of(uint32_t left, uint32_t right) {
    return ((uint64_t)left << 32 | right) + 1;
}

static wn_status grow(wn__char_pairs *p) {
    wn__char_pairs old = *p;
    p->slots = old.slots ? 2 * old.slots : 256;
    p->slot = calloc(p->slots, sizeof *p->slot);
    if (p->slot == NULL) {
        *p = old;
        return wn__fail(WN_NOMEM, "tokenizer: out of memory (%zu pairs)", old.count);
    }
    for (size_t i = 0; i < old.slots; i++)
        if (old.slot[i] != 0) *locate(p, old.slot[i]) = old.slot[i];
    free(old.slot);
    return WN_OK;
}

wn_status wn__char_pairs_add(wn__char_pairs *p, uint32_t left, uint32_t right) {
    if ((left | right) < 128) {
        p->ascii[left][right >> 6] |= (uint64_t)1 << (right & 63);
        return WN_OK;
    }
    if (2 * (p->count + 1) > p->slots) WN_TRY(grow(p));
    uint64_t key = key_of(left, right), *slot = locate(p, key);
    p->count += *slot == 0;
    *slot = key;
    return WN_OK;
}

bool wn__char_pairs_has(const wn__char_pairs *p, uint32_t left, uint32_t right) {
    if ((left | right) < 128) return p->ascii[left][right >> 6] >> (right & 63) & 1;
    return p->slots > 0 && *locate(p, key_of(left, right)) != 0;
}

void wn__char_pairs_free(wn__char_pairs *p) {
    free(p->slot);
    *p = (wn__char_pairs){0};
}
