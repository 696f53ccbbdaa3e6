// SPDX-License-Identifier: MIT
/* UTF-8 by the letter of RFC 3629: no surrogates, no overlong forms, at most U+10FFFF. */
#ifndef WN_BASE_UTF8_H
#define WN_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

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

#endif
