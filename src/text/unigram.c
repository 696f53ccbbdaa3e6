// SPDX-License-Identifier: MIT
// Viterbi over a window of the text: where no piece that began before goes on, the best way so far
// is settled, its ids are given, and the window begins anew with its score.
#include "text/unigram.h"

#include "base/fail.h"
#include "base/utf8.h"
#include <stdlib.h>

#define NO_START UINT32_MAX

typedef struct place {
    double score;   // of the best way here
    uint32_t start; // where its last piece begins, in the window; NO_START: not reached
    int32_t id;
} place;

typedef struct search {
    const wn__unigram *u;
    wn__unigram_scratch *s;
    const char *text;
    size_t n;
    size_t base;                       // of the window in the text
    size_t reach;                      // the farthest end so far, in the window
    size_t filled;                     // places of the window that are initialized
    size_t unknown_begin, unknown_end; // unknown text that is not given yet; empty: none
    wn__id_list *out;
} search;

void wn__unigram_scratch_free(wn__unigram_scratch *s) {
    free(s->best);
    free(s->order.data);
    wn__cache_free(s->cache);
    *s = (wn__unigram_scratch){0};
}

// Places 0..end of the window are there.
static wn_status fill(search *f, size_t end) {
    WN_TRY(wn__grow(&f->s->best, &f->s->capacity, end + 1, sizeof(place)));
    place *best = f->s->best;
    for (; f->filled <= end; f->filled++)
        best[f->filled] = (place){.start = NO_START};
    if (end > f->reach) f->reach = end;
    return WN_OK;
}

static wn_status offer(search *f, size_t start, size_t end, double score, int32_t id) {
    if (end >= f->filled) WN_TRY(fill(f, end));
    if (end > f->reach) f->reach = end;
    place *to = (place *)f->s->best + end;
    if (to->start != NO_START && !(score > to->score)) return WN_OK;
    *to = (place){.score = score, .start = (uint32_t)start, .id = id};
    return WN_OK;
}

static wn_status no_unknown(const search *f, size_t at) {
    uint32_t cp = 0;
    (void)wn__utf8_decode(f->text + at, f->n - at, &cp);
    return wn__fail(WN_INVALID, "tokenizer: the vocabulary has no token for U+%04X, nor an unk_id",
                    (unsigned)cp);
}

// All pieces that begin at place `at`, shortest first, and the character alone if none is it.
static wn_status extend(search *f, size_t at, size_t length) {
    const wn__unigram *u = f->u;
    const char *text = f->text + f->base + at;
    size_t left = f->n - f->base - at;
    double score = ((place *)f->s->best)[at].score;
    uint32_t node = 0;
    bool single = false;
    for (size_t i = 0; i < left; i++) {
        node = wn__trie_step(&u->trie, node, (uint8_t)text[i]);
        if (node == 0) break;
        int32_t id = u->trie.value[node];
        if (id == WN_TRIE_NONE) continue;
        WN_TRY(offer(f, at, at + i + 1, u->score[id] + score, id));
        single |= i + 1 == length;
    }
    if (single) return WN_OK;
    if (u->unknown_id == WN_UNIGRAM_NONE) return no_unknown(f, f->base + at);
    return offer(f, at, at + length, u->unknown_score + score, u->unknown_id);
}

// Gives the unknown text: as a token if it happens to be one, as bytes, or as the unknown token.
static wn_status give_unknown(search *f) {
    const wn__unigram *u = f->u;
    const char *text = f->text + f->unknown_begin;
    size_t n = f->unknown_end - f->unknown_begin;
    f->unknown_begin = f->unknown_end;
    if (n == 0) return WN_OK;
    int32_t id = wn__trie_find(&u->trie, text, n);
    if (id != WN_TRIE_NONE) return wn__id_list_append(f->out, id);
    bool bytes = u->byte_fallback;
    for (size_t i = 0; i < n && bytes; i++)
        bytes = u->byte_id[(uint8_t)text[i]] != WN_UNIGRAM_NONE;
    for (size_t i = 0; i < n && bytes; i++)
        WN_TRY(wn__id_list_append(f->out, u->byte_id[(uint8_t)text[i]]));
    return bytes ? WN_OK : wn__id_list_append(f->out, u->unknown_id);
}

static wn_status give(search *f, const place *p, size_t end) {
    if (p->id != f->u->unknown_id) {
        WN_TRY(give_unknown(f));
        return wn__id_list_append(f->out, p->id);
    }
    if (f->unknown_begin == f->unknown_end) f->unknown_begin = f->base + p->start;
    f->unknown_end = f->base + end;
    return WN_OK;
}

// Gives the best way to place `end`, and begins a window there.
static wn_status settle(search *f, size_t end) {
    place *best = f->s->best;
    wn__id_list *order = &f->s->order; // places, from the last
    order->count = 0;
    for (size_t at = end; at > 0; at = best[at].start)
        WN_TRY(wn__id_list_append(order, (int32_t)at));
    for (size_t i = order->count; i-- > 0;)
        WN_TRY(give(f, &best[order->data[i]], (size_t)order->data[i]));
    f->base += end;
    best[0] = (place){.score = best[end].score, .start = NO_START};
    f->filled = 1;
    f->reach = 0;
    return WN_OK;
}

static size_t char_length(char lead) {
    uint8_t c = (uint8_t)lead;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static wn_status run(search *f) {
    WN_TRY(fill(f, 0));
    ((place *)f->s->best)[0].score = 0;
    for (size_t at = 0; f->base + at < f->n;) {
        size_t length = char_length(f->text[f->base + at]);
        WN_TRY(extend(f, at, length));
        at += length;
        if (at != f->reach) continue;
        WN_TRY(settle(f, at));
        at = 0;
    }
    return give_unknown(f);
}

wn_status wn__unigram_encode(const wn__unigram *u, wn__unigram_scratch *s, const char *text,
                             size_t n, wn__id_list *out) {
    bool found;
    wn__cache_entry *e = wn__cache_at(s->cache, text, n);
    WN_TRY(wn__cache_get(e, text, n, out, &found));
    if (found) return WN_OK;
    if (n >= INT32_MAX) return wn__fail(WN_INVALID, "tokenizer: a piece of %zu bytes", n);
    search f = {.u = u, .s = s, .text = text, .n = n, .out = out};
    size_t before = out->count;
    WN_TRY(run(&f));
    wn__cache_put(e, text, n, out->data + before, out->count - before);
    return WN_OK;
}
