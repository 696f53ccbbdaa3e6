// SPDX-License-Identifier: MIT
// Documents counted, and joined to one text.
#include "base/fail.h"
#include "data/documents.h"
#include "data/shard.h"
#include "winnow/data.h"
#include <stdlib.h>
#include <string.h>

static wn_status count_all(wn__documents *d, wn_documents_info *info) {
    const char *text;
    size_t size;
    for (;;) {
        WN_TRY(wn__documents_next(d, &text, &size));
        if (text == NULL) return WN_OK;
        info->documents++;
        info->text_bytes += size;
    }
}

wn_status wn_documents_inspect(const char *pattern, bool count, wn_documents_info *out) {
    *out = (wn_documents_info){0};
    wn__documents *d;
    WN_TRY(wn__documents_open(pattern, &d));
    wn_documents_info info = {.files = wn__documents_files(d),
                              .file_bytes = wn__documents_bytes(d),
                              .fingerprint = wn__documents_fingerprint(d)};
    wn_status status = count ? count_all(d, &info) : WN_OK;
    if (status == WN_OK) *out = info;
    wn__documents_close(d);
    return status;
}

typedef struct joined {
    char *bytes;
    size_t size, capacity; // a NUL fits behind size
} joined;

static wn_status append(joined *j, const char *pattern, const char *text, size_t n) {
    size_t need = j->size + n + 2; // line feed, NUL
    if (need > j->capacity) {
        size_t capacity = need > 2 * j->capacity ? need : 2 * j->capacity;
        char *grown = realloc(j->bytes, capacity);
        if (grown == NULL)
            return wn__fail(WN_NOMEM, "%s: no memory for %zu bytes of text", pattern, capacity);
        j->bytes = grown;
        j->capacity = capacity;
    }
    memcpy(j->bytes + j->size, text, n);
    j->size += n;
    return WN_OK;
}

// Bytes of text[size] that fit into `room`, whole characters.
static size_t cut(const char *text, size_t size, uint64_t room) {
    if (size <= room) return size;
    size_t n = (size_t)room;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static wn_status join_all(wn__documents *d, uint64_t most, joined *j) {
    const char *text, *pattern = wn__documents_pattern(d);
    size_t size;
    while (j->size < most) {
        WN_TRY(wn__documents_next(d, &text, &size));
        if (text == NULL) break;
        size_t n = cut(text, size, most - j->size);
        WN_TRY(append(j, pattern, text, n));
        if (n < size || j->size == most) break;
        j->bytes[j->size++] = '\n';
    }
    return WN_OK;
}

wn_status wn_documents_text(const char *pattern, uint64_t max_bytes, char **out, size_t *size) {
    *out = NULL;
    *size = 0;
    wn__documents *d;
    joined j = {0};
    WN_TRY(wn__documents_open(pattern, &d));
    wn_status status = join_all(d, max_bytes > 0 ? max_bytes : SIZE_MAX, &j);
    if (status == WN_OK && j.bytes == NULL) status = append(&j, pattern, "", 0);
    wn__documents_close(d);
    if (status != WN_OK) {
        free(j.bytes);
        return status;
    }
    j.bytes[j.size] = '\0';
    *out = j.bytes;
    *size = j.size;
    return WN_OK;
}
