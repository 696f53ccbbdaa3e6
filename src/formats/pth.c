// SPDX-License-Identifier: MIT
// Reading files of torch.save: the container, the storages, the list of tensors.
#include "formats/pth.h"
#include "base/fail.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH = 32,      // of dictionaries in dictionaries
    NAME = 1024,     // bytes of a tensor's name
    VISITS = 1 << 18 // values looked at: shared ones count each time
};

#define PICKLE_MOST ((uint64_t)256 << 20)

// PROTO 2, LONG1 of ten bytes: the number that begins a legacy file.
static const uint8_t magic[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

static bool is_legacy(const uint8_t *bytes, size_t size) {
    return size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

bool wn__pth_begins(const uint8_t *bytes, size_t size) {
    return wn__zip_begins(bytes, size) || is_legacy(bytes, size);
}

static size_t storage_bytes(const wn__pickle_storage *s) {
    return (size_t)s->count * (s->dtype == WN_DTYPE_NONE ? 1 : wn_dtype_size(s->dtype));
}

// ---- zip

// "<root>/<name>"; NULL: no such entry.
static const wn__zip_entry *find(const wn__zip *z, const char *root, int root_size,
                                 const char *name, int name_size) {
    char path[NAME];
    int n = snprintf(path, sizeof path, "%.*s/%.*s", root_size, root, name_size, name);
    return n > 0 && n < (int)sizeof path ? wn__zip_find(z, path, (size_t)n) : NULL;
}

// The folder that holds data.pkl: the archive's own name, whatever that is.
static wn_status find_root(const wn__zip *z, const wn__zip_entry **out) {
    static const char tail[] = "/data.pkl";
    *out = NULL;
    for (size_t i = 0; i < z->count; i++) {
        const wn__zip_entry *e = &z->entry[i];
        if (e->name_size < sizeof tail || e->name_size >= NAME) continue;
        if (memcmp(e->name + e->name_size - (sizeof tail - 1), tail, sizeof tail - 1) != 0)
            continue;
        if (*out != NULL) return wn__fail(WN_FORMAT, "%s: two entries end in %s", z->path, tail);
        *out = e;
    }
    if (*out == NULL)
        return wn__fail(WN_FORMAT, "%s: a zip archive without data.pkl: not of torch.save",
                        z->path);
    return WN_OK;
}

static wn_status check_order(const wn__zip *z, const char *root, int n) {
    const wn__zip_entry *order = find(z, root, n, "byteorder", 9);
    const uint8_t *text;
    if (order == NULL) return WN_OK;
    WN_TRY(wn__zip_data(z, order, true, &text));
    if (order->size == 6 && memcmp(text, "little", 6) == 0) return WN_OK;
    return wn__fail(WN_UNSUPPORTED, "%s: numbers are '%.*s'-endian, little expected", z->path,
                    (int)(order->size < 16 ? order->size : 16), (const char *)text);
}

static wn_status place_storages(wn__pth *p, const char *root, int n) {
    for (size_t i = 0; i < p->heap.storages; i++) {
        wn__pickle_storage *s = &p->heap.storage[i];
        char name[NAME];
        int length = snprintf(name, sizeof name, "data/%.*s",
                              (int)(s->key_size < 512 ? s->key_size : 512), s->key);
        const wn__zip_entry *e = find(&p->zip, root, n, name, length);
        if (e == NULL || s->key_size >= 512)
            return wn__fail(WN_FORMAT, "%s: no entry '%.96s' for a storage", p->path, name);
        WN_TRY(wn__zip_data(&p->zip, e, false, &s->data));
        if (e->size < storage_bytes(s))
            return wn__fail(WN_FORMAT, "%s: entry '%s' has %llu bytes, its storage needs %zu",
                            p->path, name, (unsigned long long)e->size, storage_bytes(s));
    }
    return WN_OK;
}

static wn_status parse_zip(wn__pth *p, const uint8_t *bytes, size_t size) {
    const wn__zip_entry *program;
    const uint8_t *text;
    size_t used;
    WN_TRY(wn__zip_open(bytes, size, p->path, &p->zip));
    WN_TRY(find_root(&p->zip, &program));
    const char *root = program->name;
    int n = (int)program->name_size - 9; // without "/data.pkl"
    if (find(&p->zip, root, n, "constants.pkl", 13) != NULL)
        return wn__fail(WN_UNSUPPORTED, "%s: a TorchScript archive; save a state_dict() instead",
                        p->path);
    WN_TRY(check_order(&p->zip, root, n));
    WN_TRY(wn__zip_data(&p->zip, program, true, &text));
    if (program->size > PICKLE_MOST)
        return wn__fail(WN_UNSUPPORTED, "%s: data.pkl has %llu bytes, at most %llu", p->path,
                        (unsigned long long)program->size, (unsigned long long)PICKLE_MOST);
    WN_TRY(wn__pickle_run(text, (size_t)program->size, p->path, false, &p->heap, &p->root, &used));
    return place_storages(p, root, n);
}

// ---- legacy

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static wn_status next_pickle(wn__pth *p, reader *r, bool first, wn__pickle_value **out) {
    size_t used;
    WN_TRY(wn__pickle_run(r->at, (size_t)(r->end - r->at), p->path, first, &p->heap, out, &used));
    r->at += used;
    return WN_OK;
}

static wn_status check_system(const wn__pth *p, const wn__pickle_value *version,
                              const wn__pickle_value *system) {
    const wn__pickle_value *little = wn__pickle_get(system, "little_endian");
    if (version->type != WN__PICKLE_INT || version->integer != 1001)
        return wn__fail(WN_UNSUPPORTED, "%s: not version 1001 of the legacy format", p->path);
    if (little == NULL || little->type != WN__PICKLE_BOOL || !little->truth)
        return wn__fail(WN_UNSUPPORTED, "%s: written by a big-endian machine", p->path);
    return WN_OK;
}

// Behind the pickles: of each storage in the order of the keys its count and its bytes.
static wn_status read_storages(wn__pth *p, reader *r, const wn__pickle_value *keys) {
    for (size_t i = 0; i < wn__pickle_count(keys); i++) {
        const wn__pickle_value *key = wn__pickle_at(keys, i);
        wn__pickle_storage *s =
            key != NULL && key->type == WN__PICKLE_STRING
                ? wn__pickle_find_storage(&p->heap, key->text.bytes, key->text.size)
                : NULL;
        if (s == NULL || s->data != NULL)
            return wn__fail(WN_FORMAT, "%s: key %zu names no storage, or one twice", p->path, i);
        uint64_t count = 0;
        if (r->end - r->at < 8) return wn__fail(WN_FORMAT, "%s: cut off before its data", p->path);
        for (int b = 7; b >= 0; b--)
            count = count << 8 | r->at[b];
        r->at += 8;
        if (count != (uint64_t)s->count)
            return wn__fail(WN_FORMAT, "%s: storage %zu has %llu elements, its tensor says %lld",
                            p->path, i, (unsigned long long)count, (long long)s->count);
        if (storage_bytes(s) > (size_t)(r->end - r->at))
            return wn__fail(WN_FORMAT,
                            "%s: the file is cut off: storage %zu takes %zu bytes, %zu are left",
                            p->path, i, storage_bytes(s), (size_t)(r->end - r->at));
        s->data = r->at;
        r->at += storage_bytes(s);
    }
    for (size_t i = 0; i < p->heap.storages; i++)
        if (p->heap.storage[i].data == NULL)
            return wn__fail(
                WN_FORMAT, "%s: storage '%.*s' has no data", p->path,
                (int)(p->heap.storage[i].key_size < 64 ? p->heap.storage[i].key_size : 64),
                p->heap.storage[i].key);
    return WN_OK;
}

static wn_status parse_legacy(wn__pth *p, const uint8_t *bytes, size_t size) {
    reader r = {bytes, bytes + size};
    wn__pickle_value *number, *version, *system, *keys;
    WN_TRY(next_pickle(p, &r, true, &number));
    WN_TRY(next_pickle(p, &r, false, &version));
    WN_TRY(next_pickle(p, &r, false, &system));
    WN_TRY(check_system(p, version, system));
    WN_TRY(next_pickle(p, &r, false, &p->root));
    WN_TRY(next_pickle(p, &r, false, &keys));
    return read_storages(p, &r, keys);
}

// ---- the list of tensors

typedef struct walk {
    wn__pth *p;
    char name[NAME];
    size_t room;
    int visits;
} walk;

static wn_status add_entry(walk *w, const wn__pickle_value *v) {
    wn__pth *p = w->p;
    if (p->count == w->room) {
        size_t room = w->room < 8 ? 8 : 2 * w->room;
        wn__pth_entry *grown = realloc(p->entry, room * sizeof *grown);
        if (grown == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", p->path);
        p->entry = grown;
        w->room = room;
    }
    const wn__pickle_tensor *t = &p->heap.tensor[v->number];
    wn__pth_entry *e = &p->entry[p->count];
    *e = (wn__pth_entry){strdup(w->name), t->view, t->parameter, t->requires_grad};
    if (e->name == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", p->path);
    const uint8_t *data = p->heap.storage[t->storage].data;
    int64_t offset = wn__tensor_count(&t->view) > 0 ? t->offset : 0;
    e->view.data = (void *)(uintptr_t)(data + (size_t)offset * wn_dtype_size(t->view.dtype));
    p->count++;
    return WN_OK;
}

// Appends ".part"; -1: too long.
static int append(walk *w, int n, const wn__pickle_value *key, size_t index) {
    char part[32];
    const char *text = part;
    int length = 0;
    if (key != NULL && key->type == WN__PICKLE_STRING) {
        text = key->text.bytes;
        if (key->text.size >= NAME || memchr(text, 0, key->text.size) != NULL) return -1;
        length = (int)key->text.size;
    } else {
        length = key != NULL ? snprintf(part, sizeof part, "%" PRId64, key->integer)
                             : snprintf(part, sizeof part, "%zu", index);
    }
    int all = snprintf(w->name + n, (size_t)(NAME - n), "%s%.*s", n > 0 ? "." : "", length, text);
    return all < NAME - n ? n + all : -1;
}

static wn_status visit(walk *w, const wn__pickle_value *v, int n, int depth) {
    if (++w->visits > VISITS || depth > DEPTH)
        return wn__fail(WN_UNSUPPORTED, "%s: values nest deeper than %d or are more than %d",
                        w->p->path, DEPTH, VISITS);
    if (v->type == WN__PICKLE_TENSOR) return add_entry(w, v);
    bool dict = v->type == WN__PICKLE_DICT;
    if (!dict && v->type != WN__PICKLE_LIST && v->type != WN__PICKLE_TUPLE) return WN_OK;
    for (size_t i = 0; i < v->list.count; i += dict ? 2 : 1) {
        int longer = append(w, n, dict ? v->list.item[i] : NULL, i);
        if (longer < 0)
            return wn__fail(WN_UNSUPPORTED, "%s: a name longer than %d bytes, or with a NUL",
                            w->p->path, NAME - 1);
        WN_TRY(visit(w, v->list.item[dict ? i + 1 : i], longer, depth + 1));
        w->name[n] = 0;
    }
    return WN_OK;
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const wn__pth_entry *)a)->name, ((const wn__pth_entry *)b)->name);
}

static wn_status list_tensors(wn__pth *p) {
    walk w = {.p = p};
    WN_TRY(visit(&w, p->root, 0, 0));
    if (p->count > 0) qsort(p->entry, p->count, sizeof *p->entry, compare_entries);
    for (size_t i = 1; i < p->count; i++)
        if (strcmp(p->entry[i - 1].name, p->entry[i].name) == 0)
            return wn__fail(WN_FORMAT, "%s: two tensors '%.96s'", p->path, p->entry[i].name);
    return WN_OK;
}

static wn_status parse(wn__pth *p, const uint8_t *bytes, size_t size) {
    if (wn__zip_begins(bytes, size)) {
        WN_TRY(parse_zip(p, bytes, size));
    } else if (is_legacy(bytes, size)) {
        WN_TRY(parse_legacy(p, bytes, size));
    } else {
        bool tar = size >= 262 && memcmp(bytes + 257, "ustar", 5) == 0;
        return wn__fail(tar ? WN_UNSUPPORTED : WN_FORMAT, "%s: %s", p->path,
                        tar ? "a tar archive of torch before 0.1.10; save it again with a newer one"
                            : "neither a zip archive nor a legacy file of torch.save");
    }
    return list_tensors(p);
}

wn_status wn__pth_parse(const uint8_t *bytes, size_t size, const char *name, wn__pth *out) {
    wn__pth p = {.path = strdup(name)};
    *out = (wn__pth){0};
    if (p.path == NULL) return wn__fail(WN_NOMEM, "%s: out of memory", name);
    wn_status status = parse(&p, bytes, size);
    if (status == WN_OK)
        *out = p;
    else
        wn__pth_close(&p);
    return status;
}

wn_status wn__pth_open(const char *path, wn__pth *out) {
    wn__map map;
    *out = (wn__pth){0};
    WN_TRY(wn__map_open(path, &map));
    wn_status status = wn__pth_parse(map.data, map.size, path, out);
    if (status == WN_OK)
        out->map = map;
    else
        wn__map_close(&map);
    return status;
}

void wn__pth_close(wn__pth *p) {
    for (size_t i = 0; i < p->count; i++)
        free(p->entry[i].name);
    free(p->entry);
    wn__zip_close(&p->zip);
    wn__pickle_free(&p->heap);
    wn__map_close(&p->map);
    free(p->path);
    *p = (wn__pth){0};
}

const wn__pth_entry *wn__pth_find(const wn__pth *p, const char *name) {
    const wn__pth_entry key = {.name = (char *)(uintptr_t)name};
    return p->count > 0 ? bsearch(&key, p->entry, p->count, sizeof *p->entry, compare_entries)
                        : NULL;
}

static bool is_matrix(const wn__pth_entry *e) {
    return e->view.ndim == 2 && e->view.dtype >= WN_DTYPE_F64 && e->view.dtype <= WN_DTYPE_F16;
}

const char *wn__pth_name(const wn__pth_entry *e) {
    return *e->name != '\0' ? e->name : "(bare tensor)";
}

// " 'a' F32 [2, 3], 'b' ..." of at most n bytes.
static void describe_entries(const wn__pth *p, char *out, size_t n) {
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < p->count && at < n; i++) {
        char shape[160];
        at += (size_t)snprintf(out + at, n - at, "%s '%.96s' %s", i > 0 ? "," : "",
                               wn__pth_name(&p->entry[i]),
                               wn__tensor_describe(&p->entry[i].view, shape, sizeof shape));
    }
    if (at >= n) memcpy(out + n - 4, "...", 4);
}

