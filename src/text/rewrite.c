// SPDX-License-Identifier: MIT
// Normalizers in a row, from one buffer to the other.
#include "text/rewrite.h"

#include "base/fail.h"
#include "base/utf8.h"
#include "text/alphabet.h"

void wn__rewrite_free(wn__rewrite *r) {
    wn__charsmap_free(r->map);
    wn__replace_free(&r->replace);
    wn__bytes_free(&r->prefix);
    *r = (wn__rewrite){0};
}

void wn__rewriter_free(wn__rewriter *s) {
    wn__normalizer_free(&s->normalizer);
    wn__matcher_free(s->matcher);
    wn__bytes_free(&s->text[0]);
    wn__bytes_free(&s->text[1]);
    *s = (wn__rewriter){0};
}

static bool goes_on(const wn__bytes *b, size_t at) {
    return at < b->size && ((uint8_t)b->data[at] & 0xC0) == 0x80;
}

// What the first character alone becomes is the beginning of what all becomes; where the marks that
// follow change that, whole characters of it, and at least one.
static wn_status apply_form(const wn__rewrite *r, wn__rewriter *s, const char *text, size_t n,
                            size_t *origin, wn__bytes *out) {
    size_t begin = out->size;
    if (*origin > 0) {
        WN_TRY(wn__normalize(&s->normalizer, r->form, text, *origin, out));
        *origin = out->size - begin;
        out->size = begin;
    }
    WN_TRY(wn__normalize(&s->normalizer, r->form, text, n, out));
    if (*origin > out->size - begin) *origin = out->size - begin;
    size_t first = *origin > 0;
    while (goes_on(out, begin + first))
        first++;
    while (goes_on(out, begin + *origin))
        --*origin;
    if (*origin < first) *origin = first;
    return WN_OK;
}

static wn_status apply_prefix(const wn__rewrite *r, const char *text, size_t n, size_t *origin,
                              wn__bytes *out) {
    if (n > 0) WN_TRY(wn__bytes_append(out, r->prefix.data, r->prefix.size));
    if (*origin > 0) *origin += r->prefix.size;
    return wn__bytes_append(out, text, n);
}

static size_t span_spaces(const char *text, size_t n) {
    size_t at = 0, length;
    uint32_t cp;
    while ((length = wn__utf8_decode(text + at, n - at, &cp)) > 0 && wn__char_is_space(cp))
        at += length;
    return at;
}

static wn_status apply_strip(const wn__rewrite *r, const char *text, size_t n, size_t *origin,
                             wn__bytes *out) {
    size_t begin = r->left ? span_spaces(text, n) : 0, length;
    uint32_t cp;
    while (r->right && n > begin && (length = wn__utf8_decode_last(text, n, &cp)) > 0 &&
           wn__char_is_space(cp))
        n -= length;
    *origin = *origin > begin ? *origin - begin : 0;
    return wn__bytes_append(out, text + begin, n - begin);
}

// The characters that take the place of one; 0 of them drop it.
typedef size_t char_fn(uint32_t cp, uint32_t out[2]);

static size_t drop_mark(uint32_t cp, uint32_t out[2]) {
    out[0] = cp;
    return !wn__char_is_mark(cp);
}

static size_t clean_nmt(uint32_t cp, uint32_t out[2]) {
    bool drop = (cp >= 1 && cp <= 8) || cp == 0x0B || (cp >= 0x0E && cp <= 0x1F) || cp == 0x7F ||
                cp == 0x8F || cp == 0x9F;
    bool space = cp == 9 || cp == 10 || cp == 12 || cp == 13 || cp == 0x1680 ||
                 (cp >= 0x200B && cp <= 0x200F) || cp == 0x2028 || cp == 0x2029 || cp == 0x2581 ||
                 cp == 0xFEFF || cp == 0xFFFD;
    out[0] = space ? ' ' : cp;
    return !drop;
}

static wn_status apply_chars(char_fn *fn, const char *text, size_t n, size_t *origin,
                             wn__bytes *out) {
    size_t begin = out->size, to_origin = 0;
    for (size_t i = 0, length; i < n; i += length) {
        uint32_t cp, to[2];
        length = wn__utf8_decode(text + i, n - i, &cp);
        if (length == 0) return wn__fail(WN_BUG, "normalizer: invalid UTF-8 at byte %zu", i);
        size_t count = fn(cp, to);
        for (size_t k = 0; k < count; k++) {
            char bytes[4];
            WN_TRY(wn__bytes_append(out, bytes, wn__utf8_encode(to[k], bytes)));
        }
        if (i < *origin) to_origin = out->size - begin;
    }
    *origin = to_origin;
    return WN_OK;
}

static wn_status apply(const wn__rewrite *r, wn__rewriter *s, const char *text, size_t n,
                       size_t *origin, wn__bytes *out) {
    switch (r->kind) {
    case WN_REWRITE_FORM:
        return apply_form(r, s, text, n, origin, out);
    case WN_REWRITE_CHARSMAP:
        return wn__charsmap_apply(r->map, text, n, origin, out);
    case WN_REWRITE_REPLACE:
        return wn__replace_apply(&r->replace, &s->matcher, text, n, origin, out);
    case WN_REWRITE_PREPEND:
        return apply_prefix(r, text, n, origin, out);
    case WN_REWRITE_STRIP:
        return apply_strip(r, text, n, origin, out);
    case WN_REWRITE_LOWER:
        return apply_chars(wn__char_lower, text, n, origin, out);
    case WN_REWRITE_NO_MARKS:
        return apply_chars(drop_mark, text, n, origin, out);
    case WN_REWRITE_NMT:
        return apply_chars(clean_nmt, text, n, origin, out);
    }
    return wn__fail(WN_BUG, "normalizer: kind %d", (int)r->kind);
}

// Nothing to do for ASCII.
static bool is_idle(const wn__rewrite *r, const char *text, size_t n) {
    return (r->kind == WN_REWRITE_FORM || r->kind == WN_REWRITE_NO_MARKS) &&
           wn__ascii_span(text, n) == n;
}

wn_status wn__rewrite_all(const wn__rewrite *list, size_t count, wn__rewriter *s, const char *text,
                          size_t n, size_t *origin, const char **out, size_t *out_size) {
    size_t next = 0; // the buffer that text is not in
    for (size_t i = 0; i < count; i++) {
        if (is_idle(&list[i], text, n)) continue;
        wn__bytes *to = &s->text[next];
        to->size = 0;
        WN_TRY(apply(&list[i], s, text, n, origin, to));
        text = to->data != NULL ? to->data : "";
        n = to->size;
        next = 1 - next;
    }
    *out = text;
    *out_size = n;
    return WN_OK;
}
