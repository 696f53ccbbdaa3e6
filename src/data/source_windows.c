// SPDX-License-Identifier: MIT
// A span of ids as a source: the loader of data/loader.h.
#include "base/fail.h"
#include "data/fnv1a.h"
#include "data/loader.h"
#include "data/source_kind.h"
#include <inttypes.h>
#include <stdio.h>

static wn_status window_sample(void *self, int32_t *tokens, int32_t *targets, bool *end) {
    wn__loader *l = self;
    *end = wn__loader_tell(l).position == wn__loader_windows(l);
    if (!*end) wn__loader_next(l, 1, tokens, targets);
    return WN_OK;
}

static wn_status window_next_epoch(void *self) {
    wn__loader *l = self;
    return wn__loader_seek(l, (wn__loader_state){.epoch = wn__loader_tell(l).epoch + 1});
}

static void window_tell(const void *self, wn__source_state *out) {
    wn__loader_state at = wn__loader_tell(self);
    *out = (wn__source_state){.epoch = at.epoch, .position = at.position};
}

static wn_status window_seek(void *self, const wn__source_state *state) {
    return wn__loader_seek(self,
                           (wn__loader_state){.epoch = state->epoch, .position = state->position});
}

static void window_free(void *self) {
    wn__loader_free(self);
}

static const wn__source_kind windows = {.sample = window_sample,
                                        .next_epoch = window_next_epoch,
                                        .tell = window_tell,
                                        .seek = window_seek,
                                        .free = window_free};

wn_status wn__source_windows(const wn__ids *ids, int64_t seq_len, bool shuffle, uint64_t seed,
                             wn__source **out) {
    wn__loader *l;
    *out = NULL;
    WN_TRY(wn__loader_create(ids, seq_len, shuffle, seed, &l));
    uint64_t fingerprint =
        wn__fnv1a_u64(wn__fnv1a_u64(WN_FNV1A_START, ids->count), (uint64_t)ids->id_bytes);
    char *what;
    if (asprintf(&what, "%s: %" PRIu64 " tokens, windows of %" PRId64 "%s", ids->name, ids->count,
                 seq_len, shuffle ? ", shuffled" : "") < 0)
        what = NULL;
    return wn__source_create(&windows, l, seq_len, fingerprint != 0 ? fingerprint : 1, what, out);
}
