// SPDX-License-Identifier: MIT
/* Windows of tokens, in an order that depends on (seed, epoch) alone.
 *
 * A window is seq_len+1 ids: seq_len inputs and, one later, their targets; windows follow each
 * other at a stride of seq_len, so every id but the first is a target once. In order: window 0, 1,
 * 2, ... and again from 0. Shuffled: each epoch cuts the span at an offset of its own (drawn below
 * seq_len, ids before it rest for that epoch) and visits the windows by a Fisher-Yates permutation.
 * The state is two numbers. */
#ifndef WN_DATA_LOADER_H
#define WN_DATA_LOADER_H

#include "data/ids.h"
#include "winnow/status.h"
#include <stdbool.h>

typedef struct wn__loader wn__loader;

typedef struct wn__loader_state {
    uint64_t epoch, position; /* the next window, counted within its epoch */
} wn__loader_state;

/* The span's ids are borrowed. INVALID names the file, its ids and the least needed (seq_len + 1).
 */
WN_NODISCARD wn_status wn__loader_create(const wn__ids *ids, int64_t seq_len, bool shuffle,
                                         uint64_t seed, wn__loader **out);
void wn__loader_free(wn__loader *l);
/* The next rows windows: tokens[rows, seq_len] and targets[rows, seq_len]. */
void wn__loader_next(wn__loader *l, int64_t rows, int32_t *tokens, int32_t *targets);
wn__loader_state wn__loader_tell(const wn__loader *l);
/* INVALID when the epoch has no such position. */
WN_NODISCARD wn_status wn__loader_seek(wn__loader *l, wn__loader_state state);
/* Windows of the current epoch. */
uint64_t wn__loader_windows(const wn__loader *l);

#endif
