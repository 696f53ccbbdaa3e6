// SPDX-License-Identifier: MIT
// Added tokens in a sorted list: candidates are narrowed byte by byte.
#include "text/added.h"

#include "base/utf8.h"
#include "text/alphabet.h"
#include "text/normalize.h"
#include <stdlib.h>
#include <string.h>

wn_status wn__added_put(wn__added_set *set, const char *text, wn__added_token token) {
    void *array = set->token;
    wn_status status = wn__grow(&array, &set->capacity, set->count + 1, sizeof *set->token);
    set->token = array;
    if (status != WN_OK) return status;
    token.offset = set->bytes.size;
    status = wn__bytes_append(&set->bytes, text, token.size);
    if (status != WN_OK) return status;
    set->token[set->count++] = token;
    set->first[(unsigned char)text[0]] = true;
    return WN_OK;
}

static int compare_text(const void *x, const void *y, void *set) {
    const char *bytes = ((const wn__added_set *)set)->bytes.data;
    const wn__added_token *a = x, *b = y;
    int c = memcmp(bytes + a->offset, bytes + b->offset, a->size < b->size ? a->size : b->size);
    return c != 0 ? c : (a->size > b->size) - (a->size < b->size);
}

bool wn__added_seal(wn__added_set *set) {
    if (set->count == 0) return true;
    qsort_r(set->token, set->count, sizeof *set->token, compare_text, set);
    for (size_t i = 1; i < set->count; i++)
        if (compare_text(&set->token[i - 1], &set->token[i], set) == 0) return false;
    return true;
}

void wn__added_free(wn__added_set *set) {
    free(set->token);
    wn__bytes_free(&set->bytes);
    *set = (wn__added_set){0};
}

// First of token[low..high), which agree on their first `depth` bytes and are longer, whose next
// byte is at least c.
static size_t lower_bound(const wn__added_set *set, size_t low, size_t high, size_t depth, int c) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const wn__added_token *t = &set->token[middle];
        if ((unsigned char)set->bytes.data[t->offset + depth] < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The longest token at the front of text, or NULL.
static const wn__added_token *longest(const wn__added_set *set, const char *text, size_t n) {
    const wn__added_token *best = NULL;
    size_t low = 0, high = set->count;
    for (size_t depth = 0; depth < n && low < high; depth++) {
        int c = (unsigned char)text[depth];
        low = lower_bound(set, low, high, depth, c);
        high = lower_bound(set, low, high, depth, c + 1);
        if (low < high && set->token[low].size == depth + 1) best = &set->token[low++];
    }
    return best;
}

static bool is_word_of_its_own(const char *text, size_t n, size_t begin, size_t end) {
    uint32_t cp;
    if (wn__utf8_decode_last(text, begin, &cp) && wn__char_is_word(cp)) return false;
    return !(wn__utf8_decode(text + end, n - end, &cp) && wn__char_is_word(cp));
}

static size_t skip_spaces_back(const char *text, size_t at, size_t least) {
    uint32_t cp;
    size_t length;
    while (at > least && (length = wn__utf8_decode_last(text, at, &cp)) > 0 &&
           wn__char_is_space(cp) && at - length >= least)
        at -= length;
    return at;
}

static size_t skip_spaces(const char *text, size_t at, size_t n) {
    uint32_t cp;
    size_t length;
    while ((length = wn__utf8_decode(text + at, n - at, &cp)) > 0 && wn__char_is_space(cp))
        at += length;
    return at;
}

bool wn__added_next(const wn__added_set *set, const char *text, size_t n, size_t from, size_t done,
                    bool special, wn__added_match *out) {
    if (set->count == 0) return false;
    for (size_t i = from; i < n;) {
        const wn__added_token *t =
            set->first[(unsigned char)text[i]] ? longest(set, text + i, n - i) : NULL;
        if (t == NULL) {
            i++;
            continue;
        }
        size_t begin = i, end = i + t->size;
        i = end;
        if (t->special && !special) continue;
        if (t->single_word && !is_word_of_its_own(text, n, begin, end)) continue;
        *out = (wn__added_match){.begin = t->lstrip ? skip_spaces_back(text, begin, done) : begin,
                                 .end = t->rstrip ? skip_spaces(text, end, n) : end,
                                 .resume = end,
                                 .id = t->id};
        return true;
    }
    return false;
}
