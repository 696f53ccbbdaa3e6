// SPDX-License-Identifier: MIT
// Cuts of pre-tokenizers.
#include "text/step.h"

#include "base/fail.h"
#include "base/utf8.h"
#include "text/alphabet.h"
#include "text/normalize.h"
#include <string.h>

void wn__step_scratch_free(wn__step_scratch *s) {
    wn__matcher_free(s->matcher);
    wn__bytes_free(&s->changed);
    *s = (wn__step_scratch){0};
}

// Where pieces go, and the segment that waits to hear whether the next one joins it.
typedef struct cutter {
    const wn__step *step;
    const char *text;
    size_t origin;
    wn__cut_fn *fn;
    void *ctx;
    size_t begin, end; // the segment that waits
    bool waits, match; // match: what the last segment was
} cutter;

static wn_status give(const cutter *c, size_t begin, size_t end) {
    if (begin == end) return WN_OK;
    size_t origin = c->origin > begin ? c->origin - begin : 0;
    return c->fn(c->ctx, c->text + begin, end - begin, origin < end - begin ? origin : end - begin);
}

static wn_status release(cutter *c) {
    bool waits = c->waits;
    c->waits = false;
    return waits ? give(c, c->begin, c->end) : WN_OK;
}

static bool joins(const cutter *c, bool match) {
    switch (c->step->behavior) {
    case WN_CONTIGUOUS:
        return match == c->match;
    case WN_MERGED_WITH_PREVIOUS:
        return match && !c->match;
    case WN_MERGED_WITH_NEXT:
        return !match && c->match;
    default:
        return false;
    }
}

static wn_status take_segment(void *ctx, size_t begin, size_t end, bool match) {
    cutter *c = ctx;
    if (c->step->invert) match = !match;
    if (c->step->behavior == WN_ISOLATED) return give(c, begin, end);
    if (c->step->behavior == WN_REMOVED) return match ? WN_OK : give(c, begin, end);
    if (!c->waits || !joins(c, match)) {
        WN_TRY(release(c));
        c->begin = begin;
        c->waits = true;
    }
    c->end = end;
    c->match = match;
    return WN_OK;
}

static wn_status cut_pattern(cutter *c, wn__step_scratch *s, size_t n) {
    if (s->matcher == NULL) WN_TRY(wn__matcher_create(&s->matcher));
    WN_TRY(wn__pattern_segments(c->step->pattern, s->matcher, c->text, n, take_segment, c));
    return release(c);
}

static wn_status cut_space(cutter *c, wn__step_scratch *s, size_t n) {
    if (c->text[0] == ' ') return give(c, 0, n);
    s->changed.size = 0;
    WN_TRY(wn__bytes_append(&s->changed, " ", 1));
    WN_TRY(wn__bytes_append(&s->changed, c->text, n));
    c->text = s->changed.data;
    c->origin += c->origin > 0;
    return give(c, 0, n + 1);
}

static bool begins_with(const wn__metaspace *m, const char *text, size_t n) {
    return n >= m->mark_size && memcmp(text, m->mark, m->mark_size) == 0;
}

// The text with its spaces marked, and a mark before it if the scheme wants one. Marks that were
// spaces of the beginning are of the beginning.
static wn_status mark_spaces(const wn__metaspace *m, const char *text, size_t n, size_t *origin,
                             wn__bytes *out) {
    size_t from = *origin;
    out->size = 0;
    if (text[0] != ' ' && !begins_with(m, text, n) &&
        (m->scheme == WN_ALWAYS || (m->scheme == WN_FIRST && from > 0)))
        WN_TRY(wn__bytes_append(out, m->mark, m->mark_size));
    if (from == 0) *origin = 0;
    for (size_t i = 0; i < n;) {
        const char *space = memchr(text + i, ' ', n - i);
        size_t at = space != NULL ? (size_t)(space - text) : n;
        if (i < from) *origin = out->size + (from < at ? from : at) - i;
        WN_TRY(wn__bytes_append(out, text + i, at - i));
        if (space != NULL) WN_TRY(wn__bytes_append(out, m->mark, m->mark_size));
        if (at < from) *origin = out->size;
        i = at + 1;
    }
    return WN_OK;
}

static wn_status cut_metaspace(cutter *c, wn__step_scratch *s, size_t n) {
    const wn__metaspace *m = &c->step->meta;
    WN_TRY(mark_spaces(m, c->text, n, &c->origin, &s->changed));
    c->text = s->changed.data;
    n = s->changed.size;
    size_t begin = 0;
    for (size_t i = 1; m->split && i + m->mark_size <= n; i++) {
        if (c->text[i] != m->mark[0] || !begins_with(m, c->text + i, n - i)) continue;
        WN_TRY(give(c, begin, i));
        begin = i;
    }
    return give(c, begin, n);
}

typedef enum char_class { SPACE, WORD, OTHER } char_class;

static char_class class_of(const wn__step *step, uint32_t cp) {
    if (wn__char_is_space(cp)) return SPACE;
    return step->kind == WN_STEP_WORDS && wn__char_is_word(cp) ? WORD : OTHER;
}

static wn_status cut_classes(cutter *c, size_t n) {
    size_t begin = 0;
    char_class last = SPACE;
    for (size_t i = 0, length; i < n; i += length) {
        uint32_t cp;
        length = wn__utf8_decode(c->text + i, n - i, &cp);
        char_class now = length > 0 ? class_of(c->step, cp) : OTHER;
        if (length == 0) length = 1;
        if (now == last) continue;
        if (last != SPACE) WN_TRY(give(c, begin, i));
        begin = i;
        last = now;
    }
    return last != SPACE ? give(c, begin, n) : WN_OK;
}

wn_status wn__step_cut(const wn__step *step, wn__step_scratch *s, const char *text, size_t n,
                       size_t origin, wn__cut_fn *fn, void *ctx) {
    cutter c = {.step = step, .text = text, .origin = origin, .fn = fn, .ctx = ctx};
    switch (step->kind) {
    case WN_STEP_PATTERN:
        return cut_pattern(&c, s, n);
    case WN_STEP_SPACE:
        return cut_space(&c, s, n);
    case WN_STEP_METASPACE:
        return cut_metaspace(&c, s, n);
    case WN_STEP_SPACES:
    case WN_STEP_WORDS:
        return cut_classes(&c, n);
    }
    return WN_OK;
}
