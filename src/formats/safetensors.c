// SPDX-License-Identifier: MIT
// Reading safetensors files: the frame, then the header (st_header.c), then the layout of the data.
// The checks come in the order of the format's reference implementation.
#include "formats/safetensors.h"

#include "base/fail.h"
#include "base/utf8.h"
#include "formats/st_header.h"
#include "tensor/tensor.h"
#include <stdlib.h>
#include <string.h>

#define FRAME 8 // bytes of the header's length

static uint64_t load_le64(const uint8_t *p) {
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

// The length of the header, which lies inside the file, is UTF-8 and begins as an object.
static wn_status check_frame(const uint8_t *bytes, size_t size, const char *name, size_t *out) {
    if (size < FRAME)
        return wn__fail(WN_FORMAT, "%s: %zu bytes, too small for a safetensors file (at least %d)",
                        name, size, FRAME);
    uint64_t n = load_le64(bytes);
    if (n > WN_ST_HEADER_MAX)
        return wn__fail(WN_FORMAT, "%s: header of %llu bytes, at most %llu", name,
                        (unsigned long long)n, (unsigned long long)WN_ST_HEADER_MAX);
    if (n > size - FRAME)
        return wn__fail(WN_FORMAT, "%s: header of %llu bytes in a file of %zu", name,
                        (unsigned long long)n, size);
    size_t bad = wn__utf8_span((const char *)bytes + FRAME, (size_t)n);
    if (bad < n)
        return wn__fail(WN_FORMAT, "%s: byte %zu: the header is not UTF-8", name, FRAME + bad);
    if (n == 0 || bytes[FRAME] != '{')
        return wn__fail(WN_FORMAT, "%s: byte %d: expected '{', the start of the header", name,
                        FRAME);
    *out = (size_t)n;
    return WN_OK;
}

// By position; an empty tensor comes before the one that begins where it lies.
static int compare_spans(const void *a, const void *b) {
    const wn__st_span *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const wn__st_entry *)a)->name, ((const wn__st_entry *)b)->name);
}

static int compare_meta(const void *a, const void *b) {
    return strcmp(((const wn__st_meta *)a)->key, ((const wn__st_meta *)b)->key);
}

// One tensor's place: where the last one ended, and as long as its shape says.
static wn_status check_span(const wn__st_span *span, const wn__st_entry *entry, uint64_t expected,
                            const char *name) {
    if (span->begin != expected)
        return wn__fail(WN_FORMAT,
                        "%s: tensor '%.*s': begins at byte %llu of the data, expected %llu (%s)",
                        name, WN_ST_SHOWN, entry->name, (unsigned long long)span->begin,
                        (unsigned long long)expected, span->begin < expected ? "overlap" : "hole");
    if (span->end < span->begin)
        return wn__fail(WN_FORMAT, "%s: tensor '%.*s': ends at byte %llu, before its begin %llu",
                        name, WN_ST_SHOWN, entry->name, (unsigned long long)span->end,
                        (unsigned long long)span->begin);
    uint64_t bytes = span->end - span->begin, needed = wn__tensor_bytes(&entry->view);
    char text[160];
    if (bytes != needed)
        return wn__fail(WN_FORMAT, "%s: tensor '%.*s': %llu bytes of data, but %s needs %llu", name,
                        WN_ST_SHOWN, entry->name, (unsigned long long)bytes,
                        wn__tensor_describe(&entry->view, text, sizeof text),
                        (unsigned long long)needed);
    return WN_OK;
}

// The tensors lie one behind the other and fill the data exactly; then their views get their
// addresses. Sorts the spans.
static wn_status place_tensors(wn__st_header *h, const uint8_t *data, size_t size,
                               const char *name) {
    if (h->count > 0) qsort(h->span, h->count, sizeof *h->span, compare_spans);
    uint64_t end = 0;
    for (size_t i = 0; i < h->count; i++) {
        WN_TRY(check_span(&h->span[i], &h->entry[h->span[i].entry], end, name));
        end = h->span[i].end;
    }
    if (end != size)
        return wn__fail(WN_FORMAT, "%s: %zu bytes of data, but the tensors take %llu", name, size,
                        (unsigned long long)end);
    for (size_t i = 0; i < h->count; i++)
        h->entry[h->span[i].entry].view.data = (void *)(uintptr_t)(data + h->span[i].begin);
    return WN_OK;
}

// Sorts by name and key, and refuses duplicates.
static wn_status sort_names(wn__st_header *h, const char *name) {
    if (h->count > 0) qsort(h->entry, h->count, sizeof *h->entry, compare_entries);
    for (size_t i = 1; i < h->count; i++)
        if (strcmp(h->entry[i - 1].name, h->entry[i].name) == 0)
            return wn__fail(WN_FORMAT, "%s: two tensors '%.*s'", name, WN_ST_SHOWN,
                            h->entry[i].name);
    if (h->meta_count > 0) qsort(h->meta, h->meta_count, sizeof *h->meta, compare_meta);
    for (size_t i = 1; i < h->meta_count; i++)
        if (strcmp(h->meta[i - 1].key, h->meta[i].key) == 0)
            return wn__fail(WN_FORMAT, "%s: two metadata keys '%.*s'", name, WN_ST_SHOWN,
                            h->meta[i].key);
    return WN_OK;
}

wn_status wn__safetensors_parse(const uint8_t *bytes, size_t size, const char *name,
                                wn__safetensors *out) {
    *out = (wn__safetensors){0};
    size_t n = 0;
    WN_TRY(check_frame(bytes, size, name, &n));
    wn__st_header h;
    WN_TRY(wn__st_header_parse(bytes + FRAME, n, name, &h));
    wn_status status;
    char *path = NULL;
    WN_TRY_OUT(place_tensors(&h, bytes + FRAME + n, size - FRAME - n, name));
    WN_TRY_OUT(sort_names(&h, name));
    path = strdup(name);
    if (path == NULL) {
        status = wn__fail(WN_NOMEM, "%s: out of memory", name);
        goto out;
    }
    *out = (wn__safetensors){.path = path,
                             .entry = h.entry,
                             .count = h.count,
                             .meta = h.meta,
                             .meta_count = h.meta_count,
                             .text = h.text};
    free(h.span);
    return WN_OK;
out:
    wn__st_header_free(&h);
    return status;
}

wn_status wn__safetensors_open(const char *path, wn__safetensors *out) {
    *out = (wn__safetensors){0};
    wn__map map;
    WN_TRY(wn__map_open(path, &map));
    wn_status status = wn__safetensors_parse(map.data, map.size, path, out);
    if (status == WN_OK) {
        out->map = map;
    } else {
        wn__map_close(&map);
    }
    return status;
}

void wn__safetensors_close(wn__safetensors *st) {
    free(st->path);
    free(st->entry);
    free(st->meta);
    free(st->text);
    wn__map_close(&st->map);
    *st = (wn__safetensors){0};
}

const wn__st_entry *wn__safetensors_find(const wn__safetensors *st, const char *name) {
    if (st->count == 0) return NULL;
    const wn__st_entry key = {.name = (char *)(uintptr_t)name};
    return bsearch(&key, st->entry, st->count, sizeof *st->entry, compare_entries);
}

const char *wn__safetensors_meta(const wn__safetensors *st, const char *key) {
    if (st->meta_count == 0) return NULL;
    const wn__st_meta wanted = {.key = (char *)(uintptr_t)key};
    const wn__st_meta *found =
        bsearch(&wanted, st->meta, st->meta_count, sizeof *st->meta, compare_meta);
    return found != NULL ? found->value : NULL;
}
