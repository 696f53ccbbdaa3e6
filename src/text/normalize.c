// SPDX-License-Identifier: MIT
// Unicode data from utf8proc; the only file that knows it. Decomposition is taken character by
// character and marks are ordered here by counting, because utf8proc's own ordering is quadratic in
// the length of a run of marks.
#include "text/normalize.h"

#include "base/fail.h"
#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static wn_status reserve(int32_t **array, size_t *capacity, size_t need) {
    void *p = *array;
    wn_status status = wn__grow(&p, capacity, need, sizeof **array);
    *array = p;
    return status;
}

static uint8_t combining_class(int32_t cp) {
    return (uint8_t)utf8proc_get_property(cp)->combining_class;
}

// cp[0..count) gets the full decomposition of text.
static wn_status decompose(wn__normalizer *z, const char *text, size_t n, utf8proc_option_t options,
                           size_t *count) {
    int boundary = 0;
    *count = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c;
        size_t length = wn__utf8_decode(text + i, n - i, &c);
        if (length == 0) return wn__fail(WN_BUG, "normalize: invalid UTF-8 at byte %zu", i);
        i += length;
        for (size_t room = 32;; room *= 2) {
            WN_TRY(reserve(&z->cp, &z->capacity, *count + room));
            utf8proc_ssize_t got = utf8proc_decompose_char(
                (utf8proc_int32_t)c, z->cp + *count, (utf8proc_ssize_t)room, options, &boundary);
            if (got < 0) return wn__fail(WN_BUG, "normalize: %s", utf8proc_errmsg(got));
            if ((size_t)got <= room) {
                *count += (size_t)got;
                break;
            }
        }
    }
    return WN_OK;
}

// Canonical order of cp[0..n), all of class above 0: by class, equal ones as they come.
static wn_status order_marks(wn__normalizer *z, int32_t *cp, size_t n) {
    size_t start[257] = {0};
    bool sorted = true;
    for (size_t i = 0; i < n; i++) {
        start[combining_class(cp[i]) + 1]++;
        sorted &= i == 0 || combining_class(cp[i - 1]) <= combining_class(cp[i]);
    }
    if (sorted) return WN_OK;
    WN_TRY(reserve(&z->sorted, &z->sorted_capacity, n));
    for (size_t k = 1; k < 257; k++)
        start[k] += start[k - 1];
    for (size_t i = 0; i < n; i++)
        z->sorted[start[combining_class(cp[i])]++] = cp[i];
    memcpy(cp, z->sorted, n * sizeof *cp);
    return WN_OK;
}

static wn_status order(wn__normalizer *z, size_t count) {
    for (size_t i = 0; i < count;) {
        size_t end = i;
        while (end < count && combining_class(z->cp[end]) > 0)
            end++;
        if (end - i > 1) WN_TRY(order_marks(z, z->cp + i, end - i));
        i = end + 1;
    }
    return WN_OK;
}

static wn_status append(const int32_t *cp, size_t count, wn__bytes *out) {
    for (size_t i = 0; i < count; i++) {
        char text[4];
        WN_TRY(wn__bytes_append(out, text, wn__utf8_encode((uint32_t)cp[i], text)));
    }
    return WN_OK;
}

static wn_status normalize_run(wn__normalizer *z, wn__form form, const char *text, size_t n,
                               wn__bytes *out) {
    bool compose = form == WN_FORM_NFC || form == WN_FORM_NFKC;
    bool compat = form == WN_FORM_NFKC || form == WN_FORM_NFKD;
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    if (compat) options |= UTF8PROC_COMPAT;
    size_t count;
    WN_TRY(decompose(z, text, n, options, &count));
    WN_TRY(order(z, count));
    if (compose) {
        utf8proc_ssize_t got = utf8proc_normalize_utf32(z->cp, (utf8proc_ssize_t)count,
                                                        UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (got < 0) return wn__fail(WN_BUG, "normalize: %s", utf8proc_errmsg(got));
        count = (size_t)got;
    }
    return append(z->cp, count, out);
}

// ASCII stays as it is, but for the last character before another one, which may take its marks.
wn_status wn__normalize(wn__normalizer *z, wn__form form, const char *text, size_t n,
                        wn__bytes *out) {
    if (form == WN_FORM_NONE) return wn__bytes_append(out, text, n);
    for (size_t i = 0; i < n;) {
        size_t ascii = wn__ascii_span(text + i, n - i);
        size_t plain = ascii > 0 && i + ascii < n ? ascii - 1 : ascii;
        WN_TRY(wn__bytes_append(out, text + i, plain));
        size_t begin = i + plain;
        i += ascii;
        while (i < n && (unsigned char)text[i] >= 0x80)
            i++;
        if (i > begin) WN_TRY(normalize_run(z, form, text + begin, i - begin, out));
    }
    return WN_OK;
}

void wn__normalizer_free(wn__normalizer *z) {
    free(z->cp);
    free(z->sorted);
    *z = (wn__normalizer){0};
}

static bool is_circled_letter(uint32_t cp) {
    return (cp >= 0x24B6 && cp <= 0x24E9) || (cp >= 0x1F130 && cp <= 0x1F149) ||
           (cp >= 0x1F150 && cp <= 0x1F169) || (cp >= 0x1F170 && cp <= 0x1F189);
}

bool wn__char_is_word(uint32_t cp) {
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return cp == 0x200C || cp == 0x200D || is_circled_letter(cp);
    }
}

bool wn__char_is_mark(uint32_t cp) {
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
}

// The one character whose mapping has two (SpecialCasing.txt, without conditions).
size_t wn__char_lower(uint32_t cp, uint32_t out[2]) {
    if (cp == 0x0130) {
        out[0] = 'i';
        out[1] = 0x0307;
        return 2;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
    return 1;
}

wn__break wn__char_break(uint32_t cp) {
    if (cp >= 0x20 && cp < 0x7F) return WN_BREAK_OTHER;
    switch (utf8proc_get_property((utf8proc_int32_t)cp)->boundclass) {
    case UTF8PROC_BOUNDCLASS_CR:
        return WN_BREAK_CR;
    case UTF8PROC_BOUNDCLASS_LF:
        return WN_BREAK_LF;
    case UTF8PROC_BOUNDCLASS_CONTROL:
        return WN_BREAK_CONTROL;
    case UTF8PROC_BOUNDCLASS_EXTEND:
        return WN_BREAK_EXTEND;
    case UTF8PROC_BOUNDCLASS_ZWJ:
        return WN_BREAK_ZWJ;
    case UTF8PROC_BOUNDCLASS_SPACINGMARK:
        return WN_BREAK_SPACING;
    case UTF8PROC_BOUNDCLASS_PREPEND:
        return WN_BREAK_PREPEND;
    case UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR:
        return WN_BREAK_FLAG;
    case UTF8PROC_BOUNDCLASS_L:
        return WN_BREAK_L;
    case UTF8PROC_BOUNDCLASS_V:
        return WN_BREAK_V;
    case UTF8PROC_BOUNDCLASS_T:
        return WN_BREAK_T;
    case UTF8PROC_BOUNDCLASS_LV:
        return WN_BREAK_LV;
    case UTF8PROC_BOUNDCLASS_LVT:
        return WN_BREAK_LVT;
    case UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC:
        return WN_BREAK_PICTOGRAPH;
    default:
        return WN_BREAK_OTHER;
    }
}
