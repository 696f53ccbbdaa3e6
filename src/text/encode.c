// SPDX-License-Identifier: MIT
// Text to ids, in the order of Hugging Face tokenizers: added tokens out of the raw text, then
// normalization, added tokens out of the normalized text, cuts, the model. Text that is not UTF-8
// has no characters to normalize or cut by: to a byte-level tokenizer such a byte is a piece of its
// own, any other reads U+FFFD for it.
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
    wn__unigram_scratch unigram;
    wn__rewriter rewriter;
    wn__bytes repaired;
    struct level {
        struct encoder *e;
        wn__step_scratch scratch;
    } level[WN_MAX_STEPS + 1];
} encoder;

static wn_status encode_model(encoder *e, const char *piece, size_t n) {
    if (e->t->model == WN_MODEL_UNIGRAM)
        return wn__unigram_encode(&e->t->unigram, &e->unigram, piece, n, &e->ids);
    return wn__bpe_encode(&e->t->bpe, &e->bpe, piece, n, &e->ids);
}

// Cuts the piece by the step of this level; what comes out goes to the next one.
static wn_status encode_piece(void *ctx, const char *piece, size_t n, size_t origin) {
    struct level *l = ctx;
    encoder *e = l->e;
    size_t level = (size_t)(l - e->level);
    if (level == e->t->steps) return encode_model(e, piece, n);
    return wn__step_cut(&e->t->step[level], &l->scratch, piece, n, origin, encode_piece, l + 1);
}

typedef wn_status part_fn(encoder *e, const char *text, size_t n, size_t origin);

// Gives the added tokens' ids, and what lies between them to fn.
static wn_status extract(encoder *e, const wn__added_set *set, const char *text, size_t n,
                         size_t origin, part_fn *fn) {
    size_t done = 0, from = 0;
    wn__added_match m;
    while (wn__added_next(set, text, n, from, done, e->special, &m)) {
        if (m.begin > done)
            WN_TRY(fn(e, text + done, m.begin - done, origin > done ? origin - done : 0));
        WN_TRY(wn__id_list_append(&e->ids, m.id));
        done = m.end;
        from = m.resume;
    }
    return done < n ? fn(e, text + done, n - done, origin > done ? origin - done : 0) : WN_OK;
}

static wn_status encode_part(encoder *e, const char *text, size_t n, size_t origin) {
    return encode_piece(&e->level[0], text, n, origin < n ? origin : n);
}

static wn_status encode_characters(encoder *e, const char *text, size_t n, size_t origin) {
    const wn_tokenizer *t = e->t;
    WN_TRY(wn__rewrite_all(t->rewrite, t->rewrites, &e->rewriter, text, n, &origin, &text, &n));
    return extract(e, &t->normalized, text, n, origin, encode_part);
}

static wn_status encode_bytes(encoder *e, const char *text, size_t n, size_t origin) {
    for (size_t i = 0; i < n;) {
        size_t valid = wn__utf8_span(text + i, n - i);
        if (valid > 0) WN_TRY(encode_characters(e, text + i, valid, i == 0 ? origin : 0));
        i += valid;
        if (i < n) WN_TRY(wn__bpe_encode(&e->t->bpe, &e->bpe, text + i++, 1, &e->ids));
    }
    return WN_OK;
}

// *text, *n: the text as UTF-8, with U+FFFD for each byte that is not.
static wn_status repair(encoder *e, const char **text, size_t *n) {
    size_t i = wn__utf8_span(*text, *n);
    if (i == *n) return WN_OK;
    WN_TRY(wn__bytes_append(&e->repaired, *text, i));
    while (i < *n) {
        WN_TRY(wn__bytes_append(&e->repaired, "\xef\xbf\xbd", 3));
        i++;
        size_t valid = wn__utf8_span(*text + i, *n - i);
        WN_TRY(wn__bytes_append(&e->repaired, *text + i, valid));
        i += valid;
    }
    *text = e->repaired.data;
    *n = e->repaired.size;
    return WN_OK;
}

static wn_status encode_text(encoder *e, const char *text, size_t n) {
    uint32_t cp;
    if (!e->t->byte_level) WN_TRY(repair(e, &text, &n));
    return extract(e, &e->t->raw, text, n, wn__utf8_decode(text, n, &cp), encode_bytes);
}

static wn_status encoder_start(encoder *e, const wn_tokenizer *t, size_t size) {
    for (size_t i = 0; i <= t->steps; i++)
        e->level[i].e = e;
    if (size >= CACHE_FROM && t->model == WN_MODEL_UNIGRAM) e->unigram.cache = wn__cache_create();
    if (size >= CACHE_FROM && t->model == WN_MODEL_BPE) e->bpe.cache = wn__cache_create();
    return wn__id_list_reserve(&e->ids, size / 4 + 1);
}

static void encoder_free(encoder *e) {
    free(e->ids.data);
    wn__bpe_scratch_free(&e->bpe);
    wn__unigram_scratch_free(&e->unigram);
    wn__rewriter_free(&e->rewriter);
    wn__bytes_free(&e->repaired);
    for (size_t i = 0; i <= WN_MAX_STEPS; i++)
        wn__step_scratch_free(&e->level[i].scratch);
}

static wn_status encode(const wn_tokenizer *t, const char *text, size_t size, bool special,
                        bool bos, bool eos, wn_tokens *out) {
    *out = (wn_tokens){0};
    encoder e = {.t = t, .special = special};
    wn_status status;
    WN_TRY_OUT(encoder_start(&e, t, size));
    if (bos && t->adds_bos && t->bos >= 0) WN_TRY_OUT(wn__id_list_append(&e.ids, t->bos));
    WN_TRY_OUT(encode_text(&e, text, size));
    if (eos && t->adds_eos && t->eos >= 0) WN_TRY_OUT(wn__id_list_append(&e.ids, t->eos));
    *out = (wn_tokens){.id = e.ids.data, .count = e.ids.count};
    e.ids.data = NULL;
out:
    encoder_free(&e);
    return status;
}

wn_status wn_tokenizer_encode(const wn_tokenizer *t, const char *text, size_t size, bool special,
                              bool bos, wn_tokens *out) {
    return encode(t, text, size, special, bos, false, out);
}

wn_status wn_tokenizer_encode_framed(const wn_tokenizer *t, const char *text, size_t size,
                                     bool special, wn_tokens *out) {
    return encode(t, text, size, special, true, true, out);
}
