// SPDX-License-Identifier: MIT
// Reading number series back out of metrics.jsonl.
#include "base/fail.h"
#include "base/file.h"
#include "base/json.h"
#include "winnow/train.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 4096

// What is looked for, and what has been found.
typedef struct search {
    const char *file, *kind, *x, *y;
    wn_series found;
    size_t capacity, lines; // lines of the kind
} search;

static bool is_number(const wn__json *j) {
    return wn__json_typeof(j) == WN_JSON_INT || wn__json_typeof(j) == WN_JSON_REAL;
}

static wn_status add(search *s, double x, double y) {
    if (s->found.count == s->capacity) {
        size_t capacity = s->capacity > 0 ? 2 * s->capacity : 256;
        double *grown = realloc(s->found.x, capacity * sizeof *grown);
        if (grown != NULL) s->found.x = grown;
        double *also = grown != NULL ? realloc(s->found.y, capacity * sizeof *also) : NULL;
        if (also == NULL) return wn__fail(WN_NOMEM, "%s: no memory for its values", s->file);
        s->found.y = also;
        s->capacity = capacity;
    }
    s->found.x[s->found.count] = x;
    s->found.y[s->found.count++] = y;
    return WN_OK;
}

static wn_status read_line(search *s, const char *line, size_t n, size_t number) {
    char name[PATH_SIZE + 32];
    wn__json *j;
    (void)snprintf(name, sizeof name, "%s: line %zu", s->file, number);
    WN_TRY(wn__json_parse(line, n, name, &j));
    const char *kind = wn__json_string(wn__json_get(j, "kind"), NULL);
    wn_status status = WN_OK;
    if (kind != NULL && strcmp(kind, s->kind) == 0) {
        const wn__json *x = wn__json_get(j, s->x), *y = wn__json_get(j, s->y);
        s->lines++;
        if (is_number(x) && is_number(y)) status = add(s, wn__json_real(x), wn__json_real(y));
    }
    wn__json_free(j);
    return status;
}

// A last line without its end is one that is being written.
static wn_status read_lines(search *s, const char *text, size_t size) {
    size_t number = 1;
    for (size_t at = 0; at < size; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        if (end == NULL) break;
        size_t n = (size_t)(end - (text + at));
        WN_TRY(read_line(s, text + at, n, number));
        at += n + 1;
    }
    if (s->lines == 0 || s->found.count > 0) return WN_OK;
    return wn__fail(WN_INVALID, "%s: no '%s' line has a number '%s' against '%s'", s->file, s->kind,
                    s->y, s->x);
}

static bool listed(const char *const *list, const char *word) {
    for (; *list != NULL; list++)
        if (strcmp(*list, word) == 0) return true;
    return false;
}

static wn_status check_names(const char *kind, const char *x) {
    static const char *const kinds[] = {"step", "eval", "mask", "exact", "act", "profile", NULL};
    static const char *const axes[] = {"step", "tokens", "seconds", NULL};
    if (!listed(kinds, kind))
        return wn__fail(
            WN_INVALID,
            "kind is '%s', expected 'step', 'eval', 'mask', 'exact', 'act' or 'profile'", kind);
    if (listed(axes, x)) return WN_OK;
    return wn__fail(WN_INVALID, "x is '%s', expected 'step', 'tokens' or 'seconds'", x);
}

wn_status wn_metrics_series(const char *run, const char *kind, const char *x, const char *y,
                            wn_series *out) {
    *out = (wn_series){0};
    char path[PATH_SIZE], *text;
    size_t size;
    WN_TRY(check_names(kind, x));
    if (wn__dir_exists(run)) {
        WN_TRY(wn__path_join(path, sizeof path, run, "metrics.jsonl"));
    } else if ((size_t)snprintf(path, sizeof path, "%s", run) >= sizeof path) {
        return wn__fail(WN_INVALID, "%.64s...: path too long, at most %d bytes", run,
                        PATH_SIZE - 1);
    }
    WN_TRY(wn__file_read(path, 0, &text, &size));
    search s = {.file = path, .kind = kind, .x = x, .y = y};
    wn_status status = read_lines(&s, text, size);
    if (status == WN_OK) {
        *out = s.found;
    } else {
        wn_series_free(&s.found);
    }
    free(text);
    return status;
}

void wn_series_free(wn_series *s) {
    free(s->x);
    free(s->y);
    *s = (wn_series){0};
}
