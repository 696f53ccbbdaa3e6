// SPDX-License-Identifier: MIT
// Lines out of a buffer that moves along the file and grows to the longest of them; documents out
// of the lines.
#include "formats/jsonl.h"

#include "base/fail.h"
#include "base/gzip.h"
#include "base/json.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_START ((size_t)256 << 10)

struct wn__jsonl {
    char *path;
    wn__gzip *file;
    wn__json *document;
    uint64_t line;
    bool ended;   // the file has been read to its end
    char *buffer; // begin .. end of it is not used yet
    size_t begin, end, capacity;
};

wn_status wn__jsonl_open(const char *path, wn__jsonl **out) {
    *out = NULL;
    wn__jsonl *r = calloc(1, sizeof *r);
    char *copy = strdup(path), *buffer = malloc(BUFFER_START);
    if (r == NULL || copy == NULL || buffer == NULL) {
        free(r);
        free(copy);
        free(buffer);
        return wn__fail(WN_NOMEM, "%s: out of memory", path);
    }
    *r = (wn__jsonl){.path = copy, .buffer = buffer, .capacity = BUFFER_START};
    wn_status status = wn__gzip_open(path, &r->file);
    if (status != WN_OK) {
        wn__jsonl_close(r);
        return status;
    }
    *out = r;
    return WN_OK;
}

void wn__jsonl_close(wn__jsonl *r) {
    if (r == NULL) return;
    wn__gzip_close(r->file);
    wn__json_free(r->document);
    free(r->buffer);
    free(r->path);
    free(r);
}

uint64_t wn__jsonl_line(const wn__jsonl *r) {
    return r->line;
}

static wn_status too_long(const wn__jsonl *r) {
    return wn__fail(WN_FORMAT, "%s: line %" PRIu64 ": longer than %zu bytes", r->path, r->line + 1,
                    WN_JSONL_LINE_MAX);
}

// Makes room behind the unfinished line, which moves to the front, and reads on.
static wn_status refill(wn__jsonl *r) {
    size_t kept = r->end - r->begin, got;
    if (kept > WN_JSONL_LINE_MAX) return too_long(r);
    if (r->begin > 0) memmove(r->buffer, r->buffer + r->begin, kept);
    r->begin = 0;
    r->end = kept;
    if (kept > r->capacity / 2) {
        char *grown = realloc(r->buffer, 2 * r->capacity);
        if (grown == NULL)
            return wn__fail(WN_NOMEM, "%s: line %" PRIu64 ": no memory for %zu bytes", r->path,
                            r->line + 1, 2 * r->capacity);
        r->buffer = grown;
        r->capacity *= 2;
    }
    size_t room = r->capacity - kept;
    WN_TRY(wn__gzip_read(r->file, r->buffer + kept, room, &got));
    r->end += got;
    r->ended = got < room;
    return WN_OK;
}

// The next line without its LF, in the buffer until the next call; *line NULL at the end.
static wn_status next_line(wn__jsonl *r, const char **line, size_t *size) {
    size_t seen = 0; // bytes of the line known to hold no LF
    const char *feed;
    for (;;) {
        size_t have = r->end - r->begin;
        feed = have > seen ? memchr(r->buffer + r->begin + seen, '\n', have - seen) : NULL;
        if (feed != NULL || r->ended) break;
        seen = have;
        WN_TRY(refill(r));
    }
    const char *start = r->buffer + r->begin;
    *size = feed != NULL ? (size_t)(feed - start) : r->end - r->begin;
    *line = feed != NULL || *size > 0 ? start : NULL;
    if (*size > WN_JSONL_LINE_MAX) return too_long(r);
    if (*line == NULL) return WN_OK;
    r->begin += *size + (feed != NULL);
    r->line++;
    return WN_OK;
}

static bool blank(const char *line, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
    return true;
}

// The next line that is a document; *line NULL at the end.
static wn_status next_document(wn__jsonl *r, const char **line, size_t *size) {
    do {
        WN_TRY(next_line(r, line, size));
    } while (*line != NULL && blank(*line, *size));
    return WN_OK;
}

// "FILE: line 12: column 7: what is wrong"; the parser counts the lines of what it is given, always
// one.
static wn_status not_json(const wn__jsonl *r, wn_status status) {
    const char *said = strstr(wn_last_error(), "column");
    if (said == NULL) said = wn_last_error();
    return wn__fail(status, "%s: line %" PRIu64 ": %s", r->path, r->line, said);
}

wn_status wn__jsonl_next(wn__jsonl *r, const char **text, size_t *size) {
    const char *line;
    size_t length;
    *text = NULL;
    *size = 0;
    wn__json_free(r->document);
    r->document = NULL;
    WN_TRY(next_document(r, &line, &length));
    if (line == NULL) return WN_OK;
    wn_status status = wn__json_parse(line, length, "not JSON", &r->document);
    if (status != WN_OK) return not_json(r, status);
    if (wn__json_typeof(r->document) != WN_JSON_OBJECT)
        return wn__fail(WN_FORMAT, "%s: line %" PRIu64 ": %s, expected an object with a \"text\"",
                        r->path, r->line, wn__json_typename(r->document));
    const wn__json *member = wn__json_get(r->document, "text");
    *text = wn__json_string(member, size);
    if (*text == NULL)
        return wn__fail(WN_FORMAT, "%s: line %" PRIu64 ": \"text\" is %s, expected a string",
                        r->path, r->line, wn__json_typename(member));
    return WN_OK;
}

wn_status wn__jsonl_skip(wn__jsonl *r, uint64_t n, uint64_t *skipped) {
    const char *line;
    size_t size;
    for (*skipped = 0; *skipped < n; (*skipped)++) {
        WN_TRY(next_document(r, &line, &size));
        if (line == NULL) break;
    }
    return WN_OK;
}
