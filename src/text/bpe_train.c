// SPDX-License-Identifier: MIT
// Learning merges: all distinct pieces lie in one array of symbols, linked inside each piece. Every
// pair knows the places where it once began; a merge visits those places and corrects the counts of
// the neighbours. The most frequent pair comes from a heap whose stale entries are put right when
// they come up.
#include "text/bpe_train.h"

#include "base/fail.h"
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
#define GONE (-1)

typedef struct pair {
    int32_t left, right;
    int64_t count; // occurrences, weighted
    uint32_t *place;
    size_t places, capacity;
    uint32_t touched; // the merge that last raised count
    bool merged;      // it is in the list of merges
} pair;

typedef struct candidate {
    int64_t count;
    int32_t left, right;
    uint32_t pair;
} candidate;

typedef struct learner {
    const wn__intern *pieces;
    int32_t *sym; // [symbols]
    uint32_t *next, *prev, *piece;
    size_t symbols;
    pair *pair;
    size_t pairs, pair_capacity;
    uint32_t *slot; // of pairs, + 1
    size_t slots;
    candidate *heap;
    size_t heap_size, heap_capacity;
    uint32_t *raised; // pairs whose count this merge raised
    size_t raised_count, raised_capacity;
    uint32_t round;
} learner;

void wn__merge_list_free(wn__merge_list *list) {
    free(list->merge);
    wn__intern_free(&list->token);
    *list = (wn__merge_list){0};
}

static void learner_free(learner *l) {
    for (size_t i = 0; i < l->pairs; i++)
        free(l->pair[i].place);
    free(l->pair);
    free(l->sym);
    free(l->next);
    free(l->prev);
    free(l->piece);
    free(l->slot);
    free(l->heap);
    free(l->raised);
}

static bool before(const candidate *a, const candidate *b) {
    if (a->count != b->count) return a->count > b->count;
    return a->left != b->left ? a->left < b->left : a->right < b->right;
}

