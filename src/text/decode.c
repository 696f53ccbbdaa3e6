// SPDX-License-Identifier: MIT
// Decoders, each from one list of texts to the next.
#include "text/decode.h"

#include "base/fail.h"
#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>

void wn__decoder_free(wn__decoder *d) {
    for (size_t i = 0; i < d->steps; i++)
        wn__replace_free(&d->step[i].replace);
    *d = (wn__decoder){0};
}

void wn__texts_free(wn__texts *t) {
    wn__bytes_free(&t->bytes);
    free(t->end);
    *t = (wn__texts){0};
}

wn_status wn__texts_end(wn__texts *t) {
    void *end = t->end;
    wn_status status = wn__grow(&end, &t->capacity, t->count + 1, sizeof *t->end);
    t->end = end;
    if (status == WN_OK) t->end[t->count++] = t->bytes.size;
    return status;
}

static const char *text_at(const wn__texts *t, size_t i, size_t *n) {
    size_t begin = i > 0 ? t->end[i - 1] : 0;
    *n = t->end[i] - begin;
    return t->bytes.data != NULL ? t->bytes.data + begin : "";
}

// Marks become spaces; with drop they go.
static wn_status unmark(const wn__metaspace *m, bool drop, const char *text, size_t n,
                        wn__bytes *out) {
    for (size_t i = 0; i < n;) {
        const char *found = memmem(text + i, n - i, m->mark, m->mark_size);
        size_t at = found != NULL ? (size_t)(found - text) : n;
        WN_TRY(wn__bytes_append(out, text + i, at - i));
        if (found != NULL && !drop) WN_TRY(wn__bytes_append(out, " ", 1));
        i = found != NULL ? at + m->mark_size : n;
    }
    return WN_OK;
}

