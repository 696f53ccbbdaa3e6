// SPDX-License-Identifier: MIT
/* 64-bit FNV-1a (Fowler, Noll, Vo), for fingerprints. */
#ifndef WN_DATA_FNV1A_H
#define WN_DATA_FNV1A_H

#include <stddef.h>
#include <stdint.h>

#define WN_FNV1A_START ((uint64_t)0xcbf29ce484222325U)

static inline uint64_t wn__fnv1a(uint64_t h, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3U;
    return h;
}

/* The eight bytes of v, the least significant first. */
static inline uint64_t wn__fnv1a_u64(uint64_t h, uint64_t v) {
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(v >> (8 * i));
    return wn__fnv1a(h, bytes, sizeof bytes);
}

#endif