static wn_status heap_push(learner *l, uint32_t number) {
    void *heap = l->heap;
    wn_status status = wn__grow(&heap, &l->heap_capacity, l->heap_size + 1, sizeof *l->heap);
    l->heap = heap;
    if (status != WN_OK) return status;
    const pair *p = &l->pair[number];
    candidate c = {.count = p->count, .left = p->left, .right = p->right, .pair = number};
    size_t i = l->heap_size++;
    for (; i > 0 && before(&c, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = c;
    return WN_OK;
}

static candidate heap_pop(learner *l) {
    candidate top = l->heap[0], last = l->heap[--l->heap_size];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < l->heap_size; i = child) {
        if (child + 1 < l->heap_size && before(&l->heap[child + 1], &l->heap[child])) child++;
        if (!before(&l->heap[child], &last)) break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = last;
    return top;
}

static size_t pair_slot(const learner *l, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = (size_t)wn__hash_u64(key) & (l->slots - 1);
    while (l->slot[i] != 0 &&
           (l->pair[l->slot[i] - 1].left != left || l->pair[l->slot[i] - 1].right != right))
        i = (i + 1) & (l->slots - 1);
    return i;
}

static wn_status grow_slots(learner *l) {
    size_t slots = l->slots ? 2 * l->slots : 1024;
    uint32_t *slot = calloc(slots, sizeof *slot);
    if (slot == NULL) return wn__fail(WN_NOMEM, "tokenizer training: out of memory");
    free(l->slot);
    l->slot = slot;
    l->slots = slots;
    for (size_t i = 0; i < l->pairs; i++)
        slot[pair_slot(l, l->pair[i].left, l->pair[i].right)] = (uint32_t)(i + 1);
    return WN_OK;
}

static wn_status find_pair(learner *l, int32_t left, int32_t right, uint32_t *number) {
    if (2 * (l->pairs + 1) > l->slots) WN_TRY(grow_slots(l));
    size_t i = pair_slot(l, left, right);
    if (l->slot[i] == 0) {
        void *array = l->pair;
        wn_status status = wn__grow(&array, &l->pair_capacity, l->pairs + 1, sizeof *l->pair);
        l->pair = array;
        if (status != WN_OK) return status;
        l->pair[l->pairs++] = (pair){.left = left, .right = right, .touched = NONE};
        l->slot[i] = (uint32_t)l->pairs;
    }
    *number = l->slot[i] - 1;
    return WN_OK;
}

static int64_t weight(const learner *l, uint32_t at) {
    return l->pieces->entry[l->piece[at]].value;
}

// The pair that begins at `at` has come to be.
static wn_status gain(learner *l, uint32_t at) {
    uint32_t number;
    WN_TRY(find_pair(l, l->sym[at], l->sym[l->next[at]], &number));
    pair *p = &l->pair[number];
    void *place = p->place;
    wn_status status = wn__grow(&place, &p->capacity, p->places + 1, sizeof *p->place);
    p->place = place;
    if (status != WN_OK) return status;
    p->place[p->places++] = at;
    p->count += weight(l, at);
    if (p->touched == l->round) return WN_OK;
    p->touched = l->round;
    void *raised = l->raised;
    status = wn__grow(&raised, &l->raised_capacity, l->raised_count + 1, sizeof *l->raised);
    l->raised = raised;
    if (status == WN_OK) l->raised[l->raised_count++] = number;
    return status;
}

// The pair that begins at `at` is about to go.
static void lose(learner *l, uint32_t at) {
    size_t i = pair_slot(l, l->sym[at], l->sym[l->next[at]]);
    l->pair[l->slot[i] - 1].count -= weight(l, at);
}

static wn_status push_raised(learner *l) {
    for (size_t i = 0; i < l->raised_count; i++)
        WN_TRY(heap_push(l, l->raised[i]));
    l->raised_count = 0;
    l->round++;
    return WN_OK;
}

static wn_status allocate(learner *l) {
    for (size_t i = 0; i < l->pieces->count; i++)
        l->symbols += l->pieces->entry[i].size;
    if (l->symbols >= NONE)
        return wn__fail(WN_INVALID, "tokenizer training: %zu bytes of distinct words, at most %u",
                        l->symbols, NONE - 1);
    size_t n = l->symbols + 1;
    l->sym = malloc(n * sizeof *l->sym);
    l->next = malloc(n * sizeof *l->next);
    l->prev = malloc(n * sizeof *l->prev);
    l->piece = malloc(n * sizeof *l->piece);
    if (!l->sym || !l->next || !l->prev || !l->piece)
        return wn__fail(WN_NOMEM, "tokenizer training: out of memory (%zu symbols)", n);
    return WN_OK;
}

static void load_piece(learner *l, size_t number, uint32_t at) {
    size_t n;
    const char *text = wn__intern_string(l->pieces, number, &n);
    for (size_t i = 0; i < n; i++, at++) {
        l->sym[at] = (unsigned char)text[i];
        l->prev[at] = i > 0 ? at - 1 : NONE;
        l->next[at] = i + 1 < n ? at + 1 : NONE;
        l->piece[at] = (uint32_t)number;
    }
}

static wn_status load(learner *l) {
    WN_TRY(allocate(l));
    uint32_t at = 0;
    for (size_t i = 0; i < l->pieces->count; i++) {
        load_piece(l, i, at);
        at += l->pieces->entry[i].size;
    }
    for (at = 0; at < l->symbols; at++)
        if (l->next[at] != NONE) WN_TRY(gain(l, at));
    return push_raised(l);
}

// Puts id where the pair begins at `at`, if it still does.
static wn_status merge_at(learner *l, uint32_t at, int32_t left, int32_t right, int32_t id) {
    uint32_t gone = l->next[at];
    if (l->sym[at] != left || gone == NONE || l->sym[gone] != right) return WN_OK;
    uint32_t prev = l->prev[at], next = l->next[gone];
    lose(l, at);
    if (prev != NONE) lose(l, prev);
    if (next != NONE) lose(l, gone);
    l->sym[at] = id;
    l->sym[gone] = GONE;
    l->next[at] = next;
    if (next != NONE) {
        l->prev[next] = at;
        WN_TRY(gain(l, at));
    }
    return prev != NONE ? gain(l, prev) : WN_OK;
}

static int compare_places(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

// Merges the pair everywhere, left to right in each piece.
static wn_status merge_everywhere(learner *l, uint32_t number, int32_t id) {
    pair *p = &l->pair[number];
    int32_t left = p->left, right = p->right;
    uint32_t *place = p->place;
    size_t n = p->places;
    // The pair may come back while it is merged (id may be one of its own), so its list is taken
    // away.
    p->place = NULL;
    p->places = p->capacity = 0;
    qsort(place, n, sizeof *place, compare_places);
    wn_status status = WN_OK;
    for (size_t i = 0; i < n && status == WN_OK; i++)
        status = merge_at(l, place[i], left, right, id);
    free(place);
    return status == WN_OK ? push_raised(l) : status;
}

// The id of the two tokens together; a new one unless some token has these bytes.
static wn_status token_of(wn__merge_list *list, int32_t left, int32_t right, int32_t *id) {
    wn__bytes both = {0};
    wn_status status = WN_OK;
    size_t n, number;
    const char *text = wn__intern_string(&list->token, (size_t)left, &n);
    WN_TRY_OUT(wn__bytes_append(&both, text, n));
    text = wn__intern_string(&list->token, (size_t)right, &n);
    WN_TRY_OUT(wn__bytes_append(&both, text, n));
    WN_TRY_OUT(wn__intern_add(&list->token, both.data, both.size, &number, NULL));
    list->ids = (int32_t)list->token.count;
    *id = (int32_t)number;
out:
    wn__bytes_free(&both);
    return status;
}

static wn_status note(wn__merge_list *list, wn__learned m) {
    void *merge = list->merge;
    wn_status status = wn__grow(&merge, &list->capacity, list->count + 1, sizeof *list->merge);
    list->merge = merge;
    if (status == WN_OK) list->merge[list->count++] = m;
    return status;
}

static wn_status learn(learner *l, int32_t max_ids, int64_t min_frequency, wn__merge_list *list) {
    while (list->ids < max_ids && l->heap_size > 0) {
        candidate c = heap_pop(l);
        pair *p = &l->pair[c.pair];
        if (p->count != c.count) { // it has fallen since; where it rose there is a newer entry
            if (p->count < c.count && p->count > 0) WN_TRY(heap_push(l, c.pair));
            continue;
        }
        if (c.count < min_frequency || c.count <= 0) break;
        int32_t id;
        WN_TRY(token_of(list, c.left, c.right, &id));
        if (!p->merged)
            WN_TRY(note(list, (wn__learned){.left = c.left, .right = c.right, .id = id}));
        p->merged = true;
        WN_TRY(merge_everywhere(l, c.pair, id));
    }
    return WN_OK;
}

wn_status wn__bpe_learn(const wn__intern *pieces, int32_t max_ids, int64_t min_frequency,
                        wn__merge_list *out) {
    *out = (wn__merge_list){0};
    learner l = {.pieces = pieces};
    wn_status status = WN_OK;
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        size_t number;
        WN_TRY_OUT(wn__intern_add(&out->token, &c, 1, &number, NULL));
    }
    out->ids = 256;
    WN_TRY_OUT(load(&l));
    WN_TRY_OUT(learn(&l, max_ids, min_frequency, out));
out:
    learner_free(&l);
    if (status != WN_OK) wn__merge_list_free(out);
    return status;
}
