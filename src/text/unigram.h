// SPDX-License-Identifier: MIT
/* The unigram model: of all ways to put a text together from pieces, the one with the largest sum
 * of scores (Kudo: "Subword regularization", ACL 2018), found by Viterbi's algorithm.
 *
 * Sums are added from the left in double. Of equal sums the one found first stays: ends are reached
 * from earlier starts first. A character that is no piece may stand for itself as unknown, at the
 * lowest score less 10; unknown ones that touch are one. All as in Hugging Face tokenizers. */
#ifndef WN_TEXT_UNIGRAM_H
#define WN_TEXT_UNIGRAM_H

#include "text/cache.h"
#include "text/trie.h"

#define WN_UNIGRAM_NONE (-1)

typedef struct wn__unigram {
    wn__trie trie;       /* values are ids */
    const double *score; /* by id; borrowed */
    double unknown_score;
    int32_t unknown_id;   /* or WN_UNIGRAM_NONE: unknown text is an error */
    int32_t byte_id[256]; /* WN_UNIGRAM_NONE where there is none */
    bool byte_fallback;   /* unknown text becomes its bytes, if all have a token */
} wn__unigram;

typedef struct wn__unigram_scratch {
    void *best; /* the best way to each place of a window of the text */
    size_t capacity;
    wn__id_list order;
    wn__cache *cache; /* NULL: none kept */
} wn__unigram_scratch;
void wn__unigram_scratch_free(wn__unigram_scratch *s);

/* Appends the ids of the text, which is valid UTF-8. INVALID: unknown text, and no unknown_id. Time
 * is linear in the text, times the longest piece. */
WN_NODISCARD wn_status wn__unigram_encode(const wn__unigram *u, wn__unigram_scratch *s,
                                          const char *text, size_t n, wn__id_list *out);

#endif
