// SPDX-License-Identifier: MIT
// What the tables of works have.
#include "bench/suite.h"

#include <string.h>

bool wn__has_word(const char *words, const char *word) {
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)) != NULL; at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0')) return true;
    return false;
}

bool wn__work_is(const wn__work *w, const char *suite, const char *work, const char *dtype) {
    return strcmp(w->suite, suite) == 0 && strcmp(w->work, work) == 0 &&
           (dtype == NULL || wn__has_word(w->dtypes, dtype));
}

const char *wn__work_name(const wn__works *w, const char *suite, int i) {
    const char *last = "";
    for (size_t at = 0; at < w->count; at++) {
        if (strcmp(w->line[at].suite, suite) != 0 || strcmp(w->line[at].work, last) == 0) continue;
        last = w->line[at].work;
        if (i-- == 0) return last;
    }
    return NULL;
}

bool wn__work_takes(const wn__works *w, const char *suite, const char *work, const char *dtype) {
    for (size_t at = 0; at < w->count; at++)
        if (wn__work_is(w->line + at, suite, work, dtype)) return true;
    return false;
}

wn__product wn__work_product(const wn__works *w, const char *suite, const char *work) {
    for (size_t at = 0; at < w->count; at++)
        if (wn__work_is(w->line + at, suite, work, NULL)) return w->line[at].product;
    return WN__NO_PRODUCT;
}
