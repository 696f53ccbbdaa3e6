// SPDX-License-Identifier: MIT
// Writing safetensors files. The header is a function of names, dtypes, shapes and metadata alone,
// so the same tensors give the same bytes.
#include "formats/safetensors.h"

#include "base/fail.h"
#include "base/half.h"
#include "base/json.h"
#include "base/utf8.h"
#include "formats/st_header.h"
#include "tensor/tensor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METADATA_KEY "__metadata__"
// Bytes gathered before they go to the writer; a multiple of every dtype's size.
#define CHUNK 8192

// ---- what may be written ----

static wn_status check_name(const char *name) {
    if (name == NULL || name[0] == '\0')
        return wn__fail(WN_INVALID, "a tensor without a name cannot be written");
    if (strcmp(name, METADATA_KEY) == 0)
        return wn__fail(WN_INVALID, "a tensor cannot be named '%s'", METADATA_KEY);
    size_t n = strlen(name);
    if (wn__utf8_span(name, n) < n)
        return wn__fail(WN_INVALID, "tensor '%.*s': the name is not UTF-8", WN_ST_SHOWN, name);
    return WN_OK;
}

// Elements of t lie wherever the strides lead; they must exist, here, in a representable number.
// Those that are made later have no place yet.
static wn_status check_view(const char *name, const wn_tensor *t, bool made) {
    if (t->device.kind != WN_DEVICE_CPU)
        return wn__fail(WN_INVALID, "tensor '%.*s': not in CPU memory", WN_ST_SHOWN, name);
    if (t->ndim < 0 || t->ndim > WN_MAX_DIMS)
        return wn__fail(WN_INVALID, "tensor '%.*s': %d dimensions, at most %d", WN_ST_SHOWN, name,
                        t->ndim, WN_MAX_DIMS);
    size_t bytes;
    char text[160];
    if (!wn__shape_bytes(t->dtype, t->ndim, t->shape, &bytes))
        return wn__fail(WN_INVALID, "tensor '%.*s': no tensor can be %s", WN_ST_SHOWN, name,
                        wn__tensor_describe(t, text, sizeof text));
    if (bytes > 0 && t->data == NULL && !made)
        return wn__fail(WN_INVALID, "tensor '%.*s': no data", WN_ST_SHOWN, name);
    return WN_OK;
}

static wn_status check_conversion(const wn__st_item *item) {
    wn_dtype from = item->view.dtype, to = wn__st_item_dtype(item);
    bool rounds = from == WN_DTYPE_F32 && (to == WN_DTYPE_BF16 || to == WN_DTYPE_F16);
    if (to == from || rounds) return WN_OK;
    return wn__fail(WN_INVALID,
                    "tensor '%.*s': %s cannot be written as %s (only F32 can change, to BF16 or "
                    "F16)",
                    WN_ST_SHOWN, item->name, wn_dtype_name(from), wn_dtype_name(to));
}

static int compare_names(const void *a, const void *b, void *context) {
    const wn__st_item *items = context;
    return strcmp(items[*(const size_t *)a].name, items[*(const size_t *)b].name);
}

// The order of the file: dtype size descending, so that every tensor is aligned, then name.
static int compare_items(const void *a, const void *b, void *context) {
    const wn__st_item *items = context;
    size_t x = wn_dtype_size(wn__st_item_dtype(&items[*(const size_t *)a]));
    size_t y = wn_dtype_size(wn__st_item_dtype(&items[*(const size_t *)b]));
    if (x != y) return x > y ? -1 : 1;
    return compare_names(a, b, context);
}

wn_status wn__st_items_check(const wn__st_item *items, size_t count, size_t **order) {
    *order = NULL;
    for (size_t i = 0; i < count; i++) {
        WN_TRY(check_name(items[i].name));
        WN_TRY(check_view(items[i].name, &items[i].view, items[i].make != NULL));
        WN_TRY(check_conversion(&items[i]));
    }
    size_t *index = calloc(count + 1, sizeof *index);
    if (index == NULL) return wn__fail(WN_NOMEM, "out of memory for %zu tensors", count);
    for (size_t i = 0; i < count; i++)
        index[i] = i;
    void *context = (void *)(uintptr_t)items;
    qsort_r(index, count, sizeof *index, compare_names, context);
    for (size_t i = 1; i < count; i++) {
        const char *name = items[index[i]].name;
        if (strcmp(items[index[i - 1]].name, name) != 0) continue;
        free(index);
        return wn__fail(WN_INVALID, "two tensors are named '%.*s'", WN_ST_SHOWN, name);
    }
    qsort_r(index, count, sizeof *index, compare_items, context);
    *order = index;
    return WN_OK;
}

