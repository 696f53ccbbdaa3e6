// SPDX-License-Identifier: MIT
// Parser of the safetensors header: {"name":{"dtype":..,"shape":[..],"data_offsets":[..]},..} and
// one optional "__metadata__" of strings. Strings are decoded into one block as long as the header.
#include "formats/st_header.h"

#include "base/fail.h"
#include "base/utf8.h"
#include "tensor/tensor.h"
#include <stdlib.h>
#include <string.h>

// Where the JSON begins in the file: messages give offsets in the file.
#define JSON_OFFSET 8

// The header while it is read. text takes decoded strings: one of n characters needs n + 1 bytes
// there and at least n + 2 (its quotes) in the JSON, so it never overflows.
typedef struct cursor {
    const uint8_t *begin, *p, *end;
    const char *file;
    char *text;
} cursor;

static size_t offset_of(const cursor *c) {
    return (size_t)(c->p - c->begin) + JSON_OFFSET;
}

// ---- tokens ----

static void skip_space(cursor *c) {
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
        c->p++;
}

// "expected X, found Y" at the cursor, where Y is the start of what stands there.
static wn_status unexpected(const cursor *c, const char *expected) {
    if (c->p == c->end)
        return wn__fail(WN_FORMAT, "%s: byte %zu: expected %s, found the end of the header",
                        c->file, offset_of(c), expected);
    size_t n = 1, left = (size_t)(c->end - c->p);
    if (strchr("{}[],:\"", *c->p) == NULL)
        while (n < left && n < 24 && strchr("{}[],:\" \t\r\n", c->p[n]) == NULL)
            n++;
    return wn__fail(WN_FORMAT, "%s: byte %zu: expected %s, found '%.*s'", c->file, offset_of(c),
                    expected, (int)n, (const char *)c->p);
}

// Skips space, then takes the character if it stands there.
static bool accept(cursor *c, char want) {
    skip_space(c);
    if (c->p == c->end || *c->p != (uint8_t)want) return false;
    c->p++;
    return true;
}

static wn_status expect(cursor *c, char want) {
    if (accept(c, want)) return WN_OK;
    const char text[] = {'\'', want, '\'', '\0'};
    return unexpected(c, text);
}

static int hex_digit(uint8_t b) {
    if (b >= '0' && b <= '9') return b - '0';
    b |= 0x20;
    return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

// Four hexadecimal digits at the cursor.
static bool read_hex4(cursor *c, uint32_t *out) {
    if (c->end - c->p < 4) return false;
    *out = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(c->p[i]);
        if (digit < 0) return false;
        *out = *out << 4 | (uint32_t)digit;
    }
    c->p += 4;
    return true;
}

// What follows "\u": one unit, or two that make a surrogate pair.
static wn_status read_code_point(cursor *c, uint32_t *out) {
    uint32_t high = 0, low = 0;
    const uint8_t *at = c->p;
    if (!read_hex4(c, &high)) return unexpected(c, "four hexadecimal digits after '\\u'");
    *out = high;
    if (high == 0) {
        c->p = at;
        return wn__fail(WN_FORMAT, "%s: byte %zu: \\u0000 in a string", c->file, offset_of(c));
    }
    if (high < 0xD800 || high > 0xDFFF) return WN_OK;
    bool pair = high < 0xDC00 && c->end - c->p >= 2 && c->p[0] == '\\' && c->p[1] == 'u';
    if (pair) {
        c->p += 2;
        pair = read_hex4(c, &low) && low >= 0xDC00 && low <= 0xDFFF;
    }
    if (!pair) {
        c->p = at;
        return wn__fail(WN_FORMAT, "%s: byte %zu: lone surrogate \\u%.4s in a string", c->file,
                        offset_of(c), (const char *)at);
    }
    *out = 0x10000 + ((high - 0xD800) << 10 | (low - 0xDC00));
    return WN_OK;
}

// One escape, the cursor behind its backslash.
static wn_status read_escape(cursor *c) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (c->p == c->end) return unexpected(c, "an escape");
    if (*c->p == 'u') {
        uint32_t code = 0;
        c->p++;
        WN_TRY(read_code_point(c, &code));
        c->text += wn__utf8_encode(code, c->text);
        return WN_OK;
    }
    const char *found = memchr(from, *c->p, sizeof from - 1);
    if (found == NULL) return unexpected(c, "one of \"\\/bfnrtu after '\\'");
    *c->text++ = to[found - from];
    c->p++;
    return WN_OK;
}

// A string, decoded and NUL-terminated; it holds no other NUL.
static wn_status read_string(cursor *c, const char *what, char **out) {
    skip_space(c);
    if (c->p == c->end || *c->p != '"') return unexpected(c, what);
    c->p++;
    *out = c->text;
    while (c->p < c->end && *c->p != '"') {
        if (*c->p < 0x20)
            return wn__fail(WN_FORMAT, "%s: byte %zu: control character 0x%02x in a string",
                            c->file, offset_of(c), *c->p);
        if (*c->p == '\\') {
            c->p++;
            WN_TRY(read_escape(c));
        } else {
            *c->text++ = (char)*c->p++;
        }
    }
    if (c->p == c->end) return unexpected(c, "'\"' at the end of a string");
    c->p++;
    *c->text++ = '\0';
    return WN_OK;
}

