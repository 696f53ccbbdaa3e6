// SPDX-License-Identifier: MIT
/* A trie over bytes: which of a set of strings stand at the front of a text. */
#ifndef WN_TEXT_TRIE_H
#define WN_TEXT_TRIE_H

#include "text/buffer.h"

#define WN_TRIE_NONE (-1)

/* Nodes lie level by level, the children of one in a row, by label. */
typedef struct wn__trie {
    uint8_t *label;  /* of the edge that leads to the node */
    uint32_t *child; /* [nodes + 1] first child; the last one's successor is child[node + 1] */
    int32_t *value;  /* WN_TRIE_NONE: no string ends here */
    uint32_t nodes;
    uint32_t root[256]; /* the root's children by label, 0 for none */
} wn__trie;

typedef struct wn__trie_key {
    const char *text;
    size_t size;
    int32_t value;
} wn__trie_key;

/* Sorts key[count]; texts are distinct, and an empty one is left out. */
WN_NODISCARD wn_status wn__trie_build(wn__trie *t, wn__trie_key *key, size_t count);
void wn__trie_free(wn__trie *t);

/* The node that c leads to, 0 if none. */
static inline uint32_t wn__trie_step(const wn__trie *t, uint32_t node, uint8_t c) {
    if (node == 0) return t->root[c];
    uint32_t low = t->child[node], high = t->child[node + 1];
    while (high - low > 8) {
        uint32_t middle = low + (high - low) / 2;
        if (t->label[middle] <= c)
            low = middle;
        else
            high = middle;
    }
    for (; low < high; low++)
        if (t->label[low] == c) return low;
    return 0;
}
/* The value of the whole text, or WN_TRIE_NONE. */
int32_t wn__trie_find(const wn__trie *t, const char *text, size_t n);

#endif
