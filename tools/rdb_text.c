// SPDX-License-Identifier: MIT
// rdb-text: prints the character vectors of an R lazy-load database (the .rdb file of a package's
// data), one string a line and one empty line between vectors, as UTF-8.
//
// Such a file is a row of records: the size of the data as 4 big-endian bytes, then the data as a
// zlib stream. The data is an object in R's binary (XDR) serialisation, version 2 or 3. Every
// length is checked before it is used; what is not a character vector is refused.
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

// Type codes of R's serialisation.
enum {
    TYPE_SYMBOL = 1,
    TYPE_PAIRLIST = 2,
    TYPE_CHARS = 9,
    TYPE_LOGICAL = 10,
    TYPE_INTEGER = 13,
    TYPE_REAL = 14,
    TYPE_STRINGS = 16,
    TYPE_NULL = 254,
    TYPE_REFERENCE = 255
};
#define FLAG_ATTRIBUTES 0x200U
#define FLAG_TAG        0x400U
#define FLAG_LATIN1     (1U << 14)

#define FILE_LIMIT ((size_t)1 << 30)
// The most that deflate can expand one byte to, rounded up.
#define MAX_RATIO 1040

// The bytes of one record and where the record lies. at moves only past what has been checked.
typedef struct record {
    const char *file;
    size_t offset; // of the record in the file
    const uint8_t *bytes;
    size_t size, at;
} record;

static bool refuse(const record *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(const record *r, const char *fmt, ...) {
    va_list args;
    (void)fprintf(stderr, "rdb-text: %s: record at byte %zu: byte %zu of its data: ", r->file,
                  r->offset, r->at);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return false;
}

// ---- the serialisation ----

static uint32_t load_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool advance(record *r, size_t n, const char *what) {
    if (n > r->size - r->at)
        return refuse(r, "%s needs %zu bytes, %zu are left", what, n, r->size - r->at);
    r->at += n;
    return true;
}

static bool read_u32(record *r, const char *what, uint32_t *out) {
    if (!advance(r, 4, what)) return false;
    *out = load_be32(r->bytes + r->at - 4);
    return true;
}

// Elements that follow, each of at least `each` bytes.
static bool read_length(record *r, size_t each, size_t *out) {
    uint32_t n;
    if (!read_u32(r, "a length", &n)) return false;
    if (n > INT32_MAX || n > (r->size - r->at) / each)
        return refuse(r, "length %u, but at most %zu elements fit", n, (r->size - r->at) / each);
    *out = n;
    return true;
}

static bool read_header(record *r) {
    uint32_t version, ignored;
    size_t n;
    if (!advance(r, 2, "the header")) return false;
    if (memcmp(r->bytes + r->at - 2, "X\n", 2) != 0)
        return refuse(r, "expected 'X' and a newline, the mark of XDR, found 0x%02x 0x%02x",
                      r->bytes[0], r->bytes[1]);
    if (!read_u32(r, "the version", &version)) return false;
    if (version != 2 && version != 3)
        return refuse(r, "serialisation version %u, expected 2 or 3", version);
    if (!read_u32(r, "R's version", &ignored) || !read_u32(r, "R's version", &ignored))
        return false;
    if (version == 2) return true;
    return read_length(r, 1, &n) && advance(r, n, "the name of the encoding"); // version 3 only
}

// Length of the UTF-8 sequence at p[0], n bytes left; 0 if it is not valid or a NUL.
static size_t utf8_length(const uint8_t *p, size_t n) {
    uint8_t b = p[0];
    if (b < 0x80) return b != 0;
    size_t length = b >= 0xF0 ? 4 : b >= 0xE0 ? 3 : 2;
    if (b < 0xC2 || b > 0xF4 || n < length) return 0;
    uint8_t low = b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80;
    uint8_t high = b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if (p[i] < 0x80 || p[i] > 0xBF) return 0;
    return length;
}

// Write errors stay with the stream and are reported at its end.
static bool print_utf8(const record *r, const uint8_t *p, size_t n, FILE *out) {
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_length(p + i, n - i);
        if (length == 0) return refuse(r, "a string with byte 0x%02x, not UTF-8 text", p[i]);
    }
    (void)fwrite(p, 1, n, out);
    return true;
}

