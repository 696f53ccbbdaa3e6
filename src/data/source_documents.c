// SPDX-License-Identifier: MIT
// Documents as a source. They are read and encoded a block at a time; the block is put in order,
// then taken apart into samples: one of each document, or windows across them.
#include "base/fail.h"
#include "base/philox.h"
#include "data/documents.h"
#include "data/source_kind.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ids of consecutive documents. Document i, as read, is id[end[i - 1]] .. id[end[i]]; the n-th to
 * be used is number order[n]. */
typedef struct block {
    int32_t *id;
    size_t used, capacity; // of id
    size_t *end;           // [options.block]
    uint64_t *order;       // [options.block]
    uint64_t count;
} block;

typedef struct documents_source {
    wn__documents_options o; // pattern and tokenizer borrowed; block 1 where nothing is shuffled
    wn__documents *docs;
    int32_t eos;
    bool encode_ends; // the tokenizer puts eos at the end itself
    bool pad_special; // pad stands for no text
    uint64_t epoch, position;
    wn__place start; // of the block
    uint64_t begin;  // documents of the epoch before it
    uint64_t next;   // of order, the document to use now
    block b;
    // Packed:
    size_t token;    // ids of that document already used
    int32_t carry;   // first id of the next window, which the last one ended in; -1: none
    int32_t *window; // [seq_len + 1]
} documents_source;

// ---- Encoding ----------------------------------------------------------------------------------

// The ids of a document but for the end-of-text token. With the tokenizer's, `add_eos` follows.
static size_t trimmed(const documents_source *s, const wn_tokens *t) {
    size_t n = t->count;
    if (n > 0 && s->encode_ends && t->id[n - 1] == s->eos) n--;
    if (s->o.pack) return n;
    size_t most = (size_t)s->o.seq_len - (s->o.append_eos ? 1 : 0);
    return n < most ? n : most;
}

static wn_status block_reserve(documents_source *s, size_t more) {
    block *b = &s->b;
    if (more <= b->capacity - b->used) return WN_OK;
    size_t capacity = b->used + more > 2 * b->capacity ? b->used + more : 2 * b->capacity;
    int32_t *grown = realloc(b->id, capacity * sizeof *grown);
    if (grown == NULL)
        return wn__fail(WN_NOMEM,
                        "%s: no memory for the %zu ids of a block of %" PRIu64 " documents",
                        s->o.pattern, capacity, s->o.block);
    b->id = grown;
    b->capacity = capacity;
    return WN_OK;
}

static wn_status block_add(documents_source *s, const char *text, size_t size) {
    block *b = &s->b;
    wn_tokens t;
    WN_TRY(wn_tokenizer_encode(s->o.tokenizer, text, size, true, true, &t));
    size_t n = trimmed(s, &t);
    wn_status status = block_reserve(s, n + 1);
    if (status == WN_OK) {
        if (n > 0) memcpy(b->id + b->used, t.id, n * sizeof *t.id);
        b->used += n;
        if (s->o.append_eos) b->id[b->used++] = s->eos;
        b->end[b->count++] = b->used;
    }
    wn_tokens_free(&t);
    return status;
}

// ---- Blocks ------------------------------------------------------------------------------------

