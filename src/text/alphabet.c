// SPDX-License-Identifier: MIT
// White space, and the alphabet of byte-level vocabularies.
#include "text/alphabet.h"

#include "base/fail.h"
#include "base/utf8.h"

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
