// SPDX-License-Identifier: MIT
// tokenizer.json's member normalizer.
#include "base/fail.h"
#include "text/base64.h"
#include "text/impl.h"
#include <stdio.h>
#include <string.h>

#define MEMBER "normalizer"

typedef wn_status read_fn(const char *file, const wn__json *j, wn__rewrite *out);

static wn_status read_prepend(const char *file, const wn__json *j, wn__rewrite *out) {
    const char *text;
    size_t n;
    WN_TRY(wn__read_text(file, MEMBER, j, "prepend", &text, &n));
    return wn__bytes_append(&out->prefix, text, n);
}

static wn_status read_strip(const char *file, const wn__json *j, wn__rewrite *out) {
    WN_TRY(wn__json_get_bool(j, file, "strip_left", NULL, &out->left));
    return wn__json_get_bool(j, file, "strip_right", NULL, &out->right);
}

static wn_status read_replace(const char *file, const wn__json *j, wn__rewrite *out) {
    return wn__read_replace(file, MEMBER, j, &out->replace);
}

static wn_status read_charsmap(const char *file, const wn__json *j, wn__rewrite *out) {
    static const char key[] = "precompiled_charsmap";
    const char *text;
    size_t n, bad;
    char name[256];
    wn__bytes map = {0};
    WN_TRY(wn__read_text(file, MEMBER, j, key, &text, &n));
    wn_status status = wn__base64_decode(text, n, &map, &bad);
    if (status == WN_OK && bad < n)
        status = wn__fail(WN_FORMAT, "%s: " MEMBER ": '%s': byte %zu of %zu is not base64", file,
                          key, bad, n);
    (void)snprintf(name, sizeof name, "%.180s: " MEMBER ": '%s'", file, key);
    if (status == WN_OK) status = wn__charsmap_create(map.data, map.size, name, &out->map);
    wn__bytes_free(&map);
    return status;
}

static const struct {
    const char *type;
    wn__rewrite_kind kind;
    wn__form form;
    read_fn *read; // NULL: the type says all
} types[] = {{"NFC", WN_REWRITE_FORM, WN_FORM_NFC, NULL},
             {"NFD", WN_REWRITE_FORM, WN_FORM_NFD, NULL},
             {"NFKC", WN_REWRITE_FORM, WN_FORM_NFKC, NULL},
             {"NFKD", WN_REWRITE_FORM, WN_FORM_NFKD, NULL},
             {"Lowercase", WN_REWRITE_LOWER, WN_FORM_NONE, NULL},
             {"StripAccents", WN_REWRITE_NO_MARKS, WN_FORM_NONE, NULL},
             {"Nmt", WN_REWRITE_NMT, WN_FORM_NONE, NULL},
             {"Precompiled", WN_REWRITE_CHARSMAP, WN_FORM_NONE, read_charsmap},
             {"Replace", WN_REWRITE_REPLACE, WN_FORM_NONE, read_replace},
             {"Prepend", WN_REWRITE_PREPEND, WN_FORM_NONE, read_prepend},
             {"Strip", WN_REWRITE_STRIP, WN_FORM_NONE, read_strip}};

static wn_status read_one(wn_tokenizer *t, const char *file, const char *type, const wn__json *j) {
    size_t i = 0, count = sizeof types / sizeof types[0];
    while (i < count && strcmp(type, types[i].type) != 0)
        i++;
    if (i == count)
        return wn__read_refuse(file, MEMBER, type,
                               "NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Nmt, Precompiled, "
                               "Replace, Prepend, Strip, Sequence and null");
    if (t->rewrites == WN_MAX_STEPS)
        return wn__fail(WN_UNSUPPORTED, "%s: " MEMBER ": more than %d steps", file, WN_MAX_STEPS);
    wn__rewrite *r = &t->rewrite[t->rewrites++];
    r->kind = types[i].kind;
    r->form = types[i].form;
    return types[i].read != NULL ? types[i].read(file, j, r) : WN_OK;
}

wn_status wn__read_normalizer(wn_tokenizer *t, const char *file, const wn__json *j) {
    const char *type;
    if (wn__read_is_null(j)) return WN_OK;
    WN_TRY(wn__read_type(file, MEMBER, j, &type));
    if (strcmp(type, "Sequence") != 0) return read_one(t, file, type, j);
    const wn__json *list;
    WN_TRY(wn__read_list(file, MEMBER, j, "normalizers", &list));
    for (size_t i = 0; i < wn__json_count(list); i++)
        WN_TRY(wn__read_normalizer(t, file, wn__json_at(list, i)));
    return WN_OK;
}
