// SPDX-License-Identifier: MIT
// Reading zip archives: the end record, Zip64's, the central directory.
#include "formats/zip.h"
#include "base/fail.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum {
    END = 22,        // bytes of the end record, without its comment
    LOCATOR = 20,    // of the one that says where Zip64's end record is
    END64 = 56,      // of that
    CENTRAL = 46,    // of a directory entry, without name, extra fields and comment
    LOCAL = 30,      // of a local header, likewise
    SHOWN = 96,      // bytes of a name in a message
    COMMENT = 65535, // most bytes of the archive's comment
};

static uint32_t u16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
static uint32_t u32(const uint8_t *p) {
    return u16(p) | u16(p + 2) << 16;
}
static uint64_t u64(const uint8_t *p) {
    return (uint64_t)u32(p) | (uint64_t)u32(p + 4) << 32;
}
static bool is(const uint8_t *p, const char mark[4]) {
    return memcmp(p, mark, 4) == 0;
}

bool wn__zip_begins(const uint8_t *bytes, size_t size) {
    return size >= 4 && (is(bytes, "PK\3\4") || is(bytes, "PK\5\6"));
}

static int show(const wn__zip_entry *e) {
    return e->name_size < SHOWN ? (int)e->name_size : SHOWN;
}

// The last end record whose comment ends the file.
static const uint8_t *find_end(const wn__zip *z) {
    if (z->size < END) return NULL;
    const uint8_t *p = z->bytes + z->size - END;
    for (size_t back = 0; back <= COMMENT && back <= z->size - END; back++)
        if (is(p - back, "PK\5\6") && u16(p - back + 20) == back) return p - back;
    return NULL;
}

typedef struct directory {
    uint64_t entries, size, offset;
} directory;

// What the end record says, or Zip64's where there is one.
static wn_status read_end(const wn__zip *z, directory *d) {
    const uint8_t *end = find_end(z);
    if (end == NULL)
        return wn__fail(WN_FORMAT, "%s: no end of a zip archive; the file is cut off or damaged",
                        z->path);
    *d = (directory){u16(end + 10), u32(end + 12), u32(end + 16)};
    size_t limit = (size_t)(end - z->bytes);
    bool many = u16(end + 4) != 0 && u16(end + 4) != 0xFFFF;
    if (limit >= LOCATOR && is(end - LOCATOR, "PK\6\7")) {
        uint64_t at = u64(end - LOCATOR + 8);
        limit -= LOCATOR;
        if (limit < END64 || at > limit - END64 || !is(z->bytes + at, "PK\6\6"))
            return wn__fail(WN_FORMAT, "%s: Zip64's end record is not at byte %llu", z->path,
                            (unsigned long long)at);
        const uint8_t *end64 = z->bytes + at;
        *d = (directory){u64(end64 + 32), u64(end64 + 40), u64(end64 + 48)};
        many = u32(end64 + 16) != 0;
        limit = (size_t)at;
    }
    if (many) return wn__fail(WN_UNSUPPORTED, "%s: a zip archive in several parts", z->path);
    if (d->offset > limit || d->size > limit - d->offset || d->entries > d->size / CENTRAL)
        return wn__fail(WN_FORMAT,
                        "%s: %llu entries in %llu bytes at %llu do not fit in the %zu before them",
                        z->path, (unsigned long long)d->entries, (unsigned long long)d->size,
                        (unsigned long long)d->offset, limit);
    return WN_OK;
}

// Sizes and offset that are all ones stand in Zip64's extra field, in this order.
static bool read_extra(const uint8_t *p, size_t n, wn__zip_entry *e) {
    uint64_t *field[3] = {&e->size, &e->packed, &e->local};
    bool wanted = false;
    for (int i = 0; i < 3; i++)
        wanted = wanted || *field[i] == UINT32_MAX;
    while (wanted && n >= 4) {
        size_t size = u16(p + 2);
        if (size > n - 4) return false;
        if (u16(p) == 1) {
            const uint8_t *at = p + 4, *stop = p + 4 + size;
            for (int i = 0; i < 3; i++) {
                if (*field[i] != UINT32_MAX) continue;
                if (stop - at < 8) return false;
                *field[i] = u64(at);
                at += 8;
            }
            return true;
        }
        p += 4 + size;
        n -= 4 + size;
    }
    return !wanted;
}

// A name that stays inside a folder, were it a path.
static bool tame(const char *name, size_t n) {
    if (n == 0 || name[0] == '/' || memchr(name, 0, n) != NULL) return false;
    for (size_t begin = 0; begin <= n;) {
        const char *slash = begin < n ? memchr(name + begin, '/', n - begin) : NULL;
        size_t end = slash != NULL ? (size_t)(slash - name) : n;
        if (end - begin == 2 && name[begin] == '.' && name[begin + 1] == '.') return false;
        begin = end + 1;
    }
    return true;
}

