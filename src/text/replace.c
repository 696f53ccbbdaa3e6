// SPDX-License-Identifier: MIT
// Replacement of literal texts and of patterns.
#include "text/replace.h"

#include "base/fail.h"
#include <string.h>

void wn__replace_free(wn__replace *r) {
    wn__pattern_free(r->pattern);
    wn__bytes_free(&r->from);
    wn__bytes_free(&r->to);
    *r = (wn__replace){0};
}

typedef struct replacing {
    const wn__replace *r;
    const char *text;
    size_t from_origin, to_origin, begin;
    wn__bytes *out;
} replacing;

// Inserted text stands where the last character that it replaces stood.
static wn_status put(void *ctx, size_t begin, size_t end, bool match) {
    replacing *c = ctx;
    bool first = match ? end == 0 || end <= c->from_origin : begin < c->from_origin;
    size_t before = c->out->size;
    if (match)
        WN_TRY(wn__bytes_append(c->out, c->r->to.data, c->r->to.size));
    else
        WN_TRY(wn__bytes_append(c->out, c->text + begin, end - begin));
    if (!first || c->from_origin == 0) return WN_OK;
    size_t from = !match && c->from_origin < end ? c->from_origin - begin : c->out->size - before;
    c->to_origin = before - c->begin + from;
    return WN_OK;
}

static wn_status put_literals(replacing *c, size_t n) {
    const wn__bytes *from = &c->r->from;
    for (size_t i = 0; i < n;) {
        const char *found = from->size == 1 ? memchr(c->text + i, from->data[0], n - i)
                                            : memmem(c->text + i, n - i, from->data, from->size);
        size_t at = found != NULL ? (size_t)(found - c->text) : n;
        if (at > i) WN_TRY(put(c, i, at, false));
        if (found != NULL) WN_TRY(put(c, at, at + from->size, true));
        i = found != NULL ? at + from->size : n;
    }
    return WN_OK;
}

wn_status wn__replace_apply(const wn__replace *r, wn__matcher **matcher, const char *text, size_t n,
                            size_t *origin, wn__bytes *out) {
    replacing c = {.r = r, .text = text, .from_origin = *origin, .begin = out->size, .out = out};
    if (r->pattern == NULL) {
        WN_TRY(put_literals(&c, n));
    } else {
        if (*matcher == NULL) WN_TRY(wn__matcher_create(matcher));
        WN_TRY(wn__pattern_segments(r->pattern, *matcher, text, n, put, &c));
    }
    *origin = c.to_origin;
    return WN_OK;
}
