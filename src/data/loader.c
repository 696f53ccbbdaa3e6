// SPDX-License-Identifier: MIT
// The loader: an offset and a permutation of the windows for each epoch, made again from (seed,
// epoch) whenever one begins.
#include "data/loader.h"

#include "base/fail.h"
#include "base/philox.h"
#include <inttypes.h>
#include <stdlib.h>

struct wn__loader {
    wn__ids ids;
    uint64_t seq_len, seed;
    bool shuffle;
    wn__loader_state state;
    uint64_t offset, windows; // of this epoch
    uint64_t *order;          // [windows of the longest epoch]; NULL: in order
};

// Draw 0 of an epoch's stream is its offset, draw i the i-th exchange of the permutation.
static void begin_epoch(wn__loader *l) {
    uint64_t stream = WN_STREAM_SHUFFLE + (l->state.epoch & UINT32_MAX);
    uint64_t spare = l->ids.count - l->seq_len; // offsets that leave room for a window
    l->offset = 0;
    if (l->shuffle)
        l->offset = wn__philox_below(l->seed, stream, 0, spare < l->seq_len ? spare : l->seq_len);
    l->windows = (l->ids.count - 1 - l->offset) / l->seq_len;
    if (!l->shuffle) return;
    for (uint64_t i = 0; i < l->windows; i++)
        l->order[i] = i;
    for (uint64_t i = l->windows - 1; i > 0; i--) {
        uint64_t j = wn__philox_below(l->seed, stream, i, i + 1), swap = l->order[i];
        l->order[i] = l->order[j];
        l->order[j] = swap;
    }
}

wn_status wn__loader_create(const wn__ids *ids, int64_t seq_len, bool shuffle, uint64_t seed,
                            wn__loader **out) {
    *out = NULL;
    if (seq_len < 1)
        return wn__fail(WN_INVALID, "seq_len is %" PRId64 ", at least 1 is needed", seq_len);
    if (ids->count < (uint64_t)seq_len + 1)
        return wn__fail(WN_INVALID,
                        "%s: %" PRIu64 " token%s to train on, a window of seq_len %" PRId64
                        " needs at least %" PRId64,
                        ids->name, ids->count, ids->count == 1 ? "" : "s", seq_len, seq_len + 1);
    wn__loader *l = calloc(1, sizeof *l);
    uint64_t most = (ids->count - 1) / (uint64_t)seq_len;
    uint64_t *order = shuffle ? calloc((size_t)most, sizeof *order) : NULL;
    if (l == NULL || (shuffle && order == NULL)) {
        free(order);
        free(l);
        return wn__fail(WN_NOMEM, "%s: no memory for the order of %" PRIu64 " windows", ids->name,
                        most);
    }
    *l = (wn__loader){.ids = *ids,
                      .seq_len = (uint64_t)seq_len,
                      .seed = seed,
                      .shuffle = shuffle,
                      .order = order};
    begin_epoch(l);
    *out = l;
    return WN_OK;
}

void wn__loader_free(wn__loader *l) {
    if (l == NULL) return;
    free(l->order);
    free(l);
}

static void next_window(wn__loader *l, int32_t *tokens, int32_t *targets) {
    if (l->state.position == l->windows) {
        l->state.epoch++;
        l->state.position = 0;
        begin_epoch(l);
    }
    uint64_t window = l->order != NULL ? l->order[l->state.position] : l->state.position;
    uint64_t begin = l->offset + window * l->seq_len;
    wn__ids_copy(&l->ids, begin, (size_t)l->seq_len, tokens);
    wn__ids_copy(&l->ids, begin + 1, (size_t)l->seq_len, targets);
    l->state.position++;
}

void wn__loader_next(wn__loader *l, int64_t rows, int32_t *tokens, int32_t *targets) {
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r * (int64_t)l->seq_len;
        next_window(l, tokens + at, targets + at);
    }
}

wn__loader_state wn__loader_tell(const wn__loader *l) {
    return l->state;
}

wn_status wn__loader_seek(wn__loader *l, wn__loader_state state) {
    wn__loader_state before = l->state;
    l->state = state;
    begin_epoch(l);
    if (state.position <= l->windows) return WN_OK;
    uint64_t windows = l->windows;
    l->state = before;
    begin_epoch(l);
    return wn__fail(WN_INVALID,
                    "%s: loader position %" PRIu64 " in epoch %" PRIu64 ", which has %" PRIu64
                    " windows of %" PRIu64 " tokens",
                    l->ids.name, state.position, state.epoch, windows, l->seq_len);
}

uint64_t wn__loader_windows(const wn__loader *l) {
    return l->windows;
}
