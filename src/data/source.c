// SPDX-License-Identifier: MIT
// Batches out of samples, whatever they come from.
#include "data/source.h"

#include "base/fail.h"
#include "data/source_kind.h"
#include <inttypes.h>
#include <stdlib.h>

struct wn__source {
    const wn__source_kind *kind;
    void *self;
    int64_t seq_len;
    uint64_t fingerprint;
    char *what;
};

wn_status wn__source_create(const wn__source_kind *kind, void *self, int64_t seq_len,
                            uint64_t fingerprint, char *what, wn__source **out) {
    wn__source *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL || what == NULL) {
        kind->free(self);
        free(what);
        free(s);
        return wn__fail(WN_NOMEM, "out of memory for a source of samples");
    }
    *s = (wn__source){
        .kind = kind, .self = self, .seq_len = seq_len, .fingerprint = fingerprint, .what = what};
    *out = s;
    return WN_OK;
}

void wn__source_free(wn__source *s) {
    if (s == NULL) return;
    s->kind->free(s->self);
    free(s->what);
    free(s);
}

static int64_t count_labels(const int32_t *targets, int64_t n) {
    int64_t labels = 0;
    for (int64_t i = 0; i < n; i++)
        labels += targets[i] >= 0;
    return labels;
}

wn_status wn__source_rest(wn__source *s, int64_t rows, int32_t *tokens, int32_t *targets,
                          int64_t *labels, int64_t *got) {
    bool end = false;
    *got = 0;
    while (*got < rows) {
        int64_t at = *got * s->seq_len;
        WN_TRY(s->kind->sample(s->self, tokens + at, targets + at, &end));
        if (end) break;
        ++*got;
    }
    if (labels != NULL) *labels = count_labels(targets, *got * s->seq_len);
    return WN_OK;
}

// An epoch that ends where it began would never end otherwise.
static wn_status next_epoch(wn__source *s) {
    wn__source_state state;
    s->kind->tell(s->self, &state);
    if (state.position == 0)
        return wn__fail(WN_INVALID, "%s: not one sample of %" PRId64 " tokens in it", s->what,
                        s->seq_len);
    return s->kind->next_epoch(s->self);
}

wn_status wn__source_next(wn__source *s, int64_t rows, int32_t *tokens, int32_t *targets,
                          int64_t *labels) {
    for (int64_t done = 0, got; done < rows; done += got) {
        int64_t at = done * s->seq_len;
        WN_TRY(wn__source_rest(s, rows - done, tokens + at, targets + at, NULL, &got));
        if (done + got < rows) WN_TRY(next_epoch(s));
    }
    if (labels != NULL) *labels = count_labels(targets, rows * s->seq_len);
    return WN_OK;
}

void wn__source_tell(const wn__source *s, wn__source_state *out) {
    *out = (wn__source_state){0};
    s->kind->tell(s->self, out);
}

wn_status wn__source_seek(wn__source *s, const wn__source_state *state) {
    return s->kind->seek(s->self, state);
}

int64_t wn__source_seq_len(const wn__source *s) {
    return s->seq_len;
}

bool wn__source_adds_special(const wn__source *s) {
    return s->kind->adds_special;
}

uint64_t wn__source_fingerprint(const wn__source *s) {
    return s->fingerprint;
}

uint64_t wn__source_file(const wn__source *s) {
    return s->kind->file != NULL ? s->kind->file(s->self) : 0;
}

uint64_t wn__source_fingerprint_but(const wn__source *s, uint64_t file) {
    return s->kind->file != NULL ? s->kind->fingerprint_but(s->self, file) : s->fingerprint;
}

const char *wn__source_describe(const wn__source *s) {
    return s->what;
}
