// SPDX-License-Identifier: MIT
/* Pre-tokenizer patterns: a regular expression cuts text into its matches and what lies between
 * them.
 *
 * The files' expressions are written for Oniguruma (Ruby syntax). They are translated to PCRE2:
 * what both engines understand alike is kept, what differs is rewritten (\s is White_Space, \d is
 * \p{Nd}) or refused. The character tables are PCRE2's own: with 10.42 those of Unicode 14, so
 * letters assigned later are cut as symbols. */
#ifndef WN_TEXT_PATTERN_H
#define WN_TEXT_PATTERN_H

#include "text/buffer.h"
#include <stdbool.h>

typedef struct wn__pattern wn__pattern; /* immutable, shared by threads */
typedef struct wn__matcher wn__matcher; /* scratch of one call */
typedef wn_status wn__piece_fn(void *ctx, const char *piece, size_t n);

/* Appends the PCRE2 spelling. UNSUPPORTED names what is refused; name stands before the message. */
WN_NODISCARD wn_status wn__pattern_translate(const char *regex, size_t n, const char *name,
                                             wn__bytes *out);

/* literal: the text stands for itself. UNSUPPORTED: PCRE2 does not take it. */
WN_NODISCARD wn_status wn__pattern_compile(const char *regex, size_t n, bool literal,
                                           const char *name, wn__pattern **out);
void wn__pattern_free(wn__pattern *p); /* NULL is fine */

WN_NODISCARD wn_status wn__matcher_create(wn__matcher **out);
void wn__matcher_free(wn__matcher *m); /* NULL is fine */

typedef wn_status wn__segment_fn(void *ctx, size_t begin, size_t end, bool match);

/* Calls fn for the matches in text, which is valid UTF-8, and for what lies between them, in order;
 * together they make up the text. A match may be empty, but not where another one ends; a gap is
 * not. No text has no segments. UNSUPPORTED if the expression takes more steps than any sane one
 * does. Not to be nested with the same matcher. */
WN_NODISCARD wn_status wn__pattern_segments(const wn__pattern *p, wn__matcher *m, const char *text,
                                            size_t n, wn__segment_fn *fn, void *ctx);

/* Calls fn for each piece: matches and gaps alike, those that are not empty. */
WN_NODISCARD wn_status wn__pattern_split(const wn__pattern *p, wn__matcher *m, const char *text,
                                         size_t n, wn__piece_fn *fn, void *ctx);

#endif
