// SPDX-License-Identifier: MIT
// Byte pair encoding: a scan for the lowest rank in short pieces, a heap and a linked list in long
// ones, and a cache of recent pieces, since words repeat.
#include "text/bpe.h"

#include "base/fail.h"
#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>

#define SHORT_PIECE 64 // symbols
#define NO_RANK     UINT32_MAX

wn_status wn__bpe_reserve(wn__bpe *b, size_t merges, uint64_t seed) {
    if (merges == 0) return WN_OK;
    if (merges >= NO_RANK - 1) return wn__fail(WN_UNSUPPORTED, "tokenizer: %zu merges", merges);
    size_t slots = 64;
    while (slots < 2 * merges)
        slots *= 2;
    b->slot = calloc(slots, sizeof *b->slot);
    b->merged = malloc(merges * sizeof *b->merged);
    if (b->slot == NULL || b->merged == NULL)
        return wn__fail(WN_NOMEM, "tokenizer: out of memory (%zu merges)", merges);
    b->slots = slots;
    b->seed = seed;
    return WN_OK;
}

static wn__bpe_slot *locate(const wn__bpe *b, uint64_t pair) {
    size_t mask = b->slots - 1, i = (size_t)wn__hash_u64(pair ^ b->seed) & mask;
    while (b->slot[i].rank != 0 && b->slot[i].pair != pair)
        i = (i + 1) & mask;
    return &b->slot[i];
}

static uint64_t pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

void wn__bpe_merge(wn__bpe *b, int32_t left, int32_t right, int32_t id) {
    uint64_t pair = pair_of(left, right);
    b->merged[b->merges++] = id;
    *locate(b, pair) = (wn__bpe_slot){.pair = pair, .rank = (uint32_t)b->merges};
}

void wn__bpe_free(wn__bpe *b) {
    free(b->slot);
    free(b->merged);
    wn__intern_free(&b->whole);
    wn__char_ids_free(&b->chars);
    wn__char_pairs_free(&b->join);
    *b = (wn__bpe){0};
}

void wn__bpe_scratch_free(wn__bpe_scratch *s) {
    free(s->memory);
    wn__cache_free(s->cache);
    *s = (wn__bpe_scratch){0};
}

static uint32_t rank_of(const wn__bpe *b, int32_t left, int32_t right) {
    if (b->slots == 0) return NO_RANK;
    return locate(b, pair_of(left, right))->rank - 1; // a free slot's 0 becomes NO_RANK
}

// The symbols that a piece begins as. An unknown one waits: it comes before the next character that
// has an id, but after bytes that stand for one.
typedef struct symbols {
    const wn__bpe *b;
    int32_t *id;
    size_t count;
    bool waits;
} symbols;

static void put_known(symbols *s, int32_t id) {
    if (s->waits) s->id[s->count++] = s->b->unknown_id;
    s->waits = false;
    s->id[s->count++] = id;
}

static void put_unknown(symbols *s) {
    if (s->waits && !s->b->fuse_unknown) s->id[s->count++] = s->b->unknown_id;
    s->waits = true;
}

static bool put_bytes(symbols *s, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s->b->byte_id[(unsigned char)text[i]] == WN_BPE_NONE) return false;
    for (size_t i = 0; i < n; i++)
        s->id[s->count++] = s->b->byte_id[(unsigned char)text[i]];
    return true;
}

static wn_status put_char(symbols *s, const char *text, size_t n, uint32_t cp) {
    int32_t id = wn__char_ids_get(&s->b->chars, cp);
    if (id != WN_CHAR_NONE) {
        put_known(s, id);
        return WN_OK;
    }
    if (s->b->byte_fallback && put_bytes(s, text, n)) return WN_OK;
    if (s->b->unknown_id == WN_BPE_NONE)
        return wn__fail(WN_INVALID,
                        "tokenizer: the vocabulary has no token for U+%04X, nor an "
                        "unk_token",
                        (unsigned)cp);
    put_unknown(s);
    return WN_OK;
}

