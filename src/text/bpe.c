// SPDX-License-Identifier: MIT
// Byte pair encoding: a scan for the lowest rank in short pieces, a heap and a linked list in long
// ones, and a cache of recent pieces, since words repeat.
#include "text/bpe.h"

#include "base/fail.h"
#include <stdlib.h>
#include <string.h>

#define SHORT_PIECE   64 // symbols
#define NO_RANK       UINT32_MAX
#define CACHE_ENTRIES 4096
#define CACHE_TEXT    24
#define CACHE_IDS     8

struct wn__bpe_cache {
    struct cache_entry {
        char text[CACHE_TEXT];
        int32_t id[CACHE_IDS];
        uint8_t size, count; // size 0: empty
    } entry[CACHE_ENTRIES];
};

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
    *b = (wn__bpe){0};
}

void wn__bpe_scratch_free(wn__bpe_scratch *s) {
    free(s->memory);
    free(s->cache);
    *s = (wn__bpe_scratch){0};
}

void wn__bpe_scratch_keep(wn__bpe_scratch *s) {
    if (s->cache == NULL) s->cache = calloc(1, sizeof *s->cache);
}

static uint32_t rank_of(const wn__bpe *b, int32_t left, int32_t right) {
    if (b->slots == 0) return NO_RANK;
    return locate(b, pair_of(left, right))->rank - 1; // a free slot's 0 becomes NO_RANK
}

// One id for each byte, or for a run of unknown ones. *count is how many came.
static wn_status initial(const wn__bpe *b, const char *piece, size_t n, int32_t *sym,
                         size_t *count) {
    size_t out = 0;
    bool after_unknown = false;
    for (size_t i = 0; i < n; i++) {
        int32_t id = b->byte_id[(unsigned char)piece[i]];
        bool unknown = id == WN_BPE_NONE;
        if (unknown) id = b->unknown_id;
        if (id == WN_BPE_NONE)
            return wn__fail(WN_INVALID, "tokenizer: the vocabulary has no token for byte 0x%02X",
                            (unsigned char)piece[i]);
        if (!(unknown && after_unknown && b->fuse_unknown)) sym[out++] = id;
        after_unknown = unknown;
    }
    *count = out;
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

static struct cache_entry *cache_entry(wn__bpe_scratch *s, const char *piece, size_t n) {
    if (s->cache == NULL || n > CACHE_TEXT) return NULL;
    return &s->cache->entry[wn__hash_bytes(piece, n, 0) % CACHE_ENTRIES];
}

static void cache_put(struct cache_entry *e, const char *piece, size_t n, const int32_t *id,
                      size_t count) {
    if (count > CACHE_IDS) return;
    memcpy(e->text, piece, n);
    memcpy(e->id, id, count * sizeof *id);
    e->size = (uint8_t)n;
    e->count = (uint8_t)count;
}

wn_status wn__bpe_encode(const wn__bpe *b, wn__bpe_scratch *s, const char *piece, size_t n,
                         wn__id_list *out) {
    struct cache_entry *e = cache_entry(s, piece, n);
    if (e != NULL && e->size == n && memcmp(e->text, piece, n) == 0) {
        WN_TRY(wn__id_list_reserve(out, e->count));
        memcpy(out->data + out->count, e->id, e->count * sizeof *e->id);
        out->count += e->count;
        return WN_OK;
    }
    if (b->ignore_merges) {
        size_t whole = wn__intern_find(&b->whole, piece, n);
        if (whole != WN_INTERN_NONE)
            return wn__id_list_append(out, (int32_t)b->whole.entry[whole].value);
    }
    if (n > SHORT_PIECE) return encode_long(b, s, piece, n, out);
    size_t before = out->count;
    WN_TRY(encode_short(b, piece, n, out));
    if (e != NULL) cache_put(e, piece, n, out->data + before, out->count - before);
    return WN_OK;
}
