// SPDX-License-Identifier: MIT
// A precompiled character map: read, checked down to the depth that is ever searched, applied.
#include "text/charsmap.h"

#include "base/fail.h"
#include "base/utf8.h"
#include "text/grapheme.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK     256 // units; a unit and its children lie in one block each
#define MAX_CHUNK 5   // bytes of a cluster that is looked up as a whole

struct wn__charsmap {
    uint32_t *unit;
    size_t units;
    char *text; // replacements; a NUL follows the last
    size_t text_size;
    bool plain[256]; // ASCII that the map leaves alone, and that begins no cluster of two (CR LF)
};

static bool has_leaf(uint32_t unit) {
    return unit >> 8 & 1;
}

static uint32_t value_of(uint32_t unit) {
    return unit & 0x7FFFFFFFu;
}

static uint32_t label_of(uint32_t unit) {
    return unit & 0x800000FFu;
}

static size_t offset_of(uint32_t unit) {
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

// The replacement of the shortest key at the front of chunk.
static bool look_up(const wn__charsmap *map, const char *chunk, size_t n, const char **text) {
    size_t at = offset_of(map->unit[0]);
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)chunk[i];
        if (c == 0) return false;
        at ^= c;
        uint32_t unit = map->unit[at];
        if (label_of(unit) != c) return false;
        at ^= offset_of(unit);
        if (has_leaf(unit)) {
            *text = map->text + value_of(map->unit[at]);
            return true;
        }
    }
    return false;
}

static bool begins_text(const wn__charsmap *map, uint32_t value) {
    return value <= map->text_size && ((uint8_t)map->text[value] & 0xC0) != 0x80;
}

// Walks the trie to the depth of MAX_CHUNK bytes, level by level; state[] are nodes' first places.
typedef struct walk {
    const wn__charsmap *map;
    const char *name;
    bool *seen; // [units]
    size_t *state, count;
} walk;

static wn_status reach(walk *w, size_t at) {
    if (at >= w->map->units)
        return wn__fail(WN_FORMAT, "%s: a node at unit %zu, beyond the trie's %zu", w->name, at,
                        w->map->units);
    if (!w->seen[at]) w->state[w->count++] = at;
    w->seen[at] = true;
    return WN_OK;
}

static wn_status check_state(walk *w, size_t at) {
    for (uint32_t c = 1; c < BLOCK; c++) {
        uint32_t unit = w->map->unit[at ^ c];
        if (label_of(unit) != c) continue;
        size_t next = (at ^ c) ^ offset_of(unit);
        WN_TRY(reach(w, next));
        if (has_leaf(unit) && !begins_text(w->map, value_of(w->map->unit[next])))
            return wn__fail(WN_FORMAT,
                            "%s: unit %zu leads to byte %u of the replacements, where none begins "
                            "(%zu bytes)",
                            w->name, next, value_of(w->map->unit[next]), w->map->text_size);
    }
    return WN_OK;
}

static wn_status check_trie(const wn__charsmap *map, const char *name) {
    walk w = {.map = map, .name = name};
    w.seen = calloc(map->units, sizeof *w.seen);
    w.state = malloc(map->units * sizeof *w.state);
    wn_status status;
    if (w.seen == NULL || w.state == NULL) {
        status = wn__fail(WN_NOMEM, "%s: out of memory", name);
        goto out;
    }
    WN_TRY_OUT(reach(&w, offset_of(map->unit[0])));
    for (size_t depth = 0, begin = 0; depth < MAX_CHUNK; depth++)
        for (size_t end = w.count; begin < end; begin++)
            WN_TRY_OUT(check_state(&w, w.state[begin]));
out:
    free(w.seen);
    free(w.state);
    return status;
}