// "format" is the writer's own; a copy of another file's metadata may bring the same value along.
static wn_status check_meta(const wn__st_meta *meta, const wn__json *object) {
    if (meta->key == NULL || meta->value == NULL)
        return wn__fail(WN_INVALID, "metadata without a key or value");
    size_t key_size = strlen(meta->key), value_size = strlen(meta->value);
    if (wn__utf8_span(meta->key, key_size) < key_size ||
        wn__utf8_span(meta->value, value_size) < value_size)
        return wn__fail(WN_INVALID, "metadata '%.*s': not UTF-8", WN_ST_SHOWN, meta->key);
    const wn__json *known = wn__json_get(object, meta->key);
    if (known == NULL) return WN_OK;
    if (strcmp(meta->key, "format") != 0)
        return wn__fail(WN_INVALID, "two metadata keys '%.*s'", WN_ST_SHOWN, meta->key);
    if (strcmp(meta->value, "pt") != 0)
        return wn__fail(WN_INVALID, "metadata 'format' is always 'pt', not '%.*s'", WN_ST_SHOWN,
                        meta->value);
    return WN_OK;
}

// ---- the header ----

// Puts the JSON text of j, which may be NULL: out of memory.
static wn_status put_json(FILE *f, const wn__json *j) {
    char *text;
    WN_TRY(wn__json_dump(j, 0, &text));
    (void)fputs(text, f); // a memory stream remembers what it could not take
    free(text);
    return WN_OK;
}

static wn_status put_string(FILE *f, const char *s) {
    wn__json *j = wn__json_new_string(s);
    wn_status status = put_json(f, j);
    wn__json_free(j);
    return status;
}

static wn_status put_metadata(FILE *f, const wn__st_meta *meta, size_t count) {
    wn__json *object = wn__json_new_object();
    wn_status status;
    WN_TRY_OUT(wn__json_set(object, "format", wn__json_new_string("pt")));
    for (size_t i = 0; i < count; i++) {
        WN_TRY_OUT(check_meta(&meta[i], object));
        WN_TRY_OUT(wn__json_set(object, meta[i].key, wn__json_new_string(meta[i].value)));
    }
    WN_TRY_OUT(put_json(f, object));
out:
    wn__json_free(object);
    return status;
}

// One tensor whose bytes begin at *offset of the data; moves *offset behind it.
static wn_status put_tensor(FILE *f, const wn__st_item *item, uint64_t *offset) {
    const wn_tensor *t = &item->view;
    wn_dtype dtype = wn__st_item_dtype(item);
    uint64_t bytes = (uint64_t)wn__tensor_count(t) * wn_dtype_size(dtype);
    if (bytes > (uint64_t)INT64_MAX - *offset)
        return wn__fail(WN_INVALID, "tensor '%.*s': the file would pass 2^63 bytes", WN_ST_SHOWN,
                        item->name);
    WN_TRY(put_string(f, item->name));
    (void)fprintf(f, ":{\"dtype\":\"%s\",\"shape\":[", wn_dtype_name(dtype));
    for (int i = 0; i < t->ndim; i++)
        (void)fprintf(f, "%s%lld", i > 0 ? "," : "", (long long)t->shape[i]);
    (void)fprintf(f, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)*offset,
                  (unsigned long long)(*offset + bytes));
    *offset += bytes;
    return WN_OK;
}

static wn_status put_header(FILE *f, const wn__st_item *items, size_t count, const size_t *order,
                            const wn__st_meta *meta, size_t meta_count) {
    (void)fputs("{\"" METADATA_KEY "\":", f);
    WN_TRY(put_metadata(f, meta, meta_count));
    uint64_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        (void)fputc(',', f);
        WN_TRY(put_tensor(f, &items[order[i]], &offset));
    }
    (void)fputc('}', f);
    return WN_OK;
}

