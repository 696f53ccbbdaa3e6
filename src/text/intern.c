// SPDX-License-Identifier: MIT
// Open addressing over numbers of strings; the strings lie one after another in one buffer.
#include "text/intern.h"

#include "base/fail.h"
#include <stdlib.h>
#include <string.h>

uint64_t wn__hash_bytes(const void *bytes, size_t n, uint64_t seed) {
    const unsigned char *p = bytes;
    uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15U), word = 0;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        h = wn__hash_u64(h ^ word) + 0x9e3779b97f4a7c15U;
    }
    word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return wn__hash_u64(h ^ word);
}

// The slot that holds the string, or the free one where it belongs.
static size_t locate(const wn__intern *in, const char *s, size_t n, uint64_t hash) {
    size_t mask = in->slots - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        if (in->slot[i] == 0) return i;
        const wn__intern_entry *e = &in->entry[in->slot[i] - 1];
        if (e->hash == (uint32_t)(hash >> 32) && e->size == n &&
            (n == 0 || memcmp(in->bytes.data + e->offset, s, n) == 0))
            return i;
    }
}

static wn_status rehash(wn__intern *in) {
    size_t slots = in->slots ? 2 * in->slots : 64;
    uint32_t *slot = calloc(slots, sizeof *slot);
    if (slot == NULL) return wn__fail(WN_NOMEM, "tokenizer: out of memory (a table of %zu)", slots);
    free(in->slot);
    in->slot = slot;
    in->slots = slots;
    for (size_t k = 0; k < in->count; k++) {
        size_t n;
        const char *s = wn__intern_string(in, k, &n);
        size_t i = (size_t)wn__hash_bytes(s, n, in->seed) & (slots - 1);
        while (slot[i] != 0)
            i = (i + 1) & (slots - 1);
        slot[i] = (uint32_t)(k + 1);
    }
    return WN_OK;
}

wn_status wn__intern_add(wn__intern *in, const char *s, size_t n, size_t *number, bool *added) {
    if (2 * (in->count + 1) > in->slots) WN_TRY(rehash(in));
    uint64_t hash = wn__hash_bytes(s, n, in->seed);
    size_t i = locate(in, s, n, hash);
    bool is_new = in->slot[i] == 0;
    if (is_new) {
        if (n > UINT32_MAX || in->count >= UINT32_MAX - 1)
            return wn__fail(WN_INVALID, "tokenizer: more than 4294967294 strings or bytes in one");
        void *entry = in->entry;
        wn_status status = wn__grow(&entry, &in->capacity, in->count + 1, sizeof *in->entry);
        in->entry = entry;
        if (status != WN_OK) return status;
        in->entry[in->count] = (wn__intern_entry){
            .offset = in->bytes.size, .size = (uint32_t)n, .hash = (uint32_t)(hash >> 32)};
        WN_TRY(wn__bytes_append(&in->bytes, s, n));
        in->slot[i] = (uint32_t)++in->count;
    }
    *number = in->slot[i] - 1;
    if (added) *added = is_new;
    return WN_OK;
}

size_t wn__intern_find(const wn__intern *in, const char *s, size_t n) {
    if (in->slots == 0) return WN_INTERN_NONE;
    size_t i = locate(in, s, n, wn__hash_bytes(s, n, in->seed));
    return in->slot[i] ? in->slot[i] - 1 : WN_INTERN_NONE;
}

void wn__intern_free(wn__intern *in) {
    free(in->entry);
    free(in->slot);
    wn__bytes_free(&in->bytes);
    *in = (wn__intern){.seed = in->seed};
}