static bool print_latin1(const record *r, const uint8_t *p, size_t n, FILE *out) {
    for (size_t i = 0; i < n; i++) {
        if (p[i] == 0) return refuse(r, "a string with byte 0x00");
        if (p[i] >= 0x80) (void)fputc(0xC0 | p[i] >> 6, out);
        (void)fputc(p[i] >= 0x80 ? 0x80 | (p[i] & 0x3F) : p[i], out);
    }
    return true;
}

// One string; out NULL only skips it.
static bool read_string(record *r, FILE *out) {
    uint32_t flags;
    size_t n;
    if (!read_u32(r, "a string", &flags)) return false;
    if ((flags & 0xFF) != TYPE_CHARS)
        return refuse(r, "expected a string (type %d), found type %u", TYPE_CHARS, flags & 0xFF);
    if (r->size - r->at >= 4 && load_be32(r->bytes + r->at) == UINT32_MAX)
        return refuse(r, "a missing string (NA)");
    if (!read_length(r, 1, &n)) return false;
    const uint8_t *p = r->bytes + r->at;
    bool fine = out == NULL ||
                (flags & FLAG_LATIN1 ? print_latin1(r, p, n, out) : print_utf8(r, p, n, out));
    return fine && advance(r, n, "a string");
}

static bool skip_vector(record *r, uint32_t type) {
    size_t n;
    if (type == TYPE_STRINGS) {
        if (!read_length(r, 8, &n)) return false;
        for (size_t i = 0; i < n; i++)
            if (!read_string(r, NULL)) return false;
        return true;
    }
    if (type != TYPE_LOGICAL && type != TYPE_INTEGER && type != TYPE_REAL)
        return refuse(r, "an attribute of type %u is not supported", type);
    size_t each = type == TYPE_REAL ? 8 : 4;
    return read_length(r, each, &n) && advance(r, n * each, "a vector");
}

// A name: a symbol, or a reference to one that came before.
static bool skip_tag(record *r) {
    uint32_t flags, index;
    if (!read_u32(r, "the name of an attribute", &flags)) return false;
    if ((flags & 0xFF) == TYPE_SYMBOL) return read_string(r, NULL);
    if ((flags & 0xFF) == TYPE_REFERENCE)
        return flags >> 8 != 0 || read_u32(r, "a reference", &index);
    return refuse(r, "expected the name of an attribute, found type %u", flags & 0xFF);
}

// The pairlist of attributes behind a vector. Values are plain vectors without attributes.
static bool skip_attributes(record *r) {
    for (;;) {
        uint32_t flags, value;
        if (!read_u32(r, "attributes", &flags)) return false;
        if (flags == TYPE_NULL) return true;
        if ((flags & 0xFF) != TYPE_PAIRLIST || (flags & FLAG_ATTRIBUTES) || !(flags & FLAG_TAG))
            return refuse(r, "expected a list of attributes, found flags 0x%x", flags);
        if (!skip_tag(r) || !read_u32(r, "an attribute", &value)) return false;
        if (value & FLAG_ATTRIBUTES) return refuse(r, "an attribute that has attributes");
        if (!skip_vector(r, value & 0xFF)) return false;
    }
}

// Prints the vector that is all of the record.
static bool print_record(record *r, FILE *out) {
    uint32_t flags;
    size_t n;
    if (!read_header(r) || !read_u32(r, "the object", &flags)) return false;
    if ((flags & 0xFF) != TYPE_STRINGS)
        return refuse(r, "expected a character vector (type %d), found type %u", TYPE_STRINGS,
                      flags & 0xFF);
    if (!read_length(r, 8, &n)) return false;
    for (size_t i = 0; i < n; i++) {
        if (!read_string(r, out)) return false;
        (void)fputc('\n', out);
    }
    if (flags & FLAG_ATTRIBUTES && !skip_attributes(r)) return false;
    return r->at == r->size || refuse(r, "%zu bytes behind the object", r->size - r->at);
}

// ---- the file ----

// Inflates from[n] into exactly r->size bytes; *used counts the bytes of the stream.
static bool inflate_record(record *r, uint8_t *to, const uint8_t *from, size_t n, size_t *used) {
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)from, .next_out = to};
    z.avail_in = n < UINT32_MAX ? (uInt)n : UINT32_MAX;
    z.avail_out = (uInt)r->size;
    if (inflateInit(&z) != Z_OK) return refuse(r, "out of memory for zlib");
    int code = inflate(&z, Z_FINISH);
    *used = (size_t)z.total_in;
    size_t made = (size_t)z.total_out;
    (void)inflateEnd(&z);
    if (code == Z_STREAM_END && made == r->size) return true;
    r->at = made;
    return refuse(r, "not a zlib stream of %zu bytes (zlib says %d after %zu)", r->size, code,
                  made);
}

