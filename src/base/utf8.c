// SPDX-License-Identifier: MIT
// Strict UTF-8, to and from scalar values; what of it may reach a terminal.
#include "base/utf8.h"

#include "winnow/printable.h"
#include <stdbool.h>
#include <string.h>

static size_t sequence_length(uint8_t lead) {
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

size_t wn__utf8_decode(const char *text, size_t n, uint32_t *cp) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *s = (const uint8_t *)text;
    if (n == 0) return 0;
    size_t length = sequence_length(s[0]);
    if (length == 0 || length > n) return 0;
    uint32_t c = length == 1 ? s[0] : s[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3F);
    }
    if (c < least[length] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return 0;
    *cp = c;
    return length;
}

size_t wn__utf8_decode_last(const char *text, size_t n, uint32_t *cp) {
    for (size_t length = 1; length <= 4 && length <= n; length++) {
        if (((uint8_t)text[n - length] & 0xC0) == 0x80) continue;
        return wn__utf8_decode(text + n - length, length, cp) == length ? length : 0;
    }
    return 0;
}

size_t wn__ascii_span(const char *text, size_t n) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, text + i, 8);
        if (word & 0x8080808080808080U) break;
    }
    while (i < n && (uint8_t)text[i] < 0x80)
        i++;
    return i;
}

size_t wn__utf8_span(const char *text, size_t n) {
    size_t i = 0;
    while (i < n) {
        i += wn__ascii_span(text + i, n - i);
        uint32_t cp;
        while (i < n && (uint8_t)text[i] >= 0x80) {
            size_t length = wn__utf8_decode(text + i, n - i, &cp);
            if (length == 0) return i;
            i += length;
        }
    }
    return n;
}

size_t wn__utf8_encode(uint32_t cp, char out[4]) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t length = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)((0xF00u >> length) | cp);
    return length;
}

// Whether a terminal shows the character and does nothing else.
static bool shows(uint32_t c) {
    if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return false;
    return c != 0x061C && c != 0x200E && c != 0x200F && !(c >= 0x2028 && c <= 0x202E) &&
           !(c >= 0x2066 && c <= 0x2069);
}

const char *wn_printable(const char *text, char *out, size_t size) {
    size_t left = strlen(text), used = 0;
    while (left > 0) {
        uint32_t c = 0;
        size_t length = wn__utf8_decode(text, left, &c);
        bool keep = length > 0 && shows(c);
        size_t take = length > 0 ? length : 1, put = keep ? length : 1;
        if (used + put >= size) break;
        memcpy(out + used, keep ? text : "?", put);
        used += put;
        text += take;
        left -= take;
    }
    if (size > 0) out[used] = '\0';
    return out;
}
