// SPDX-License-Identifier: MIT
/* The white space that added tokens ask for, and the byte <-> character map of byte-level BPE. */
#ifndef WN_TEXT_ALPHABET_H
#define WN_TEXT_ALPHABET_H

#include "text/buffer.h"
#include <stdbool.h>

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
