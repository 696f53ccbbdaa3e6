// SPDX-License-Identifier: MIT
// PCRE2 with its JIT; the only file that knows it.
#include "text/pattern.h"

#include "base/fail.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#define MAX_PATTERN ((size_t)64 << 10) // bytes

struct wn__pattern {
    pcre2_code *code;
};
struct wn__matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static void message(int code, char out[128]) {
    if (pcre2_get_error_message(code, (PCRE2_UCHAR *)out, 128) < 0) out[0] = '\0';
}

static wn_status compile(const char *regex, size_t n, bool literal, const char *name,
                         pcre2_code **out) {
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (context == NULL) return wn__fail(WN_NOMEM, "%s: pattern: out of memory", name);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    int error = 0;
    PCRE2_SIZE at = 0;
    uint32_t options = literal ? PCRE2_UTF | PCRE2_LITERAL
                               : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    *out = pcre2_compile((PCRE2_SPTR)regex, n, options, &error, &at, context);
    pcre2_compile_context_free(context);
    if (*out != NULL) return WN_OK;
    char text[128];
    message(error, text);
    return wn__fail(WN_UNSUPPORTED, "%s: pattern '%.*s' at byte %zu: %s", name,
                    (int)(n < 200 ? n : 200), regex, (size_t)at, text);
}

wn_status wn__pattern_compile(const char *regex, size_t n, bool literal, const char *name,
                              wn__pattern **out) {
    *out = NULL;
    if (n > MAX_PATTERN)
        return wn__fail(WN_UNSUPPORTED, "%s: pattern of %zu bytes, at most %zu", name, n,
                        MAX_PATTERN);
    wn__bytes text = {0};
    wn__pattern *p = calloc(1, sizeof *p);
    wn_status status = p != NULL ? WN_OK : wn__fail(WN_NOMEM, "%s: pattern: out of memory", name);
    if (status == WN_OK && !literal) status = wn__pattern_translate(regex, n, name, &text);
    if (status == WN_OK && literal) status = wn__bytes_append(&text, regex, n);
    if (status == WN_OK)
        status = compile(text.data ? text.data : "", text.size, literal, name, &p->code);
    wn__bytes_free(&text);
    if (status != WN_OK) {
        wn__pattern_free(p);
        return status;
    }
    // Where there is no JIT, matching is slower and otherwise the same.
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    *out = p;
    return WN_OK;
}

void wn__pattern_free(wn__pattern *p) {
    if (p == NULL) return;
    pcre2_code_free(p->code);
    free(p);
}

wn_status wn__matcher_create(wn__matcher **out) {
    *out = NULL;
    wn__matcher *m = calloc(1, sizeof *m);
    if (m != NULL) {
        m->data = pcre2_match_data_create(1, NULL);
        m->context = pcre2_match_context_create(NULL);
    }
    if (m == NULL || m->data == NULL || m->context == NULL) {
        wn__matcher_free(m);
        return wn__fail(WN_NOMEM, "tokenizer: out of memory (pattern scratch)");
    }
    *out = m;
    return WN_OK;
}

void wn__matcher_free(wn__matcher *m) {
    if (m == NULL) return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    free(m);
}

// Steps of backtracking for one match: a sane pattern takes a few for each byte of a run.
static uint32_t step_limit(size_t n) {
    return n < (UINT32_MAX - 1000000) / 8 ? (uint32_t)(8 * n + 1000000) : UINT32_MAX;
}

// *found false when nothing more matches. The text is known to be valid, so PCRE2 need not look.
static wn_status match(const wn__pattern *p, wn__matcher *m, const char *text, size_t n, size_t at,
                       bool *found) {
    PCRE2_SPTR s = (PCRE2_SPTR)text;
    int rc = pcre2_match(p->code, s, n, at, PCRE2_NO_UTF_CHECK, m->data, m->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(p->code, s, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->data, m->context);
    *found = rc >= 0;
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) return WN_OK;
    char why[128];
    message(rc, why);
    return wn__fail(rc == PCRE2_ERROR_NOMEMORY ? WN_NOMEM : WN_UNSUPPORTED,
                    "tokenizer: the file's pattern fails on this text at byte %zu: %s", at, why);
}

static size_t next_char(const char *text, size_t n, size_t at) {
    for (at++; at < n && ((unsigned char)text[at] & 0xC0) == 0x80;)
        at++;
    return at;
}

wn_status wn__pattern_segments(const wn__pattern *p, wn__matcher *m, const char *text, size_t n,
                               wn__segment_fn *fn, void *ctx) {
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(m->data);
    pcre2_set_match_limit(m->context, step_limit(n));
    size_t done = 0,
           at = 0;        // segments before done are given; the next match begins at `at` or later
    bool matched = false; // a match ends at done
    while (n > 0 && at <= n) {
        bool found;
        WN_TRY(match(p, m, text, n, at, &found));
        if (!found) break;
        size_t begin = range[0], end = range[1];
        if (begin == end && matched && begin == done) {
            at = next_char(text, n, at);
            continue;
        }
        if (begin > done) WN_TRY(fn(ctx, done, begin, false));
        WN_TRY(fn(ctx, begin, end, true));
        done = at = end;
        matched = true;
    }
    return done < n ? fn(ctx, done, n, false) : WN_OK;
}

typedef struct pieces {
    const char *text;
    wn__piece_fn *fn;
    void *ctx;
} pieces;

static wn_status give(void *ctx, size_t begin, size_t end, bool is_match) {
    const pieces *p = ctx;
    (void)is_match;
    return end > begin ? p->fn(p->ctx, p->text + begin, end - begin) : WN_OK;
}

wn_status wn__pattern_split(const wn__pattern *p, wn__matcher *m, const char *text, size_t n,
                            wn__piece_fn *fn, void *ctx) {
    pieces to = {.text = text, .fn = fn, .ctx = ctx};
    return wn__pattern_segments(p, m, text, n, give, &to);
}