static wn_status put_byte(symbols *s, unsigned char byte) {
    if (s->b->byte_id[byte] != WN_BPE_NONE)
        put_known(s, s->b->byte_id[byte]);
    else if (s->b->unknown_id != WN_BPE_NONE)
        put_unknown(s);
    else
        return wn__fail(WN_INVALID, "tokenizer: the vocabulary has no token for byte 0x%02X", byte);
    return WN_OK;
}

// At most one symbol for each byte of the piece. *count is how many came.
static wn_status initial(const wn__bpe *b, const char *piece, size_t n, int32_t *sym,
                         size_t *count) {
    symbols s = {.b = b, .id = sym};
    for (size_t i = 0, length = 1; i < n; i += length) {
        uint32_t cp;
        if (b->by_char) {
            length = wn__utf8_decode(piece + i, n - i, &cp);
            if (length == 0) return wn__fail(WN_BUG, "tokenizer: invalid UTF-8 in a piece");
            WN_TRY(put_char(&s, piece + i, length, cp));
        } else {
            WN_TRY(put_byte(&s, (unsigned char)piece[i]));
        }
    }
    if (s.waits) s.id[s.count++] = b->unknown_id;
    *count = s.count;
    return WN_OK;
}

// Merges sym[0..n) in place, n <= SHORT_PIECE; returns what is left.
static size_t merge_short(const wn__bpe *b, int32_t *sym, size_t n) {
    uint32_t rank[SHORT_PIECE]; // of sym[i], sym[i + 1]
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(b, sym[i], sym[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == NO_RANK) break;
        sym[best] = b->merged[rank[best]];
        n--;
        memmove(sym + best + 1, sym + best + 2, (n - best - 1) * sizeof *sym);
        memmove(rank + best, rank + best + 1, (n - best - 1) * sizeof *rank);
        if (best > 0) rank[best - 1] = rank_of(b, sym[best - 1], sym[best]);
        if (best + 1 < n) rank[best] = rank_of(b, sym[best], sym[best + 1]);
    }
    return n;
}

// A long piece: a doubly linked list of symbols and a heap of (rank << 32 | place of the left
// symbol).
typedef struct chain {
    int32_t *sym;
    uint32_t *rank;        // of the pair that begins here; a heap entry with another one is stale
    uint32_t *next, *prev; // n stands for the end, UINT32_MAX for none
    uint64_t *heap;
    size_t n, heap_size;
} chain;

static void heap_down(chain *c, size_t i) {
    uint64_t key = c->heap[i];
    for (size_t child; (child = 2 * i + 1) < c->heap_size; i = child) {
        if (child + 1 < c->heap_size && c->heap[child + 1] < c->heap[child]) child++;
        if (key <= c->heap[child]) break;
        c->heap[i] = c->heap[child];
    }
    c->heap[i] = key;
}

static void heap_push(chain *c, uint64_t key) {
    size_t i = c->heap_size++;
    for (; i > 0 && key < c->heap[(i - 1) / 2]; i = (i - 1) / 2)
        c->heap[i] = c->heap[(i - 1) / 2];
    c->heap[i] = key;
}

static uint64_t heap_pop(chain *c) {
    uint64_t top = c->heap[0];
    c->heap[0] = c->heap[--c->heap_size];
    if (c->heap_size > 0) heap_down(c, 0);
    return top;
}

static void chain_start(const wn__bpe *b, chain *c) {
    c->heap_size = 0;
    for (size_t i = 0; i < c->n; i++) {
        c->next[i] = (uint32_t)(i + 1);
        c->prev[i] = (uint32_t)(i - 1);
        c->rank[i] = i + 1 < c->n ? rank_of(b, c->sym[i], c->sym[i + 1]) : NO_RANK;
        if (c->rank[i] != NO_RANK) c->heap[c->heap_size++] = (uint64_t)c->rank[i] << 32 | i;
    }
    for (size_t i = c->heap_size / 2; i-- > 0;)
        heap_down(c, i);
}

static void chain_rank(const wn__bpe *b, chain *c, uint32_t at) {
    uint32_t right = c->next[at];
    c->rank[at] = right < c->n ? rank_of(b, c->sym[at], c->sym[right]) : NO_RANK;
    if (c->rank[at] != NO_RANK) heap_push(c, (uint64_t)c->rank[at] << 32 | at);
}