static uint32_t load32(const char *bytes) {
    const uint8_t *b = (const uint8_t *)bytes;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static wn_status take(wn__charsmap *map, const char *bytes, size_t size, const char *name) {
    size_t trie = size >= 4 ? load32(bytes) : 0;
    if (size < 4 || trie > size - 4)
        return wn__fail(WN_FORMAT, "%s: a trie of %zu bytes in a map of %zu", name, trie, size);
    map->units = trie / 4;
    if (map->units == 0 || map->units % BLOCK != 0 || trie % 4 != 0)
        return wn__fail(WN_FORMAT, "%s: a trie of %zu bytes, expected a multiple of %d", name, trie,
                        4 * BLOCK);
    const char *text = bytes + 4 + trie;
    map->text_size = size - 4 - trie;
    size_t valid = wn__utf8_span(text, map->text_size);
    if (valid < map->text_size)
        return wn__fail(WN_FORMAT, "%s: byte %zu of the replacements is not UTF-8", name, valid);
    map->unit = malloc(map->units * sizeof *map->unit);
    map->text = malloc(map->text_size + 1);
    if (map->unit == NULL || map->text == NULL)
        return wn__fail(WN_NOMEM, "%s: out of memory (%zu bytes)", name, size);
    for (size_t i = 0; i < map->units; i++)
        map->unit[i] = load32(bytes + 4 + 4 * i);
    if (map->text_size > 0) memcpy(map->text, text, map->text_size);
    map->text[map->text_size] = '\0';
    return check_trie(map, name);
}

wn_status wn__charsmap_create(const char *bytes, size_t size, const char *name,
                              wn__charsmap **out) {
    *out = NULL;
    wn__charsmap *map = calloc(1, sizeof *map);
    wn_status status =
        map != NULL ? take(map, bytes, size, name) : wn__fail(WN_NOMEM, "%s: out of memory", name);
    if (status != WN_OK) {
        wn__charsmap_free(map);
        return status;
    }
    for (int c = 0; c < 128; c++) {
        const char *text, byte = (char)c;
        map->plain[c] = c != '\r' && !look_up(map, &byte, 1, &text);
    }
    *out = map;
    return WN_OK;
}

void wn__charsmap_free(wn__charsmap *map) {
    if (map == NULL) return;
    free(map->unit);
    free(map->text);
    free(map);
}

// Bytes of ASCII at the front of text that stay as they are: the last one before another character
// may take its marks.
static size_t plain_span(const wn__charsmap *map, const char *text, size_t n) {
    size_t i = 0;
    while (i < n && map->plain[(uint8_t)text[i]])
        i++;
    return i > 0 && i < n && (uint8_t)text[i] >= 0x80 ? i - 1 : i;
}

// What is dropped before any text comes out leaves its place to as many of the characters that
// follow: so do the alignments of Hugging Face tokenizers, which say what stands at the beginning.
typedef struct mapping {
    const wn__charsmap *map;
    wn__bytes *out;
    size_t begin; // of this text in out
    size_t chars; // of the original, done
    size_t first; // how many of them count as the beginning
    size_t origin;
} mapping;

static size_t count_chars(const char *text, size_t n) {
    size_t chars = 0;
    for (size_t i = 0; i < n; i++)
        chars += ((uint8_t)text[i] & 0xC0) != 0x80;
    return chars;
}

// Bytes of the first characters of text, at most n.
static size_t size_of(const char *text, size_t n, size_t chars) {
    size_t i = 0;
    for (; i < n; i++)
        if (((uint8_t)text[i] & 0xC0) != 0x80 && chars-- == 0) break;
    return i;
}

// text is what comes for so many characters of the original: one for one, and what is over comes
// from the last.
static wn_status put(mapping *m, size_t chars, const char *text, size_t n) {
    size_t before = m->out->size - m->begin;
    WN_TRY(wn__bytes_append(m->out, text, n));
    if (m->first > 0 && before + n == 0)
        m->first += chars;
    else if (m->chars + chars <= m->first)
        m->origin = before + n;
    else if (m->chars < m->first)
        m->origin = before + size_of(text, n, m->first - m->chars);
    m->chars += chars;
    return WN_OK;
}

static wn_status put_cluster(mapping *m, const char *text, size_t n) {
    const char *to;
    if (n <= MAX_CHUNK && look_up(m->map, text, n, &to))
        return put(m, count_chars(text, n), to, strlen(to));
    for (size_t i = 0, length; i < n; i += length) {
        uint32_t cp;
        length = wn__utf8_decode(text + i, n - i, &cp);
        if (length == 0) return wn__fail(WN_BUG, "charsmap: invalid UTF-8");
        bool found = look_up(m->map, text + i, length, &to);
        WN_TRY(put(m, 1, found ? to : text + i, found ? strlen(to) : length));
    }
    return WN_OK;
}

wn_status wn__charsmap_apply(const wn__charsmap *map, const char *text, size_t n, size_t *origin,
                             wn__bytes *out) {
    mapping m = {.map = map, .out = out, .begin = out->size, .first = count_chars(text, *origin)};
    for (size_t i = 0, span; i < n; i += span) {
        span = plain_span(map, text + i, n - i);
        if (span > 0) WN_TRY(put(&m, span, text + i, span));
        i += span;
        if (i == n) break;
        span = wn__grapheme_span(text + i, n - i);
        WN_TRY(put_cluster(&m, text + i, span));
    }
    *origin = m.origin;
    return WN_OK;
}