// Fisher-Yates; exchange i of block n is draw (n, i) of the epoch's stream.
static void block_shuffle(documents_source *s) {
    uint64_t *order = s->b.order;
    uint64_t stream = WN_STREAM_BLOCKS + (s->epoch & UINT32_MAX);
    uint64_t draws = s->begin / s->o.block << 32;
    for (uint64_t i = 0; i < s->b.count; i++)
        order[i] = i;
    for (uint64_t i = s->b.count; i-- > 1;) {
        uint64_t j = wn__philox_below(s->o.seed, stream, draws | i, i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}

// The block at `begin`, from where the reader is; none of it (count 0) at the end of the epoch.
static wn_status block_read(documents_source *s) {
    const char *text = "";
    size_t size;
    s->start = wn__documents_tell(s->docs);
    s->b.count = s->b.used = 0;
    s->next = 0;
    s->token = 0;
    while (s->b.count < s->o.block) {
        WN_TRY(wn__documents_next(s->docs, &text, &size));
        if (text == NULL) break;
        wn_status status = block_add(s, text, size);
        if (status != WN_OK) {
            wn__place at = wn__documents_tell(s->docs);
            return wn__fail_in(status, "%s: document %" PRIu64 " of file %" PRIu64, s->o.pattern,
                               at.document, at.file + 1);
        }
    }
    block_shuffle(s);
    return WN_OK;
}

// A block that is not full was the last one.
static bool is_short(const documents_source *s) {
    return s->b.count > 0 && s->b.count < s->o.block;
}

// The document to use now; *ids NULL at the end of the epoch.
static wn_status current(documents_source *s, const int32_t **ids, size_t *n) {
    *ids = NULL;
    *n = 0;
    if (s->next == s->b.count) {
        if (is_short(s)) return WN_OK;
        s->begin += s->b.count;
        s->b.count = s->next = 0; // whatever comes of reading, this block is over
        WN_TRY(block_read(s));
        if (s->b.count == 0) return WN_OK;
    }
    uint64_t d = s->b.order[s->next];
    size_t from = d > 0 ? s->b.end[d - 1] : 0;
    *ids = s->b.id + from;
    *n = s->b.end[d] - from;
    return WN_OK;
}

static void advance(documents_source *s) {
    s->next++;
    s->token = 0;
}

// ---- Samples -----------------------------------------------------------------------------------

// One document: its ids, then pads, which are no labels.
static void fill(const documents_source *s, const int32_t *ids, size_t n, int32_t *tokens,
                 int32_t *targets) {
    size_t seq_len = (size_t)s->o.seq_len;
    for (size_t i = 0; i < seq_len; i++) {
        tokens[i] = i < n ? ids[i] : s->o.pad;
        bool label = i + 1 < n && !(s->pad_special && ids[i + 1] == s->o.pad);
        targets[i] = label ? ids[i + 1] : -1;
    }
}

static wn_status one_document(documents_source *s, int32_t *tokens, int32_t *targets, bool *end) {
    const int32_t *ids;
    size_t n;
    WN_TRY(current(s, &ids, &n));
    *end = ids == NULL;
    if (*end) return WN_OK;
    fill(s, ids, n, tokens, targets);
    advance(s);
    return WN_OK;
}

// The next ids of the epoch into window[have] .. window[want - 1].
static wn_status gather(documents_source *s, size_t have, size_t want, bool *end) {
    while (have < want) {
        const int32_t *ids;
        size_t n;
        WN_TRY(current(s, &ids, &n));
        *end = ids == NULL;
        if (*end) return WN_OK;
        size_t part = n - s->token < want - have ? n - s->token : want - have;
        memcpy(s->window + have, ids + s->token, part * sizeof *ids);
        have += part;
        s->token += part;
        if (s->token == n) advance(s);
    }
    return WN_OK;
}

static wn_status one_window(documents_source *s, int32_t *tokens, int32_t *targets, bool *end) {
    size_t seq_len = (size_t)s->o.seq_len, have = s->carry >= 0 ? 1 : 0;
    *end = false;
    s->window[0] = s->carry;
    WN_TRY(gather(s, have, seq_len + 1, end));
    if (*end) return WN_OK;
    memcpy(tokens, s->window, seq_len * sizeof *tokens);
    memcpy(targets, s->window + 1, seq_len * sizeof *targets);
    s->carry = s->window[seq_len];
    return WN_OK;
}

static wn_status document_sample(void *self, int32_t *tokens, int32_t *targets, bool *end) {
    documents_source *s = self;
    WN_TRY(s->o.pack ? one_window(s, tokens, targets, end) : one_document(s, tokens, targets, end));
    if (!*end) s->position++;
    return WN_OK;
}

// ---- Places ------------------------------------------------------------------------------------

// To the beginning of an epoch, or of a block in it.
static wn_status move(documents_source *s, uint64_t epoch, uint64_t begin, wn__place at) {
    s->epoch = epoch;
    s->position = 0;
    s->begin = begin;
    s->b.count = s->next = 0;
    s->token = 0;
    s->carry = -1;
    s->start = at;
    return wn__documents_seek(s->docs, at);
}

static wn_status document_next_epoch(void *self) {
    documents_source *s = self;
    return move(s, s->epoch + 1, 0, (wn__place){0});
}

// After the last document of a full block the next block begins where the reader is.
static void document_tell(const void *self, wn__source_state *out) {
    const documents_source *s = self;
    bool over = s->next == s->b.count && !is_short(s);
    wn__place at = over ? wn__documents_tell(s->docs) : s->start;
    *out = (wn__source_state){
        .epoch = s->epoch,
        .position = s->position,
        .extra = {s->begin + s->next, at.file, at.document,
                  (uint64_t)s->token | (uint64_t)(s->carry + 1) << 32},
    };
}

static wn_status no_place(const documents_source *s, const wn__source_state *state) {
    return wn__fail(WN_INVALID,
                    "%s: no sample %" PRIu64 " of epoch %" PRIu64 " with document %" PRIu64
                    " next: the data or the options are others",
                    s->o.pattern, state->position, state->epoch, state->extra[0]);
}

// Whether the parts of a state can belong together.
static bool plausible(const documents_source *s, const wn__source_state *state) {
    uint64_t carry = state->extra[3] >> 32, document = state->extra[0];
    if (document < s->o.block && (state->extra[1] > 0 || state->extra[2] > 0)) return false;
    if (!s->o.pack) return document == state->position && state->extra[3] == 0;
    if (carry > (uint64_t)wn_tokenizer_vocab_size(s->o.tokenizer)) return false;
    return state->position == 0 || carry > 0;
}

// Into the block: the next document and how much of it is used.
static wn_status enter(documents_source *s, const wn__source_state *state, uint64_t next,
                       size_t token) {
    const int32_t *ids;
    size_t n;
    if (next == 0 && token == 0) return WN_OK;
    WN_TRY(block_read(s));
    if (next > s->b.count) return no_place(s, state);
    s->next = next;
    if (token == 0) return WN_OK;
    if (next == s->b.count) return no_place(s, state);
    WN_TRY(current(s, &ids, &n));
    if (token >= n) return no_place(s, state);
    s->token = token;
    return WN_OK;
}

static wn_status document_seek(void *self, const wn__source_state *state) {
    static const uint64_t none[4] = {0};
    documents_source *s = self;
    wn__source_state to = *state;
    if (!s->o.pack && memcmp(to.extra, none, sizeof none) == 0) {
        to.extra[0] = to.position;
        to.extra[2] = to.position - to.position % s->o.block;
    }
    if (!plausible(s, &to)) return no_place(s, state);
    uint64_t next = to.extra[0] % s->o.block;
    wn__place at = {.file = to.extra[1], .document = to.extra[2]};
    WN_TRY(move(s, to.epoch, to.extra[0] - next, at));
    WN_TRY(enter(s, &to, next, (size_t)(to.extra[3] & UINT32_MAX)));
    s->position = to.position;
    s->carry = (int32_t)(to.extra[3] >> 32) - 1;
    return WN_OK;
}

static uint64_t document_file(const void *self) {
    const documents_source *s = self;
    return wn__documents_tell(s->docs).file;
}

static uint64_t document_fingerprint_but(const void *self, uint64_t file) {
    const documents_source *s = self;
    return wn__documents_fingerprint_but(s->docs, file);
}

// ---- Creation ----------------------------------------------------------------------------------

static void document_free(void *self) {
    documents_source *s = self;
    if (s == NULL) return;
    wn__documents_close(s->docs);
    free(s->b.id);
    free(s->b.end);
    free(s->b.order);
    free(s->window);
    free(s);
}

static const wn__source_kind documents = {.sample = document_sample,
                                          .next_epoch = document_next_epoch,
                                          .tell = document_tell,
                                          .seek = document_seek,
                                          .free = document_free,
                                          .file = document_file,
                                          .fingerprint_but = document_fingerprint_but,
                                          .adds_special = true};

static wn_status check(const wn__documents_options *o) {
    int32_t vocab = wn_tokenizer_vocab_size(o->tokenizer);
    int64_t least = o->pack ? 1 : 2;
    if (o->seq_len < least || o->seq_len > INT32_MAX)
        return wn__fail(WN_INVALID, "seq_len is %" PRId64 ", expected %" PRId64 " to %d",
                        o->seq_len, least, INT32_MAX);
    if (o->block > UINT32_MAX)
        return wn__fail(WN_INVALID, "block of %" PRIu64 " documents, at most %" PRIu32, o->block,
                        UINT32_MAX);
    if (o->pad < 0 || o->pad >= vocab)
        return wn__fail(WN_INVALID, "pad is id %" PRId32 ", expected 0 to %" PRId32, o->pad,
                        vocab - 1);
    if (o->append_eos && wn_tokenizer_eos(o->tokenizer) < 0)
        return wn__fail(WN_INVALID, "append_eos: the tokenizer has no end-of-text token");
    return WN_OK;
}

// Whether an id stands for no text: a special token, or an id without a token.
static bool is_special(const wn_tokenizer *t, int32_t id) {
    char *with = NULL, *without = NULL;
    size_t size = 0, rest = 0;
    bool special = wn_tokenizer_decode(t, &id, 1, false, &with, &size) != WN_OK ||
                   (wn_tokenizer_decode(t, &id, 1, true, &without, &rest) == WN_OK && rest < size);
    free(with);
    free(without);
    return special;
}

// What the tokenizer does at the end of a text, and whether pad is text.
static wn_status probe(documents_source *s) {
    const wn_tokenizer *t = s->o.tokenizer;
    wn_tokens ids;
    s->eos = wn_tokenizer_eos(t);
    WN_TRY(wn_tokenizer_encode(t, "a", 1, true, true, &ids));
    s->encode_ends = ids.count > 0 && s->eos >= 0 && ids.id[ids.count - 1] == s->eos;
    wn_tokens_free(&ids);
    s->pad_special = is_special(t, s->o.pad);
    return WN_OK;
}

static wn_status reserve(documents_source *s) {
    size_t n = (size_t)s->o.block;
    s->b.end = calloc(n, sizeof *s->b.end);
    s->b.order = calloc(n, sizeof *s->b.order);
    s->window = calloc((size_t)s->o.seq_len + 1, sizeof *s->window);
    if (s->b.end != NULL && s->b.order != NULL && s->window != NULL) return WN_OK;
    return wn__fail(WN_NOMEM, "%s: no memory for a block of %zu documents", s->o.pattern, n);
}

// NULL when out of memory.
static char *describe(const documents_source *s) {
    char *what, shuffled[64] = "";
    size_t files = wn__documents_files(s->docs);
    if (s->o.shuffle)
        (void)snprintf(shuffled, sizeof shuffled, ", shuffled in blocks of %" PRIu64, s->o.block);
    int n = asprintf(&what, "%s: %zu file%s, %.1f MiB, documents, %s%s", s->o.pattern, files,
                     files == 1 ? "" : "s", (double)wn__documents_bytes(s->docs) / 1048576,
                     s->o.pack ? "packed" : "one a sample", shuffled);
    return n < 0 ? NULL : what;
}

wn_status wn__source_documents(const wn__documents_options *o, wn__source **out) {
    *out = NULL;
    WN_TRY(check(o));
    documents_source *s = calloc(1, sizeof *s);
    if (s == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", o->pattern);
    s->o = *o;
    s->o.block = !o->shuffle ? 1 : o->block > 0 ? o->block : WN_SOURCE_BLOCK;
    s->carry = -1;
    wn_status status;
    WN_TRY_OUT(wn__documents_open(o->pattern, &s->docs));
    s->o.pattern = wn__documents_pattern(s->docs);
    WN_TRY_OUT(probe(s));
    WN_TRY_OUT(reserve(s));
    return wn__source_create(&documents, s, o->seq_len, wn__documents_fingerprint(s->docs),
                             describe(s), out);
out:
    document_free(s);
    return status;
}

int32_t wn__source_padding(const wn_tokenizer *t) {
    static const char *const names[] = {"<pad>", "[PAD]", "<|pad|>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int32_t id = wn_tokenizer_find(t, names[i]);
        if (id >= 0) return id;
    }
    return 0;
}
