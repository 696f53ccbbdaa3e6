// SPDX-License-Identifier: MIT
/* Added tokens: texts that become one id wherever they stand, before the pre-tokenizer sees
 * anything. */
#ifndef WN_TEXT_ADDED_H
#define WN_TEXT_ADDED_H

#include "text/buffer.h"
#include <stdbool.h>

typedef struct wn__added_token {
    size_t offset, size; /* of its text in the set's bytes */
    int32_t id;
    bool special, single_word, lstrip, rstrip;
} wn__added_token;

typedef struct wn__added_set {
    wn__bytes bytes;
    wn__added_token *token; /* sorted by text once sealed */
    size_t count, capacity;
    bool first[256]; /* some token begins with this byte */
} wn__added_set;

/* Longest text of a token. */
#define WN_ADDED_MAX 1024

/* token->size and text: not empty, at most WN_ADDED_MAX. offset is set here. */
WN_NODISCARD wn_status wn__added_put(wn__added_set *set, const char *text, wn__added_token token);
/* Sorts; to be called once after the last put. False if two have one text. */
bool wn__added_seal(wn__added_set *set);
void wn__added_free(wn__added_set *set);

typedef struct wn__added_match {
    size_t begin, end; /* with the white space it takes */
    size_t resume;     /* where to look for the next one */
    int32_t id;
} wn__added_match;

/* The first token at text[from..n): leftmost, and of those that begin there the longest. Text
 * before done belongs to an earlier match: its white space is not taken again, but a token that
 * begins in it (with white space that the earlier one took) is found. special: false passes over
 * special tokens. As in Hugging Face tokenizers, a match that is passed over (special, or not a
 * word of its own) hides shorter and overlapping ones. */
bool wn__added_next(const wn__added_set *set, const char *text, size_t n, size_t from, size_t done,
                    bool special, wn__added_match *out);

#endif