// A number without sign, fraction or exponent, at most INT64_MAX.
static wn_status read_size(cursor *c, int64_t *out) {
    static const char expected[] = "a non-negative integer below 2^63";
    skip_space(c);
    const uint8_t *at = c->p;
    int64_t value = 0;
    bool fits = true;
    for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
        fits = fits && !__builtin_mul_overflow(value, (int64_t)10, &value) &&
               !__builtin_add_overflow(value, (int64_t)(*c->p - '0'), &value);
    bool leading_zero = c->p - at > 1 && *at == '0';
    bool more = c->p < c->end && strchr(".eE+-", *c->p) != NULL;
    if (c->p == at || !fits || leading_zero || more) {
        c->p = at;
        return unexpected(c, expected);
    }
    *out = value;
    return WN_OK;
}

// ---- the schema ----

// The dtypes of the format that have no wn_dtype.
static bool is_foreign_dtype(const char *text) {
    static const char *const names[] = {"F4",          "F6_E2M3",     "F6_E3M2", "F8_E8M0",
                                        "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(text, names[i]) == 0) return true;
    return false;
}

static wn_status parse_dtype(const cursor *c, const char *tensor, const char *text, wn_dtype *out) {
    *out = wn_dtype_parse(text);
    if (*out != WN_DTYPE_NONE) return WN_OK;
    if (is_foreign_dtype(text))
        return wn__fail(WN_UNSUPPORTED, "%s: tensor '%.*s': dtype %s is not supported", c->file,
                        WN_ST_SHOWN, tensor, text);
    return wn__fail(WN_FORMAT, "%s: tensor '%.*s': unknown dtype '%.32s'", c->file, WN_ST_SHOWN,
                    tensor, text);
}

static wn_status parse_shape(cursor *c, const char *tensor, wn_tensor *view) {
    WN_TRY(expect(c, '['));
    view->ndim = 0;
    if (accept(c, ']')) return WN_OK;
    do {
        if (view->ndim == WN_MAX_DIMS)
            return wn__fail(WN_UNSUPPORTED,
                            "%s: tensor '%.*s': more than %d dimensions are not supported", c->file,
                            WN_ST_SHOWN, tensor, WN_MAX_DIMS);
        WN_TRY(read_size(c, &view->shape[view->ndim]));
        view->ndim++;
    } while (accept(c, ','));
    return expect(c, ']');
}

static wn_status parse_offsets(cursor *c, wn__st_span *out) {
    int64_t begin, end;
    WN_TRY(expect(c, '['));
    WN_TRY(read_size(c, &begin));
    WN_TRY(expect(c, ','));
    WN_TRY(read_size(c, &end));
    WN_TRY(expect(c, ']'));
    out->begin = (uint64_t)begin;
    out->end = (uint64_t)end;
    return WN_OK;
}

static const char *const member_name[] = {"dtype", "shape", "data_offsets"};
enum { MEMBER_DTYPE, MEMBER_SHAPE, MEMBER_OFFSETS, MEMBERS };

// One "key": value of a tensor; *seen has a bit for each member.
static wn_status parse_member(cursor *c, wn__st_entry *entry, wn__st_span *span, unsigned *seen) {
    char *mark = c->text, *key, *text;
    WN_TRY(read_string(c, "a string", &key));
    int member = 0;
    while (member < MEMBERS && strcmp(key, member_name[member]) != 0)
        member++;
    if (member == MEMBERS)
        return wn__fail(WN_FORMAT,
                        "%s: tensor '%.*s': unknown key '%.32s', expected dtype, shape and "
                        "data_offsets",
                        c->file, WN_ST_SHOWN, entry->name, key);
    if (*seen & 1U << member)
        return wn__fail(WN_FORMAT, "%s: tensor '%.*s': two keys '%s'", c->file, WN_ST_SHOWN,
                        entry->name, key);
    *seen |= 1U << member;
    WN_TRY(expect(c, ':'));
    if (member == MEMBER_SHAPE) {
        WN_TRY(parse_shape(c, entry->name, &entry->view));
    } else if (member == MEMBER_OFFSETS) {
        WN_TRY(parse_offsets(c, span));
    } else {
        WN_TRY(read_string(c, "a dtype string", &text));
        WN_TRY(parse_dtype(c, entry->name, text, &entry->view.dtype));
    }
    c->text = mark; // neither the key nor the dtype's name is kept
    return WN_OK;
}

// The object behind a tensor's name.
static wn_status parse_tensor(cursor *c, wn__st_entry *entry, wn__st_span *span) {
    unsigned seen = 0;
    WN_TRY(expect(c, '{'));
    if (!accept(c, '}')) {
        do {
            WN_TRY(parse_member(c, entry, span, &seen));
        } while (accept(c, ','));
        WN_TRY(expect(c, '}'));
    }
    for (int i = 0; i < MEMBERS; i++)
        if (!(seen & 1U << i))
            return wn__fail(WN_FORMAT, "%s: tensor '%.*s': '%s' is missing", c->file, WN_ST_SHOWN,
                            entry->name, member_name[i]);
    size_t bytes;
    wn_tensor *view = &entry->view;
    if (!wn__shape_bytes(view->dtype, view->ndim, view->shape, &bytes)) {
        char text[160];
        return wn__fail(WN_FORMAT, "%s: tensor '%.*s': the size of %s overflows 64 bits", c->file,
                        WN_ST_SHOWN, entry->name, wn__tensor_describe(view, text, sizeof text));
    }
    *view = wn__tensor(NULL, view->dtype, view->ndim, view->shape);
    return WN_OK;
}

// Room in *array for `capacity` elements of `each` bytes.
static bool resize(void **array, size_t capacity, size_t each) {
    size_t bytes;
    if (__builtin_mul_overflow(capacity, each, &bytes)) return false;
    void *p = realloc(*array, bytes);
    if (p != NULL) *array = p;
    return p != NULL;
}

static size_t doubled(size_t capacity) {
    return capacity == 0 ? 16 : capacity * 2;
}

static bool grow_entries(wn__st_header *h) {
    if (h->count < h->capacity) return true;
    size_t capacity = doubled(h->capacity);
    void *entries = h->entry, *spans = h->span;
    bool entries_fit = resize(&entries, capacity, sizeof *h->entry);
    h->entry = entries;
    bool spans_fit = resize(&spans, capacity, sizeof *h->span);
    h->span = spans;
    if (entries_fit && spans_fit) h->capacity = capacity;
    return entries_fit && spans_fit;
}

static bool grow_meta(wn__st_header *h) {
    if (h->meta_count < h->meta_capacity) return true;
    void *meta = h->meta;
    if (!resize(&meta, doubled(h->meta_capacity), sizeof *h->meta)) return false;
    h->meta = meta;
    h->meta_capacity = doubled(h->meta_capacity);
    return true;
}

static wn_status parse_entry(cursor *c, wn__st_header *h, char *name) {
    if (!grow_entries(h))
        return wn__fail(WN_NOMEM, "%s: out of memory for %zu tensors", c->file, h->count + 1);
    h->entry[h->count] = (wn__st_entry){.name = name};
    h->span[h->count] = (wn__st_span){.entry = h->count};
    WN_TRY(parse_tensor(c, &h->entry[h->count], &h->span[h->count]));
    h->count++;
    return WN_OK;
}

static wn_status parse_metadata(cursor *c, wn__st_header *h) {
    WN_TRY(expect(c, '{'));
    if (accept(c, '}')) return WN_OK;
    do {
        if (!grow_meta(h)) return wn__fail(WN_NOMEM, "%s: out of memory for metadata", c->file);
        wn__st_meta *m = &h->meta[h->meta_count];
        WN_TRY(read_string(c, "a metadata key", &m->key));
        WN_TRY(expect(c, ':'));
        WN_TRY(read_string(c, "a metadata string", &m->value));
        h->meta_count++;
    } while (accept(c, ','));
    return expect(c, '}');
}

static wn_status parse_root(cursor *c, wn__st_header *h) {
    bool metadata_seen = false;
    WN_TRY(expect(c, '{'));
    if (accept(c, '}')) return WN_OK;
    do {
        char *name;
        WN_TRY(read_string(c, "a tensor name", &name));
        WN_TRY(expect(c, ':'));
        if (strcmp(name, "__metadata__") != 0) {
            WN_TRY(parse_entry(c, h, name));
        } else if (metadata_seen) {
            return wn__fail(WN_FORMAT, "%s: byte %zu: two keys '__metadata__'", c->file,
                            offset_of(c));
        } else {
            metadata_seen = true;
            WN_TRY(parse_metadata(c, h));
        }
    } while (accept(c, ','));
    return expect(c, '}');
}

void wn__st_header_free(wn__st_header *h) {
    free(h->text);
    free(h->entry);
    free(h->span);
    free(h->meta);
    *h = (wn__st_header){0};
}

wn_status wn__st_header_parse(const uint8_t *json, size_t size, const char *name,
                              wn__st_header *out) {
    *out = (wn__st_header){.text = malloc(size + 1)};
    if (out->text == NULL) return wn__fail(WN_NOMEM, "%s: out of memory for the header", name);
    cursor c = {.begin = json, .p = json, .end = json + size, .file = name, .text = out->text};
    wn_status status = parse_root(&c, out);
    if (status == WN_OK) {
        skip_space(&c);
        if (c.p != c.end) status = unexpected(&c, "padding to the end of the header");
    }
    if (status != WN_OK) wn__st_header_free(out);
    return status;
}
