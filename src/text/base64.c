// SPDX-License-Identifier: MIT
// Base64, strictly: one text for one string of bytes.
#include "text/base64.h"

#include "base/fail.h"

static int digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Four characters, `digits` of them digits and the others padding.
static bool decode_group(const char *text, int digits, char out[3], int *bad) {
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++) {
        int value = i < digits ? digit(text[i]) : 0;
        *bad = i;
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
    }
    *bad = digits - 1; // the bits that padding leaves over are zero
    if (bits & ((1u << (8 * (4 - digits))) - 1u)) return false;
    for (int i = 0; i < 3; i++)
        out[i] = (char)(bits >> (16 - 8 * i));
    return true;
}

wn_status wn__base64_decode(const char *text, size_t n, wn__bytes *out, size_t *bad) {
    WN_TRY(wn__bytes_reserve(out, n / 4 * 3));
    for (size_t i = 0; i < n; i += 4) {
        int digits = n - i > 4 ? 4 : (int)(n - i), place;
        if (digits == 4 && i + 4 == n && text[i + 3] == '=') digits = text[i + 2] == '=' ? 2 : 3;
        char bytes[3];
        if (n - i < 4 || !decode_group(text + i, digits, bytes, &place)) {
            *bad = n - i < 4 ? i : i + (size_t)place;
            return WN_OK;
        }
        WN_TRY(wn__bytes_append(out, bytes, (size_t)digits - 1));
    }
    *bad = n;
    return WN_OK;
}
