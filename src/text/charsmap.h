// SPDX-License-Identifier: MIT
/* SentencePiece's precompiled character map, as Hugging Face tokenizers applies it.
 *
 * The map is a little-endian uint32 size, a double-array trie of that many bytes (darts-clone
 * units of 32 bits), and the replacements, each ended by a NUL byte; the trie's value for a key is
 * where its replacement begins. A grapheme cluster of at most 5 bytes that has a key at its front
 * is replaced as a whole, by the shortest such key; of any other cluster each character that has
 * one is. */
#ifndef WN_TEXT_CHARSMAP_H
#define WN_TEXT_CHARSMAP_H

#include "text/buffer.h"

typedef struct wn__charsmap wn__charsmap; /* immutable, shared by threads */

/* FORMAT, with name before the message: sizes that do not fit, replacements that are not UTF-8, a
 * trie that leads out of itself or to a place that begins no replacement. */
WN_NODISCARD wn_status wn__charsmap_create(const char *bytes, size_t size, const char *name,
                                           wn__charsmap **out);
void wn__charsmap_free(wn__charsmap *map); /* NULL is fine */

/* Appends the mapped text; text is valid UTF-8. *origin: as in rewrite.h. */
WN_NODISCARD wn_status wn__charsmap_apply(const wn__charsmap *map, const char *text, size_t n,
                                          size_t *origin, wn__bytes *out);

#endif
