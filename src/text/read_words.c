// SPDX-License-Identifier: MIT
// What the readers of tokenizer.json share: components are objects with a "type", or null, or a
// Sequence of such objects; messages name the file, the member and the key.
#include "base/fail.h"
#include "base/utf8.h"
#include "text/impl.h"
#include <string.h>

bool wn__read_is_null(const wn__json *j) {
    return wn__json_typeof(j) == WN_JSON_NONE || wn__json_typeof(j) == WN_JSON_NULL;
}

wn_status wn__read_type(const char *file, const char *member, const wn__json *j, const char **out) {
    *out = wn__json_string(wn__json_get(j, "type"), NULL);
    if (*out != NULL) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: %s: expected an object with a 'type'", file, member);
}

wn_status wn__read_refuse(const char *file, const char *member, const char *type,
                          const char *known) {
    return wn__fail(WN_UNSUPPORTED, "%s: %s '%.40s' is not read here, only %s", file, member, type,
                    known);
}

wn_status wn__read_list(const char *file, const char *member, const wn__json *j, const char *key,
                        const wn__json **out) {
    *out = wn__json_get(j, key);
    if (wn__json_typeof(*out) == WN_JSON_ARRAY) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: %s: '%s': expected an array, found %s", file, member, key,
                    wn__json_typename(*out));
}

wn_status wn__read_text(const char *file, const char *member, const wn__json *j, const char *key,
                        const char **text, size_t *n) {
    *text = wn__json_string(wn__json_get(j, key), n);
    if (*text != NULL) return WN_OK;
    return wn__fail(WN_FORMAT, "%s: %s: '%s': expected a string, found %s", file, member, key,
                    wn__json_typename(wn__json_get(j, key)));
}

wn_status wn__read_char(const char *file, const char *member, const wn__json *j, const char *key,
                        char out[4], size_t *n) {
    const char *text;
    uint32_t cp;
    WN_TRY(wn__read_text(file, member, j, key, &text, n));
    if (*n == 0 || wn__utf8_decode(text, *n, &cp) != *n)
        return wn__fail(WN_FORMAT, "%s: %s: '%s': expected one character, found '%.40s'", file,
                        member, key, text);
    memcpy(out, text, *n);
    return WN_OK;
}

// "add_prefix_space" is what was written before there was "prepend_scheme".
static wn_status read_scheme(const char *file, const char *member, const wn__json *j,
                             wn__scheme *out) {
    static const char *const names[] = {
        [WN_ALWAYS] = "always", [WN_FIRST] = "first", [WN_NEVER] = "never"};
    static const bool yes = true;
    bool prefix;
    WN_TRY(wn__json_get_bool(j, file, "add_prefix_space", &yes, &prefix));
    *out = prefix ? WN_ALWAYS : WN_NEVER;
    const wn__json *named = wn__json_get(j, "prepend_scheme");
    if (wn__read_is_null(named)) return WN_OK;
    const char *name = wn__json_string(named, NULL);
    for (wn__scheme s = WN_ALWAYS; name != NULL && s <= WN_NEVER; s++) {
        if (strcmp(name, names[s]) != 0) continue;
        *out = s;
        if (prefix || s == WN_NEVER) return WN_OK;
        return wn__fail(WN_FORMAT,
                        "%s: %s: Metaspace: 'prepend_scheme' %s, but 'add_prefix_space' false",
                        file, member, name);
    }
    return wn__fail(WN_FORMAT,
                    "%s: %s: Metaspace: 'prepend_scheme': expected always, first or never", file,
                    member);
}

wn_status wn__read_metaspace(const char *file, const char *member, const wn__json *j,
                             wn__metaspace *out) {
    static const bool yes = true;
    WN_TRY(wn__read_char(file, member, j, "replacement", out->mark, &out->mark_size));
    WN_TRY(read_scheme(file, member, j, &out->scheme));
    return wn__json_get_bool(j, file, "split", &yes, &out->split);
}

wn_status wn__read_replace(const char *file, const char *member, const wn__json *j,
                           wn__replace *out) {
    const wn__json *pattern = wn__json_get(j, "pattern");
    const char *text;
    size_t n;
    WN_TRY(wn__read_text(file, member, j, "content", &text, &n));
    WN_TRY(wn__bytes_append(&out->to, text, n));
    text = wn__json_string(wn__json_get(pattern, "Regex"), &n);
    if (text == NULL) {
        text = wn__json_string(wn__json_get(pattern, "String"), &n);
        if (text == NULL)
            return wn__fail(WN_FORMAT, "%s: %s: Replace: 'pattern' is no Regex or String", file,
                            member);
        if (n > 0) return wn__bytes_append(&out->from, text, n);
    }
    return wn__pattern_compile(text, n, false, file, &out->pattern);
}
