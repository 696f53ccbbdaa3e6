// SPDX-License-Identifier: MIT
// Text to ids, in the order of Hugging Face tokenizers: added tokens out of the raw text, then
// normalization, added tokens out of the normalized text, cuts, merges. Text that is not UTF-8 has
// no characters to normalize or cut by: such a byte is a piece of its own.
#include "base/fail.h"
#include "base/utf8.h"
#include "text/impl.h"
#include <stdlib.h>
#include <string.h>

#define CACHE_FROM ((size_t)16 << 10) // bytes of text from which a cache of pieces pays

typedef struct encoder {
    const wn_tokenizer *t;
    bool special;
    wn__id_list ids;
    wn__bpe_scratch bpe;
    wn__normalizer normalizer;
    wn__bytes normal;
    struct level {
        struct encoder *e;
        wn__matcher *matcher;
        wn__bytes spaced; // the piece with a space before it
    } level[WN_MAX_STEPS + 1];
} encoder;

static wn_status encode_piece(void *ctx, const char *piece, size_t n);

// Cuts the piece by the step of this level; what comes out goes to the next one.
static wn_status cut(encoder *e, size_t level, const char *text, size_t n) {
    struct level *l = &e->level[level];
    const wn__pattern *pattern = e->t->step[level].pattern;
    if (pattern != NULL)
        return wn__pattern_split(pattern, l->matcher, text, n, encode_piece, &e->level[level + 1]);
    if (text[0] == ' ') return encode_piece(&e->level[level + 1], text, n);
    l->spaced.size = 0;
    WN_TRY(wn__bytes_append(&l->spaced, " ", 1));
    WN_TRY(wn__bytes_append(&l->spaced, text, n));
    return encode_piece(&e->level[level + 1], l->spaced.data, l->spaced.size);
}

static wn_status encode_piece(void *ctx, const char *piece, size_t n) {
    struct level *l = ctx;
    size_t level = (size_t)(l - l->e->level);
    if (level < l->e->t->steps) return cut(l->e, level, piece, n);
    return wn__bpe_encode(&l->e->t->bpe, &l->e->bpe, piece, n, &l->e->ids);
}

typedef wn_status part_fn(encoder *e, const char *text, size_t n);

// Gives the added tokens' ids, and what lies between them to fn.
static wn_status extract(encoder *e, const wn__added_set *set, const char *text, size_t n,
                         part_fn *fn) {
    size_t done = 0, from = 0;
    wn__added_match m;
    while (wn__added_next(set, text, n, from, done, e->special, &m)) {
        if (m.begin > done) WN_TRY(fn(e, text + done, m.begin - done));
        WN_TRY(wn__id_list_append(&e->ids, m.id));
        done = m.end;
        from = m.resume;
    }
    return done < n ? fn(e, text + done, n - done) : WN_OK;
}

static wn_status encode_part(encoder *e, const char *text, size_t n) {
    return encode_piece(&e->level[0], text, n);
}

static wn_status encode_characters(encoder *e, const char *text, size_t n) {
    if (e->t->form != WN_FORM_NONE && wn__ascii_span(text, n) < n) {
        e->normal.size = 0;
        WN_TRY(wn__normalize(&e->normalizer, e->t->form, text, n, &e->normal));
        text = e->normal.data;
        n = e->normal.size;
    }
    return extract(e, &e->t->normalized, text, n, encode_part);
}

static wn_status encode_bytes(encoder *e, const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t valid = wn__utf8_span(text + i, n - i);
        if (valid > 0) WN_TRY(encode_characters(e, text + i, valid));
        i += valid;
        if (i < n) WN_TRY(wn__bpe_encode(&e->t->bpe, &e->bpe, text + i++, 1, &e->ids));
    }
    return WN_OK;
}

static wn_status encoder_start(encoder *e, const wn_tokenizer *t, size_t size) {
    for (size_t i = 0; i <= t->steps; i++) {
        e->level[i].e = e;
        if (i < t->steps && t->step[i].pattern != NULL)
            WN_TRY(wn__matcher_create(&e->level[i].matcher));
    }
    if (size >= CACHE_FROM) wn__bpe_scratch_keep(&e->bpe);
    return wn__id_list_reserve(&e->ids, size / 4 + 1);
}

static void encoder_free(encoder *e) {
    wn__bpe_scratch_free(&e->bpe);
    wn__normalizer_free(&e->normalizer);
    wn__bytes_free(&e->normal);
    for (size_t i = 0; i < WN_MAX_STEPS; i++) {
        wn__matcher_free(e->level[i].matcher);
        wn__bytes_free(&e->level[i].spaced);
    }
}

wn_status wn_tokenizer_encode(const wn_tokenizer *t, const char *text, size_t size, bool special,
                              bool bos, wn_tokens *out) {
    *out = (wn_tokens){0};
    encoder e = {.t = t, .special = special};
    wn_status status;
    WN_TRY_OUT(encoder_start(&e, t, size));
    if (bos && t->adds_bos && t->bos >= 0) WN_TRY_OUT(wn__id_list_append(&e.ids, t->bos));
    WN_TRY_OUT(extract(&e, &t->raw, text, size, encode_bytes));
    *out = (wn_tokens){.id = e.ids.data, .count = e.ids.count};
    e.ids.data = NULL;
out:
    free(e.ids.data);
    encoder_free(&e);
    return status;
}