static wn_status strip(const wn__decode *d, const char *text, size_t n, wn__bytes *out) {
    size_t size = d->strip_size;
    for (size_t i = 0; i < d->start && n >= size && memcmp(text, d->strip, size) == 0; i++) {
        text += size;
        n -= size;
    }
    for (size_t i = 0; i < d->stop && n >= size && memcmp(text + n - size, d->strip, size) == 0;
         i++)
        n -= size;
    return wn__bytes_append(out, text, n);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The byte of "<0xHH>", or -1. A plus sign may stand for the first digit, as the original's parser
// of numbers has it.
static int byte_of(const char *text, size_t n) {
    if (n != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    int high = text[3] == '+' ? 0 : hex_digit(text[3]), low = hex_digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

// Ends a run of bytes at the end of `to`, which begins at `begin`: one text if it is UTF-8.
static wn_status end_bytes(wn__texts *to, size_t begin) {
    size_t n = to->bytes.size - begin;
    if (n == 0) return WN_OK;
    if (wn__utf8_span(to->bytes.data + begin, n) == n) return wn__texts_end(to);
    to->bytes.size = begin;
    for (size_t i = 0; i < n; i++) {
        WN_TRY(wn__bytes_append(&to->bytes, "\xef\xbf\xbd", 3));
        WN_TRY(wn__texts_end(to));
    }
    return WN_OK;
}

static wn_status fall_back(const wn__texts *from, wn__texts *to) {
    size_t begin = 0; // of the run of bytes at the end of `to`
    for (size_t i = 0; i < from->count; i++) {
        size_t n;
        const char *text = text_at(from, i, &n);
        int byte = byte_of(text, n);
        if (byte >= 0) {
            WN_TRY(wn__bytes_append(&to->bytes, &(char){(char)byte}, 1));
            continue;
        }
        WN_TRY(end_bytes(to, begin));
        WN_TRY(wn__bytes_append(&to->bytes, text, n));
        WN_TRY(wn__texts_end(to));
        begin = to->bytes.size;
    }
    return end_bytes(to, begin);
}

static wn_status each(const wn__decode *d, wn__matcher **matcher, const wn__texts *from,
                      wn__texts *to) {
    for (size_t i = 0; i < from->count; i++) {
        size_t n, origin = 0;
        const char *text = text_at(from, i, &n);
        if (d->kind == WN_DECODE_METASPACE)
            WN_TRY(unmark(&d->meta, i == 0 && d->meta.scheme != WN_NEVER, text, n, &to->bytes));
        else if (d->kind == WN_DECODE_REPLACE)
            WN_TRY(wn__replace_apply(&d->replace, matcher, text, n, &origin, &to->bytes));
        else
            WN_TRY(strip(d, text, n, &to->bytes));
        WN_TRY(wn__texts_end(to));
    }
    return WN_OK;
}

static wn_status join_spaced(wn__texts *texts) {
    wn__bytes out = {0};
    wn_status status = WN_OK;
    for (size_t i = 0; i < texts->count; i++) {
        size_t n;
        const char *text = text_at(texts, i, &n);
        if (i > 0) WN_TRY_OUT(wn__bytes_append(&out, " ", 1));
        WN_TRY_OUT(wn__bytes_append(&out, text, n));
    }
out:
    wn__bytes_free(&texts->bytes);
    texts->bytes = out;
    return status;
}

static wn_status fuse(wn__texts *texts) {
    texts->count = 0;
    return wn__texts_end(texts);
}

wn_status wn__decoder_run(const wn__decoder *d, wn__texts *texts) {
    wn__texts to = {0};
    wn__matcher *matcher = NULL;
    wn_status status = WN_OK;
    if (d->spaced) return join_spaced(texts);
    for (size_t i = 0; i < d->steps; i++) {
        const wn__decode *step = &d->step[i];
        if (step->kind == WN_DECODE_FUSE) {
            WN_TRY_OUT(fuse(texts));
            continue;
        }
        to.bytes.size = to.count = 0;
        if (step->kind == WN_DECODE_BYTE_FALLBACK)
            WN_TRY_OUT(fall_back(texts, &to));
        else
            WN_TRY_OUT(each(step, &matcher, texts, &to));
        wn__texts old = *texts;
        *texts = to;
        to = old;
    }
out:
    wn__matcher_free(matcher);
    wn__texts_free(&to);
    return status;
}

wn_status wn__decoder_piece(const wn__decoder *d, wn__matcher **matcher, const char *text, size_t n,
                            wn__bytes *out) {
    wn__bytes from = {0}, to = {0};
    bool fused = false;
    wn_status status = WN_OK;
    if (d->spaced) WN_TRY_OUT(wn__bytes_append(&from, " ", 1));
    WN_TRY_OUT(wn__bytes_append(&from, text, n));
    for (size_t i = 0; i < d->steps; i++) {
        const wn__decode *step = &d->step[i];
        const char *now = from.data != NULL ? from.data : "";
        size_t origin = 0;
        to.size = 0;
        if (step->kind == WN_DECODE_METASPACE) {
            WN_TRY_OUT(unmark(&step->meta, false, now, from.size, &to));
        } else if (step->kind == WN_DECODE_REPLACE) {
            WN_TRY_OUT(wn__replace_apply(&step->replace, matcher, now, from.size, &origin, &to));
        } else if (step->kind == WN_DECODE_STRIP && !fused) {
            WN_TRY_OUT(strip(step, now, from.size, &to));
        } else {
            fused |= step->kind == WN_DECODE_FUSE;
            int byte = step->kind == WN_DECODE_BYTE_FALLBACK ? byte_of(now, from.size) : -1;
            if (byte < 0) continue;
            from.data[0] = (char)byte; // a byte stands for itself, whatever comes
            from.size = 1;
            break;
        }
        wn__bytes old = from;
        from = to;
        to = old;
    }
    WN_TRY_OUT(wn__bytes_append(out, from.data, from.size));
out:
    wn__bytes_free(&from);
    wn__bytes_free(&to);
    return status;
}
