// SPDX-License-Identifier: MIT
/* A run of token ids somewhere in memory: a part of a mapped shard, or an array. */
#ifndef WN_DATA_IDS_H
#define WN_DATA_IDS_H

#include <stddef.h>
#include <stdint.h>

typedef struct wn__ids {
    const uint8_t *bytes; /* borrowed; ids little-endian, possibly unaligned */
    int id_bytes;         /* 2 or 4 */
    uint64_t count;
    const char *name; /* borrowed; the file, for messages */
} wn__ids;

/* Ids begin .. begin+n-1 into out[n]; the range must lie inside. */
void wn__ids_copy(const wn__ids *s, uint64_t begin, size_t n, int32_t *out);
/* The ids begin .. begin+count-1 as a span of their own. */
wn__ids wn__ids_part(const wn__ids *s, uint64_t begin, uint64_t count);

#endif
