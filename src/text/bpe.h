// SPDX-License-Identifier: MIT
/* Byte pair encoding: starting from bytes or characters, the adjacent pair with the lowest rank is
 * merged, the leftmost first, until no pair has one (Sennrich, Haddow, Birch: "Neural machine
 * translation of rare words with subword units", ACL 2016). */
#ifndef WN_TEXT_BPE_H
#define WN_TEXT_BPE_H

#include "text/buffer.h"
#include "text/cache.h"
#include "text/charset.h"
#include "text/intern.h"
#include <stdbool.h>

#define WN_BPE_NONE (-1)

typedef struct wn__bpe_slot {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank; /* plus 1; 0 when free */
} wn__bpe_slot;

typedef struct wn__bpe {
    int32_t byte_id[256]; /* WN_BPE_NONE when the vocabulary lacks the byte */
    wn__bpe_slot *slot;
    size_t slots; /* a power of two, 0 without merges */
    uint64_t seed;
    int32_t *merged; /* [merges] id made by the merge of that rank */
    size_t merges;
    wn__intern whole;   /* pieces that are tokens as they are (ignore_merges); values are ids */
    int32_t unknown_id; /* for a byte or a character that has none, or WN_BPE_NONE */
    bool ignore_merges, fuse_unknown;
    bool by_char; /* symbols are characters, else bytes */
    bool
        byte_fallback; /* characters that have no id become their bytes, if all of those have one */
    wn__char_ids chars;  /* ids of characters */
    wn__char_pairs join; /* what a merge may join: last character on the left, first on the right */
} wn__bpe;

/* Room for a number of merges, which then come in order of rank. A pair that comes again takes the
 * later rank. */
WN_NODISCARD wn_status wn__bpe_reserve(wn__bpe *b, size_t merges, uint64_t seed);
void wn__bpe_merge(wn__bpe *b, int32_t left, int32_t right, int32_t id);
void wn__bpe_free(wn__bpe *b);

typedef struct wn__bpe_scratch {
    void *memory;
    size_t capacity;
    wn__cache *cache; /* recent pieces; NULL: none kept */
} wn__bpe_scratch;
void wn__bpe_scratch_free(wn__bpe_scratch *s);

/* Appends the ids of the piece, which is valid UTF-8 if symbols are characters. INVALID names a
 * byte or a character without an id. Time n log n at worst. A piece of characters is first cut
 * where no merge reaches across, which changes nothing but the time. */
WN_NODISCARD wn_status wn__bpe_encode(const wn__bpe *b, wn__bpe_scratch *s, const char *piece,
                                      size_t n, wn__id_list *out);

#endif