wn_status wn__pth_select(const wn__pth *p, const char *key, const wn__pth_entry **out) {
    char list[640];
    *out = NULL;
    if (key != NULL) {
        *out = wn__pth_find(p, key);
        if (*out != NULL) return WN_OK;
        describe_entries(p, list, sizeof list);
        return wn__fail(WN_INVALID, "%s: no tensor '%.96s'; there %s%s", p->path, key,
                        p->count > 0 ? "are" : "is none", list);
    }
    size_t matrices = 0;
    for (size_t i = 0; i < p->count; i++)
        if (is_matrix(&p->entry[i]) && matrices++ == 0) *out = &p->entry[i];
    if (matrices == 1) return WN_OK;
    *out = NULL;
    describe_entries(p, list, sizeof list);
    if (matrices == 0)
        return wn__fail(WN_INVALID, "%s: no matrix of F64, F32, BF16 or F16; there %s%s", p->path,
                        p->count > 0 ? "are" : "is no tensor", list);
    return wn__fail(WN_INVALID, "%s: %zu matrices of floats; --tensor NAME says which of%s",
                    p->path, matrices, list);
}

void wn__pth_copy(const wn_tensor *view, void *to) {
    size_t size = wn_dtype_size(view->dtype);
    int64_t n = wn__tensor_count(view), index[WN_MAX_DIMS] = {0}, at = 0;
    const char *from = view->data;
    if (wn__tensor_packed(view)) {
        if (n > 0) memcpy(to, from, (size_t)n * size);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        memcpy((char *)to + (size_t)i * size, from + at * (int64_t)size, size);
        for (int d = view->ndim - 1; d >= 0; d--) { // the next one in row-major order
            at += view->stride[d];
            if (++index[d] < view->shape[d]) break;
            at -= view->stride[d] * view->shape[d];
            index[d] = 0;
        }
    }
}
