// SPDX-License-Identifier: MIT
/* Normalizers: text in, other text out, one after another.
 *
 * What a pre-tokenizer may ask later is whether a piece comes from the very beginning of the text
 * that was to be encoded. So each rewriting keeps `origin`: how many bytes at the front of the text
 * come from its first character (0: the front of this text is no beginning). */
#ifndef WN_TEXT_REWRITE_H
#define WN_TEXT_REWRITE_H

#include "text/charsmap.h"
#include "text/normalize.h"
#include "text/replace.h"

typedef enum wn__rewrite_kind {
    WN_REWRITE_FORM,     /* NFC, NFD, NFKC, NFKD */
    WN_REWRITE_CHARSMAP, /* Precompiled */
    WN_REWRITE_REPLACE,
    WN_REWRITE_PREPEND, /* unless the text is empty */
    WN_REWRITE_STRIP,   /* White_Space at the ends */
    WN_REWRITE_LOWER,
    WN_REWRITE_NO_MARKS, /* StripAccents: drops combining marks */
    WN_REWRITE_NMT       /* drops controls, makes odd spaces plain */
} wn__rewrite_kind;

typedef struct wn__rewrite {
    wn__rewrite_kind kind;
    wn__form form;
    wn__charsmap *map;
    wn__replace replace;
    wn__bytes prefix;
    bool left, right; /* what is stripped */
} wn__rewrite;
void wn__rewrite_free(wn__rewrite *r);

/* Scratch kept from text to text; zeroed at first. */
typedef struct wn__rewriter {
    wn__normalizer normalizer;
    wn__matcher *matcher;
    wn__bytes text[2];
} wn__rewriter;
void wn__rewriter_free(wn__rewriter *s);

/* *out, *out_size: the text after all of list[count], in the scratch or the text itself; valid
 * until the next call. text is valid UTF-8, and so is what comes out. */
WN_NODISCARD wn_status wn__rewrite_all(const wn__rewrite *list, size_t count, wn__rewriter *s,
                                       const char *text, size_t n, size_t *origin, const char **out,
                                       size_t *out_size);

#endif
