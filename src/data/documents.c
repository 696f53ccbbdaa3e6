// SPDX-License-Identifier: MIT
// A list of files behind a pattern, and a reader that walks along it.
#include "data/documents.h"

#include "base/fail.h"
#include "base/file.h"
#include "data/fnv1a.h"
#include "formats/jsonl.h"
#include "winnow/data.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIXES ".json, .jsonl, .json.gz or .jsonl.gz"

struct wn__documents {
    char *pattern;
    wn__names files;
    uint64_t *size;    // [files.count] bytes
    wn__jsonl *reader; // of file at.file; NULL: not open yet
    wn__place at;
};

static bool ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static bool has_suffix(const char *name) {
    return ends_in(name, ".json") || ends_in(name, ".jsonl") || ends_in(name, ".json.gz") ||
           ends_in(name, ".jsonl.gz");
}

static bool is_pattern(const char *path) {
    return strpbrk(path, "*?[") != NULL;
}

bool wn_documents_named(const char *path) {
    if (wn__file_exists(path)) return has_suffix(path);
    return has_suffix(path) || is_pattern(path) || wn__dir_exists(path);
}

// "dir/name" in place of a name.
static wn_status join(const char *dir, char **name) {
    char *path;
    const char *slash = dir[strlen(dir) - 1] == '/' ? "" : "/";
    if (asprintf(&path, "%s%s%s", dir, slash, *name) < 0)
        return wn__fail(WN_NOMEM, "%s: out of memory", dir);
    free(*name);
    *name = path;
    return WN_OK;
}

// Of a directory's names those of documents, with the directory before them.
static wn_status list_dir(const char *dir, wn__names *names) {
    WN_TRY(wn__dir_list(dir, names));
    size_t kept = 0, entries = names->count;
    for (size_t i = 0; i < entries; i++) {
        char *name = names->name[i];
        if (name[0] != '.' && has_suffix(name)) {
            names->name[kept++] = name;
        } else {
            free(name);
        }
    }
    names->count = kept;
    for (size_t i = 0; i < kept; i++)
        WN_TRY(join(dir, &names->name[i]));
    if (kept > 0) return WN_OK;
    return wn__fail(WN_INVALID, "%s: none of the %zu names in it ends in %s", dir, entries,
                    SUFFIXES);
}

static wn_status list_one(const char *path, wn__names *names) {
    names->name = calloc(1, sizeof *names->name);
    if (names->name == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    names->name[0] = strdup(path);
    if (names->name[0] == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", path);
    names->count = 1;
    return WN_OK;
}

// A file of that very name comes first, whatever it looks like.
static wn_status list(const char *pattern, wn__names *names) {
    if (pattern[0] == '\0') return wn__fail(WN_INVALID, "no file named for the documents");
    if (wn__dir_exists(pattern)) return list_dir(pattern, names);
    if (wn__file_exists(pattern) || !is_pattern(pattern)) return list_one(pattern, names);
    WN_TRY(wn__glob(pattern, names));
    if (names->count > 0) return WN_OK;
    return wn__fail(WN_INVALID, "%s: no file matches", pattern);
}

static wn_status measure(wn__documents *d) {
    d->size = calloc(d->files.count, sizeof *d->size);
    if (d->size == NULL)
        return wn__fail(WN_NOMEM, "%s: no memory for %zu files", d->pattern, d->files.count);
    for (size_t i = 0; i < d->files.count; i++)
        WN_TRY(wn__file_size(d->files.name[i], &d->size[i]));
    return WN_OK;
}

wn_status wn__documents_open(const char *pattern, wn__documents **out) {
    *out = NULL;
    wn__documents *d = calloc(1, sizeof *d);
    if (d != NULL) d->pattern = strdup(pattern);
    wn_status status = d != NULL && d->pattern != NULL
                           ? list(pattern, &d->files)
                           : wn__fail(WN_NOMEM, "%s: out of memory", pattern);
    if (status == WN_OK) status = measure(d);
    if (status != WN_OK) {
        wn__documents_close(d);
        return status;
    }
    *out = d;
    return WN_OK;
}

void wn__documents_close(wn__documents *d) {
    if (d == NULL) return;
    wn__jsonl_close(d->reader);
    wn__names_free(&d->files);
    free(d->size);
    free(d->pattern);
    free(d);
}

static wn_status open_reader(wn__documents *d) {
    return d->reader != NULL ? WN_OK : wn__jsonl_open(d->files.name[d->at.file], &d->reader);
}

static void next_file(wn__documents *d) {
    wn__jsonl_close(d->reader);
    d->reader = NULL;
    d->at = (wn__place){.file = d->at.file + 1};
}

wn_status wn__documents_next(wn__documents *d, const char **text, size_t *size) {
    *text = NULL;
    *size = 0;
    while (d->at.file < d->files.count) {
        WN_TRY(open_reader(d));
        WN_TRY(wn__jsonl_next(d->reader, text, size));
        if (*text == NULL) {
            next_file(d);
            continue;
        }
        d->at.document++;
        break;
    }
    return WN_OK;
}

wn__place wn__documents_tell(const wn__documents *d) {
    return d->at;
}

wn_status wn__documents_seek(wn__documents *d, wn__place at) {
    wn__jsonl_close(d->reader);
    d->reader = NULL;
    d->at = (wn__place){.file = at.file};
    if (at.file > d->files.count)
        return wn__fail(WN_INVALID, "%s: place in file %" PRIu64 ", there are %zu", d->pattern,
                        at.file, d->files.count);
    for (uint64_t left = at.document, skipped; left > 0; left -= skipped) {
        if (d->at.file == d->files.count)
            return wn__fail(WN_INVALID, "%s: %" PRIu64 " documents fewer than were read before",
                            d->pattern, left);
        WN_TRY(open_reader(d));
        WN_TRY(wn__jsonl_skip(d->reader, left, &skipped));
        d->at.document += skipped;
        if (skipped < left) next_file(d);
    }
    return WN_OK;
}

const char *wn__documents_pattern(const wn__documents *d) {
    return d->pattern;
}

size_t wn__documents_files(const wn__documents *d) {
    return d->files.count;
}

uint64_t wn__documents_bytes(const wn__documents *d) {
    uint64_t sum = 0;
    for (size_t i = 0; i < d->files.count; i++)
        sum += d->size[i];
    return sum;
}

uint64_t wn__documents_fingerprint_but(const wn__documents *d, uint64_t file) {
    uint64_t h = WN_FNV1A_START;
    for (size_t i = 0; i < d->files.count; i++) {
        const char *slash = strrchr(d->files.name[i], '/');
        const char *name = slash != NULL ? slash + 1 : d->files.name[i];
        h = wn__fnv1a(h, name, strlen(name) + 1);
        if (i != file) h = wn__fnv1a_u64(h, d->size[i]);
    }
    return h != 0 ? h : 1;
}

uint64_t wn__documents_fingerprint(const wn__documents *d) {
    return wn__documents_fingerprint_but(d, UINT64_MAX);
}