// The record at bytes[*at]; moves *at behind it.
static bool print_next(const char *file, const uint8_t *bytes, size_t size, size_t *at, FILE *out) {
    record r = {.file = file, .offset = *at};
    if (size - *at < 4) return refuse(&r, "%zu bytes at the end of the file", size - *at);
    size_t left = size - *at - 4, used = 0;
    r.size = load_be32(bytes + *at);
    if (r.size / MAX_RATIO > left)
        return refuse(&r, "%zu bytes of data cannot come from the %zu that are left", r.size, left);
    uint8_t *data = malloc(r.size + 1);
    if (data == NULL) return refuse(&r, "out of memory for %zu bytes", r.size);
    r.bytes = data;
    bool fine = inflate_record(&r, data, bytes + *at + 4, left, &used) && print_record(&r, out);
    free(data);
    if (fine) *at += 4 + used;
    return fine;
}

static bool print_all(const char *file, const uint8_t *bytes, size_t size, FILE *out) {
    for (size_t at = 0; at < size;) {
        if (at > 0) (void)fputc('\n', out);
        if (!print_next(file, bytes, size, &at, out)) return false;
    }
    return true;
}

static bool complain(const char *file, const char *what) {
    (void)fprintf(stderr, "rdb-text: %s: %s: %s\n", file, what, strerror(errno));
    return false;
}

// The whole file, malloc'ed.
static bool read_file(const char *file, uint8_t **out, size_t *size) {
    *out = NULL;
    *size = 0;
    FILE *f = fopen(file, "rb");
    if (f == NULL) return complain(file, "cannot open");
    size_t capacity = 0, got = 1;
    while (got > 0 && *size < FILE_LIMIT) {
        if (*size == capacity) {
            capacity = capacity == 0 ? (size_t)1 << 16 : capacity * 2;
            uint8_t *p = realloc(*out, capacity);
            if (p == NULL) break;
            *out = p;
        }
        got = fread(*out + *size, 1, capacity - *size, f);
        *size += got;
    }
    bool fine = got == 0 && !ferror(f);
    if (*size >= FILE_LIMIT) errno = EFBIG;
    (void)fclose(f);
    return fine || complain(file, "cannot read");
}

// Prints in's text to the stream and closes it, unless it is stdout.
static bool convert(const char *in, const char *name, FILE *out) {
    uint8_t *bytes;
    size_t size;
    bool fine = read_file(in, &bytes, &size) && print_all(in, bytes, size, out);
    free(bytes);
    bool written = fflush(out) == 0 && !ferror(out);
    if (out != stdout) written = fclose(out) == 0 && written;
    if (fine && !written) return complain(name, "cannot write");
    return fine;
}

// To a temporary name first, so that `out` is never half a text.
static bool convert_to_file(const char *in, const char *out) {
    size_t n = strlen(out) + 32;
    char *temporary = malloc(n);
    if (temporary == NULL) return complain(out, "cannot write");
    (void)snprintf(temporary, n, "%s.tmp.%ld", out, (long)getpid());
    FILE *f = fopen(temporary, "wbx");
    bool fine = f != NULL || complain(temporary, "cannot create");
    if (f != NULL) {
        fine = convert(in, temporary, f);
        if (fine && rename(temporary, out) != 0) fine = complain(out, "cannot rename to");
        if (!fine) (void)remove(temporary);
    }
    free(temporary);
    return fine;
}

int main(int argc, char **argv) {
    bool to_file = argc == 4 && strcmp(argv[1], "-o") == 0;
    bool last = argc == 4 && strcmp(argv[2], "-o") == 0;
    if (to_file) return convert_to_file(argv[3], argv[2]) ? 0 : 1;
    if (last) return convert_to_file(argv[1], argv[3]) ? 0 : 1;
    if (argc == 2 && argv[1][0] != '-') return convert(argv[1], "standard output", stdout) ? 0 : 1;
    (void)fprintf(stderr, "usage: rdb-text FILE.rdb [-o TEXT]\n"
                          "Prints the character vectors of an R lazy-load database as text.\n");
    return 2;
}
