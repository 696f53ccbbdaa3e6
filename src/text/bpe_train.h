// SPDX-License-Identifier: MIT
/* Learning merges from counted pieces. */
#ifndef WN_TEXT_BPE_TRAIN_H
#define WN_TEXT_BPE_TRAIN_H

#include "text/intern.h"

typedef struct wn__learned {
    int32_t left, right, id; /* id is new, or that of a token with the same bytes */
} wn__learned;

typedef struct wn__merge_list {
    wn__learned *merge;
    size_t count, capacity;
    int32_t ids;      /* 256 and those that merges made */
    wn__intern token; /* their bytes, by id */
} wn__merge_list;
void wn__merge_list_free(wn__merge_list *list);

/* pieces: distinct texts, their values how often each occurs. Repeats until max_ids ids exist or no
 * pair occurs min_frequency times: the most frequent adjacent pair inside pieces (overlaps counted;
 * ties: lower left id, then lower right id) becomes one id. Time is linear in the text that merges
 * change, times a logarithm. */
WN_NODISCARD wn_status wn__bpe_learn(const wn__intern *pieces, int32_t max_ids,
                                     int64_t min_frequency, wn__merge_list *out);

#endif
