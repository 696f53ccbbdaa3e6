// SPDX-License-Identifier: MIT
/* UTF-8 by the letter of RFC 3629 (no surrogates, no overlong forms, at most U+10FFFF), the few
 * character classes that added tokens ask for, and the byte <-> character map of byte-level BPE. */
#ifndef WN_TEXT_UTF8_H
#define WN_TEXT_UTF8_H

#include "text/buffer.h"
#include <stdbool.h>

/* Bytes of the character at the front of text, 0 if there is none that is valid. */
size_t wn__utf8_decode(const char *text, size_t n, uint32_t *cp);
/* Bytes of the character that ends where text ends, 0 if there is none that is valid. */
size_t wn__utf8_decode_last(const char *text, size_t n, uint32_t *cp);
/* Bytes at the front of text that are valid. */
size_t wn__utf8_span(const char *text, size_t n);
/* Bytes at the front of text that are ASCII. */
size_t wn__ascii_span(const char *text, size_t n);
/* Writes 1..4 bytes; cp is a scalar value. */
size_t wn__utf8_encode(uint32_t cp, char out[4]);

/* White_Space. */
bool wn__char_is_space(uint32_t cp);

/* The character that stands for a byte in a byte-level vocabulary: itself for 33..126, 161..172 and
 * 174..255, else 256 plus its place among the others. */
uint32_t wn__byte_to_char(uint8_t byte);
/* -1 for a character that stands for none. */
int wn__char_to_byte(uint32_t cp);
/* Appends the spelling of n bytes. */
WN_NODISCARD wn_status wn__byte_spell(const char *bytes, size_t n, wn__bytes *out);
/* Appends the bytes that text spells; *ok false, and nothing appended, if it holds any other
 * character. */
WN_NODISCARD wn_status wn__byte_unspell(const char *text, size_t n, wn__bytes *out, bool *ok);

#endif
