// SPDX-License-Identifier: MIT
/* What a kind of source gives to source.c, which makes batches of its samples. */
#ifndef WN_DATA_SOURCE_KIND_H
#define WN_DATA_SOURCE_KIND_H

#include "data/source.h"

typedef struct wn__source_kind {
    /* One sample, or *end: nothing is left of the epoch, and the sample is untouched. */
    wn_status (*sample)(void *self, int32_t *tokens, int32_t *targets, bool *end);
    wn_status (*next_epoch)(void *self);
    void (*tell)(const void *self, wn__source_state *out);
    wn_status (*seek)(void *self, const wn__source_state *state);
    void (*free)(void *self);
    /* NULL: of no files that could be mended. */
    uint64_t (*file)(const void *self);
    uint64_t (*fingerprint_but)(const void *self, uint64_t file);
    bool adds_special;
} wn__source_kind;

/* Takes self, also on failure. what: the text of describe, malloc'ed, taken; NULL: out of memory.
 */
WN_NODISCARD wn_status wn__source_create(const wn__source_kind *kind, void *self, int64_t seq_len,
                                         uint64_t fingerprint, char *what, wn__source **out);

#endif
