// SPDX-License-Identifier: MIT
// UTF-8 against RFC 3629: every scalar value goes to the bytes its table gives and back, and every
// sequence of one to three bytes is valid just when the table says so.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"
#include <stdbool.h>
#include <string.h>

static bool is_scalar(uint32_t cp) {
    return cp <= 0x10FFFF && !(cp >= 0xD800 && cp <= 0xDFFF);
}

static void test_round_trip(void **state) {
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (!is_scalar(cp)) continue;
        char text[4];
        uint32_t back = 0, last = 0;
        size_t n = wn__utf8_encode(cp, text);
        assert_int_equal(n, cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4);
        assert_int_equal(wn__utf8_decode(text, n, &back), n);
        assert_int_equal(wn__utf8_decode_last(text, n, &last), n);
        assert_int_equal(back, cp);
        assert_int_equal(last, cp);
        if (n > 1) assert_int_equal(wn__utf8_decode(text, n - 1, &back), 0);
    }
}

// RFC 3629 section 4: the second byte's range depends on the first.
static size_t table_length(const unsigned char *s, size_t n) {
    if (s[0] <= 0x7F) return 1;
    size_t length = s[0] >= 0xC2 && s[0] <= 0xDF ? 2 : s[0] >= 0xE0 && s[0] <= 0xEF ? 3 : 0;
    if (s[0] >= 0xF0 && s[0] <= 0xF4) length = 4;
    if (length == 0 || length > n) return 0;
    unsigned low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
    unsigned high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
    if (s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xBF) return 0;
    return length;
}

static void test_every_short_sequence(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < 1u << 24; bits++) {
        const unsigned char s[4] = {(unsigned char)(bits >> 16), (unsigned char)(bits >> 8),
                                    (unsigned char)bits, 0x80};
        uint32_t cp;
        size_t want = table_length(s, 4);
        if (wn__utf8_decode((const char *)s, 4, &cp) != want)
            fail_msg("%02X %02X %02X 80: not %zu bytes", s[0], s[1], s[2], want);
    }
}

static void test_spans(void **state) {
    (void)state;
    static const char text[] = "plain ascii, then \xc3\xa9 and \xe2\x82\xac, then \xff.";
    size_t ascii = (size_t)(strchr(text, '\xc3') - text),
           bad = (size_t)(strchr(text, '\xff') - text);
    assert_int_equal(wn__ascii_span(text, sizeof text), ascii);
    assert_int_equal(wn__utf8_span(text, sizeof text), bad);
    assert_int_equal(wn__utf8_span(text, bad), bad);
    assert_int_equal(wn__utf8_span(text, ascii + 1), ascii); // cut inside a character
    assert_int_equal(wn__utf8_span(text, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_every_short_sequence),
        cmocka_unit_test(test_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