// The entry at byte `at`; *length: of the whole record.
static wn_status read_entry(const wn__zip *z, uint64_t at, uint64_t end, wn__zip_entry *e,
                            uint64_t *length) {
    const uint8_t *p = z->bytes + at;
    if (end - at < CENTRAL || !is(p, "PK\1\2"))
        return wn__fail(WN_FORMAT, "%s: byte %llu is no entry of the archive's directory", z->path,
                        (unsigned long long)at);
    size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    *length = (uint64_t)CENTRAL + name + extra + comment;
    if (end - at < *length)
        return wn__fail(WN_FORMAT, "%s: the directory entry at byte %llu is cut off", z->path,
                        (unsigned long long)at);
    *e = (wn__zip_entry){.name = (const char *)p + CENTRAL,
                         .name_size = name,
                         .local = u32(p + 42),
                         .size = u32(p + 24),
                         .packed = u32(p + 20),
                         .crc = u32(p + 16),
                         .method = (uint16_t)u16(p + 10),
                         .flags = (uint16_t)u16(p + 8)};
    if (!tame(e->name, name))
        return wn__fail(WN_FORMAT, "%s: an entry is named '%.*s'", z->path, show(e), e->name);
    if (!read_extra(p + CENTRAL + name, extra, e))
        return wn__fail(WN_FORMAT, "%s: entry '%.*s': damaged extra fields", z->path, show(e),
                        e->name);
    return WN_OK;
}

static int compare_names(const char *a, size_t an, const char *b, size_t bn) {
    int order = memcmp(a, b, an < bn ? an : bn);
    return order != 0 ? order : (an > bn) - (an < bn);
}

static int compare_entries(const void *a, const void *b) {
    const wn__zip_entry *x = a, *y = b;
    return compare_names(x->name, x->name_size, y->name, y->name_size);
}

static wn_status read_directory(wn__zip *z, const directory *d) {
    uint64_t at = d->offset, end = d->offset + d->size;
    for (; z->count < d->entries; z->count++) {
        uint64_t length = 0;
        WN_TRY(read_entry(z, at, end, &z->entry[z->count], &length));
        at += length;
    }
    if (z->count > 0) qsort(z->entry, z->count, sizeof *z->entry, compare_entries);
    for (size_t i = 1; i < z->count; i++)
        if (compare_entries(&z->entry[i - 1], &z->entry[i]) == 0)
            return wn__fail(WN_FORMAT, "%s: two entries '%.*s'", z->path, show(&z->entry[i]),
                            z->entry[i].name);
    return WN_OK;
}

wn_status wn__zip_open(const uint8_t *bytes, size_t size, const char *path, wn__zip *out) {
    wn__zip z = {.bytes = bytes, .size = size, .path = path};
    directory d = {0};
    *out = (wn__zip){0};
    WN_TRY(read_end(&z, &d));
    z.directory = d.offset;
    z.entry = calloc((size_t)d.entries + 1, sizeof *z.entry);
    if (z.entry == NULL)
        return wn__fail(WN_NOMEM, "%s: out of memory for %llu entries", path,
                        (unsigned long long)d.entries);
    wn_status status = read_directory(&z, &d);
    if (status == WN_OK)
        *out = z;
    else
        wn__zip_close(&z);
    return status;
}

void wn__zip_close(wn__zip *z) {
    free(z->entry);
    *z = (wn__zip){0};
}

const wn__zip_entry *wn__zip_find(const wn__zip *z, const char *name, size_t n) {
    const wn__zip_entry key = {.name = name, .name_size = n};
    return z->count > 0 ? bsearch(&key, z->entry, z->count, sizeof *z->entry, compare_entries)
                        : NULL;
}

wn_status wn__zip_data(const wn__zip *z, const wn__zip_entry *e, bool check, const uint8_t **out) {
    if (e->method != 0 || (e->flags & 1) != 0)
        return wn__fail(WN_UNSUPPORTED,
                        "%s: entry '%.*s' is %s; torch.save stores entries as they are", z->path,
                        show(e), e->name, e->method != 0 ? "compressed" : "encrypted");
    if (e->packed != e->size)
        return wn__fail(WN_FORMAT, "%s: entry '%.*s': %llu bytes, but %llu stored", z->path,
                        show(e), e->name, (unsigned long long)e->size,
                        (unsigned long long)e->packed);
    const uint8_t *local = z->bytes + (e->local <= z->directory ? e->local : 0);
    if (e->local > z->directory || z->directory - e->local < LOCAL || !is(local, "PK\3\4"))
        return wn__fail(WN_FORMAT, "%s: entry '%.*s' has no header at byte %llu", z->path, show(e),
                        e->name, (unsigned long long)e->local);
    uint64_t begin = e->local + LOCAL + u16(local + 26) + u16(local + 28);
    if (begin > z->directory || z->directory - begin < e->size)
        return wn__fail(WN_FORMAT, "%s: entry '%.*s': %llu bytes at %llu reach beyond the data",
                        z->path, show(e), e->name, (unsigned long long)e->size,
                        (unsigned long long)begin);
    if (check && e->crc != 0 && wn__crc32(0, z->bytes + begin, (size_t)e->size) != e->crc)
        return wn__fail(WN_FORMAT, "%s: entry '%.*s' is damaged: its checksum is not %08lX",
                        z->path, show(e), e->name, (unsigned long)e->crc);
    *out = z->bytes + begin;
    return WN_OK;
}