// The header's JSON, padded with spaces to a multiple of 8; *text is the caller's to free.
static wn_status make_header(const wn__st_item *items, size_t count, const size_t *order,
                             const wn__st_meta *meta, size_t meta_count, char **text,
                             size_t *size) {
    *text = NULL;
    *size = 0;
    FILE *f = open_memstream(text, size);
    if (f == NULL) return wn__fail(WN_NOMEM, "out of memory for the header");
    wn_status status = put_header(f, items, count, order, meta, meta_count);
    for (long n = status == WN_OK ? ftell(f) : 0; n % 8 != 0; n++)
        (void)fputc(' ', f);
    bool failed = ferror(f) != 0;
    failed = fclose(f) != 0 || failed;
    if (status == WN_OK && failed) status = wn__fail(WN_NOMEM, "out of memory for the header");
    if (status == WN_OK && *size > WN_ST_HEADER_MAX)
        status = wn__fail(WN_INVALID, "%zu tensors need a header of %zu bytes, at most %llu", count,
                          *size, (unsigned long long)WN_ST_HEADER_MAX);
    if (status != WN_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}

// ---- the data ----

// n elements from `from`, `stride` elements apart, gathered into out as dtype `as`.
static void gather(const char *from, int64_t stride, size_t n, wn_dtype dtype, wn_dtype as,
                   char *out) {
    size_t size = wn_dtype_size(dtype);
    for (size_t i = 0; i < n; i++) {
        const char *element = from + (int64_t)i * stride * (int64_t)size;
        if (as == dtype) {
            memcpy(out + i * size, element, size);
            continue;
        }
        float value;
        memcpy(&value, element, sizeof value);
        uint16_t half = as == WN_DTYPE_BF16 ? wn__bf16_from_f32(value) : wn__f16_from_f32(value);
        memcpy(out + i * sizeof half, &half, sizeof half);
    }
}

// n elements of one row.
static wn_status write_run(wn__writer *w, const char *from, int64_t stride, int64_t n,
                           wn_dtype dtype, wn_dtype as) {
    size_t size = wn_dtype_size(dtype), out_size = wn_dtype_size(as);
    if (as == dtype && (stride == 1 || n == 1)) return wn__writer_write(w, from, (size_t)n * size);
    char chunk[CHUNK];
    for (int64_t i = 0; i < n;) {
        int64_t left = n - i, fits = (int64_t)(CHUNK / out_size);
        int64_t take = left < fits ? left : fits;
        gather(from + i * stride * (int64_t)size, stride, (size_t)take, dtype, as, chunk);
        WN_TRY(wn__writer_write(w, chunk, (size_t)take * out_size));
        i += take;
    }
    return WN_OK;
}

// Moves index to the next row, the last dimension standing still; false behind the last row.
static bool next_row(const wn_tensor *t, int64_t *index) {
    for (int i = t->ndim - 2; i >= 0; i--) {
        if (++index[i] < t->shape[i]) return true;
        index[i] = 0;
    }
    return false;
}

// The elements in row-major order, whatever the strides.
static wn_status write_data(wn__writer *w, const wn_tensor *t, wn_dtype as) {
    int64_t count = wn__tensor_count(t);
    if (count == 0) return WN_OK;
    if (wn__tensor_packed(t)) return write_run(w, t->data, 1, count, t->dtype, as);
    int64_t index[WN_MAX_DIMS] = {0}, size = (int64_t)wn_dtype_size(t->dtype);
    int last = t->ndim - 1; // a tensor of no dimensions is packed
    do {
        int64_t offset = 0;
        for (int i = 0; i < last; i++)
            offset += index[i] * t->stride[i];
        WN_TRY(write_run(w, (const char *)t->data + offset * size, t->stride[last], t->shape[last],
                         t->dtype, as));
    } while (next_row(t, index));
    return WN_OK;
}

// The view of an item that exists, or of one that is made now.
static wn_status find_data(const wn__st_item *item, wn_tensor *out) {
    *out = item->view;
    if (item->make == NULL) return WN_OK;
    wn_status status = item->make(item->ctx, item->which, out);
    if (status != WN_OK) return wn__fail_in(status, "tensor '%.*s'", WN_ST_SHOWN, item->name);
    const wn_tensor *want = &item->view;
    if (wn__tensor_is(out, want->dtype, want->ndim, want->shape) &&
        (out->data != NULL || wn__tensor_count(out) == 0))
        return WN_OK;
    char made[160], wanted[160];
    return wn__fail(WN_BUG, "tensor '%.*s': made as %s, announced as %s", WN_ST_SHOWN, item->name,
                    wn__tensor_describe(out, made, sizeof made),
                    wn__tensor_describe(want, wanted, sizeof wanted));
}

static wn_status write_file(wn__writer *w, const char *header, size_t header_size,
                            const wn__st_item *items, size_t count, const size_t *order) {
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)header_size >> 8 * i);
    WN_TRY(wn__writer_write(w, length, sizeof length));
    WN_TRY(wn__writer_write(w, header, header_size));
    for (size_t i = 0; i < count; i++) {
        const wn__st_item *item = &items[order[i]];
        wn_tensor data;
        WN_TRY(find_data(item, &data));
        WN_TRY(write_data(w, &data, wn__st_item_dtype(item)));
    }
    return WN_OK;
}

wn_status wn__safetensors_write(const char *path, const wn__st_item *items, size_t count,
                                const wn__st_meta *meta, size_t meta_count, uint32_t *crc32,
                                uint64_t *bytes) {
    wn_status status;
    size_t *order = NULL, header_size;
    char *header = NULL;
    wn__writer *w = NULL;
    status = wn__st_items_check(items, count, &order);
    if (status == WN_OK)
        status = make_header(items, count, order, meta, meta_count, &header, &header_size);
    if (status != WN_OK) {
        status = wn__fail_in(status, "%s", path);
        goto out;
    }
    WN_TRY_OUT(wn__writer_open(path, &w));
    WN_TRY_OUT(write_file(w, header, header_size, items, count, order));
    uint32_t crc = wn__writer_crc32(w);
    uint64_t written = wn__writer_bytes(w);
    status = wn__writer_commit(w);
    w = NULL;
    if (status != WN_OK) goto out;
    if (crc32 != NULL) *crc32 = crc;
    if (bytes != NULL) *bytes = written;
out:
    wn__writer_abort(w);
    free(header);
    free(order);
    return status;
}