static void merge_long(const wn__bpe *b, chain *c) {
    chain_start(b, c);
    while (c->heap_size > 0) {
        uint64_t key = heap_pop(c);
        uint32_t at = (uint32_t)key;
        if (c->rank[at] != key >> 32) continue;
        uint32_t gone = c->next[at];
        c->sym[at] = b->merged[c->rank[at]];
        c->next[at] = c->next[gone];
        if (c->next[at] < c->n) c->prev[c->next[at]] = at;
        c->rank[gone] = NO_RANK;
        chain_rank(b, c, at);
        if (c->prev[at] != UINT32_MAX) chain_rank(b, c, c->prev[at]);
    }
}

static wn_status encode_long(const wn__bpe *b, wn__bpe_scratch *s, const char *piece, size_t n,
                             wn__id_list *out) {
    if (n >= UINT32_MAX) return wn__fail(WN_INVALID, "tokenizer: a piece of %zu bytes", n);
    // The heap holds at most n - 1 pairs at first, and each of n - 1 merges takes one and adds two.
    size_t each = 2 * sizeof(uint64_t) + 4 * sizeof(uint32_t);
    WN_TRY(wn__grow(&s->memory, &s->capacity, n, each));
    chain c = {.heap = s->memory};
    c.sym = (int32_t *)(c.heap + 2 * n);
    c.rank = (uint32_t *)(c.sym + n);
    c.next = c.rank + n;
    c.prev = c.next + n;
    WN_TRY(initial(b, piece, n, c.sym, &c.n));
    merge_long(b, &c);
    for (size_t i = 0; i < c.n; i = c.next[i])
        WN_TRY(wn__id_list_append(out, c.sym[i]));
    return WN_OK;
}

static wn_status encode_short(const wn__bpe *b, const char *piece, size_t n, wn__id_list *out) {
    WN_TRY(wn__id_list_reserve(out, n));
    int32_t *sym = out->data + out->count;
    size_t count = 0;
    WN_TRY(initial(b, piece, n, sym, &count));
    out->count += merge_short(b, sym, count);
    return WN_OK;
}

static wn_status encode_piece(const wn__bpe *b, wn__bpe_scratch *s, const char *piece, size_t n,
                              wn__id_list *out) {
    bool found;
    wn__cache_entry *e = wn__cache_at(s->cache, piece, n);
    WN_TRY(wn__cache_get(e, piece, n, out, &found));
    if (found) return WN_OK;
    if (n > SHORT_PIECE) return encode_long(b, s, piece, n, out);
    size_t before = out->count;
    WN_TRY(encode_short(b, piece, n, out));
    wn__cache_put(e, piece, n, out->data + before, out->count - before);
    return WN_OK;
}

// Between two characters that have ids, and that no merge joins, nothing crosses: neither a merge,
// nor an unknown symbol that waits.
static wn_status encode_chars(const wn__bpe *b, wn__bpe_scratch *s, const char *text, size_t n,
                              wn__id_list *out) {
    size_t begin = 0;
    uint32_t last = 0, cp;
    bool last_known = false;
    for (size_t i = 0, length; i < n; i += length, last = cp) {
        length = wn__utf8_decode(text + i, n - i, &cp);
        if (length == 0) return wn__fail(WN_BUG, "tokenizer: invalid UTF-8 in a piece");
        bool known = wn__char_ids_get(&b->chars, cp) != WN_CHAR_NONE;
        if (known && last_known && !wn__char_pairs_has(&b->join, last, cp)) {
            WN_TRY(encode_piece(b, s, text + begin, i - begin, out));
            begin = i;
        }
        last_known = known;
    }
    return encode_piece(b, s, text + begin, n - begin, out);
}

wn_status wn__bpe_encode(const wn__bpe *b, wn__bpe_scratch *s, const char *piece, size_t n,
                         wn__id_list *out) {
    if (b->ignore_merges) {
        size_t whole = wn__intern_find(&b->whole, piece, n);
        if (whole != WN_INTERN_NONE)
            return wn__id_list_append(out, (int32_t)b->whole.entry[whole].value);
    }
    if (n == 0) return WN_OK;
    return b->by_char ? encode_chars(b, s, piece, n, out) : encode_piece(b, s, piece, n, out);
}
