// SPDX-License-Identifier: MIT
/* Pre-tokenizers: one step cuts a piece of text into smaller ones, and may change it. */
#ifndef WN_TEXT_STEP_H
#define WN_TEXT_STEP_H

#include "text/pattern.h"

typedef enum wn__step_kind {
    WN_STEP_PATTERN,   /* Split, Digits, ByteLevel's expression */
    WN_STEP_SPACE,     /* ByteLevel's add_prefix_space */
    WN_STEP_METASPACE, /* spaces become another character, which begins pieces */
    WN_STEP_SPACES,    /* WhitespaceSplit: White_Space parts pieces, and goes */
    WN_STEP_WORDS      /* Whitespace: runs of \w, and runs of what is neither \w nor White_Space */
} wn__step_kind;

/* What becomes of matches. */
typedef enum wn__behavior {
    WN_ISOLATED, /* pieces of their own */
    WN_REMOVED,
    WN_CONTIGUOUS, /* those that touch are one piece */
    WN_MERGED_WITH_PREVIOUS,
    WN_MERGED_WITH_NEXT
} wn__behavior;

typedef enum wn__scheme { WN_ALWAYS, WN_FIRST, WN_NEVER } wn__scheme;

typedef struct wn__metaspace {
    char mark[4]; /* the character that stands for a space */
    size_t mark_size;
    wn__scheme scheme; /* which pieces get it in front, unless they begin with it */
    bool split;
} wn__metaspace;

typedef struct wn__step {
    wn__step_kind kind;
    wn__pattern *pattern;
    wn__behavior behavior;
    bool invert; /* the gaps count as matches, and matches as gaps */
    wn__metaspace meta;
} wn__step;

typedef struct wn__step_scratch {
    wn__matcher *matcher;
    wn__bytes changed; /* the piece with a space before it, or with its spaces marked */
} wn__step_scratch;
void wn__step_scratch_free(wn__step_scratch *s);

/* Gets pieces that are not empty, in order; origin: how many bytes at the front of the piece come
 * from the first character of the whole text (rewrite.h). */
typedef wn_status wn__cut_fn(void *ctx, const char *piece, size_t n, size_t origin);

/* text is valid UTF-8 and not empty. */
WN_NODISCARD wn_status wn__step_cut(const wn__step *step, wn__step_scratch *s, const char *text,
                                    size_t n, size_t origin, wn__cut_fn *fn, void *ctx);

#endif
