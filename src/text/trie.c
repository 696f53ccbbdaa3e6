// SPDX-License-Identifier: MIT
// Building a trie from sorted strings, level by level.
#include "text/trie.h"

#include "base/fail.h"
#include <stdlib.h>
#include <string.h>

static int compare(const void *x, const void *y) {
    const wn__trie_key *a = x, *b = y;
    size_t n = a->size < b->size ? a->size : b->size;
    int c = n > 0 ? memcmp(a->text, b->text, n) : 0;
    return c != 0 ? c : (a->size > b->size) - (a->size < b->size);
}

// Nodes that the keys need: each adds what it does not share with the one before.
static size_t count_nodes(const wn__trie_key *key, size_t count) {
    size_t nodes = 1;
    for (size_t i = 0; i < count; i++) {
        size_t shared = 0, most = i == 0 ? 0 : key[i - 1].size;
        if (most > key[i].size) most = key[i].size;
        while (shared < most && key[i].text[shared] == key[i - 1].text[shared])
            shared++;
        nodes += key[i].size - shared;
    }
    return nodes;
}

// The keys below a node, which agree on its depth.
typedef struct range {
    uint32_t low, high;
} range;

// Appends the children of a node at this depth.
static void add_children(wn__trie *t, const wn__trie_key *key, range *below, uint32_t node,
                         size_t depth) {
    range r = below[node];
    t->child[node] = t->nodes;
    if (r.low < r.high && key[r.low].size == depth) {
        if (depth > 0) t->value[node] = key[r.low].value;
        r.low++;
    }
    while (r.low < r.high) {
        uint8_t label = (uint8_t)key[r.low].text[depth];
        uint32_t end = r.low;
        while (end < r.high && (uint8_t)key[end].text[depth] == label)
            end++;
        t->label[t->nodes] = label;
        t->value[t->nodes] = WN_TRIE_NONE;
        below[t->nodes++] = (range){.low = r.low, .high = end};
        r.low = end;
    }
}

wn_status wn__trie_build(wn__trie *t, wn__trie_key *key, size_t count) {
    *t = (wn__trie){0};
    if (count > 0) qsort(key, count, sizeof *key, compare);
    size_t nodes = count_nodes(key, count);
    if (nodes >= UINT32_MAX)
        return wn__fail(WN_UNSUPPORTED, "tokenizer: %zu bytes of pieces", nodes);
    range *below = malloc(nodes * sizeof *below);
    t->label = calloc(nodes, sizeof *t->label);
    t->child = malloc((nodes + 1) * sizeof *t->child);
    t->value = malloc(nodes * sizeof *t->value);
    if (below == NULL || t->label == NULL || t->child == NULL || t->value == NULL) {
        free(below);
        return wn__fail(WN_NOMEM, "tokenizer: out of memory (a trie of %zu nodes)", nodes);
    }
    below[0] = (range){.low = 0, .high = (uint32_t)count};
    t->value[0] = WN_TRIE_NONE;
    t->nodes = 1;
    size_t depth = 0;
    for (uint32_t node = 0, level_end = 1; node < t->nodes; node++) {
        if (node == level_end) {
            depth++;
            level_end = t->nodes;
        }
        add_children(t, key, below, node, depth);
    }
    t->child[t->nodes] = t->nodes;
    for (uint32_t k = t->child[0]; t->nodes > 1 && k < t->child[1]; k++)
        t->root[t->label[k]] = k;
    free(below);
    return WN_OK;
}

void wn__trie_free(wn__trie *t) {
    free(t->label);
    free(t->child);
    free(t->value);
    *t = (wn__trie){0};
}

int32_t wn__trie_find(const wn__trie *t, const char *text, size_t n) {
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        node = t->nodes > 0 ? wn__trie_step(t, node, (uint8_t)text[i]) : 0;
        if (node == 0) return WN_TRIE_NONE;
    }
    return n > 0 ? t->value[node] : WN_TRIE_NONE;
}
