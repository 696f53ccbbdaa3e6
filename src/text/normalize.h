// SPDX-License-Identifier: MIT
/* Unicode normalization forms (UAX #15), and what else Unicode says of a character. Time is linear
 * in the text, whatever marks are heaped on a letter. */
#ifndef WN_TEXT_NORMALIZE_H
#define WN_TEXT_NORMALIZE_H

#include "text/buffer.h"
#include <stdbool.h>

typedef enum wn__form {
    WN_FORM_NONE,
    WN_FORM_NFC,
    WN_FORM_NFD,
    WN_FORM_NFKC,
    WN_FORM_NFKD
} wn__form;

/* Scratch that may be kept from call to call; zeroed at first, freed with wn__normalizer_free. */
typedef struct wn__normalizer {
    int32_t *cp;
    int32_t *sorted;
    size_t capacity, sorted_capacity;
} wn__normalizer;
void wn__normalizer_free(wn__normalizer *z);

/* Appends the normalized text to out. text is valid UTF-8. */
WN_NODISCARD wn_status wn__normalize(wn__normalizer *z, wn__form form, const char *text, size_t n,
                                     wn__bytes *out);

/* \w: letters, marks, digits, letter numbers, connectors, joiners and what Unicode calls alphabetic
 * besides. */
bool wn__char_is_word(uint32_t cp);
/* Mn, Mc or Me. */
bool wn__char_is_mark(uint32_t cp);
/* The lowercase mapping: writes one or two characters, returns how many. No context is looked at.
 */
size_t wn__char_lower(uint32_t cp, uint32_t out[2]);

/* Grapheme_Cluster_Break, and Extended_Pictographic. */
typedef enum wn__break {
    WN_BREAK_OTHER,
    WN_BREAK_CR,
    WN_BREAK_LF,
    WN_BREAK_CONTROL,
    WN_BREAK_EXTEND,
    WN_BREAK_ZWJ,
    WN_BREAK_SPACING,
    WN_BREAK_PREPEND,
    WN_BREAK_FLAG, /* Regional_Indicator */
    WN_BREAK_L,
    WN_BREAK_V,
    WN_BREAK_T,
    WN_BREAK_LV,
    WN_BREAK_LVT,
    WN_BREAK_PICTOGRAPH
} wn__break;
wn__break wn__char_break(uint32_t cp);

#endif
