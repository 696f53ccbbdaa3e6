// SPDX-License-Identifier: MIT
/* A set of distinct byte strings, numbered 0, 1, 2 ... in the order they came, each with a value.
 * Looking up takes constant time; the order of the numbers never depends on the hash. */
#ifndef WN_TEXT_INTERN_H
#define WN_TEXT_INTERN_H

#include "text/buffer.h"
#include <stdbool.h>

#define WN_INTERN_NONE SIZE_MAX

typedef struct wn__intern_entry {
    size_t offset; /* into bytes */
    uint32_t size, hash;
    int64_t value;
} wn__intern_entry;

typedef struct wn__intern {
    wn__bytes bytes;
    wn__intern_entry *entry;
    size_t count, capacity;
    uint32_t *slot; /* number + 1, 0 when free; a power of two of them */
    size_t slots;
    uint64_t seed; /* of the hash: from the data, so that no file can be made to collide cheaply */
} wn__intern;

/* 64 bits that depend on all bytes and on the seed. */
uint64_t wn__hash_bytes(const void *bytes, size_t n, uint64_t seed);
/* A bijection on 64 bits that spreads every input bit. */
static inline uint64_t wn__hash_u64(uint64_t x) {
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93U;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93U;
    return x ^ x >> 32;
}

/* Number of the string, which is added (value 0) if it is new; added may be NULL. */
WN_NODISCARD wn_status wn__intern_add(wn__intern *in, const char *s, size_t n, size_t *number,
                                      bool *added);
/* WN_INTERN_NONE if absent. */
size_t wn__intern_find(const wn__intern *in, const char *s, size_t n);
/* Valid until the next add. */
static inline const char *wn__intern_string(const wn__intern *in, size_t number, size_t *n) {
    *n = in->entry[number].size;
    return in->bytes.data + in->entry[number].offset;
}
void wn__intern_free(wn__intern *in); /* keeps the seed */

#endif
