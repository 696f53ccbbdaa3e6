// SPDX-License-Identifier: MIT
// Strict UTF-8, and the alphabet of byte-level vocabularies.
#include "text/utf8.h"

#include "base/fail.h"
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

bool wn__char_is_space(uint32_t cp) {
    if (cp < 0x80) return cp == ' ' || (cp >= 9 && cp <= 13);
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

// The bytes that do not stand for themselves: 0..32, 127..160, 173.
uint32_t wn__byte_to_char(uint8_t byte) {
    if (byte <= 32) return 256u + byte;
    if (byte >= 127 && byte <= 160) return 256u + 33 + (byte - 127u);
    return byte == 173 ? 256 + 67 : byte;
}

int wn__char_to_byte(uint32_t cp) {
    if (cp >= 256 + 68) return -1;
    if (cp >= 256) {
        int place = (int)cp - 256;
        return place < 33 ? place : place < 67 ? 127 + place - 33 : 173;
    }
    return wn__byte_to_char((uint8_t)cp) == cp ? (int)cp : -1;
}

wn_status wn__byte_spell(const char *bytes, size_t n, wn__bytes *out) {
    for (size_t i = 0; i < n; i++) {
        char text[4];
        WN_TRY(wn__bytes_append(out, text,
                                wn__utf8_encode(wn__byte_to_char((uint8_t)bytes[i]), text)));
    }
    return WN_OK;
}

wn_status wn__byte_unspell(const char *text, size_t n, wn__bytes *out, bool *ok) {
    size_t before = out->size;
    *ok = true;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = wn__utf8_decode(text + i, n - i, &cp);
        int byte = length ? wn__char_to_byte(cp) : -1;
        if (byte < 0) {
            out->size = before;
            *ok = false;
            return WN_OK;
        }
        char c = (char)byte;
        WN_TRY(wn__bytes_append(out, &c, 1));
        i += length;
    }
    return WN_OK;
}
