// SPDX-License-Identifier: MIT
// Oniguruma's (Ruby) regular expressions to PCRE2's: a scan that copies what means the same,
// rewrites what has another spelling, and refuses the rest. It also keeps out of PCRE2 all that a
// stranger's file has no business with: callouts, recursion, verbs, \C.
#include "text/pattern.h"

#include "base/fail.h"
#include <string.h>

// White_Space; begins and ends with a range, so a hyphen beside it in a class stays a hyphen.
#define SPACES                                                                                     \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"         \
    "\\x{2000}-\\x{200a}"

typedef struct scan {
    const char *regex, *name;
    size_t n, at;
    bool in_class;
    wn__bytes *out;
} scan;

static wn_status put(scan *s, const char *text) {
    return wn__bytes_append(s->out, text, strlen(text));
}

// Copies the next n characters as they are.
static wn_status copy(scan *s, size_t n) {
    WN_TRY(wn__bytes_append(s->out, s->regex + s->at, n));
    s->at += n;
    return WN_OK;
}

static bool looking_at(const scan *s, const char *text) {
    size_t n = strlen(text);
    return n <= s->n - s->at && memcmp(s->regex + s->at, text, n) == 0;
}

static wn_status refuse(const scan *s, size_t n, const char *why) {
    if (n > s->n - s->at) n = s->n - s->at;
    return wn__fail(WN_UNSUPPORTED, "%s: pattern at byte %zu: '%.*s' %s", s->name, s->at, (int)n,
                    s->regex + s->at, why);
}

// \p{Name} or \P{Name}. Long names are scripts, and mean the script itself as in Oniguruma.
static wn_status scan_property(scan *s) {
    const char *brace = s->regex + s->at + 2;
    size_t left = s->n - s->at - 2, length = 0;
    if (left == 0 || brace[0] != '{') return refuse(s, 3, "is not read here: expected \\p{...}");
    while (length < left && brace[length] != '}')
        length++;
    if (length == left) return refuse(s, 8, "has no closing brace");
    WN_TRY(copy(s, 3));
    size_t name = length - 1;
    if (s->regex[s->at] == '^') {
        WN_TRY(copy(s, 1));
        name--;
    }
    if (name > 2) WN_TRY(put(s, "sc:"));
    return copy(s, name + 1);
}

// \xHH below 80, \x{...}, \uHHHH.
static wn_status scan_code(scan *s) {
    const char *p = s->regex + s->at + 2;
    size_t left = s->n - s->at - 2, digits = s->regex[s->at + 1] == 'u' ? 4 : 2, i = 0;
    if (digits == 2 && left > 0 && p[0] == '{') {
        while (i < left && p[i] != '}')
            i++;
        if (i == left) return refuse(s, 8, "has no closing brace");
        return copy(s, i + 3);
    }
    while (i < digits && i < left && strchr("0123456789abcdefABCDEF", p[i]) && p[i] != '\0')
        i++;
    if (i < digits || (digits == 2 && p[0] > '7'))
        return refuse(s, 6, "is not read here: expected \\x00 to \\x7f, \\x{...} or four digits");
    WN_TRY(put(s, "\\x{"));
    s->at += 2;
    WN_TRY(copy(s, digits));
    return put(s, "}");
}

static wn_status scan_escape(scan *s) {
    if (s->n - s->at < 2) return refuse(s, 1, "ends the pattern");
    char c = s->regex[s->at + 1];
    const char *text = NULL;
    switch (c) {
    case 'p':
    case 'P':
        return scan_property(s);
    case 'x':
    case 'u':
        return scan_code(s);
    case 's':
        text = s->in_class ? SPACES : "[" SPACES "]";
        break;
    case 'S':
        text = s->in_class ? NULL : "[^" SPACES "]";
        break;
    case 'd':
        text = "\\p{Nd}";
        break;
    case 'D':
        text = "\\P{Nd}";
        break;
    case 'A':
    case 'z':
    case 'Z':
        if (s->in_class) break;
        return copy(s, 2);
    case 'r':
    case 'n':
    case 't':
    case 'f':
        return copy(s, 2);
    default:
        if ((c >= ' ' && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') ||
            (c > 'z' && c <= '~'))
            return copy(s, 2);
    }
    if (text == NULL) return refuse(s, 2, "is not read here");
    s->at += 2;
    return put(s, text);
}

static wn_status scan_class_start(scan *s) {
    s->in_class = true;
    WN_TRY(copy(s, looking_at(s, "[^") ? 2 : 1));
    if (looking_at(s, "]")) return refuse(s, 1, "right after '[' is not read here: write '\\]'");
    return WN_OK;
}

static wn_status scan_class(scan *s) {
    if (looking_at(s, "[") || looking_at(s, "&&"))
        return refuse(s, 2, "in a character class is not read here");
    if (looking_at(s, "]")) s->in_class = false;
    return copy(s, 1);
}

static wn_status scan_group(scan *s) {
    static const char *const known[] = {
        "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"};
    if (s->at == 0 && looking_at(s, "(?i)")) return copy(s, 4);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (looking_at(s, known[i])) return copy(s, strlen(known[i]));
    if (looking_at(s, "(?") || looking_at(s, "(*")) return refuse(s, 4, "is not read here");
    return copy(s, 1);
}

// {n}, {n,}, {,m}, {n,m}; any other brace stands for itself. After an interval Ruby's '+' repeats
// again where PCRE2's forbids to go back, and '?' after {n} makes it optional.
static wn_status scan_interval(scan *s) {
    size_t i = s->at + 1, digits = 0, commas = 0;
    bool from_zero = i < s->n && s->regex[i] == ',';
    for (; i < s->n && s->regex[i] != '}'; i++) {
        bool digit = s->regex[i] >= '0' && s->regex[i] <= '9';
        if (!digit && s->regex[i] != ',') break;
        digits += digit;
        commas += !digit;
    }
    bool interval = i < s->n && s->regex[i] == '}' && digits > 0 && commas <= 1;
    if (!interval) return put(s, "\\") == WN_OK ? copy(s, 1) : WN_NOMEM;
    char next = i + 1 < s->n ? s->regex[i + 1] : '\0';
    if (next == '+' || (next == '?' && commas == 0))
        return refuse(s, i + 2 - s->at, "means different things to different engines");
    WN_TRY(copy(s, 1));
    if (from_zero) WN_TRY(put(s, "0"));
    return copy(s, i + 1 - s->at);
}

wn_status wn__pattern_translate(const char *regex, size_t n, const char *name, wn__bytes *out) {
    scan s = {.regex = regex, .name = name, .n = n, .out = out};
    while (s.at < n) {
        char c = regex[s.at];
        if (c == '\\')
            WN_TRY(scan_escape(&s));
        else if (s.in_class)
            WN_TRY(scan_class(&s));
        else if (c == '[')
            WN_TRY(scan_class_start(&s));
        else if (c == '(')
            WN_TRY(scan_group(&s));
        else if (c == '{')
            WN_TRY(scan_interval(&s));
        else
            WN_TRY(copy(&s, 1));
    }
    return WN_OK;
}
