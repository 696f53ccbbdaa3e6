// SPDX-License-Identifier: MIT
// Extended grapheme clusters from left to right: the class of the last character, and what the
// rules that look further back need to know of the cluster so far.
#include "text/grapheme.h"

#include "base/utf8.h"
#include "text/normalize.h"

typedef struct cluster {
    wn__break last;
    bool odd_flags;  // an odd number of regional indicators ends here
    bool pictograph; // Extended_Pictographic Extend* ends here, before a joiner
    bool joined;     // ... and a joiner after it
    bool consonant;  // InCB=Consonant, then only Extend and Linker
    bool has_linker; // ... a Linker among them
} cluster;

static bool in_ranges(const uint16_t (*range)[2], size_t count, uint32_t cp) {
    for (size_t i = 0; i < count && range[i][0] <= cp; i++)
        if (cp <= range[i][1]) return true;
    return false;
}

// Indic_Conjunct_Break=Consonant in Devanagari, Bengali, Gujarati, Oriya, Telugu and Malayalam. The
// scripts that have it besides hold no character that a compatibility mapping changes.
static bool is_consonant(uint32_t cp) {
    static const uint16_t range[][2] = {
        {0x0915, 0x0939}, {0x0958, 0x095F}, {0x0978, 0x097F}, {0x0995, 0x09A8}, {0x09AA, 0x09B0},
        {0x09B2, 0x09B2}, {0x09B6, 0x09B9}, {0x09DC, 0x09DD}, {0x09DF, 0x09DF}, {0x09F0, 0x09F1},
        {0x0A95, 0x0AA8}, {0x0AAA, 0x0AB0}, {0x0AB2, 0x0AB3}, {0x0AB5, 0x0AB9}, {0x0AF9, 0x0AF9},
        {0x0B15, 0x0B28}, {0x0B2A, 0x0B30}, {0x0B32, 0x0B33}, {0x0B35, 0x0B39}, {0x0B5C, 0x0B5D},
        {0x0B5F, 0x0B5F}, {0x0B71, 0x0B71}, {0x0C15, 0x0C28}, {0x0C2A, 0x0C39}, {0x0C58, 0x0C5A},
        {0x0D15, 0x0D3A}};
    return cp >= 0x0915 && cp <= 0x0D3A && in_ranges(range, sizeof range / sizeof range[0], cp);
}

static bool is_linker(uint32_t cp) {
    return cp == 0x094D || cp == 0x09CD || cp == 0x0ACD || cp == 0x0B4D || cp == 0x0C4D ||
           cp == 0x0D4D;
}

static bool is_hangul_join(wn__break a, wn__break b) {
    switch (a) {
    case WN_BREAK_L:
        return b == WN_BREAK_L || b == WN_BREAK_V || b == WN_BREAK_LV || b == WN_BREAK_LVT;
    case WN_BREAK_LV:
    case WN_BREAK_V:
        return b == WN_BREAK_V || b == WN_BREAK_T;
    case WN_BREAK_LVT:
    case WN_BREAK_T:
        return b == WN_BREAK_T;
    default:
        return false;
    }
}

static bool is_control(wn__break b) {
    return b == WN_BREAK_CONTROL || b == WN_BREAK_CR || b == WN_BREAK_LF;
}

// Whether a character of class b goes on with the cluster. Rules GB3 to GB999.
static bool joins(const cluster *c, wn__break b, uint32_t cp) {
    if (is_control(c->last) || is_control(b)) return c->last == WN_BREAK_CR && b == WN_BREAK_LF;
    if (b == WN_BREAK_EXTEND || b == WN_BREAK_ZWJ || b == WN_BREAK_SPACING) return true;
    if (c->last == WN_BREAK_PREPEND || is_hangul_join(c->last, b)) return true;
    if (c->consonant && c->has_linker && is_consonant(cp)) return true;
    if (c->joined && b == WN_BREAK_PICTOGRAPH) return true;
    return c->odd_flags && b == WN_BREAK_FLAG;
}

static void take(cluster *c, wn__break b, uint32_t cp) {
    bool extends = b == WN_BREAK_EXTEND || b == WN_BREAK_ZWJ;
    c->odd_flags = b == WN_BREAK_FLAG && !c->odd_flags;
    c->joined = c->pictograph && b == WN_BREAK_ZWJ;
    c->pictograph = b == WN_BREAK_PICTOGRAPH || (c->pictograph && b == WN_BREAK_EXTEND);
    if (is_consonant(cp)) {
        c->consonant = true;
        c->has_linker = false;
    } else if (is_linker(cp)) {
        c->has_linker = c->consonant;
    } else if (!extends || cp == 0x200C) {
        c->consonant = c->has_linker = false;
    }
    c->last = b;
}

size_t wn__grapheme_span(const char *text, size_t n) {
    uint32_t cp;
    size_t at = wn__utf8_decode(text, n, &cp), length;
    cluster c = {.last = WN_BREAK_OTHER};
    take(&c, wn__char_break(cp), cp);
    while (at < n && (length = wn__utf8_decode(text + at, n - at, &cp)) > 0) {
        wn__break b = wn__char_break(cp);
        if (!joins(&c, b, cp)) break;
        take(&c, b, cp);
        at += length;
    }
    return at > 0 ? at : 1;
}
